from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from indexer.records import Region, Rle
from indexer.segmentation import masks
from indexer.segmentation.masks import Mask


def drawn(*rows: str) -> Mask:
    """Return the mask of the `#` in rows of text."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def region(mask: Mask, predicted_iou: float = 0.9, stability: float | None = 0.9) -> Region:
    rle = masks.encode(mask)
    return Region(rle, masks.tight_box(rle), masks.area(rle), predicted_iou, stability)


FRAME = drawn(
    "######",
    "######",
    "######",
    "######",
)
WALL = drawn(
    "#####.",
    "#####.",
    "#####.",
    "......",
)
WINDOW = drawn(
    "......",
    ".###..",
    ".###..",
    "......",
)
PANE = drawn(
    "......",
    ".#....",
    ".#....",
    "......",
)
DOOR = drawn(
    "......",
    "......",
    "......",
    "....##",
)

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MASKS = arrays.arrays(np.bool_, SHAPES)
STACKS = SHAPES.flatmap(
    lambda shape: st.lists(
        arrays.arrays(np.bool_, shape).filter(lambda mask: bool(mask.any())), max_size=6
    )
)


def test_a_mask_in_cocos_own_encoding() -> None:
    """Column by column: 19 pixels outside, 1 inside, 3 outside, 1 inside."""
    assert masks.encode(DOOR) == Rle((4, 6), "c0130")
    assert masks.decode(Rle((4, 6), "c0130")).tolist() == DOOR.tolist()


@pytest.mark.parametrize(
    ("changes", "mask"),
    [
        ([], drawn("...", "...")),
        ([0], drawn("###", "###")),
        ([0, 6], drawn("###", "###")),
        ([0, 1], drawn("#..", "...")),
        ([5], drawn("...", "..#")),
        ([5, 6], drawn("...", "..#")),
        ([1, 4], drawn(".#.", "##.")),
        ([0, 1, 4, 5], drawn("#.#", "...")),
    ],
)
def test_a_mask_from_where_it_begins_and_ends(changes: list[int], mask: Mask) -> None:
    rle = masks.from_changes(np.array(changes, np.int64), (2, 3))
    assert rle == masks.encode(mask)
    assert masks.decode(rle).tolist() == mask.tolist()


@given(MASKS)
def test_every_mask_comes_from_its_changes(mask: Mask) -> None:
    """Whether or not the end of the picture is said to end it."""
    column_by_column = mask.T.ravel().astype(np.int8)
    changes = np.flatnonzero(np.diff(column_by_column, prepend=0))
    assert masks.from_changes(changes, mask.shape) == masks.encode(mask)
    if column_by_column[-1]:
        ended = np.append(changes, mask.size)
        assert masks.from_changes(ended, mask.shape) == masks.encode(mask)


def test_area_and_box_of_literal_masks() -> None:
    rles = [masks.encode(mask) for mask in (FRAME, WALL, WINDOW, PANE, DOOR)]
    assert [masks.area(rle) for rle in rles] == [24, 15, 6, 2, 2]
    assert [masks.tight_box(rle) for rle in rles] == [
        (0, 0, 6, 4),
        (0, 0, 5, 3),
        (1, 1, 4, 3),
        (1, 1, 2, 3),
        (4, 3, 6, 4),
    ]


def test_an_empty_mask() -> None:
    empty = masks.encode(np.zeros((3, 5), dtype=np.bool_))
    assert masks.area(empty) == 0
    assert masks.tight_box(empty) == (0, 0, 0, 0)
    assert not masks.decode(empty).any()


def test_overlaps_of_literal_masks() -> None:
    rles = [masks.encode(mask) for mask in (WALL, WINDOW, PANE, DOOR)]
    assert masks.iou(rles).tolist() == [
        [1, 6 / 15, 2 / 15, 0],
        [6 / 15, 1, 2 / 6, 0],
        [2 / 15, 2 / 6, 1, 0],
        [0, 0, 0, 1],
    ]
    assert masks.share_inside(rles).tolist() == [
        [1, 6 / 15, 2 / 15, 0],
        [1, 1, 2 / 6, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 1],
    ]


def test_no_masks_at_all() -> None:
    assert masks.iou([]).shape == masks.share_inside([]).shape == (0, 0)
    assert masks.merge_identical([], 0.5) == masks.nest([], 0.5) == []


@given(MASKS)
def test_every_mask_comes_back(mask: Mask) -> None:
    rle = masks.encode(mask)
    back = masks.decode(rle)
    assert back.dtype == np.bool_
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, mask)
    assert rle.size == mask.shape
    assert masks.encode(np.asfortranarray(mask)) == rle


@given(MASKS.filter(lambda mask: bool(mask.any())))
def test_area_and_box_are_numpys(mask: Mask) -> None:
    rle = masks.encode(mask)
    rows, columns = np.nonzero(mask)
    assert masks.area(rle) == mask.sum()
    assert masks.tight_box(rle) == (
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    )


@given(STACKS)
def test_overlaps_are_numpys(stack: list[Mask]) -> None:
    rles = [masks.encode(mask) for mask in stack]
    both = np.array([[(a & b).sum() for b in stack] for a in stack])
    either = np.array([[(a | b).sum() for b in stack] for a in stack])
    areas = np.array([[a.sum()] for a in stack])
    if stack:
        np.testing.assert_allclose(masks.iou(rles), both / either)
        np.testing.assert_allclose(masks.share_inside(rles), both / areas)


def test_of_near_identical_masks_the_best_is_kept() -> None:
    almost = WINDOW.copy()
    almost[0, 1] = True  # IoU 6/7 = 0.857 with the window
    regions = [region(WINDOW, 0.8), region(DOOR, 0.1), region(almost, 0.9), region(PANE, 0.2)]
    assert masks.merge_identical(regions, 6 / 7) == [regions[1], regions[2], regions[3]]
    assert masks.merge_identical(regions, 0.86) == regions


def test_equal_scores_are_settled_by_stability_then_by_order() -> None:
    regions = [region(WALL, 0.8, 0.7), region(WALL, 0.8, 0.9), region(WALL, 0.8, 0.9)]
    assert masks.merge_identical(regions, 0.9)[0] is regions[1]
    assert masks.merge_identical(regions[1:], 0.9)[0] is regions[1]
    unknown = region(WALL, 0.8, None)
    assert masks.merge_identical([unknown, regions[0]], 0.9) == [regions[0]]


def test_what_goes_does_not_take_others_with_it() -> None:
    """A–B and B–C are near, A–C are not: where B goes first, C stays."""
    a, b, c = drawn("####..."), drawn(".####.."), drawn("..####.")
    regions = [region(a, 0.9), region(b, 0.8), region(c, 0.7)]
    assert masks.merge_identical(regions, 3 / 5) == [regions[0], regions[2]]
    best = [region(a, 0.8), region(b, 0.9), region(c, 0.7)]
    assert masks.merge_identical(best, 3 / 5) == [best[1]]


@given(STACKS, st.floats(0.05, 1.0), st.data())
def test_merging(stack: list[Mask], threshold: float, data: st.DataObject) -> None:
    score = st.sampled_from([0.2, 0.5, 0.9])
    regions = [region(mask, data.draw(score)) for mask in stack]
    kept = masks.merge_identical(regions, threshold)
    places = [next(i for i, one in enumerate(regions) if one is each) for each in kept]
    assert places == sorted(set(places))
    overlap = masks.iou([each.rle for each in regions])
    for i, each in enumerate(regions):
        rivals = [j for j in places if j != i and overlap[i, j] >= threshold]
        if i in places:
            assert not rivals
        else:
            assert any(regions[j].predicted_iou >= each.predicted_iou for j in rivals)


def test_regions_near_identical_to_others_go() -> None:
    almost = WINDOW.copy()
    almost[0, 1] = True  # IoU 6/7 = 0.857 with the window
    regions = [region(WINDOW, 0.9), region(DOOR), region(PANE), region(WALL)]
    others = [region(FRAME, 0.1), region(almost, 0.1)]
    assert masks.without_identical(regions, others, 6 / 7) == regions[1:]
    assert masks.without_identical(regions, others, 0.86) == regions
    assert masks.without_identical(regions, others, 0.6) == regions[1:3]  # the wall: 15/24
    assert masks.without_identical(regions, [], 0.01) == regions
    assert masks.without_identical([], others, 0.01) == []
    assert masks.without_identical([regions[0]] * 2, [regions[1]], 0.01) == [regions[0]] * 2


def summary(regions: Sequence[Region]) -> list[tuple[int, int | None, int]]:
    """Return (area, parent, depth) of each region."""
    return [(each.area_px, each.parent, each.depth) for each in regions]


def test_three_levels_and_one_beside_them() -> None:
    given_order = [region(mask) for mask in (PANE, DOOR, WALL, WINDOW)]
    assert summary(masks.nest(given_order, 1.0)) == [
        (15, None, 0),  # wall
        (6, 0, 1),  # window, in the wall
        (2, 1, 2),  # pane, in the window
        (2, None, 0),  # door
    ]


def test_the_parent_is_the_smallest_that_holds_enough() -> None:
    regions = [region(mask) for mask in (FRAME, WALL, WINDOW, PANE, DOOR)]
    assert summary(masks.nest(regions, 1.0)) == [
        (24, None, 0),
        (15, 0, 1),
        (6, 1, 2),
        (2, 2, 3),
        (2, 0, 1),
    ]


def test_a_part_may_stick_out() -> None:
    sill = drawn("......", "......", ".#####", "......")  # 4 of its 5 pixels are in the wall
    assert summary(masks.nest([region(WALL), region(sill)], 0.8))[1] == (5, 0, 1)
    assert summary(masks.nest([region(WALL), region(sill)], 0.81))[1] == (5, None, 0)


def test_a_twin_is_nested_in_its_twin() -> None:
    assert summary(masks.nest([region(WALL), region(WALL)], 0.9)) == [(15, None, 0), (15, 0, 1)]


def test_what_a_region_was_before_does_not_matter() -> None:
    once = masks.nest([region(mask) for mask in (PANE, WALL, WINDOW)], 1.0)
    assert masks.nest([once[2], once[1]], 1.0) == masks.nest([region(PANE), region(WINDOW)], 1.0)


@given(STACKS, st.floats(0.05, 1.0))
def test_nesting(stack: list[Mask], threshold: float) -> None:
    regions = [region(mask) for mask in stack]
    nested = masks.nest(regions, threshold)
    assert sorted(each.rle.counts for each in nested) == sorted(e.rle.counts for e in regions)
    areas = [each.area_px for each in nested]
    assert areas == sorted(areas, reverse=True)
    pixels = [masks.decode(each.rle) for each in nested]
    for i, each in enumerate(nested):
        holders = [j for j in range(i) if (pixels[i] & pixels[j]).sum() / areas[i] >= threshold]
        assert each.parent == (max(holders) if holders else None)
        assert each.depth == (0 if each.parent is None else nested[each.parent].depth + 1)


@given(STACKS, st.permutations(range(6)))
def test_nesting_does_not_depend_on_the_order(stack: list[Mask], order: list[int]) -> None:
    regions = [region(mask) for mask in stack]
    shuffled = [regions[i] for i in order if i < len(regions)]
    assert masks.nest(shuffled, 0.9) == masks.nest(regions, 0.9)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_thin_pictures(shape: tuple[int, int]) -> None:
    whole = masks.encode(np.ones(shape, dtype=np.bool_))
    assert masks.area(whole) == shape[0] * shape[1]
    assert masks.tight_box(whole) == (0, 0, shape[1], shape[0])


@given(MASKS, MASKS)
def test_overlaps_with_other_masks(mask: Mask, other: Mask) -> None:
    size = (min(mask.shape[0], other.shape[0]), min(mask.shape[1], other.shape[1]))
    one, two = (np.ascontiguousarray(each[: size[0], : size[1]]) for each in (mask, other))
    nothing = np.zeros(size, dtype=np.bool_)
    first, second = [masks.encode(one)], [masks.encode(each) for each in (two, ~two, nothing)]
    expected = [[(one & each).sum() / max(1, (one | each).sum()) for each in (two, ~two, nothing)]]
    np.testing.assert_allclose(masks.iou(first, second), expected)
    shares = [[(one & each).sum() / max(1, one.sum()) for each in (two, ~two, nothing)]]
    np.testing.assert_allclose(masks.share_inside(first, second), shares)
    assert masks.iou(first, []).shape == (1, 0)
    assert masks.share_inside([], second).shape == (0, 3)


def test_polygons_of_an_annotation() -> None:
    pane, door = [1, 1, 2, 1, 2, 3, 1, 3], [4.0, 3.0, 6.0, 3.0, 6.0, 4.0, 4.0, 4.0]
    assert masks.decode(masks.from_coco([pane], (4, 6))).tolist() == PANE.tolist()
    both = masks.decode(masks.from_coco([pane, door], (4, 6)))
    assert both.tolist() == (PANE | DOOR).tolist()
    over = masks.from_coco([[-3, -3, 5, -3, 5, 3, -3, 3]], (4, 6))  # reaches beyond the picture
    assert masks.decode(over).tolist() == WALL.tolist()
    assert masks.area(masks.from_coco([[7, 7, 9, 7, 9, 9]], (4, 6))) == 0


@given(MASKS)
def test_run_lengths_of_an_annotation(mask: Mask) -> None:
    rle = masks.encode(mask)
    column_by_column = mask.T.ravel().astype(np.int8)
    changes = np.flatnonzero(np.diff(column_by_column, prepend=0))
    runs = np.diff(changes, prepend=0, append=mask.size).tolist()
    for counts in (rle.counts, runs):
        assert masks.from_coco({"size": list(rle.size), "counts": counts}, rle.size) == rle


def test_long_run_lengths_of_an_annotation() -> None:
    """Packed, they take several characters, and differences that are negative."""
    mask = np.zeros((300, 500), dtype=np.bool_)
    mask[10:290, 3:490] = True
    mask[::7, 200:] = False
    rle = masks.encode(mask)
    assert masks.from_coco({"size": [300, 500], "counts": rle.counts}, (300, 500)) == rle


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "neither polygons nor an RLE"),
        ([], "neither polygons nor an RLE"),
        ([[0, 0, 4, 0]], "three corners or more"),
        ([[0, 0, 4, 0, 4, 4, 1]], "three corners or more"),
        ([[0, 0, 4, 0, 4, "4"]], "are numbers"),
        ([[0, 0, 4, 0, 4, float("nan")]], "far outside"),
        ([[0, 0, 4, 0, 4, 1e9]], "far outside"),
        ({"counts": [24]}, "of the size None"),
        ({"size": [6, 4], "counts": [24]}, r"of the size \[6, 4\], not \[4, 6\]"),
        ({"size": [4, 6]}, "whole numbers"),
        ({"size": [4, 6], "counts": [12.0, 12]}, "whole numbers"),
        ({"size": [4, 6], "counts": [-1, 25]}, "whole numbers"),
        ({"size": [4, 6], "counts": [12, 11]}, "of 23 pixels, not 24"),
        ({"size": [4, 6], "counts": ""}, "of 0 pixels, not 24"),
        ({"size": [4, 6], "counts": "c013"}, "of 23 pixels, not 24"),
        ({"size": [4, 6], "counts": "é"}, "'é' among its packed counts"),
        ({"size": [4, 6], "counts": "oo"}, "cut short"),
    ],
)
def test_segmentations_that_cannot_be_used(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masks.from_coco(segmentation, (4, 6))
