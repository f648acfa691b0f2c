"""What a run is given: the models, and how to go about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.report import Report

if TYPE_CHECKING:  # the models import torch, which a run with nothing new never needs
    from indexer.detections import Detection, Detections
    from indexer.embedding import Embedder
    from indexer.segmentation.segmenter import Segmenter


#: Crops that CLIP takes at once: enough to fill a device, little enough to stay in memory.
BATCH_SIZE = 64


@dataclass(frozen=True)
class Models:
    """The two models of a run.

    Attributes:
        segmenter: SAM 2.
        embedder: CLIP.
        concurrent: whether both compute at the same time, and several pictures are cut at once; on
            a CPU they would fight for the cores.
        device: what they run on, as torch names it.
        precision: what they calculate in, likewise.
    """

    segmenter: Segmenter
    embedder: Embedder
    concurrent: bool
    device: str
    precision: str


@dataclass(frozen=True)
class Work:
    """How a run goes about it.

    Attributes:
        workers: threads that read and decode.
        batch_size: crops that CLIP takes at once.
        limit: index at most this many new pictures; None is all.
        grid: whether SAM 2 is asked at every point of the grid, or about detections only.
        detections: what a detector found, or None.
        stopped: asked often, from several threads; True ends the run at a clean point.
        on_progress: called often, from several threads but one at a time.
        started: when the run began, in seconds of `time.monotonic`.
    """

    workers: int
    batch_size: int
    limit: int | None
    grid: bool
    detections: Detections | None
    stopped: Callable[[], bool]
    on_progress: Callable[[Report], None]
    started: float

    def detections_of(self, path: str) -> Sequence[Detection]:
        """Return what a detector found in the file at a path; empty without a detector."""
        return () if self.detections is None else self.detections.of(path)
