from __future__ import annotations

from fractions import Fraction

import numpy as np
import PIL.Image
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from indexer.crops import cut, cut_mask, replace_surroundings, square_window, touched_patches
from indexer.records import Box

FILL = (1, 2, 3)
SIDES = st.integers(1, 60)
MARGINS = st.floats(1.0, 4.0)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Box, int, int]:
    """Draw a picture's width and height, and a box inside it."""
    width, height = draw(SIDES), draw(SIDES)
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    return (x0, y0, x1, y1), width, height


def noise(width: int, height: int) -> PIL.Image.Image:
    rng = np.random.default_rng(0)
    return PIL.Image.fromarray(rng.integers(50, 255, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("box", "width", "height", "window"),
    [
        ((40, 40, 60, 50), 100, 80, (35, 30, 65, 60)),  # side 30, around (50, 45)
        ((0, 0, 20, 10), 100, 80, (0, 0, 30, 30)),  # shifted right and down
        ((80, 70, 100, 80), 100, 80, (70, 50, 100, 80)),  # shifted left and up
        ((40, 0, 60, 10), 100, 10, (35, -10, 65, 20)),  # taller than the picture, in the middle
        ((40, 0, 60, 2), 100, 28, (35, -2, 65, 28)),  # taller, as near the middle as it can be
        ((0, 0, 100, 50), 100, 50, (-25, -50, 125, 100)),  # larger than the picture
        ((3, 3, 4, 4), 9, 9, (2, 2, 4, 4)),  # one pixel, side 2
    ],
)
def test_literal_windows_with_a_margin_of_a_half(
    box: Box, width: int, height: int, window: Box
) -> None:
    assert square_window(box, 1.5, width, height) == window


def test_a_whole_picture_without_a_margin() -> None:
    assert square_window((0, 0, 8, 8), 1.0, 8, 8) == (0, 0, 8, 8)
    assert square_window((0, 0, 8, 4), 1.0, 8, 4) == (0, -2, 8, 6)
    assert square_window((0, 0, 1, 300), 1.0, 1, 300) == (-150, 0, 150, 300)


@given(boxes(), MARGINS)
@example(((0, 0, 1, 1), 1, 1), 1.0)
def test_windows(picture: tuple[Box, int, int], margin: float) -> None:
    (x0, y0, x1, y1), width, height = picture
    left, top, right, bottom = square_window((x0, y0, x1, y1), margin, width, height)
    side = right - left
    assert side == bottom - top
    assert abs(side - margin * max(x1 - x0, y1 - y0)) <= 0.5
    for start, stop, low, high, length in (
        (left, right, x0, x1, width),
        (top, bottom, y0, y1, height),
    ):
        assert start <= low
        assert high <= stop
        if side <= length:
            assert start >= 0
            assert stop <= length
        else:
            assert start <= 0
            assert stop >= length
        if start > 0 and stop < length:  # nothing pushed it: the box is in the middle
            assert abs((start + stop) - (low + high)) <= 1


def test_a_window_at_its_own_size_is_copied() -> None:
    picture = noise(8, 6)
    np.testing.assert_array_equal(
        cut(picture, (2, 1, 6, 5), 4, FILL), np.asarray(picture)[1:5, 2:6]
    )


def test_beyond_the_picture_is_the_fill() -> None:
    picture = PIL.Image.new("RGB", (4, 2), (200, 100, 50))
    pixels = cut(picture, (0, -1, 4, 3), 8, FILL)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    rows = [{tuple(pixel) for pixel in row} for row in pixels.tolist()]
    assert rows == [{FILL}] * 2 + [{(200, 100, 50)}] * 4 + [{FILL}] * 2


def test_columns_beyond_the_picture_too() -> None:
    pixels = cut(PIL.Image.new("RGB", (2, 4), (9, 9, 9)), (-1, 0, 3, 4), 4, FILL)
    assert pixels[:, :, 0].tolist() == [[1, 9, 9, 1]] * 4


def test_shrinking_looks_at_every_pixel() -> None:
    """Sampling single pixels would make a chequered picture plain black or white."""
    chequered = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    picture = PIL.Image.fromarray(np.repeat(chequered[:, :, None], 3, axis=2).astype(np.uint8))
    small = cut(picture, (0, 0, 64, 64), 8, FILL)
    assert small.min() > 100
    assert small.max() < 155


@given(boxes(), MARGINS, st.integers(1, 40))
def test_padding_is_exactly_the_fill(
    picture: tuple[Box, int, int], margin: float, size: int
) -> None:
    box, width, height = picture
    window = square_window(box, margin, width, height)
    pixels = cut(noise(width, height), window, size, FILL)
    assert pixels.shape == (size, size, 3)
    filled = (pixels == FILL).all(axis=2)
    scale = size / (window[2] - window[0])
    centres = (np.arange(size) + 0.5) / scale
    x, y = np.meshgrid(centres + window[0], centres + window[1])
    beyond = np.maximum.reduce([-x, -y, x - width, y - height])  # a centre at 0 is on the edge
    assert not filled[beyond < -1e-9].any()
    assume(min(width, height) * scale >= 1)  # thinner than a pixel, it is drawn one pixel wide
    assert filled[beyond > 1e-9].all()


def touched_by_hand(mask: NDArray[np.bool_], window: Box, patches: int) -> list[list[bool]]:
    """Go through every patch and every pixel of the mask, in exact numbers."""
    left, top, right, _ = window
    side = Fraction(right - left, patches)
    pixels = [(int(x), int(y)) for y, x in np.argwhere(mask)]
    return [
        [
            any(
                left + i * side < x + 1
                and left + (i + 1) * side > x
                and top + j * side < y + 1
                and top + (j + 1) * side > y
                for x, y in pixels
            )
            for i in range(patches)
        ]
        for j in range(patches)
    ]


def test_a_literal_mask() -> None:
    mask = np.zeros((4, 8), dtype=np.bool_)
    mask[1, 2:7] = True
    touched = touched_patches(mask, (2, 1, 7, 2), (0, -2, 8, 6), 4)  # patches of 2 pixels
    assert touched.dtype == np.bool_
    assert touched.tolist() == [
        [False, False, False, False],
        [False, True, True, True],
        [False, False, False, False],
        [False, False, False, False],
    ]


def test_a_mask_with_a_hole() -> None:
    mask = np.ones((6, 6), dtype=np.bool_)
    mask[2:4, 2:4] = False
    ring = [[True, True, True], [True, False, True], [True, True, True]]
    assert touched_patches(mask, (0, 0, 6, 6), (0, 0, 6, 6), 3).tolist() == ring


def test_patches_smaller_than_a_pixel() -> None:
    mask = np.array([[True, False], [False, False]])
    touched = touched_patches(mask, (0, 0, 1, 1), (0, 0, 2, 2), 6)
    assert touched.tolist() == [[True] * 3 + [False] * 3] * 3 + [[False] * 6] * 3


@given(boxes(), MARGINS, st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0.05, 1.0))
def test_touched_patches_are_those_counted_by_hand(
    picture: tuple[Box, int, int], margin: float, patches: int, seed: int, density: float
) -> None:
    (x0, y0, x1, y1), width, height = picture
    assume((x1 - x0) * (y1 - y0) <= 150)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[y0:y1, x0:x1] = np.random.default_rng(seed).random((y1 - y0, x1 - x0)) < density
    rows, columns = np.nonzero(mask)
    assume(rows.size > 0)
    box = (
        int(columns.min()),
        int(rows.min()),
        int(columns.max()) + 1,
        int(rows.max()) + 1,
    )
    window = square_window(box, margin, width, height)
    touched = touched_patches(mask, box, window, patches)
    assert touched.tolist() == touched_by_hand(mask, window, patches)


