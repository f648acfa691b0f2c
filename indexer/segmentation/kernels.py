"""What masks need of every pixel of a picture, without ever making them: compiled for the CPU.

The logits of a mask are small (a quarter of the model's input); upstream scales each to the
picture's size, bilinearly, and looks at all of its pixels several times. Here the pixels are
evaluated as they are counted, with the arithmetic of `torch.nn.functional.interpolate` (bilinear,
`align_corners=False`; as in PyTorch's `UpSample.h`), and only where something can change: between
two neighbouring rows of logits that both lie on one side of a threshold, no pixel is on the other.

Logits are float32 of shape (M, h, w); pixel coordinates are those of a picture of H × W.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

#: Relative error of a pixel against exact arithmetic, with room to spare: four float32 roundings.
_ROUNDING = np.float32(1e-6)


def compiled(function: Callable[..., Any], *, reordering_sums: bool = False) -> Any:  # noqa: ANN401
    """Compile a function when it is first called, and keep that on disk for the next process."""
    fastmath = {"reassoc"} if reordering_sums else False
    try:
        return numba.njit(function, nogil=True, cache=True, fastmath=fastmath)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(function, nogil=True, fastmath=fastmath)


def _compiled_reordering_sums(function: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Compile a function whose sums may be added up in any order."""
    return compiled(function, reordering_sums=True)


