"""The flow of an index run: read and decode → segment → embed → write, which overlap.

Files are read and decoded by a few threads; the models have a thread of their own (several on a
GPU, which does one picture's masks while the CPU finishes another's), and so has the writing. The
queues between them are short, so that memory does not depend on the library's size. Everything
stays in the order of the scan. Whatever is interrupted is done again by the next run; whatever is
finished is skipped by it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import PIL.Image

from indexer import library, records
from indexer.candidates import Candidate
from indexer.detections import Detection
from indexer.errors import OutOfDeviceMemory, PictureError, Stopped
from indexer.index import Index
from indexer.records import Failure, Picture, Region, Vector
from indexer.report import Report, peak_memory_bytes
from indexer.segmentation import masks
from indexer.stages import Clock, SharedLock, background, ordered
from indexer.work import Models, Work
from indexer.writing import Embedded, Failed, Known, Ready, Writer

if TYPE_CHECKING:  # these import torch, which a run with nothing new never needs
    from indexer.crops import Crop

R = TypeVar("R")

#: Most files that wait for a batch of CLIP to fill, and seconds after which one is not awaited any
#: more: what waits is lost when the run is killed, and nobody sees it done.
_MOST_WAITING, _LONGEST_WAIT_S = 256, 5.0
#: Pictures that wait between two stages, beyond those that a batch of CLIP is made of.
_DEPTH = 2
#: Pictures that a GPU cuts at once: while the CPU finishes the masks of one, it has others to do.
_PICTURES_AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class _Decoded:
    candidate: Candidate
    image_id: str
    decoded: library.Decoded


@dataclass(frozen=True, eq=False)
class _Cut:
    candidate: Candidate
    decoded: library.Decoded
    regions: list[Region]


@dataclass(frozen=True, eq=False)
class _Cropped:  # holds no pixels of the picture: many of these wait for their batch
    candidate: Candidate
    picture: Picture
    regions: list[Region]
    crops: list[Crop]  # of the regions, then of the whole picture


_Read = Failed | Known | _Decoded
_Segmented = Failed | Known | _Cut
_Waiting = Failed | Known | _Cropped


class Run:
    """One index run."""

    def __init__(
        self, index: Index, models: Callable[[], Models], work: Work, found: Report
    ) -> None:
        """Prepare a run.

        Args:
            index: where to write.
            models: called in a thread of the run when the first new picture needs them, often.
            work: how.
            found: what the survey has found.
        """
        self._index = index
        self._models = models
        self._work = work
        self._report = found
        self._clock = Clock()
        self._telling = threading.Lock()
        self._device = SharedLock()
        self._current: Path | None = None
        self._writer = Writer(index)
        self._begun = 0
        self._cut_short = False

    def take_all(self, pending: Iterable[Candidate]) -> Report:
        """Index these files, and return what has been done."""
        self._flow(iter(pending))
        while not self._cut_short and (again := self._writer.take_again()):
            self._flow(iter(again))
        self._index.flush()
        self._report = replace(self._report, complete=not self._cut_short)
        self._tell()
        return self._now()

    def _flow(self, files: Iterator[Candidate]) -> None:
        read = background(self._read(files), _DEPTH)
        segmented = self._beside(self._segmented(read))
        with contextlib.closing(background(self._embedded(segmented), _DEPTH)) as ready:
            for item in ready:
                with self._clock.timed("write"):
                    counts = self._writer.write(item)
                self._count(**counts, pending=-min(1, self._report.pending))
                self._tell()

    def _beside(
        self, items: Generator[_Segmented, None, None]
    ) -> Generator[_Segmented, None, None]:
        """Cut the next pictures while CLIP works, once models are loaded that can do so."""
        with contextlib.closing(items):
            for item in items:
                yield item
                if isinstance(item, _Cut) and self._models().concurrent:
                    yield from background(items, _DEPTH)

    def _read(self, files: Iterator[Candidate]) -> Generator[_Read, None, None]:
        wanted, workers = self._until_stopped(files), self._work.workers
        yield from ordered(wanted, self._read_one, workers, workers)

    def _until_stopped(self, files: Iterator[Candidate]) -> Iterator[Candidate]:
        for candidate in files:
            if self._stopped():
                self._cut_short = True
                return
            yield candidate

    def _read_one(self, candidate: Candidate) -> _Read:
        found = candidate.found
        if isinstance(found, library.Problem):
            return Failed(candidate, Failure(found.reason, found.message, retryable=True))
        try:
            with self._clock.timed("read"):
                content = library.read(found.location)
            image_id = records.image_id(content.sha256)
            if self._is_done(candidate, image_id):
                return Known(candidate, image_id)
            with self._clock.timed("decode"):
                return _Decoded(candidate, image_id, library.decode(content))
        except PictureError as error:
            return Failed(candidate, Failure(error.reason, error.message, error.retryable))

    def _segmented(self, items: Generator[_Read, None, None]) -> Generator[_Segmented, None, None]:
        """Cut pictures: on a GPU several at once, so that it need not wait for the CPU's part."""
        with contextlib.closing(self._wanted(items)) as wanted:
            for item in wanted:
                if not isinstance(item, _Decoded):
                    yield item
                    continue
                at_once = _PICTURES_AT_ONCE if self._models().concurrent else 1
                rest = itertools.chain([item], wanted)
                for cut in ordered(rest, self._segment, at_once, at_once):
                    if cut is not None:
                        yield cut
                return

    def _wanted(
        self, items: Generator[_Read, None, None]
    ) -> Generator[_Decoded | Known | Failed, None, None]:
        """Find the pictures that are to be cut; what comes of the others is known."""
        with contextlib.closing(items):
            for item in items:
                if not isinstance(item, _Decoded):
                    yield item
                elif item.image_id in self._writer.under_way or self._is_done(
                    item.candidate, item.image_id
                ):
                    yield Known(item.candidate, item.image_id)
                elif self._stopped() or self._begun == self._work.limit:
                    self._cut_short = True
                    return
                else:
                    self._begun += 1
                    self._writer.under_way.add(item.image_id)
                    yield item

    def _segment(self, item: _Decoded | Known | Failed) -> _Segmented | None:
        """Cut a picture; None if the run was stopped meanwhile."""
        if not isinstance(item, _Decoded):
            return item
        self._current = _location(item.candidate)
        self._tell()
        try:
            return _Cut(item.candidate, item.decoded, self._regions(item))
        except Stopped:
            self._cut_short = True
            return None
        except OutOfDeviceMemory as error:
            return _too_large(item.candidate, item.image_id, error)

    def _regions(self, item: _Decoded) -> list[Region]:
        segmenter = self._models().segmenter
        found: Sequence[Detection] = ()
        if self._work.detections is not None:
            found = self._work.detections.of(item.candidate.path)

        def cut() -> list[Region]:
            with self._clock.timed("segment"):
                return segmenter.automatic(
                    item.decoded.pixels, found, grid=self._work.grid, stopped=self._stopped
                )

        return self._on_device(cut)

    def _on_device(self, work: Callable[[], R]) -> R:
        """Have models compute: beside each other, or one alone where memory is too short for that.

        Raises:
            OutOfDeviceMemory: also alone.
        """
        try:
            with self._device.shared():
                return work()
        except OutOfDeviceMemory:
            if not self._models().concurrent:
                raise
        # not in the handler: there the error still holds what the failed work allocated
        with self._device.alone():
            return work()

    def _embedded(self, items: Generator[_Segmented, None, None]) -> Generator[Ready, None, None]:
        with contextlib.closing(items):
            cropped = (self._crop(item) if isinstance(item, _Cut) else item for item in items)
            for batch in self._batches(cropped):
                yield from self._embed(batch)

    def _batches(self, items: Iterator[_Waiting]) -> Iterator[list[_Waiting]]:
        """Put together as many pictures as fill a batch of CLIP, everything in order."""
        waiting: list[_Waiting] = []
        crops, since = 0, time.monotonic()
        for item in items:
            waiting.append(item)
            crops += len(item.crops) if isinstance(item, _Cropped) else 0
            full = crops >= self._work.batch_size or len(waiting) >= _MOST_WAITING
            if crops == 0 or full or time.monotonic() - since > _LONGEST_WAIT_S:
                yield waiting
                waiting, crops, since = [], 0, time.monotonic()
        yield waiting

    def _crop(self, item: _Cut) -> _Cropped:
        embedder = self._models().embedder
        with self._clock.timed("crop"):
            picture = PIL.Image.fromarray(item.decoded.pixels)
            crops = [
                embedder.crop_segment(picture, masks.decode(region.rle), region.box)
                for region in item.regions
            ]
            crops.append(embedder.crop_picture(picture))
        return _Cropped(item.candidate, item.decoded.picture, item.regions, crops)

    def _embed(self, waiting: list[_Waiting]) -> Iterator[Ready]:
        crops = [c for item in waiting if isinstance(item, _Cropped) for c in item.crops]
        if not crops:
            yield from (item for item in waiting if not isinstance(item, _Cropped))
            return
        vectors: Vector | OutOfDeviceMemory
        try:
            vectors = self._on_device(lambda: self._vectors(crops))
        except OutOfDeviceMemory as error:
            vectors = error
        start = 0
        for item in waiting:
            if not isinstance(item, _Cropped):
                yield item
            elif isinstance(vectors, OutOfDeviceMemory):
                image_id = records.image_id(item.picture.sha256)
                yield _too_large(item.candidate, image_id, vectors)
            else:
                stop = start + len(item.crops)
                yield Embedded(item.candidate, item.picture, item.regions, vectors[start:stop])
                start = stop

    def _vectors(self, crops: list[Crop]) -> Vector:
        with self._clock.timed("embed"):
            return self._models().embedder.vectors(crops)

    def _is_done(self, candidate: Candidate, image_id: str) -> bool:
        """Say whether a picture is indexed and needs not be cut anew.

        The detections of its first place are those that count, so only that place has it cut anew.
        """
        with self._clock.timed("look up"):
            present = self._index.images([image_id])
        if not present or not candidate.redo:
            return bool(present)
        return present[0].paths[0] != candidate.place

    def _stopped(self) -> bool:
        """Ask whether to stop; asked all the time, it also keeps the progress going."""
        self._tell()
        return self._work.stopped()

    def _tell(self) -> None:
        with self._telling:
            self._work.on_progress(self._now())

    def _count(self, **more: int) -> None:
        now = {name: getattr(self._report, name) + count for name, count in more.items()}
        self._report = replace(self._report, **now)

    def _now(self) -> Report:
        return replace(
            self._report,
            seconds=time.monotonic() - self._work.started,
            stages=self._clock.seconds(),
            peak_memory_bytes=peak_memory_bytes(),
            current=self._current,
        )


def _location(candidate: Candidate) -> Path | None:
    return candidate.found.location if isinstance(candidate.found, library.Found) else None


def _too_large(candidate: Candidate, image_id: str, error: OutOfDeviceMemory) -> Failed:
    return Failed(candidate, Failure("out_of_memory", error.message, retryable=True), image_id)
