"""The compiled kernels against torch's own scaling, whose pixels are counted one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from torch.nn import functional

from indexer.segmentation import kernels, masks

Logits = NDArray[np.float32]

#: Pixels so near to a threshold may fall on either side: torch rounds less often.
NEAR = 1e-5

SIDES = st.integers(1, 8)
VALUES = st.floats(-4, 4, width=32)
NOISE = st.tuples(st.integers(1, 3), SIDES, SIDES).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=VALUES)
)
#: Mostly long stretches on one side of a threshold, as in masks of real pictures.
BLOCKS = NOISE.map(lambda logits: np.repeat(np.repeat(logits, 2, axis=1), 9, axis=2))
LOGITS = st.one_of(NOISE, BLOCKS)
PIXELS = st.integers(1, 40)
THRESHOLDS = st.sampled_from([0.0, 0.3, -1.0])
OFFSETS = st.sampled_from([0.0, 0.5, 1.0])


def rows(*lines: list[float]) -> Logits:
    """Return the logits of one mask, (1, h, w)."""
    return np.array([lines], np.float32)


def scaled(logits: Logits, size: tuple[int, int]) -> Logits:
    """Return torch's pixels, (M, H, W)."""
    tensor = torch.from_numpy(logits)[None]
    pixels = functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return np.asarray(pixels[0])


def box_of(mask: NDArray[np.bool_]) -> list[int]:
    """Return x0, y0, x1, y1, inclusive."""
    y, x = np.nonzero(mask)
    return [int(edge) for edge in (x.min(), y.min(), x.max(), y.max())]


def from_changes(changes: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask, (H, W), whose pixels change there, column by column."""
    assert (np.diff(changes) > 0).all()  # no run is empty
    marks = np.zeros(size[0] * size[1] + 1, np.int64)
    marks[changes] = 1
    inside = np.cumsum(marks)[:-1] % 2 == 1
    return np.ascontiguousarray(inside.reshape(size[1], size[0]).T)


def placed(
    logits: Logits, size: tuple[int, int], threshold: float, corner: tuple[int, int], height: int
) -> NDArray[np.int64]:
    """Return where a mask, (h, w), changes; its box is what `measure` finds."""
    x0, y0, x1, y1 = (int(v) for v in kernels.measure(logits[None], *size, threshold, 0.0)[0, 2:])
    place = (*corner, height)
    found: NDArray[np.int64] = kernels.changes(logits, size, threshold, (x0, y0, x1, y1), place)
    return found


def test_a_mask_of_the_pictures_own_size() -> None:
    logits = rows([2, -2, -2, -2], [-2, 0.5, 3, -2], [-2, -0.5, -2, -2])
    # above 1: 2 and 3; above -1: 2, 0.5, 3, -0.5; above 0: columns 0 to 2, rows 0 to 1
    assert kernels.measure(logits, 3, 4, 0.0, 1.0).tolist() == [[2, 4, 0, 0, 2, 1]]
    # above 3: none; above 2: 3; above 2.5: 3
    assert kernels.measure(logits, 3, 4, 2.5, 0.5).tolist() == [[0, 1, 2, 1, 2, 1]]


def test_a_mask_scaled_up() -> None:
    """Pixels of -1, -0.5, 0.5, 1 in a row; and the same in a column."""
    assert kernels.measure(rows([-1, 1]), 1, 4, 0.0, 0.75).tolist() == [[1, 3, 2, 0, 3, 0]]
    assert kernels.measure(rows([-1], [1]), 4, 1, 0.0, 0.75).tolist() == [[1, 3, 0, 2, 0, 3]]


def test_a_mask_scaled_down() -> None:
    """As torch does it: the two logits around a pixel's middle, whatever lies between pixels."""
    # 8 to 2: pixels lie between logits 1 and 2 (mean 2), and 5 and 6 (mean -1)
    logits = rows([-9, 1, 3, -9, 9, -1, -1, 9])
    assert kernels.measure(logits, 1, 2, 0.0, 1.5).tolist() == [[1, 2, 0, 0, 0, 0]]
    assert placed(logits[0], (1, 2), 0.0, (0, 0), 1).tolist() == [0, 1]
    upright = np.ascontiguousarray(logits.transpose(0, 2, 1))
    assert kernels.measure(upright, 2, 1, 0.0, 1.5).tolist() == [[1, 2, 0, 0, 0, 0]]
    assert placed(upright[0], (2, 1), 0.0, (0, 0), 2).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("level", "size"),
    [
        *((0.0, size) for size in [(1, 1), (2, 2), (3, 4), (7, 5), (40, 50)]),
        (-0.1, (3, 4)),  # no pixel is rounded there
        *((1.5, size) for size in [(3, 4), (6, 8), (12, 32)]),
    ],
)
def test_a_pixel_at_the_threshold_is_not_in_the_mask(level: float, size: tuple[int, int]) -> None:
    logits = np.full((1, 3, 4), level, np.float32)
    every, (height, width) = size[0] * size[1], size
    assert kernels.measure(logits, *size, level, 0.0).tolist() == [[0, 0, 0, 0, 0, 0]]
    assert placed(logits[0], size, level, (0, 0), height).tolist() == []
    assert kernels.measure(logits, *size, level, 1.0).tolist() == [[0, every, 0, 0, 0, 0]]
    assert kernels.measure(logits, *size, level - 0.25, 0.0).tolist() == [
        [every, every, 0, 0, width - 1, height - 1]
    ]


