"""The flow of an index run: scan → decode → segment → embed → write.

Crops of several pictures wait until they fill a batch for CLIP; each picture is then written
with all its segments, the image record last. Whatever is interrupted is done again by the next
run; whatever is finished is skipped by it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from indexer import library, records
from indexer.crops import BATCH_SIZE, Crop
from indexer.errors import PictureError
from indexer.index import Index
from indexer.records import Failure, File, Image, Picture, Region, Segment, Vector
from indexer.roots import owner
from indexer.segmentation import masks

if TYPE_CHECKING:  # these import torch, which a run with nothing new never needs
    from indexer.embedding import Embedder
    from indexer.segmentation.segmenter import Segmenter

#: Files whose records are looked up at once.
_LOOKUP = 256


@dataclass(frozen=True)
class Report:
    """What a run has done so far.

    Attributes:
        files: files looked at.
        unchanged: of those, skipped because nothing about them changed.
        images: pictures indexed.
        segments: segments of those.
        copies: files whose picture was indexed already.
        failed: files that could not be indexed in this run.
        known_failures: unchanged files that had failed before and were not tried again.
        seconds: since the run began.
        complete: whether everything there was to look at was looked at.
        current: the file at hand, or None.
    """

    files: int = 0
    unchanged: int = 0
    images: int = 0
    segments: int = 0
    copies: int = 0
    failed: int = 0
    known_failures: int = 0
    seconds: float = 0.0
    complete: bool = False
    current: Path | None = None


@dataclass(frozen=True)
class Models:
    """The two models of a run."""

    segmenter: Segmenter
    embedder: Embedder


@dataclass(frozen=True)
class Candidate:
    """A file to look at, with the record it had.

    Attributes:
        root: id of its library root.
        path: storable text, relative to the root.
        found: where it is, or why it could not be looked at.
        known: its record of an earlier run, or None.
    """

    root: str
    path: str
    found: library.Found | library.Problem
    known: File | None


@dataclass
class _Waiting:
    """A segmented picture whose crops wait for their batch."""

    picture: Picture
    regions: list[Region]
    crops: list[Crop]  # of the regions, then of the whole picture
    files: list[File] = field(default_factory=list)


def candidates(index: Index, paths: Sequence[Path], exclude: Sequence[str]) -> Iterator[Candidate]:
    """Scan the paths and look up what is known of every file, a batch at a time.

    Args:
        index: where the records are; every path lies in one of its roots.
        paths: absolute files and folders, none inside another.
        exclude: see `indexer.library.scan`.
    """
    roots = index.roots()
    for path in paths:
        base = library.root_folder(path)
        found = iter(library.scan(path, exclude))
        while batch := list(itertools.islice(found, _LOOKUP)):
            placed = [(owner(base / library.original(item.path), roots), item) for item in batch]
            wanted: dict[str, list[str]] = {}
            for place, _ in placed:
                assert place is not None  # noqa: S101 - the caller added the roots
                wanted.setdefault(place[0], []).append(place[1])
            known = {root: index.files(root, names) for root, names in wanted.items()}
            for place, item in placed:
                assert place is not None  # noqa: S101
                yield Candidate(*place, item, known[place[0]].get(place[1]))


class Run:
    """One index run."""

    def __init__(
        self,
        index: Index,
        models: Callable[[], Models],
        on_progress: Callable[[Report], None],
    ) -> None:
        """Prepare a run.

        Args:
            index: where to write.
            models: called when the first new picture needs them.
            on_progress: called after every file.
        """
        self._index = index
        self._models = models
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._waiting: dict[str, _Waiting] = {}
        self._report = Report()

    def take_all(
        self, files: Iterable[Candidate], limit: int | None, stopped: Callable[[], bool]
    ) -> Report:
        """Index the files, at most `limit` new pictures, until `stopped` says so."""
        complete = True
        for candidate in files:
            if stopped() or (limit is not None and self._pictures() >= limit):
                complete = False
                break
            self._take(candidate)
            self._count(files=1)
            self._on_progress(self._now())
        self._write_waiting()
        self._index.flush()
        self._report = replace(self._report, complete=complete, current=None)
        self._on_progress(self._now())
        return self._now()

    def _take(self, candidate: Candidate) -> None:
        found, known = candidate.found, candidate.known
        if isinstance(found, library.Problem):
            self._fail(candidate, Failure(found.reason, found.message, retryable=True))
            return
        self._report = replace(self._report, current=found.location)
        if known is not None and (known.size, known.mtime_ns) == (found.size, found.mtime_ns):
            if known.failure is None:
                self._count(unchanged=1)
                return
            if not known.failure.retryable:
                self._count(known_failures=1)
                return
        try:
            self._index_file(candidate, library.read(found.location))
        except PictureError as error:
            self._fail(candidate, Failure(error.reason, error.message, error.retryable))

    def _index_file(self, candidate: Candidate, content: library.Content) -> None:
        """Take in the bytes of one file.

        Raises:
            PictureError: they are no picture that can be used.
        """
        image_id = records.image_id(content.sha256)
        file = _file(candidate, image_id=image_id)
        if image_id in self._waiting:
            self._waiting[image_id].files.append(file)
            self._count(copies=1)
        elif present := self._index.images([image_id]):
            self._index.add_path(present[0], library.full_path(file.root, file.path))
            self._count(copies=1)
            self._finish(candidate.known, file)
            return
        else:
            decoded = library.decode(content)
            self._waiting[image_id] = self._segment(decoded)
            self._waiting[image_id].files.append(file)
        if candidate.known is not None:
            self._detach(candidate.known, image_id)
        if sum(len(waiting.crops) for waiting in self._waiting.values()) >= BATCH_SIZE:
            self._write_waiting()

    def _segment(self, decoded: library.Decoded) -> _Waiting:
        models = self._models()
        regions = models.segmenter.automatic(decoded.pixels)
        image = PIL.Image.fromarray(decoded.pixels)
        crops = [
            models.embedder.crop_segment(image, masks.decode(region.rle), region.box)
            for region in regions
        ]
        crops.append(models.embedder.crop_picture(image))
        return _Waiting(decoded.picture, regions, crops)

    def _write_waiting(self) -> None:
        """Embed the crops of all waiting pictures together and write the pictures."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        crops = [crop for picture in waiting.values() for crop in picture.crops]
        vectors = self._models().embedder.vectors(crops)
        start = 0
        for picture in waiting.values():
            stop = start + len(picture.crops)
            image, segments = _records(
                picture, vectors[start:stop], self._index.recipe.segmentation_id
            )
            self._index.write_image(image, segments)
            for file in picture.files:
                self._index.write_file(file)
            self._count(images=1, segments=len(segments))
            start = stop

    def _fail(self, candidate: Candidate, failure: Failure) -> None:
        """Record a failure; a picture that merely cannot be read today stays indexed."""
        known = candidate.known
        if known is None or known.image_id is None or not failure.retryable:
            self._finish(known, _file(candidate, failure=failure))
        self._count(failed=1)

    def _finish(self, known: File | None, file: File) -> None:
        """Write a file's record, after its old picture has let go of it."""
        if known is not None:
            self._detach(known, file.image_id)
        self._index.write_file(file)

    def _detach(self, known: File, image_id: str | None) -> None:
        if known.image_id is not None and known.image_id != image_id:
            self._index.remove_path(known.image_id, library.full_path(known.root, known.path))

    def _pictures(self) -> int:
        return self._report.images + len(self._waiting)

    def _count(self, **more: int) -> None:
        now = {name: getattr(self._report, name) + count for name, count in more.items()}
        self._report = replace(self._report, **now)

    def _now(self) -> Report:
        return replace(self._report, seconds=time.monotonic() - self._started)


