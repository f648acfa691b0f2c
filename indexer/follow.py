"""Following a library that changes: files that are gone, renamed or moved with their folder."""

from __future__ import annotations

import itertools
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.errors import SegsearchError
from indexer.index import Index
from indexer.library import (
    full_path,
    has_entries,
    is_folder,
    original,
    split_path,
    storable,
)
from indexer.records import File, Image
from indexer.roots import locate, outermost, owner

_log = logging.getLogger(__name__)

#: Records of a root that are compared with another folder, to see whether it is the same.
_SAMPLE = 256


def is_gone(path: Path) -> bool:
    """Return whether nothing is there for certain, not merely out of reach for now.

    What lies behind a link that leads nowhere is out of reach, as is what an error keeps away.
    """
    for each in (path, *path.parents):
        try:
            info = each.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        if each == path:
            return False
        return not stat.S_ISLNK(info.st_mode) or os.path.exists(each)  # noqa: PTH110 - never raises
    return True


def count_recorded(index: Index, paths: Sequence[Path]) -> int:
    """Count the recorded files at or below these paths."""
    return sum(index.count_files(*place) for place in places(index, paths))


def count_gone(index: Index, paths: Sequence[Path]) -> int:
    """Count the recorded files at or below these paths that are gone."""
    return sum(1 for place in places(index, paths) for _ in _gone(index, *place))


def prune(index: Index, paths: Sequence[Path]) -> int:
    """Remove what is recorded at or below these paths and gone; return how many files that was.

    Raises:
        SegsearchError: nothing of a whole library root is there: its drive may be away.
    """
    where = places(index, paths)
    for place in where:
        refuse_missing(index, place[0])
    removed = 0
    for place in where:
        for file in _gone(index, *place):
            index.remove_file(file)
            removed += 1
    return removed


def refuse_missing(index: Index, root: str) -> None:
    """Refuse to go on where nothing of a library root is there.

    Raises:
        SegsearchError: it has records, and all their files are gone.
    """
    folder = index.roots()[root]
    if root not in index.folders() and is_folder(folder):
        return  # single files in a folder that is there
    files = (folder / original(file.path) for file in index.files_below(root, ""))
    first = next(files, None)
    if first is None or not is_gone(first) or not all(map(is_gone, files)):
        return
    raise SegsearchError(
        f"no recorded picture of {folder} is there any more, so nothing was removed",
        f"mount its drive; if the pictures are really gone: segsearch forget {folder}",
    )


def refuse_unreadable(index: Index, draft: Index) -> None:
    """Refuse to replace an index by a draft that lacks what merely cannot be read now.

    Raises:
        SegsearchError: the index has pictures in places that the draft could not read.
    """
    for file in draft.failures():
        if file.failure is None or file.failure.reason != "unreadable":
            continue
        if any(known.image_id for known in index.files_below(file.root, file.path)):
            place = locate(full_path(file.root, file.path), index.roots())
            raise SegsearchError(
                f"{place} cannot be read now, so the old index was not replaced",
                "make it readable and run the same command again",
            )


def forget(index: Index, paths: Sequence[Path]) -> int:
    """Remove the records of all files at or below these paths; return how many that were.

    Raises:
        SegsearchError: one of the paths is not in the library.
    """
    removed = 0
    for path in paths:
        where = places(index, [path])
        if not where:
            raise SegsearchError(
                f"{path} is not in the library", "segsearch status shows its folders"
            )
        for root, below in where:
            for file in index.files_below(root, below):
                index.remove_file(file)
                removed += 1
            if not below:
                index.remove_root(root)
    return removed


def renamed(index: Index, image: Image, path: str) -> bool:
    """Say whether an indexed image found at one more place was renamed, and record it if so.

    That is so where one of its places, as the image or a file's record has them, is gone while
    something else is left in its library root. The records go after the image's places.
    """
    roots = index.roots()
    known = dict.fromkeys((*image.paths, *index.recorded_paths(image.id)))
    stale = [old for old in known if old != path and _has_left(old, roots)]
    if stale:
        left = [old for old in image.paths if old not in (*stale, path)]
        index.set_paths(image, (*left, path))
    for old in stale:
        index.forget_file(*split_path(old))
    return bool(stale)


def moved_root(index: Index, folder: Path) -> str | None:
    """Return the id of the library root that has been moved to this folder, if one has.

    That is one whose own folder leads here by a link now, or is gone while most of its files (the
    first 256 are compared) are here with the same relative paths, sizes and mtimes.
    """
    roots = index.roots()
    for root, before in roots.items():
        if before.resolve() == folder:
            return root
    for root, before in roots.items():
        if not is_gone(before):
            continue
        files = list(itertools.islice(index.files_below(root, ""), _SAMPLE))
        here = sum(_same_file(folder / original(file.path), file) for file in files)
        if 2 * here > len(files):
            return root
    return None


def expected_roots(index: Index, paths: Sequence[Path]) -> dict[str, Path]:
    """Return the library roots, id → absolute path, as a run over these paths would have them."""
    roots = index.roots()
    for path in paths:
        moved = None if owner(path, roots) else moved_root(index, path)
        if moved is not None:
            roots[moved] = path
    return roots


def own_paths(index: Index) -> tuple[list[Path], list[Path]]:
    """Return what an index follows: its folders, and the single files that were put into it.

    Returns:
        What is there, and the single files that are gone. Folders that are not there are left
        out, with a warning.
    """
    folders = index.folders()
    there: list[Path] = []
    gone: list[Path] = []
    for root, path in index.roots().items():
        if not is_folder(path):
            _log.warning("skipped, for it is not there: %s", storable(str(path)))
        elif root in folders:
            there.append(path)
        elif owner(path, folders) is None:
            for file in index.files_below(root, ""):
                at = path / original(file.path)
                (gone if is_gone(at) else there).append(at)
    return outermost(there), gone


def places(index: Index, paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (root id, relative path) of every place where files at or below the paths may be."""
    roots = index.roots()
    found = [(id_, "") for id_, root in roots.items() if _is_below(root, paths)]
    for path in paths:
        above = owner(path, roots)
        if above is not None and above[1]:
            found.append(above)
    return found


def _is_below(root: Path, paths: Sequence[Path]) -> bool:
    return any(root.is_relative_to(path) for path in paths)


def _gone(index: Index, root: str, path: str) -> Iterator[File]:
    roots = index.roots()
    for file in index.files_below(root, path):
        if is_gone(locate(full_path(file.root, file.path), roots)):
            yield file


def _has_left(path: str, roots: dict[str, Path]) -> bool:
    if not is_gone(locate(path, roots)):
        return False
    return has_entries(roots[split_path(path)[0]])  # or its drive is away


def _same_file(path: Path, file: File) -> bool:
    try:
        info = path.stat()
    except OSError:
        return False
    return (info.st_size, info.st_mtime_ns) == (file.size, file.mtime_ns)
