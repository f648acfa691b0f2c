"""Repair of a damaged index: what is sound is copied, the rest is made anew from the pictures.

The copy is a draft like that of a rebuild: the damaged index serves, as well as it can, until the
draft takes its place in one step; search structures are built anew with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

from indexer.checking import (
    IMAGES_AT_ONCE,
    CloseReader,
    DamagedImage,
    Findings,
    check,
    segment_ids,
)
from indexer.errors import SegsearchError, StoreError
from indexer.follow import is_gone
from indexer.index import Index
from indexer.library import has_entries, original, split_path, storable
from indexer.records import UNFINISHED, Image, root_id
from indexer.report import Report
from indexer.roots import locate, outermost
from indexer.store import (
    PARTS,
    discard,
    draft_location,
    is_server,
    mend,
    open_store,
    spare_roots,
    strip,
)
from indexer.store.base import Point, Store
from indexer.store.points import file_from, image_from
from indexer.store.room import Floor

#: Of the pictures of a forgotten folder, those that are looked for in a given one.
_SAMPLE = 256

Run = Callable[[Index, tuple[Path, ...]], Report]


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        kept: images whose records were sound.
        gone: damaged images of which no file is left, so that they cannot be made anew.
        report: of the run that indexed the others again.
    """

    kept: int
    gone: tuple[DamagedImage, ...]
    report: Report


