"""Removing small holes and islands from masks: upstream's rule, without its picture-sized arrays.

Upstream's is `remove_small_regions` in `sam2/utils/amg.py`. The only module that imports cv2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]


def clean(mask: Mask, box: Box, least: int) -> bool:
    """Fill holes of fewer than `least` pixels and remove such islands, in place.

    If all islands are that small, the largest stays. Pixels that touch at a corner hang together.

    Args:
        mask: bool, (H, W).
        box: half-open, tight around the mask.
        least: pixels.

    Returns:
        Whether anything was changed.
    """
    # What lies outside of the box is background. With a rim of `least` pixels, wherever the
    # picture goes on, none of it that reaches the rim's edge is taken for a hole.
    x0, y0, x1, y1 = box
    # OpenCV numbers regions by blocks of 2 × 2: from an even pixel on, as in the whole picture
    top, left = max(0, y0 - least) // 2 * 2, max(0, x0 - least) // 2 * 2
    part = mask[top : y1 + least, left : x1 + least]
    filled = _fill_holes(part, least)
    return _remove_islands(part, least) or filled


def _fill_holes(mask: Mask, least: int) -> bool:
    regions, areas = _regions(~mask)
    small = areas < least
    small[0] = False  # what is not background
    if not small.any():
        return False
    mask |= small[regions]
    return True


def _remove_islands(mask: Mask, least: int) -> bool:
    regions, areas = _regions(mask)
    small = areas < least
    small[0] = False
    if not small.any():
        return False
    if small[1:].all():
        small[1 + int(np.argmax(areas[1:]))] = False
    mask &= ~small[regions]
    return True


def _regions(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return every pixel's region, 0 outside of the mask, and the regions' numbers of pixels."""
    import cv2

    _, regions, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return np.asarray(regions), stats[:, cv2.CC_STAT_AREA].astype(np.int64)
