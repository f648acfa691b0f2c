"""Which library root a path belongs to.

Every file belongs to the deepest known root above it, so that indexing a folder and later its
parent or one of its subfolders never records a file twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from indexer.library.paths import full_path, original, split_path, storable


def owner(path: Path, roots: dict[str, Path]) -> tuple[str, str] | None:
    """Return the root's id and the path relative to it, as storable text.

    Args:
        path: absolute.
        roots: id → absolute path.

    Returns:
        None if no root lies above the path (or is it).
    """
    above = [(len(root.parts), id_) for id_, root in roots.items() if path.is_relative_to(root)]
    if not above:
        return None
    _, deepest = max(above)
    relative = path.relative_to(roots[deepest])
    return deepest, "" if relative == Path() else storable(str(relative).replace(os.sep, "/"))


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the paths without those that lie inside another of them, in their order."""
    unique = dict.fromkeys(paths)
    return [path for path in unique if not any(above in unique for above in path.parents)]


def locate(path: str, roots: dict[str, Path]) -> Path:
    """Turn a stored "<root id>/<relative path>" into an absolute path."""
    root, relative = split_path(path)
    return roots[root] / original(relative)


def prefixes(path: Path, roots: dict[str, Path], *, folder: bool) -> list[str]:
    """Return the stored prefixes that select the files whose absolute path begins with `path`.

    Args:
        path: absolute.
        roots: id → absolute path.
        folder: whether only what lies below the path is meant, not what merely begins so
            ("/photos/2024" is also how "/photos/2024-old" begins).

    Returns:
        One for the root that the path lies in, and one for each root that the path selects as a
        whole; none if there is neither.
    """
    found = [
        full_path(id_, "")
        for id_, root in roots.items()
        if root.is_relative_to(path) or (not folder and str(root).startswith(str(path)))
    ]
    above = owner(path, roots)
    if above is not None and above[1]:
        found.append(full_path(*above) + ("/" if folder else ""))
    return found
