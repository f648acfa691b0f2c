"""Removing small holes and islands from masks: upstream's rule, on run lengths.

Upstream's is `remove_small_regions` in `sam2/utils/amg.py`: OpenCV numbers the regions of an array
as large as the picture. Here the parts of a mask that lie in one column are what is numbered; there
are few of them, however many pixels they have.

Runs are int64, (R, 2): where each begins and ends, counting the picture's pixels column by column.
Compiled for the CPU, as `kernels.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from indexer.segmentation.kernels import compiled

Runs = NDArray[np.int64]


def clean(changes: NDArray[np.int64], size: tuple[int, int], least: int) -> tuple[Runs, bool]:
    """Fill holes of fewer than `least` pixels and remove such islands.

    If all islands are that small, the largest stays, of equal ones that which OpenCV numbers first.
    Pixels that touch at a corner hang together, in the mask and outside of it.

    Args:
        changes: where the mask begins and ends, as `masks.from_changes` takes it.
        size: (height, width) of the mask.
        least: pixels; nothing is smaller than 1, or 0.

    Returns:
        The changes then, and whether there was anything to do.
    """
    if least <= 1:
        return changes, False
    height, width = size
    total = height * width
    runs = np.append(changes, total) if len(changes) % 2 else changes
    outside, filled = _without_small(_inverted(runs.reshape(-1, 2), total), height, least, False)
    runs, removed = _without_small(_inverted(outside, total), height, least, True)
    return runs.ravel(), filled or removed


@compiled
def _inverted(runs: Runs, total: int) -> Runs:
    """Return the runs of the pixels that are in none of these."""
    between = np.empty((len(runs) + 1, 2), np.int64)
    count, begin = 0, 0
    for run in range(len(runs) + 1):
        end = runs[run, 0] if run < len(runs) else total
        if begin < end:
            between[count] = begin, end
            count += 1
        if run < len(runs):
            begin = runs[run, 1]
    return between[:count]


@compiled
def _without_small(runs: Runs, height: int, least: int, keep_one: bool) -> tuple[Runs, bool]:
    """Drop regions of fewer than `least` pixels, but one if `keep_one`; say if there are any."""
    parts = _in_columns(runs, height)
    region = _regions(parts, height)
    areas = np.zeros(len(parts), np.int64)
    for part in range(len(parts)):
        areas[region[part]] += parts[part, 1] - parts[part, 0]
    is_kept = areas >= least
    any_kept, any_small = False, False
    for part in range(len(parts)):
        any_kept |= is_kept[region[part]]
        any_small |= not is_kept[region[part]]
    if not any_small:
        return runs, False
    if keep_one and not any_kept:
        is_kept[_largest(parts, region, areas, height)] = True
    return _joined(parts, is_kept[region]), True


@compiled
def _in_columns(runs: Runs, height: int) -> Runs:
    """Split runs where a column ends."""
    count = 0
    for run in range(len(runs)):
        count += (runs[run, 1] - 1) // height - runs[run, 0] // height + 1
    parts = np.empty((count, 2), np.int64)
    part = 0
    for run in range(len(runs)):
        begin, end = runs[run, 0], runs[run, 1]
        while begin < end:
            stop = min(end, (begin // height + 1) * height)
            parts[part] = begin, stop
            part += 1
            begin = stop
    return parts


@compiled
def _regions(parts: Runs, height: int) -> NDArray[np.int64]:
    """Return for each part the first of those that hang together with it."""
    first = np.arange(len(parts))
    left = 0  # the first part of the last column that may touch
    for right in range(len(parts)):
        # one column to the left, and corners count
        begin, end = parts[right, 0] - height, parts[right, 1] - height
        column = parts[right, 0] // height
        while parts[left, 0] // height < column - 1 or (
            parts[left, 0] // height == column - 1 and parts[left, 1] < begin
        ):
            left += 1
        other = left
        while parts[other, 0] // height == column - 1 and parts[other, 0] <= end:
            one, two = _root(first, other), _root(first, right)
            first[max(one, two)] = min(one, two)
            other += 1
    for part in range(len(parts)):
        first[part] = first[first[part]]
    return first


@compiled
def _root(first: NDArray[np.int64], part: int) -> int:
    while first[part] != part:
        first[part] = first[first[part]]
        part = first[part]
    return part


@compiled
def _largest(parts: Runs, region: NDArray[np.int64], areas: NDArray[np.int64], height: int) -> int:
    """Return the largest region; of equal ones that which OpenCV numbers first.

    It goes through the picture by squares of 2 × 2 pixels, row by row.
    """
    most, best, best_row, best_column = 0, 0, 0, 0
    for part in range(len(parts)):
        area = areas[region[part]]
        row, column = parts[part, 0] % height // 2, parts[part, 0] // height // 2
        is_before = row < best_row or (row == best_row and column < best_column)
        if area > most or (area == most and is_before):
            most, best, best_row, best_column = area, region[part], row, column
    return best


@compiled
def _joined(parts: Runs, is_kept: NDArray[np.bool_]) -> Runs:
    """Return some of the parts, as runs."""
    runs = np.empty((len(parts), 2), np.int64)
    count = 0
    for part in range(len(parts)):
        if not is_kept[part]:
            continue
        if count and runs[count - 1, 1] == parts[part, 0]:
            runs[count - 1, 1] = parts[part, 1]
        else:
            runs[count] = parts[part]
            count += 1
    return runs[:count]
