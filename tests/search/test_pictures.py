"""What becomes of pixels and masks when they are drawn, cut out and put elsewhere."""

from __future__ import annotations

import itertools

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from indexer.records import Region
from indexer.segmentation import masks
from search.pictures import (
    MOST_LABELS,
    PINK,
    cutout,
    distinct_colours,
    draw,
    label_map,
    mask_picture,
    replace_background,
    square_crop,
)

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))
MASKS = SIZES.flatmap(lambda size: arrays.arrays(np.bool_, size)).filter(np.any)
FEW = settings(max_examples=40)


def region_of(mask: Mask) -> Region:
    rle = masks.encode(mask)
    return Region(rle, masks.tight_box(rle), masks.area(rle), 0.9, None)


def block(size: tuple[int, int], rows: slice, columns: slice) -> Region:
    mask = np.zeros(size, dtype=np.bool_)
    mask[rows, columns] = True
    return region_of(mask)


def noise(size: tuple[int, int]) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def grey(size: tuple[int, int], value: int = 100) -> Pixels:
    return np.full((*size, 3), value, dtype=np.uint8)


def test_one_region_is_pink_and_outlined_and_the_rest_as_it_was() -> None:
    pixels = grey((9, 12))
    drawn = np.asarray(draw(pixels, [block((9, 12), slice(3, 6), slice(4, 8))]))
    changed = (drawn != 100).any(axis=2)
    assert changed[2:7, 3:9].all()
    assert changed.sum() == 5 * 6
    assert drawn[4, 5].tolist() == [154, 81, 107]  # 65 % grey, 35 % of (255, 45, 120)
    assert drawn[2, 3].tolist() == list(PINK)
    assert pixels.max() == 100


def test_parts_stay_visible_on_the_whole_in_whatever_order() -> None:
    whole = block((20, 20), slice(2, 18), slice(2, 18))
    part = block((20, 20), slice(8, 12), slice(8, 12))
    red, blue = (255, 0, 0), (0, 0, 255)
    drawn = np.asarray(draw(grey((20, 20)), [part, whole], [red, blue]))
    assert drawn[10, 10].tolist() == [154, 65, 65]
    assert drawn[7, 7].tolist() == [255, 0, 0]
    assert drawn[4, 4].tolist() == [65, 65, 154]
    assert drawn[1, 1].tolist() == [0, 0, 255]
    other = np.asarray(draw(grey((20, 20)), [whole, part], [blue, red]))
    np.testing.assert_array_equal(other, drawn)


def test_the_outline_of_a_large_picture_is_wider_and_cut_at_its_edge() -> None:
    drawn = np.asarray(draw(grey((600, 900)), [block((600, 900), slice(0, 50), slice(100, 200))]))
    changed = np.argwhere((drawn != 100).any(axis=2))
    assert changed.min(axis=0).tolist() == [0, 97]
    assert changed.max(axis=0).tolist() == [52, 202]


@FEW
@given(MASKS)
def test_the_outline_is_all_that_touches_the_mask(mask: Mask) -> None:
    drawn = np.asarray(draw(grey(mask.shape), [region_of(mask)], [(0, 0, 0)]))
    near = np.pad(mask, 1)
    around = np.zeros_like(mask)
    for y, x in itertools.product(range(3), repeat=2):
        around |= near[y : y + mask.shape[0], x : x + mask.shape[1]]
    np.testing.assert_array_equal((drawn == 0).all(axis=2), around & ~mask)
    np.testing.assert_array_equal((drawn == 65).all(axis=2), mask)


def test_nothing_to_draw_and_too_few_colours() -> None:
    pixels = noise((5, 7))
    np.testing.assert_array_equal(np.asarray(draw(pixels, [])), pixels)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        draw(pixels, [block((5, 7), slice(0, 1), slice(0, 1))], [])


def test_colours_are_far_apart_and_always_the_same() -> None:
    assert distinct_colours(0) == []
    assert distinct_colours(1) == [PINK]
    many = distinct_colours(20)
    assert many[:7] == distinct_colours(7)
    apart = [np.abs(np.subtract(a, b)).sum() for a, b in itertools.combinations(many, 2)]
    assert min(apart) > 100


@FEW
@given(MASKS)
def test_a_mask_picture_is_the_mask(mask: Mask) -> None:
    picture = mask_picture(region_of(mask))
    assert (picture.mode, picture.size) == ("L", mask.shape[::-1])
    np.testing.assert_array_equal(np.asarray(picture), mask * np.uint8(255))


def test_a_label_map_numbers_the_regions() -> None:
    whole, part = block((4, 5), slice(0, 4), slice(0, 4)), block((4, 5), slice(1, 2), slice(2, 3))
    for regions, expected in (([whole, part], (1, 2)), ([part, whole], (2, 1))):
        picture = label_map(regions, (4, 5))
        labels = np.asarray(picture)
        assert (picture.mode, picture.size) == ("I;16", (5, 4))
        assert (labels[0, 0], labels[1, 2]) == expected
        assert (labels[:, 4] == 0).all()
    assert not np.asarray(label_map([], (4, 5))).any()
    with pytest.raises(ValueError, match="65536 regions do not fit"):
        label_map([part] * (MOST_LABELS + 1), (4, 5))


