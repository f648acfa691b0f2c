"""Small holes and islands against upstream's own function."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sam2.utils.amg import remove_small_regions

from indexer.segmentation import masks, small_regions
from indexer.segmentation.masks import Mask

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
MASKS = arrays.arrays(np.bool_, SHAPES)


def drawn(*rows: str) -> Mask:
    """Return the mask of the `#` in rows of text."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def cleaned(mask: Mask, least: int) -> tuple[Mask, bool]:
    column_by_column = np.r_[False, mask.ravel(order="F")]
    changes = np.flatnonzero(np.diff(column_by_column))
    size = (mask.shape[0], mask.shape[1])
    found, changed = small_regions.clean(changes, size, least)
    assert (np.diff(found) > 0).all()  # no run is empty
    return masks.decode(masks.from_changes(found, size)), changed


def by_upstream(mask: Mask, least: int) -> tuple[Mask, bool]:
    filled, any_holes = remove_small_regions(mask, least, mode="holes")
    left, any_islands = remove_small_regions(filled, least, mode="islands")
    return np.asarray(left), any_holes or any_islands


def assert_upstreams(mask: Mask, least: int) -> None:
    found, changed = cleaned(mask, least)
    expected, upstreams = by_upstream(mask, least)
    np.testing.assert_array_equal(found, expected)
    assert changed == upstreams


RING = drawn(
    ".......",
    ".####..",
    ".#..#..",
    ".####.#",
    ".......",
)


@pytest.mark.parametrize(
    ("least", "expected", "changed"),
    [
        (1, RING, False),
        (2, drawn(".......", ".####..", ".#..#..", ".####..", "......."), True),
        (3, drawn(".......", ".####..", ".####..", ".####..", "......."), True),
    ],
)
def test_a_hole_of_two_pixels_and_an_island_of_one(
    least: int, expected: Mask, changed: bool
) -> None:
    found, something = cleaned(RING, least)
    np.testing.assert_array_equal(found, expected)
    assert something is changed
    assert_upstreams(RING, least)


def test_of_small_islands_the_largest_stays() -> None:
    mask = drawn("#......", "....##.", ".......", "###....", "......#", ".......")
    found, changed = cleaned(mask, 4)
    assert changed
    assert found.tolist() == drawn(*["......."] * 3, "###....", *["......."] * 2).tolist()
    assert_upstreams(mask, 4)


def test_of_equal_ones_the_first_stays() -> None:
    mask = drawn("......##", "........", "##......", "........")
    assert cleaned(mask, 3)[0].tolist() == drawn("......##", *["........"] * 3).tolist()
    assert_upstreams(mask, 3)


@pytest.mark.parametrize("above", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("beside", [0, 1, 4, 5])
def test_which_of_equal_ones_stays_is_upstreams_choice(above: int, beside: int) -> None:
    """OpenCV numbers islands by squares of 2 × 2 pixels, so it depends on where these begin."""
    mask = drawn("..##....", "#.......", "#.......")
    assert_upstreams(np.pad(mask, ((above, 0), (beside, 0))), 3)


def test_pixels_that_touch_at_a_corner_hang_together() -> None:
    mask = drawn("......", ".#....", "..#...", "...#..", "......")
    assert not cleaned(mask, 3)[1]
    hole = ~mask
    assert not cleaned(hole, 3)[1]
    assert cleaned(hole, 4)[0].all()
    for least in (3, 4):
        assert_upstreams(mask, least)
        assert_upstreams(hole, least)


def test_what_the_mask_cuts_off_at_the_pictures_edge_is_a_hole_too() -> None:
    mask = drawn(".#....", "##....", "......", "......")
    assert cleaned(mask, 2)[0].tolist() == drawn("##....", "##....", "......", "......").tolist()
    assert_upstreams(mask, 2)


@pytest.mark.parametrize("least", [0, 1, 2, 11, 12, 13, 14, 15, 16, 17, 100])
@pytest.mark.parametrize(
    "mask",
    [
        drawn("....", "....", "....", "...."),
        drawn("####", "####", "####", "####"),
        drawn("....", ".##.", "....", "...."),
        drawn("....", "....", "....", "...#"),
    ],
    ids=["nothing", "everything", "middle", "corner"],
)
def test_areas_about_as_large_as_the_picture(mask: Mask, least: int) -> None:
    assert_upstreams(mask, least)


@pytest.mark.parametrize("least", [3, 9, 10, 11, 20])
def test_background_that_goes_on_is_no_hole(least: int) -> None:
    """Around the mask there are many pixels, however few of them are near to it."""
    for shape in ((1, 60), (60, 1), (30, 30)):
        for corner in ((0, 0), (shape[0] // 2, shape[1] // 2), (shape[0] - 1, shape[1] - 1)):
            mask = np.zeros(shape, np.bool_)
            mask[corner] = True
            assert_upstreams(mask, least)
            assert_upstreams(~mask, least)


@given(MASKS, st.integers(0, 160))
@example(np.zeros((12, 12), np.bool_), 144)
@example(np.zeros((12, 12), np.bool_), 145)
def test_any_mask(mask: Mask, least: int) -> None:
    assert_upstreams(mask, least)


@given(MASKS, st.integers(1, 20), st.tuples(*[st.integers(0, 30)] * 4))
def test_masks_in_larger_pictures(
    mask: Mask, least: int, margins: tuple[int, int, int, int]
) -> None:
    left, top, right, bottom = margins
    assert_upstreams(np.pad(mask, ((top, bottom), (left, right))), least)


@pytest.mark.parametrize("least", [2, 30, 5000])
@pytest.mark.parametrize("level", [-0.02, 0.0, 0.02])
def test_masks_of_a_pictures_size(least: int, level: float) -> None:
    noise = np.random.default_rng(3).normal(size=(150, 211)).astype(np.float32)
    assert_upstreams(cv2.blur(noise, (7, 5)) > level, least)
    assert_upstreams(noise > 50 * level, least)
