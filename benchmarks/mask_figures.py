"""Figures of masks: what a segmenter finds by itself, and what it answers to prompts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import LARGE, Figures, by_size, mean
from benchmarks.scene_truth import (
    SAME,
    Mask,
    Pair,
    Truth,
    best_object,
    correction,
    innermost,
    iou,
    overlaps,
)
from indexer.records import Region
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt, Segmenter

Pixels = NDArray[np.uint8]

#: IoU from which an object is found.
FOUND = 0.75


@dataclass(frozen=True, eq=False)
class Cut:
    """One automatic mask.

    Attributes:
        region: as the segmenter gave it.
        mask: the same, decoded.
        source: position of the object that it is of, −1 for none.
    """

    region: Region
    mask: Mask
    source: int

    def pair(self, truth: Truth) -> Pair | None:
        """Return colour and class of the object that it is of, None for none."""
        return None if self.source < 0 else truth.pairs[self.source]


@dataclass(eq=False)
class AutomaticFigures:
    """Recall and precision of automatic masks, picture by picture."""

    _recall: list[float] = field(default_factory=list)
    _shares: list[float] = field(default_factory=list)
    _right: list[float] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)

    def see(self, segmenter: Segmenter, pixels: Pixels, truth: Truth) -> list[Cut]:
        """Cut the picture, compare with the truth, and return the masks."""
        started = time.perf_counter()
        regions = segmenter.automatic(pixels)
        self._seconds.append(time.perf_counter() - started)
        found = [masks.decode(region.rle) for region in regions]
        return self.compare(regions, found, truth)

    def compare(self, regions: list[Region], found: list[Mask], truth: Truth) -> list[Cut]:
        """Compare a picture's masks with the truth, and say which object each is of."""
        ious = overlaps(found, truth.objects)
        best = ious.max(axis=0, initial=0.0)
        self._recall += (best >= FOUND).tolist()
        self._shares += truth.shares.tolist()
        right = np.zeros(len(found), dtype=np.bool_)
        for things in truth.things:
            right |= overlaps(found, things).max(axis=1, initial=0.0) >= SAME
        self._right += right.tolist()
        self._counts.append(len(found))
        sources = best_object(ious).tolist()
        return [Cut(*cut) for cut in zip(regions, found, sources, strict=True)]

    def figures(self) -> Figures:
        """Return what was measured."""
        recall, large = np.array(self._recall), np.array(self._shares) >= LARGE
        return {
            **mean("automatic_recall", recall[large]),
            **mean("automatic_recall_small", recall[~large]),
            **mean("automatic_precision", self._right),
            **mean("automatic_masks_per_picture", self._counts),
            **mean("automatic_seconds_per_picture", self._seconds),
        }


@dataclass(eq=False)
class PromptFigures:
    """IoU of the answers to prompts, object by object."""

    _shares: list[float] = field(default_factory=list)
    _click: list[float] = field(default_factory=list)
    _refined: list[float] = field(default_factory=list)
    _box: list[float] = field(default_factory=list)

    def see(self, segmenter: Segmenter, pixels: Pixels, truth: Truth) -> None:
        """Prompt for every object of the picture."""
        embedded = segmenter.embed(pixels)
        self._shares += truth.shares.tolist()
        for number in range(len(truth.pairs)):
            true = truth.mask(number)
            point = innermost(true)
            click = segmenter.prompt(embedded, Prompt(points=(point,)))
            self._click.append(iou(click.mask, true))
            refined = click.mask
            if (next_click := correction(click.mask, true)) is not None:
                where, is_on = next_click
                points = (point, where) if is_on else (point,)
                beside = () if is_on else (where,)
                again = Prompt(points=points, not_points=beside, previous=click.logits)
                refined = segmenter.prompt(embedded, again).mask
            self._refined.append(iou(refined, true))
            box = masks.tight_box(masks.encode(true))
            self._box.append(iou(segmenter.prompt(embedded, Prompt(box=box)).mask, true))

    def figures(self) -> Figures:
        """Return what was measured."""
        return {
            **by_size("click_iou", self._click, self._shares),
            **by_size("box_iou", self._box, self._shares),
            **by_size("refined_click_iou", self._refined, self._shares),
        }
