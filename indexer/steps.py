"""What is done with each picture: read and decode, cut into segments, crop, embed.

A run in this process (`pipeline`) and the tasks of a cluster (`distributed`) do it with the same
code. Plain generators: whoever puts them together says which threads they run in.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import PIL.Image

from indexer import library, records
from indexer.candidates import Candidate
from indexer.detections import Detection
from indexer.errors import OutOfDeviceMemory, PictureError, Stopped
from indexer.records import Failure, Image, Picture, Region, Vector
from indexer.segmentation import masks
from indexer.stages import Clock, SharedLock, background, ordered
from indexer.work import Models
from indexer.writing import Embedded, Failed, Known, Ready

if TYPE_CHECKING:  # these import torch, which a run with nothing new never needs
    from indexer.crops import Crop

R = TypeVar("R")

#: Most files that wait for a batch of CLIP to fill, and seconds after which one is not awaited any
#: more: what waits is lost when the run is killed, and nobody sees it done.
_MOST_WAITING, _LONGEST_WAIT_S = 256, 5.0
#: Pictures that wait between two stages, beyond those that a batch of CLIP is made of.
DEPTH = 2
#: Pictures that a GPU cuts at once: while the CPU finishes the masks of one, it has others to do.
_PICTURES_AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture that is to be cut.

    Attributes:
        candidate: the file it was read from.
        image_id: its id.
        decoded: its pixels.
        detections: what a detector found in it.
    """

    candidate: Candidate
    image_id: str
    decoded: library.Decoded
    detections: Sequence[Detection]


@dataclass(frozen=True, eq=False)
class Cut:
    """A picture with its regions."""

    candidate: Candidate
    decoded: library.Decoded
    regions: list[Region]


@dataclass(frozen=True, eq=False)
class _Cropped:  # holds no pixels of the picture: many of these wait for their batch
    candidate: Candidate
    picture: Picture
    regions: list[Region]
    crops: list[Crop]  # of the regions, then of the whole picture


Read = Failed | Known | Decoded
Segmented = Failed | Known | Cut
_Waiting = Failed | Known | _Cropped


def read(
    candidate: Candidate,
    detections: Sequence[Detection],
    clock: Clock,
    is_done: Callable[[Candidate, str], bool],
    decode: Callable[[library.Content], library.Decoded],
) -> Read:
    """Read and `decode` a file; one whose picture `is_done` (given its id) is not decoded."""
    found = candidate.found
    if isinstance(found, library.Problem):
        return Failed(candidate, Failure(found.reason, found.message, retryable=True))
    candidate = _as_it_is_now(candidate, found)
    try:
        with clock.timed("read"):
            content = library.read(found.location)
        image_id = records.image_id(content.sha256)
        if is_done(candidate, image_id):
            return Known(candidate, image_id)
        with clock.timed("decode"):
            return Decoded(candidate, image_id, decode(content), detections)
    except PictureError as error:
        return Failed(candidate, Failure(error.reason, error.message, error.retryable))


def _as_it_is_now(candidate: Candidate, found: library.Found) -> Candidate:
    """Return the candidate with the size and time that its file has now, before it is read.

    It may have been replaced since the scan, or be half replaced, and get its old time back later,
    as with `cp -p`: what is read of it now must not be taken for what it is then.
    """
    if isinstance(found.location, library.S3Path):
        return candidate
    try:
        info = found.location.stat()
    except OSError:
        return candidate  # reading it will tell
    now = replace(found, size=info.st_size, mtime_ns=info.st_mtime_ns)
    return replace(candidate, found=now)


def needs_no_cutting(candidate: Candidate, indexed: Image | None) -> bool:
    """Say whether a picture need not be cut anew, given its record in the index.

    The detections of its first place are those that count, so only that place has it cut anew.
    """
    if indexed is None or not candidate.redo:
        return indexed is not None
    return indexed.paths[0] != candidate.place


