"""Find the pictures under one library root."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from indexer.errors import SegsearchError
from indexer.library import remote
from indexer.library.paths import storable
from indexer.library.remote import S3Path

#: File names that end like this are candidates, whatever their case.
EXTENSIONS = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".avif",
        ".heic",
        ".heif",
    }
)

#: Parts of the path of a bucket: the scheme and its name.
_BUCKET = 2


@dataclass(frozen=True)
class Found:
    """A file that may be a picture.

    Attributes:
        path: storable text, relative to the root, "/" between the parts.
        location: absolute path to open.
        size: bytes.
        mtime_ns: modification time, nanoseconds since the epoch.
    """

    path: str
    location: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Problem:
    """A folder or file that could not be looked at; worth another try in the next run.

    Attributes:
        path: storable text, relative to the root, "/" between the parts. Where it is a folder
            (or a broken link that may have led to one), nothing is known about what is in it.
        reason: "unreadable" or "vanished", see `indexer.library.REASONS`.
        message: what happened and what to do, without the path.
    """

    path: str
    reason: str
    message: str


def root_folder(path: Path) -> Path:
    """Return the absolute folder that the paths found by `scan` are relative to.

    That is `path` itself, or the parent folder where `path` is a single file. Symbolic links in
    it are kept as they are.
    """
    if isinstance(path, S3Path):
        return path if path.is_dir() or len(path.parts) <= _BUCKET else path.parent
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps ".." parts
    return absolute if absolute.is_dir() else absolute.parent


def scan(path: Path, exclude: Sequence[str] = ()) -> Iterator[Found | Problem]:
    """Find the candidate pictures under a folder, or the one file that `path` is.

    The order is the same every time: each folder's entries sorted by the bytes of their names,
    folders entered where they stand. Names that start with a dot are skipped. Links to files are
    followed. Links to folders are followed after everything else, so that a folder that is also
    reachable without a link is found under its own path; no folder is scanned twice, which also
    ends loops. A single file is yielded whatever its name.

    At any time no more is held than the listings of the folders from the root down to the current
    one, one number pair for each folder seen, and the links that wait.

    Args:
        path: the library root.
        exclude: shell patterns (`*`, `?`, `[…]`), compared case-sensitively with the path
            relative to the root, with the relative path of every folder above it, and with each
            single name in it. `*` also matches "/". A "/" at a pattern's end is ignored.
            A folder that matches is not entered.

    Returns:
        An iterator; the folders below the root are listed as it advances.

    Raises:
        SegsearchError: the root is missing or cannot be listed.
    """
    root = root_folder(path)
    patterns = tuple(storable(pattern).rstrip("/") for pattern in exclude)
    try:
        info = path.stat()
        if not stat.S_ISDIR(info.st_mode):
            name = storable(path.name)
            return iter([Found(name, root / path.name, info.st_size, info.st_mtime_ns)])
        if isinstance(root, S3Path):
            return _objects(root, patterns)
        entries = _listed(root)
    except FileNotFoundError as error:
        hint = "check the spelling, and that the drive is mounted"
        raise SegsearchError(f"there is no file or folder {path}", hint) from error
    except OSError as error:
        hint = "check its permissions"
        raise SegsearchError(f"{path} cannot be read: {remote.reason(error)}", hint) from error
    walk = _Walk(patterns)
    walk.first_visit(info)
    return walk.run(entries)


def _objects(root: S3Path, exclude: Sequence[str]) -> Iterator[Found | Problem]:
    for path, info in remote.walk(root, exclude):
        if isinstance(info, OSError):
            message = f"it cannot be listed ({remote.reason(info)}): check the service"
            yield Problem(path, "unreadable", message)
        elif info.extension and f".{info.extension.lower()}" in EXTENSIONS:
            yield Found(path, S3Path(f"s3://{info.path}"), info.size, info.mtime_ns)


class _Walk:
    """One traversal: what it excludes, where it has been, which folder links wait."""

    def __init__(self, exclude: tuple[str, ...]) -> None:
        self._exclude = exclude
        self._visited: set[tuple[int, int]] = set()
        self._links: deque[tuple[str, os.DirEntry[str]]] = deque()

    def first_visit(self, info: os.stat_result) -> bool:
        """Say whether the folder is new, and remember it."""
        key = (info.st_dev, info.st_ino)
        new = key not in self._visited
        self._visited.add(key)
        return new

    def run(self, entries: list[os.DirEntry[str]]) -> Iterator[Found | Problem]:
        yield from self._descend("", entries)
        while self._links:
            path, entry = self._links.popleft()
            folder = self._entered(path, entry)
            if isinstance(folder, Problem):
                yield folder
            elif folder is not None:
                yield from self._descend(f"{path}/", folder)

    def _descend(self, prefix: str, top: list[os.DirEntry[str]]) -> Iterator[Found | Problem]:
        # A stack of our own, because folders may nest deeper than Python's calls.
        stack = [(prefix, iter(top))]
        while stack:
            prefix, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            name = storable(entry.name)
            path = prefix + name
            if name.startswith(".") or self._excluded(path, name):
                continue
            seen = self._seen(path, entry)
            if isinstance(seen, list):
                stack.append((f"{path}/", iter(seen)))
            elif seen is not None:
                yield seen

    def _excluded(self, path: str, name: str) -> bool:
        # The folders above were checked on the way down.
        return any(
            fnmatchcase(path, pattern) or fnmatchcase(name, pattern) for pattern in self._exclude
        )

    def _seen(
        self, path: str, entry: os.DirEntry[str]
    ) -> Found | Problem | list[os.DirEntry[str]] | None:
        """Return what an entry is: a candidate, a problem, a folder's listing, or nothing."""
        candidate = Path(entry.name).suffix.lower() in EXTENSIONS
        linked = entry.is_symlink()
        try:
            if not (candidate or linked or entry.is_dir()):
                return None
            info = entry.stat()
        except OSError as error:
            return _broken_link(path) if linked else _problem(path, error)
        if not stat.S_ISDIR(info.st_mode):
            return _file(path, entry, info) if candidate else None
        if linked:
            self._links.append((path, entry))
            return None
        return self._entered(path, entry)

    def _entered(
        self, path: str, entry: os.DirEntry[str]
    ) -> Problem | list[os.DirEntry[str]] | None:
        """Return a folder's listing; None if it was visited before."""
        try:
            # DirEntry.stat would answer from its cache, which is old where the link had to wait.
            if not self.first_visit(Path(entry.path).stat()):
                return None
            return _listed(entry.path)
        except OSError as error:
            return _problem(path, error)


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(os.fspath(folder)) as entries:
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))


def _file(path: str, entry: os.DirEntry[str], info: os.stat_result) -> Found | Problem:
    if not stat.S_ISREG(info.st_mode):
        return Problem(path, "unreadable", "this is not a regular file: move it elsewhere")
    return Found(path, Path(entry.path), info.st_size, info.st_mtime_ns)


def _broken_link(path: str) -> Problem:
    message = "this link leads nowhere: restore what it points to, or remove it"
    return Problem(path, "unreadable", message)


def _problem(path: str, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Problem(path, "vanished", "it vanished during the scan: run again")
    message = f"it cannot be read ({error.strerror}): check its permissions and its drive"
    return Problem(path, "unreadable", message)