def test_masks_of_nothing_and_of_everything() -> None:
    logits = np.stack([np.full((3, 4), -5), np.full((3, 4), 5)]).astype(np.float32)
    assert kernels.measure(logits, 7, 9, 0.0, 1.0).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [63, 63, 0, 0, 8, 6],
    ]
    nothing, everything = (placed(one, (7, 9), 0.0, (0, 0), 7).tolist() for one in logits)
    assert nothing == []
    assert everything == [0, 63]


def test_no_masks() -> None:
    assert kernels.measure(np.empty((0, 3, 4), np.float32), 7, 9, 0.0, 1.0).shape == (0, 6)


def test_rows_longer_than_16_bits_count() -> None:
    """Upstream sums rows in int16."""
    logits = rows([-1, 1, 1, 1])
    # from pixel 5000 to 15,000 the logit rises from -1 to 1, and passes -0.8 at 6000
    found = kernels.measure(logits, 2, 40_000, -0.8, 0.0).tolist()
    assert found == [[68_000, 68_000, 6000, 0, 39_999, 1]]
    full = kernels.measure(np.abs(logits), 2, 40_000, 0.0, 0.5).tolist()
    assert full == [[80_000, 80_000, 0, 0, 39_999, 1]]
    corners = placed(logits[0], (2, 40_000), -0.8, (0, 0), 2)
    assert corners.tolist() == [12_000, 80_000]


@given(LOGITS, PIXELS, PIXELS, THRESHOLDS, OFFSETS)
def test_counts_and_boxes_are_those_of_torchs_pixels(
    logits: Logits, height: int, width: int, threshold: float, offset: float
) -> None:
    found = kernels.measure(logits, height, width, threshold, offset)
    assert found.shape == (len(logits), 6)
    assert found.dtype == np.int32
    for pixels, (over, under, *box) in zip(
        scaled(logits, (height, width)), found.tolist(), strict=True
    ):
        for level, count in ((threshold + offset, over), (threshold - offset, under)):
            assert (pixels > level + NEAR).sum() <= count <= (pixels > level - NEAR).sum()
        sure, possible = pixels > threshold + NEAR, pixels > threshold - NEAR
        if (sure == possible).all():
            assert box == (box_of(sure) if sure.any() else [0, 0, 0, 0])


def test_a_mask_in_a_larger_picture() -> None:
    """Two columns: the lower pixel of the one, both of the other."""
    logits = rows([-1, 1], [1, 1])[0]
    alone = placed(logits, (2, 2), 0.0, (0, 0), 2)
    assert alone.tolist() == [1, 4]  # from the first column's end on into the second
    assert placed(logits, (2, 2), 0.0, (1, 1), 4).tolist() == [6, 7, 9, 11]
    assert placed(logits, (2, 2), 0.0, (0, 2), 4).tolist() == [3, 4, 6, 8]


def test_many_changes_in_a_column() -> None:
    stripes = rows(*([1.0 if y % 2 == 0 else -1.0] for y in range(9)))[0]
    assert placed(stripes, (9, 1), 0.0, (0, 0), 9).tolist() == list(range(10))
    assert placed(-stripes, (9, 1), 0.0, (0, 0), 9).tolist() == list(range(1, 9))


@pytest.mark.parametrize(
    ("pixel", "alone", "all_but_it"),
    [
        ((0, 0), [0, 1], [1, 12]),
        ((1, 1), [4, 5], [0, 4, 5, 12]),
        ((2, 0), [2, 3], [0, 2, 3, 12]),
        ((0, 3), [9, 10], [0, 9, 10, 12]),
        ((2, 3), [11, 12], [0, 11]),
    ],
)
def test_a_single_pixel(pixel: tuple[int, int], alone: list[int], all_but_it: list[int]) -> None:
    logits = np.full((3, 4), -1, np.float32)
    logits[pixel] = 1
    assert placed(logits, (3, 4), 0.0, (0, 0), 3).tolist() == alone
    assert placed(-logits, (3, 4), 0.0, (0, 0), 3).tolist() == all_but_it


@given(LOGITS, PIXELS, PIXELS, THRESHOLDS, st.tuples(*[st.integers(0, 3)] * 4))
def test_changes_are_those_of_torchs_pixels(
    logits: Logits,
    height: int,
    width: int,
    threshold: float,
    margins: tuple[int, int, int, int],
) -> None:
    left, top, right, bottom = margins
    size = (top + height + bottom, left + width + right)
    crop = np.s_[top : top + height, left : left + width]
    counted = kernels.measure(logits, height, width, threshold, 0.0)[:, 0]
    for one, pixels, count in zip(logits, scaled(logits, (height, width)), counted, strict=True):
        changes = placed(one, (height, width), threshold, (left, top), size[0])
        found = from_changes(changes, size)
        assert found.sum() == found[crop].sum() == count
        differs = found[crop] != (pixels > threshold)
        assert (np.abs(pixels[differs] - threshold) < NEAR).all()
        assert masks.from_changes(changes, size) == masks.encode(found)


def test_where_compiled_code_cannot_be_kept() -> None:
    """As where neither the package's folder nor the user's cache can be written."""
    names: dict[str, Any] = {}
    exec("def double(x):\n    return 2 * x", names)  # noqa: S102 - numba finds no file to cache beside
    assert kernels.compiled(names["double"])(21) == 42
