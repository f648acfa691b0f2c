"""The files of a run, each with the record it had: which are new, changed, or known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from indexer import follow, library
from indexer.errors import SegsearchError
from indexer.index import Index
from indexer.records import File
from indexer.report import Survey
from indexer.roots import outermost, owner

if TYPE_CHECKING:
    from indexer.detections import Detections

Paths = str | Path | Sequence[str | Path]
State = Literal["new", "changed", "retry", "unchanged", "known_failures"]

#: Files whose records are looked up at once.
_LOOKUP = 512


@dataclass(frozen=True)
class Candidate:
    """A file to look at, with the record it had.

    Attributes:
        root: id of its library root; empty where no index knows one yet.
        path: storable text, relative to the root.
        found: where it is, or why it could not be looked at.
        known: its record of an earlier run, or None.
        detections: digest of what a detector found in it, or None.
    """

    root: str
    path: str
    found: library.Found | library.Problem
    known: File | None
    detections: str | None = None

    @property
    def state(self) -> State:
        """What a run has to do with it: the first three are taken up, the others skipped."""
        if self.known is None:
            return "retry" if isinstance(self.found, library.Problem) else "new"
        if isinstance(self.found, library.Problem):
            return "retry"
        before = (self.known.size, self.known.mtime_ns, self.known.detections)
        if before != (self.found.size, self.found.mtime_ns, self.detections):
            return "changed"
        if self.known.failure is None:
            return "unchanged"
        return "retry" if self.known.failure.retryable else "known_failures"

    @property
    def place(self) -> str:
        """Where it lies, as `records.Image.paths` has it."""
        return library.full_path(self.root, self.path)

    @property
    def pending(self) -> bool:
        """Whether a run takes it up."""
        return self.state in ("new", "changed", "retry")

    @property
    def redo(self) -> bool:
        """Whether its picture must be cut anew though it is indexed: its detections changed."""
        return (
            self.known is not None
            and self.known.image_id is not None
            and self.known.detections != self.detections
        )


@dataclass(frozen=True)
class Selection:
    """Which files a run is about.

    Attributes:
        paths: absolute files and folders, none inside another.
        exclude: see `indexer.library.scan`.
        detections: what a detector found, or None.
        gone: absolute paths of files that belong to it and are gone.
    """

    paths: tuple[Path, ...]
    exclude: tuple[str, ...] = ()
    detections: Detections | None = None
    gone: tuple[Path, ...] = ()

    @property
    def all_paths(self) -> tuple[Path, ...]:
        """The paths, and what is gone."""
        return (*self.paths, *self.gone)


def absolute(paths: Paths) -> tuple[Path, ...]:
    """Return the absolute paths of files and folders, none of them inside another."""
    given = [paths] if isinstance(paths, str | Path) else paths
    return tuple(outermost(library.as_path(path).expanduser().resolve() for path in given))


def patterns(exclude: str | Sequence[str]) -> tuple[str, ...]:
    """Return the patterns, be it one or several."""
    return (exclude,) if isinstance(exclude, str) else tuple(exclude)


def or_own(selection: Selection, index: Index) -> Selection:
    """Return the selection; where it names no path, of all that the index follows.

    Raises:
        SegsearchError: nothing of that is there.
    """
    if selection.paths:
        return selection
    own, gone = follow.own_paths(index)
    if not own and not gone:
        raise SegsearchError("none of the index's own folders is there", "name those to index")
    return replace(selection, paths=tuple(own), gone=tuple(gone))


def with_own(selection: Selection, index: Index) -> Selection:
    """Return the selection with all that the index follows."""
    own, _ = follow.own_paths(index)
    return replace(selection, paths=tuple(outermost([*own, *selection.paths])))


def candidates(
    index: Index | None, selection: Selection, roots: dict[str, Path] | None = None
) -> Iterator[Candidate]:
    """Scan the paths and look up what is known of every file, a batch at a time.

    Args:
        index: where the records are; None where there is no index yet.
        selection: which files.
        roots: the library roots, id → absolute path; those of the index, if not given.

    Raises:
        SegsearchError: a path is missing or cannot be listed.
    """
    if roots is None:
        roots = {} if index is None else index.roots()
    detections = selection.detections
    for path in selection.paths:
        base = library.root_folder(path)
        found = iter(library.scan(path, selection.exclude))
        while batch := list(itertools.islice(found, _LOOKUP)):
            places = [
                owner(base / library.original(item.path), roots) or ("", item.path)
                for item in batch
            ]
            known = _known(index, places)
            for (root, name), item in zip(places, batch, strict=True):
                digest = None if detections is None else detections.digest(name)
                yield Candidate(root, name, item, known.get((root, name)), digest)


def survey(
    index: Index | None, selection: Selection, roots: dict[str, Path] | None = None
) -> Survey:
    """Count what a run would find, reading no file; see `candidates` for the arguments.

    Raises:
        SegsearchError: a path is missing or cannot be listed.
    """
    counts: Counter[str] = Counter()
    size = recorded = 0
    for candidate in candidates(index, selection, roots):
        counts[candidate.state] += 1
        recorded += candidate.known is not None
        if candidate.pending and isinstance(candidate.found, library.Found):
            size += candidate.found.size
    gone = 0
    if index is not None and follow.count_recorded(index, selection.all_paths) > recorded:
        gone = follow.count_gone(index, selection.all_paths)
    return Survey(counts.total(), **counts, gone=gone, pending_bytes=size)


def _known(index: Index | None, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], File]:
    """Return the records of these (root id, relative path), by the same."""
    wanted: dict[str, list[str]] = {}
    for root, name in places:
        wanted.setdefault(root, []).append(name)
    return {
        (root, name): file
        for root, names in wanted.items()
        if index is not None and root
        for name, file in index.files(root, names).items()
    }