class Checkup:
    """One look at an index, and what is done about it."""

    def __init__(
        self,
        where: str,
        opened: Callable[[], AbstractContextManager[tuple[Index, Store]]],
        run: Run,
        on_check: Callable[[int, int], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Prepare.

        Args:
            where: location of the index.
            opened: opens it for writing, for as long as the context lasts.
            run: indexes files into an index.
            on_check: see `Indexer.check`.
            stopped: see `Indexer.check`.
        """
        self._where = where
        self._opened = opened
        self._run = run
        self._on_check = on_check
        self._stopped = stopped

    def look(self) -> Findings:
        """Say what is damaged; nothing is changed."""
        with self._opened() as (index, store):
            hosted = not is_server(self._where)
            return check(
                store, index, hosted=hosted, on_progress=self._on_check, stopped=self._stopped
            )

    def repaired(self, folders: Sequence[Path]) -> tuple[Findings, Repaired | None]:
        """Make anew what is damaged; see `Indexer.check`."""
        mend(self._where)
        first = last = self.look()
        if first.is_sound:
            return first, None
        for part in PARTS:
            if last.unreadable:
                strip(self._where, last.unreadable, part)
                last = self.look()
        if last.is_sound:
            return first, Repaired(last.images, (), Report(complete=True))
        return first, self._replaced(last, folders)

    def _replaced(self, findings: Findings, folders: Sequence[Path]) -> Repaired:
        place, spare = draft_location(self._where), spare_roots(self._where)
        floor = Floor(self._where)
        floor.check()
        discard(place)
        with self._opened() as (index, store):
            with closing(open_store(place, create_ok=True)) as draft:
                reader = CloseReader(store, hosted=not is_server(self._where))
                repair = _Repair(reader, draft, index, findings, spare)
                draft.create(index.recipe.to_plain(), index.recipe.dim, store.storage())

                def tell(done: int, total: int) -> None:
                    floor.check()
                    self._on_check(done, total)

                done = repair.run(folders, self._run, tell)
            if done.report.complete:
                store.adopt(place)
            return done


class _Repair:
    """One repair."""

    def __init__(
        self,
        reader: CloseReader,
        draft: Store,
        index: Index,
        findings: Findings,
        spare: Sequence[Point],
    ) -> None:
        """Prepare.

        Args:
            reader: of the damaged store.
            draft: a new, empty one, to be filled.
            index: the damaged one as an index.
            findings: what was found in it.
            spare: see `indexer.store.spare_roots`.
        """
        self._reader = reader
        self._draft = draft
        self._index = index
        self._findings = findings
        self._spare = spare

    def run(self, folders: Sequence[Path], run: Run, tell: Callable[[int, int], None]) -> Repaired:
        """Fill the draft.

        Args:
            folders: absolute; a forgotten library folder is known again by its path, or by most
                of its pictures.
            run: indexes files into the draft.
            tell: told how many images of how many have been kept.

        Raises:
            SegsearchError: a library folder is forgotten and none of these, or nothing of it is
                there; or the run failed.
        """
        recipe = self._index.recipe
        self._draft.upsert("roots", self._roots(folders))
        index = Index(self._draft, "the draft")
        files, gone = self._to_index(index.roots())
        kept = self._copy_sound(recipe.segmentation_id, tell)
        report = Report(complete=True)
        if files:
            report = run(index, tuple(files))
        index.optimise()
        index.flush()
        return Repaired(kept, tuple(gone), report)

    def _roots(self, folders: Sequence[Path]) -> list[Point]:
        pages = self._reader.pages("roots")
        roots = [point for page in pages for point in page.sound]
        spare = {point.id: point for point in self._spare}
        for root in self._findings.lost_roots:
            if root in spare:
                roots.append(spare[root])
                continue
            names = list(itertools.islice(_names_below(self._reader, root), _SAMPLE))
            folder = next((f for f in folders if _was(root, f, names)), None)
            if folder is None:
                example = names[0] if names else root
                raise SegsearchError(
                    f"the index has forgotten in which folder {example} is",
                    "name the library's folders: segsearch check --repair FOLDER…",
                )
            roots.append(Point(root, {"path": storable(str(folder)), "whole": True}))
        return roots

    def _to_index(self, roots: dict[str, Path]) -> tuple[list[Path], list[DamagedImage]]:
        """Return the files that are to be indexed again, and the images of which none is left."""
        damaged = self._findings.damaged
        for root in {split_path(place)[0] for image in damaged for place in image.places}:
            if not has_entries(roots[root]):
                raise SegsearchError(
                    f"nothing of {roots[root]} is there to make its damaged pictures anew",
                    f"mount its drive; if it is really gone: segsearch forget {roots[root]}",
                )
        there = {image.id: _existing(image.places, roots) for image in damaged}
        files = [file for found in there.values() for file in found]
        files += _existing(self._findings.lost_files, roots)
        return outermost(files), [image for image in damaged if not there[image.id]]

    def _copy_sound(self, cut: str, tell: Callable[[int, int], None]) -> int:
        """Copy sound images, each after its segments, and sound records of files."""
        reader = self._reader
        kept: set[str] = set()
        for page in reader.pages("images", IMAGES_AT_ONCE):
            images = [image_from(point.id, point.payload) for point in page.sound]
            segments = _segments(reader, cut, images)
            whole = [point for point in page.sound if segments[point.id] is not None]
            self._draft.upsert("segments", [s for p in whole for s in segments[p.id] or ()])
            self._draft.upsert("images", whole)
            kept.update(point.id for point in whole)
            tell(len(kept), max(len(kept), self._findings.images))
        for page in reader.pages("files"):
            self._draft.upsert("files", [p for p in page.sound if _stays(p, kept)])
        # what could be read before must not be left out because of a passing failure
        unlike = reader.unreadable.keys() - self._findings.unreadable.keys()
        if unlike or len(kept) < self._findings.images:
            raise StoreError(
                f"of {self._findings.images} sound images only {len(kept)} could be read again",
                "the index is as it was; run the same command again",
            )
        return len(kept)


def _segments(
    reader: CloseReader, cut: str, images: Sequence[Image]
) -> dict[str, list[Point] | None]:
    """Return image id → its segments, None where one is damaged."""
    found: dict[str, list[Point] | None] = {}
    for image in images:
        ids = segment_ids(image, cut)
        sound = reader.inspect("segments", ids).sound if ids else []
        theirs = [point for point in sound if point.payload.get("image_id") == image.id]
        found[image.id] = theirs if len(theirs) == len(ids) else None
    return found


def _existing(places: Sequence[str], roots: dict[str, Path]) -> list[Path]:
    return [at for place in places if not is_gone(at := locate(place, roots))]


def _stays(point: Point, kept: set[str]) -> bool:
    """Return whether the record of a file is right with these images in the index."""
    file = file_from(point.payload)
    return file.image_id is None or file.size == UNFINISHED or file.image_id in kept


def _names_below(reader: CloseReader, root: str) -> Iterator[str]:
    """Yield relative paths of files in a library folder."""
    for page in reader.pages("files"):
        yield from (p.payload["path"] for p in page.sound if p.payload.get("root") == root)
    for page in reader.pages("images"):
        for place in (place for p in page.sound for place in p.payload["paths"]):
            id_, name = split_path(place)
            if id_ == root:
                yield name


def _was(root: str, folder: Path, names: Sequence[str]) -> bool:
    """Return whether a folder is the library root that had this id, or these pictures."""
    if root_id(storable(str(folder))) == root:
        return True
    return 2 * sum((folder / original(name)).exists() for name in names) > len(names)
