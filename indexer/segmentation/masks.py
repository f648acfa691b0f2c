"""Masks as COCO RLE: encoding, reading, measuring, merging near-identical ones, nesting.

The only module that imports pycocotools. Masks are boolean arrays of shape (H, W) in the frame
of the EXIF-transposed picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from indexer.records import Box, Region, Rle

Mask = NDArray[np.bool_]

#: A polygon has at least so many numbers: three corners.
_LEAST_NUMBERS = 6
#: The characters of compressed run lengths are this one and the 63 after it.
_ZERO = 48


def encode(mask: Mask) -> Rle:
    """Return the RLE of a boolean mask of shape (H, W)."""
    packed = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle((int(mask.shape[0]), int(mask.shape[1])), packed["counts"].decode("ascii"))


def from_changes(changes: NDArray[np.int64], size: tuple[int, int]) -> Rle:
    """Return the RLE of a mask from where it begins and ends.

    Args:
        changes: rising indices, column by column, of the pixels that differ from the one before
            them; the first one is in the mask. The number of pixels itself may be the last.
        size: (height, width) of the mask.
    """
    height, width = size
    counts = np.diff(changes, prepend=0, append=height * width).tolist()
    if counts[-1] == 0:
        counts.pop()
    packed = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return Rle(size, packed["counts"].decode("ascii"))


def from_coco(segmentation: object, size: tuple[int, int]) -> Rle:
    """Return the RLE of a COCO annotation's `segmentation`; it may have no pixel.

    Args:
        segmentation: as read from JSON: a list of polygons [x0, y0, x1, y1, …] in pixels, or an
            RLE {"size": [height, width], "counts": …} with its run lengths as a list or packed.
        size: (height, width) of the picture.

    Raises:
        ValueError: it is none of these, or does not belong to a picture of that size.
    """
    if isinstance(segmentation, Mapping):
        if segmentation.get("size") != list(size):
            raise ValueError(f"an RLE of the size {segmentation.get('size')}, not {list(size)}")
        return _from_runs(segmentation.get("counts"), size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("neither polygons nor an RLE")
    polygons = [_checked_polygon(polygon, size) for polygon in segmentation]
    packed = coco.merge(coco.frPyObjects(polygons, *size))
    return Rle(size, packed["counts"].decode("ascii"))


def decode(rle: Rle) -> Mask:
    """Return the boolean mask of shape `rle.size`."""
    return np.ascontiguousarray(coco.decode(_packed(rle)), dtype=np.bool_)


def area(rle: Rle) -> int:
    """Return the number of pixels in the mask."""
    return int(coco.area(_packed(rle)))


def tight_box(rle: Rle) -> Box:
    """Return the tight half-open box around the mask; (0, 0, 0, 0) if it is empty."""
    x, y, width, height = (int(value) for value in coco.toBbox(_packed(rle)))
    return (x, y, x + width, y + height)


def iou(rles: Sequence[Rle], others: Sequence[Rle] | None = None) -> NDArray[np.float64]:
    """Return the (n, m) intersections over unions of the masks with others, or with themselves."""
    return _overlap(rles, rles if others is None else others, crowd=False)


def share_inside(rles: Sequence[Rle], others: Sequence[Rle] | None = None) -> NDArray[np.float64]:
    """Return (n, m): entry [i, j] is the share of mask i's pixels that lie in mask j.

    Args:
        rles: n masks.
        others: m masks; without them, the n masks themselves.
    """
    return _overlap(rles, rles if others is None else others, crowd=True)


def merge_identical(regions: Sequence[Region], iou_thresh: float) -> list[Region]:
    """Keep one of any group of near-identical regions, the one with the best predicted IoU.

    Greedy, best first: a region goes when its mask's IoU with a kept one is at least
    `iou_thresh`. Those kept come back in their old order.
    """
    if not regions:
        return []
    overlap = iou([region.rle for region in regions])
    best_first = sorted(
        range(len(regions)),
        key=lambda i: (-regions[i].predicted_iou, -(regions[i].stability_score or 0.0), i),
    )
    kept: list[int] = []
    for i in best_first:
        if not kept or overlap[i, kept].max() < iou_thresh:
            kept.append(i)
    return [regions[i] for i in sorted(kept)]


def without_identical(
    regions: Sequence[Region], others: Sequence[Region], iou_thresh: float
) -> list[Region]:
    """Return the regions whose masks' IoU with all the others' is below `iou_thresh`."""
    if not regions or not others:
        return list(regions)
    overlap = _overlap([r.rle for r in regions], [r.rle for r in others], crowd=False)
    alike = overlap.max(axis=1) >= iou_thresh
    return [region for region, goes in zip(regions, alike, strict=True) if not goes]


def nest(regions: Sequence[Region], containment_thresh: float) -> list[Region]:
    """Order the regions by falling area and give each its parent and its depth.

    The parent is the smallest larger region that holds at least `containment_thresh` of the
    region's pixels, so that parents always come before their parts.
    """
    ordered = sorted(regions, key=lambda r: (-r.area_px, r.box, r.rle.counts))
    if not ordered:
        return []
    inside = share_inside([region.rle for region in ordered])
    depths: list[int] = []
    nested: list[Region] = []
    for i, region in enumerate(ordered):
        holders = np.flatnonzero(inside[i, :i] >= containment_thresh)
        parent = int(holders[-1]) if holders.size else None
        depths.append(0 if parent is None else depths[parent] + 1)
        nested.append(replace(region, parent=parent, depth=depths[i]))
    return nested


def _overlap(rles: Sequence[Rle], others: Sequence[Rle], *, crowd: bool) -> NDArray[np.float64]:
    """Return pycocotools' overlaps, (n, m); with `crowd` it divides by the first mask's area."""
    if not rles or not others:
        return np.zeros((len(rles), len(others)))
    first, second = [_packed(rle) for rle in rles], [_packed(rle) for rle in others]
    return np.asarray(coco.iou(first, second, [int(crowd)] * len(second)), dtype=np.float64)


def _checked_polygon(polygon: object, size: tuple[int, int]) -> list[float]:
    """Return the polygon's numbers; far outside of the picture they would take all memory."""
    if not isinstance(polygon, list) or len(polygon) < _LEAST_NUMBERS or len(polygon) % 2:
        raise ValueError("a polygon is [x0, y0, x1, y1, …] with three corners or more")
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in polygon):
        raise ValueError("the corners of a polygon are numbers")
    reach = 2 * max(size)
    if not all(math.isfinite(number) and abs(number) <= reach for number in polygon):
        raise ValueError("a corner of a polygon lies far outside of the picture")
    return [float(number) for number in polygon]


def _from_runs(counts: object, size: tuple[int, int]) -> Rle:
    """Return the RLE of run lengths; pycocotools would read beyond them if they were too few."""
    height, width = size
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError("the counts of an RLE are whole numbers, or packed into a text")
    if sum(runs) != height * width:
        raise ValueError(f"an RLE whose counts are of {sum(runs)} pixels, not {height * width}")
    packed = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return Rle(size, packed["counts"].decode("ascii"))


def _unpacked(counts: str) -> list[int]:
    """Return the run lengths of a packed RLE: five bits a character, the lowest first.

    Bit 32 says that more follow, bit 16 of the last is the sign. From the fourth on they are
    differences to the one before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        digit = ord(character) - _ZERO
        if not 0 <= digit < 64:  # noqa: PLR2004
            raise ValueError(f"an RLE with {character!r} among its packed counts")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        value -= (digit & 16) << (shift - 4)
        runs.append(value + runs[-2] if len(runs) > 2 else value)  # noqa: PLR2004
        value = shift = 0
    if shift:
        raise ValueError("an RLE whose packed counts are cut short")
    return runs


def _packed(rle: Rle) -> dict[str, object]:
    return {"size": list(rle.size), "counts": rle.counts.encode("ascii")}