@compiled
def _sources(size: int, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return for each of `size` pixels the row of logits before it, and the next one's weight."""
    before = np.empty(size, np.int32)
    weight = np.empty(size, np.float32)
    scale = np.float32(count) / np.float32(size)
    for pixel in range(size):
        at = scale * (np.float32(pixel) + np.float32(0.5)) - np.float32(0.5)
        at = max(at, np.float32(0.0))
        before[pixel] = min(int(at), count - 1)
        weight[pixel] = min(max(at - before[pixel], np.float32(0.0)), np.float32(1.0))
    return before, weight


@compiled
def _first_pixels(before: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return where the pixels that lie after each of `count` logits begin, and the end."""
    first = np.full(count + 1, len(before), np.int32)
    for pixel in range(len(before) - 1, -1, -1):
        first[before[pixel]] = pixel
    for at in range(count - 1, -1, -1):
        first[at] = min(first[at], first[at + 1])
    return first


@compiled
def _classify(
    upper: NDArray[np.float32],
    lower: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    states: NDArray[np.int8],
) -> int:
    """Say of the pixels among each four logits what they have in common.

    All are above the highest threshold: 1; none is above the lowest: -1; else 0. Returns the
    greatest of these states.
    """
    last, mixed, highest = len(upper) - 1, 0, np.int8(-1)
    for column in range(last + 1):
        after = min(column + 1, last)
        least = min(upper[column], lower[column], upper[after], lower[after])
        most = max(upper[column], lower[column], upper[after], lower[after])
        error = _ROUNDING * max(abs(least), abs(most))
        state = np.int8(least - error > thresholds[2]) - np.int8(most + error <= thresholds[0])
        states[column] = state
        mixed += state == 0
        highest = max(highest, state)
    if mixed > last // 4:
        states[:] = 0  # one long stretch is faster than many short ones
    return int(highest)


@compiled
def _widen(
    row: NDArray[np.float32],
    before: NDArray[np.int32],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Interpolate between logits of a row; `out` may be a part of the picture's width."""
    last = len(row) - 1
    for x in range(len(out)):
        left = before[x]
        right = min(left + 1, last)
        out[x] = (np.float32(1.0) - weight[x]) * row[left] + weight[x] * row[right]


@_compiled_reordering_sums
def _count_line(
    upper: NDArray[np.float32],
    lower: NDArray[np.float32],
    share: np.float32,
    thresholds: NDArray[np.float32],
    highest: NDArray[np.float32],
) -> tuple[int, int, int]:
    """Count a line's pixels above each threshold, and keep the highest logit of each column."""
    low, middle, high = thresholds
    rest = np.float32(1.0) - share
    # float32 counts exactly to 16 million; integers keep the loop from being vectorised
    under, within, over = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for x in range(len(upper)):
        value = rest * upper[x] + share * lower[x]
        under += np.float32(value > low)
        within += np.float32(value > middle)
        over += np.float32(value > high)
        highest[x] = max(highest[x], value)
    return int(under), int(within), int(over)


@compiled
def _count_stretch(
    upper: NDArray[np.float32],
    lower: NDArray[np.float32],
    shares: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    highest: NDArray[np.float32],
) -> tuple[int, int, int, int]:
    """Count the pixels between two widened rows; return them over and under, first, last line."""
    over, under, first, last = 0, 0, len(shares), -1
    for line in range(len(shares)):
        more, within, less = _count_line(upper, lower, shares[line], thresholds, highest)
        over, under = over + less, under + more
        if within > 0:
            first, last = min(first, line), line
    return over, under, first, last


@compiled
def _measure_rows(
    logits: NDArray[np.float32],
    vertical: tuple[NDArray[np.int32], NDArray[np.float32]],
    horizontal: tuple[NDArray[np.int32], NDArray[np.float32]],
    thresholds: NDArray[np.float32],
    highest: NDArray[np.float32],
) -> tuple[int, int, int, int]:
    """Measure a mask row by row; return pixels over and under, its first and last line."""
    rows, columns = logits.shape
    before, weight_x = horizontal
    first_y, first_x = _first_pixels(vertical[0], rows), _first_pixels(before, columns)
    states = np.empty(columns, np.int8)
    upper, lower = np.empty(len(before), np.float32), np.empty(len(before), np.float32)
    over, under, top, bottom = 0, 0, len(vertical[0]), -1
    for row in range(rows):
        start, end = first_y[row], first_y[row + 1]
        here, below = logits[row], logits[min(row + 1, rows - 1)]
        if start == end or _classify(here, below, thresholds, states) < 0:
            continue
        column = 0
        while column < columns:
            state, left = states[column], first_x[column]
            while column < columns and states[column] == state:
                column += 1
            part = slice(left, first_x[column])
            if state < 0 or part.start == part.stop:
                continue
            if state > 0:
                more = less = (part.stop - part.start) * (end - start)
                first, last = 0, end - start - 1
                highest[part] = np.inf
            else:
                _widen(here, before[part], weight_x[part], upper[part])
                _widen(below, before[part], weight_x[part], lower[part])
                more, less, first, last = _count_stretch(
                    upper[part], lower[part], vertical[1][start:end], thresholds, highest[part]
                )
            over, under = over + more, under + less
            if last >= 0:
                top, bottom = min(top, start + first), max(bottom, start + last)
    return over, under, top, bottom


@compiled
def measure(
    logits: NDArray[np.float32], height: int, width: int, threshold: float, offset: float
) -> NDArray[np.int32]:
    """Count the pixels above a raised and a lowered threshold, and find the box at the threshold.

    Returns:
        (M, 6): pixels above `threshold + offset`, pixels above `threshold - offset`, and the
        first and last column and row of those above `threshold` as x0, y0, x1, y1 (inclusive,
        as upstream's boxes are; zeros where there is none).
    """
    count, rows, columns = logits.shape
    vertical, horizontal = _sources(height, rows), _sources(width, columns)
    thresholds = np.array([threshold - offset, threshold, threshold + offset], np.float32)
    found = np.zeros((count, 6), np.int32)
    for mask in range(count):
        highest = np.full(width, -np.inf, np.float32)
        over, under, top, bottom = _measure_rows(
            logits[mask], vertical, horizontal, thresholds, highest
        )
        found[mask, 0], found[mask, 1] = over, under
        inside = np.flatnonzero(highest > thresholds[1])
        if len(inside):
            found[mask, 2:] = inside[0], top, inside[-1], bottom
    return found


@compiled
def _crossings(
    column: NDArray[np.float32],
    vertical: tuple[NDArray[np.int32], NDArray[np.float32]],
    lines: tuple[int, int],
    level: np.float32,
    noted: NDArray[np.int64],
) -> int:
    """Note the lines from which on a column of logits lies above or not above the level.

    Returns how many; the column begins and ends outside of the mask.
    """
    above, weight = vertical
    y, stop = lines
    count, inside = 0, False
    last = len(column) - 1
    while y < stop:
        row = above[y]
        upper, lower = column[row], column[min(row + 1, last)]
        error = _ROUNDING * max(abs(upper), abs(lower))
        one_side = min(upper, lower) - error > level or max(upper, lower) + error <= level
        while y < stop and above[y] == row:
            value = (np.float32(1.0) - weight[y]) * upper + weight[y] * lower
            if (value > level) != inside:
                inside = not inside
                noted[count] = y
                count += 1
            y += 1
            while one_side and y < stop and above[y] == row:
                y += 1
    if inside:
        noted[count] = stop
        count += 1
    return count


@compiled
def changes(
    logits: NDArray[np.float32],
    size: tuple[int, int],
    threshold: float,
    box: tuple[int, int, int, int],
    place: tuple[int, int, int],
) -> NDArray[np.int64]:
    """Return where a mask begins and ends, counting a picture's pixels column by column.

    Args:
        logits: of one mask, (h, w).
        size: (height, width) of the crop that they cover, pixels.
        threshold: above it a pixel belongs to the mask.
        box: x0, y0, x1, y1 (inclusive) in the crop, as from `measure`.
        place: x and y of the crop in the picture, and the picture's height.

    Returns:
        The indices of all pixels that differ from the one before; the first is in the mask.
    """
    rows, columns = logits.shape
    vertical = _sources(size[0], rows)
    before, weight = _sources(size[1], columns)
    column, noted = np.empty(rows, np.float32), np.empty(box[3] - box[1] + 2, np.int64)
    found, count = np.empty(1024, np.int64), 0
    for x in range(box[0], box[2] + 1):
        here, after = before[x], min(before[x] + 1, columns - 1)
        for row in range(vertical[0][box[1]], min(vertical[0][box[3]] + 2, rows)):
            left, right = logits[row, here], logits[row, after]
            column[row] = (np.float32(1.0) - weight[x]) * left + weight[x] * right
        more = _crossings(column, vertical, (box[1], box[3] + 1), np.float32(threshold), noted)
        if count + more > len(found):
            found = np.append(found, np.empty(count + more, np.int64))
        start = (place[0] + x) * place[2] + place[1]
        for which in range(more):
            at = start + noted[which]
            if count and found[count - 1] == at:  # the last column ended in the mask
                count -= 1
            else:
                found[count] = at
                count += 1
    return found[:count].copy()