def _file(
    candidate: Candidate, *, image_id: str | None = None, failure: Failure | None = None
) -> File:
    found = candidate.found
    size, mtime_ns = (found.size, found.mtime_ns) if isinstance(found, library.Found) else (0, 0)
    return File(candidate.root, candidate.path, size, mtime_ns, image_id, failure)


def _records(
    waiting: _Waiting, vectors: Vector, segmentation_id: str
) -> tuple[Image, list[Segment]]:
    """Make the records of a picture from its regions and their vectors, the picture's last."""
    picture = waiting.picture
    image_id = records.image_id(picture.sha256)
    paths = tuple(dict.fromkeys(library.full_path(f.root, f.path) for f in waiting.files))
    ids = [
        records.segment_id(image_id, segmentation_id, ordinal)
        for ordinal in range(len(waiting.regions))
    ]
    segments = [
        Segment(
            id=ids[ordinal],
            image_id=image_id,
            region=region,
            parent_id=None if region.parent is None else ids[region.parent],
            paths=paths,
            taken_at=picture.taken_at,
            gps=picture.gps,
            vector=np.ascontiguousarray(vectors[ordinal]),
        )
        for ordinal, region in enumerate(waiting.regions)
    ]
    image = Image(
        id=image_id,
        picture=picture,
        paths=paths,
        n_segments=len(segments),
        indexed_at=datetime.now(UTC),
        vector=np.ascontiguousarray(vectors[-1]),
    )
    return image, segments