@pytest.mark.parametrize(("side", "patches"), [(29, 14), (200, 24), (300, 27), (53, 49)])
def test_edges_that_floats_cannot_hold(side: int, patches: int) -> None:
    """Such as 15 × (200 / 24), which is more than 125 in floats: into the next pixel."""
    for x in range(side):
        mask = np.zeros((1, side), dtype=np.bool_)
        mask[0, x] = True
        window = (0, 0, side, side)
        touched = touched_patches(mask, (x, 0, x + 1, 1), window, patches)
        assert touched.tolist() == touched_by_hand(mask, window, patches)


@given(boxes(), MARGINS, st.integers(1, 12))
def test_the_whole_picture_touches_all_but_padding(
    picture: tuple[Box, int, int], margin: float, patches: int
) -> None:
    box, width, height = picture
    window = square_window(box, margin, width, height)
    everything = np.ones((height, width), dtype=np.bool_)
    touched = touched_patches(everything, (0, 0, width, height), window, patches)
    side = Fraction(window[2] - window[0], patches)

    def overlaps(start: int, length: int) -> list[bool]:
        edges = [start + i * side for i in range(patches + 1)]
        return [edges[i] < length and edges[i + 1] > 0 for i in range(patches)]

    expected = np.outer(overlaps(window[1], height), overlaps(window[0], width))
    np.testing.assert_array_equal(touched, expected)


def test_how_much_of_a_crop_the_mask_covers() -> None:
    mask = np.zeros((4, 8), dtype=np.bool_)
    mask[1:3, 2:6] = True
    covered = cut_mask(mask, (0, -2, 8, 6), 8)  # two rows beyond the picture above and below
    expected = np.zeros((8, 8))
    expected[3:5, 2:6] = 1
    assert covered.dtype == np.float32
    np.testing.assert_array_equal(covered, expected)
    part = cut_mask(mask, (1, 0, 5, 4), 4)
    np.testing.assert_array_equal(part, mask[:, 1:5])


def test_one_colour_around_a_segment() -> None:
    pixels = np.full((2, 3, 3), 200, dtype=np.uint8)
    covered = np.array([[0, 0.5, 1]] * 2, dtype=np.float32)
    shown = replace_surroundings(pixels, covered, (0, 100, 200))
    assert shown.dtype == np.uint8
    assert shown[0].tolist() == [[0, 100, 200], [100, 150, 200], [200, 200, 200]]
    np.testing.assert_array_equal(pixels, 200)


def test_a_blur_around_a_segment() -> None:
    pixels = np.asarray(noise(40, 40))
    covered = np.zeros((40, 40), dtype=np.float32)
    covered[10:30, 10:30] = 1
    shown = replace_surroundings(pixels, covered, None)
    np.testing.assert_array_equal(shown[10:30, 10:30], pixels[10:30, 10:30])
    assert shown[:8].std() < pixels[:8].std() / 3
    assert abs(shown[:8].mean() - pixels[:8].mean()) < 5