@FEW
@given(MASKS)
def test_the_alpha_of_a_cutout_is_the_mask(mask: Mask) -> None:
    pixels, region = noise(mask.shape), region_of(mask)
    picture = cutout(pixels, region)
    assert picture.mode == "RGBA"
    values = np.asarray(picture)
    np.testing.assert_array_equal(values[..., 3], mask * np.uint8(255))
    np.testing.assert_array_equal(values[..., :3], np.where(mask[..., None], pixels, 0))
    x0, y0, x1, y1 = region.box
    trimmed = np.asarray(cutout(pixels, region, trim=True))
    np.testing.assert_array_equal(trimmed, values[y0:y1, x0:x1])


@FEW
@given(MASKS)
def test_an_object_keeps_its_pixels_before_any_background(mask: Mask) -> None:
    pixels, region = noise(mask.shape), region_of(mask)
    white = np.asarray(replace_background(pixels, region, (255, 255, 255)))
    np.testing.assert_array_equal(white, np.where(mask[..., None], pixels, 255))
    other = np.asarray(replace_background(pixels, region, grey((3, 2), 7)))
    np.testing.assert_array_equal(other, np.where(mask[..., None], pixels, 7))
    blurred = np.asarray(replace_background(pixels, region, "blur"))
    np.testing.assert_array_equal(blurred[mask], pixels[mask])


def test_a_background_picture_covers_the_frame_from_its_middle() -> None:
    behind = np.concatenate([grey((4, 4), 10), grey((4, 4), 20), grey((4, 4), 30)], axis=1)
    corner = block((8, 8), slice(0, 1), slice(0, 1))
    picture = np.asarray(replace_background(grey((8, 8)), corner, behind))
    assert picture[0, 0].tolist() == [100] * 3
    assert (picture[4, 2:6] == 20).all()


def test_a_blur_takes_nothing_of_the_object() -> None:
    pixels = grey((60, 900))
    pixels[20:40, 400:500] = (255, 0, 0)
    region = block((60, 900), slice(20, 40), slice(400, 500))
    blurred = np.asarray(replace_background(pixels, region, "blur"))
    outside = ~masks.decode(region.rle)
    assert np.abs(blurred[outside].astype(int) - 100).max() <= 1


def test_a_blur_blurs() -> None:
    pixels = noise((100, 300))
    region = block((100, 300), slice(40, 60), slice(140, 160))
    blurred = np.asarray(replace_background(pixels, region, "blur"))
    assert blurred[:, :100].std() < pixels[:, :100].std() / 5
    whole = block((100, 300), slice(0, 100), slice(0, 300))
    np.testing.assert_array_equal(np.asarray(replace_background(pixels, whole, "blur")), pixels)


def test_square_crops() -> None:
    pixels = noise((40, 60))
    inside = square_crop(pixels, (20, 10, 30, 16), 2.0)
    np.testing.assert_array_equal(np.asarray(inside), pixels[3:23, 15:35])
    shifted = square_crop(pixels, (0, 0, 10, 4), 2.0)
    np.testing.assert_array_equal(np.asarray(shifted), pixels[:20, :20])
    scaled = square_crop(pixels, (20, 10, 30, 16), 2.0, size=7)
    assert (scaled.mode, scaled.size) == ("RGB", (7, 7))
    wide = np.asarray(square_crop(pixels, (0, 15, 60, 25), 1.0))
    np.testing.assert_array_equal(wide[10:50], pixels)
    assert not wide[:10].any()
    assert not wide[50:].any()


@FEW
@given(MASKS, st.floats(1, 4), st.integers(1, 30))
def test_square_crops_are_square_and_hold_the_box(mask: Mask, margin: float, size: int) -> None:
    box = region_of(mask).box
    pixels = np.full((*mask.shape, 3), 255, dtype=np.uint8)
    crop = square_crop(pixels, box, margin)
    side = max(1, round(margin * max(box[2] - box[0], box[3] - box[1])))
    assert crop.size == (side, side)
    shown = min(side, mask.shape[0]) * min(side, mask.shape[1])
    assert (np.asarray(crop) == 255).all(axis=2).sum() == shown
    assert square_crop(pixels, box, margin, size).size == (size, size)


def test_masks_of_another_size_are_refused() -> None:
    region = block((4, 5), slice(0, 1), slice(0, 1))
    pixels = noise((5, 4))
    with pytest.raises(ValueError, match="does not fit"):
        draw(pixels, [region])
    with pytest.raises(ValueError, match="does not fit"):
        cutout(pixels, region)
    with pytest.raises(ValueError, match="does not fit"):
        replace_background(pixels, region, "blur")


def test_a_background_may_come_from_pillow() -> None:
    behind = np.asarray(PIL.Image.new("RGB", (30, 10), (1, 2, 3)))
    picture = replace_background(noise((6, 6)), block((6, 6), slice(0, 2), slice(0, 2)), behind)
    assert picture.getpixel((5, 5)) == (1, 2, 3)