class Steps:
    """Cuts, crops and embeds pictures.

    Attributes:
        interrupted: whether a picture was left because of being stopped.
    """

    def __init__(
        self,
        models: Callable[[], Models],
        *,
        grid: bool,
        batch_size: int,
        clock: Clock,
        stopped: Callable[[], bool],
        begin: Callable[[Candidate], None],
    ) -> None:
        """Prepare.

        Args:
            models: called in several threads, often.
            grid: see `indexer.work.Work`.
            batch_size: see `indexer.work.Work`.
            clock: is told how long what took.
            stopped: asked often; True leaves the pictures that are being cut.
            begin: called before each picture that is cut.
        """
        self.interrupted = False
        self._models = models
        self._grid = grid
        self._batch_size = batch_size
        self._clock = clock
        self._stopped = stopped
        self._begin = begin
        self._device = SharedLock()

    def all_of(self, items: Generator[Read, None, None]) -> Generator[Ready, None, None]:
        """Cut, crop and embed pictures, overlapped as the models allow; the others pass through."""
        return self._embedded(self._beside(self._segmented(items)))

    def _beside(self, items: Generator[Segmented, None, None]) -> Generator[Segmented, None, None]:
        """Cut the next pictures while CLIP works, once models are loaded that can do so."""
        with contextlib.closing(items):
            for item in items:
                yield item
                if isinstance(item, Cut) and self._models().concurrent:
                    yield from background(items, DEPTH)

    def _segmented(self, items: Generator[Read, None, None]) -> Generator[Segmented, None, None]:
        """Cut pictures: on a GPU several at once, so that it need not wait for the CPU's part."""
        with contextlib.closing(items):
            for item in items:
                if not isinstance(item, Decoded):
                    yield item
                    continue
                at_once = _PICTURES_AT_ONCE if self._models().concurrent else 1
                rest = itertools.chain([item], items)
                for cut in ordered(rest, self._segment, at_once, at_once):
                    if cut is not None:
                        yield cut
                return

    def _segment(self, item: Read) -> Segmented | None:
        """Cut a picture; None if the run was stopped meanwhile."""
        if not isinstance(item, Decoded):
            return item
        self._begin(item.candidate)
        try:
            return Cut(item.candidate, item.decoded, self._regions(item))
        except Stopped:
            self.interrupted = True
            return None
        except OutOfDeviceMemory as error:
            return _too_large(item.candidate, item.image_id, error)

    def _regions(self, item: Decoded) -> list[Region]:
        segmenter = self._models().segmenter

        def cut() -> list[Region]:
            with self._clock.timed("segment"):
                return segmenter.automatic(
                    item.decoded.pixels, item.detections, grid=self._grid, stopped=self._stopped
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

    def _embedded(self, items: Generator[Segmented, None, None]) -> Generator[Ready, None, None]:
        with contextlib.closing(items):
            cropped = (self._crop(item) if isinstance(item, Cut) else item for item in items)
            for batch in self._batches(cropped):
                yield from self._embed(batch)

    def _batches(self, items: Iterator[_Waiting]) -> Iterator[list[_Waiting]]:
        """Put together as many pictures as fill a batch of CLIP, everything in order."""
        waiting: list[_Waiting] = []
        crops, since = 0, time.monotonic()
        for item in items:
            waiting.append(item)
            crops += len(item.crops) if isinstance(item, _Cropped) else 0
            full = crops >= self._batch_size or len(waiting) >= _MOST_WAITING
            if crops == 0 or full or time.monotonic() - since > _LONGEST_WAIT_S:
                yield waiting
                waiting, crops, since = [], 0, time.monotonic()
        yield waiting

    def _crop(self, item: Cut) -> _Cropped:
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


def _too_large(candidate: Candidate, image_id: str, error: OutOfDeviceMemory) -> Failed:
    return Failed(candidate, Failure("out_of_memory", error.message, retryable=True), image_id)
