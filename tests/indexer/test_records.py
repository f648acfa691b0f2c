from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import numpy as np
import pytest

from indexer.records import (
    Box,
    Failure,
    File,
    Image,
    Picture,
    Region,
    Rle,
    Segment,
    check_box,
    check_unit,
    file_id,
    image_id,
    root_id,
    segment_id,
)

#: The upper left 2×2 pixels of a picture 4 wide and 3 high.
CORNER = Region(Rle((3, 4), "02106"), (0, 0, 2, 2), 4, 0.9, 0.8)
PICTURE = Picture("a" * 64, 4, 3, "PNG")
UNIT = np.array([0.6, 0.8], dtype=np.float32)


def test_the_ids_are_fixed_for_all_time() -> None:
    """An id that changes orphans every record of every index."""
    assert image_id("a" * 64) == "fee17886-4522-5d4d-a7d4-c7d2c7c20563"
    assert segment_id("image", "0123456789abcdef", 7) == "a6137266-f999-514e-8aea-6458a73d85d6"
    assert file_id("root", "a/b.jpg") == "c5753866-2542-5b83-86ed-2f2e1a85850f"
    assert root_id("/photos") == "a108f801-4a6c-5fa6-bd86-9db755a02891"


def test_ids_are_version_5_and_differ_by_kind_and_part() -> None:
    ids = [
        image_id("x"),
        root_id("x"),
        file_id("x", "y"),
        file_id("x", "z"),
        segment_id("x", "y", 0),
        segment_id("x", "y", 1),
        segment_id("x", "z", 0),
        segment_id("z", "y", 0),
    ]
    assert len(set(ids)) == len(ids)
    assert {uuid.UUID(each).version for each in ids} == {5}


@pytest.mark.parametrize("box", [(0, 0, 4, 3), (0, 0, 1, 1), (3, 2, 4, 3)])
def test_boxes_inside_a_picture_of_4_by_3(box: Box) -> None:
    check_box(box, 4, 3)


@pytest.mark.parametrize(
    "box", [(0, 0, 5, 3), (0, 0, 4, 4), (-1, 0, 4, 3), (0, -1, 4, 3), (2, 0, 2, 3), (0, 3, 4, 2)]
)
def test_boxes_that_are_not(box: Box) -> None:
    with pytest.raises(ValueError, match=r"box \(.*\) does not lie inside a picture of 4×3 pixels"):
        check_box(box, 4, 3)


def test_a_region_knows_its_share_of_the_picture() -> None:
    assert CORNER.area_fraction == 4 / 12
    assert replace(CORNER, area_px=1).area_fraction == 1 / 12


@pytest.mark.parametrize("area", [0, -1, 5])
def test_an_area_that_does_not_fit_the_box(area: int) -> None:
    with pytest.raises(ValueError, match=rf"area {area} does not fit into box \(0, 0, 2, 2\)"):
        replace(CORNER, area_px=area)


def test_a_region_outside_its_own_mask() -> None:
    with pytest.raises(ValueError, match="picture of 4×3"):
        replace(CORNER, box=(3, 0, 5, 2))


def test_a_region_with_a_parent_has_a_depth() -> None:
    assert replace(CORNER, parent=0, depth=1).parent == 0
    with pytest.raises(ValueError, match="cannot be at the top"):
        replace(CORNER, parent=0)


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0, None])
def test_how_sure_a_detector_can_be(score: float | None) -> None:
    assert replace(CORNER, label="mug", label_score=score).label_score == score
    assert (CORNER.label, CORNER.label_score) == (None, None)


@pytest.mark.parametrize("score", [-0.01, 1.01, float("nan"), float("inf")])
def test_how_sure_a_detector_cannot_be(score: float) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 1, not at {score}"):
        replace(CORNER, label_score=score)


@pytest.mark.parametrize("size", [(0, 4), (3, 0), (-3, 4)])
def test_masks_without_pixels(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="positive size"):
        Rle(size, "")


def test_a_segment_is_at_the_top_exactly_without_a_parent() -> None:
    nested = replace(CORNER, parent=3, depth=1)
    assert Segment("s", "i", CORNER, None).parent_id is None
    assert Segment("s", "i", nested, "p").parent_id == "p"
    for region, parent in ((CORNER, "p"), (nested, None)):
        with pytest.raises(ValueError, match="exactly the segments at the top have no parent"):
            Segment("s", "i", region, parent)


def _segment(vector: np.ndarray) -> object:
    return Segment("s", "i", CORNER, None, vector=vector)


def _image(vector: np.ndarray) -> object:
    return Image("i", PICTURE, ("r/a.png",), 0, datetime.now(UTC), vector)


@pytest.mark.parametrize("record", [_segment, _image])
def test_vectors_have_length_1(record: Callable[[np.ndarray], object]) -> None:
    record(UNIT)
    for factor, norm in ((0, "0.0000"), (2, "2.0000"), (1.002, "1.0020"), (np.nan, "nan")):
        with pytest.raises(ValueError, match=f"norm {norm}, not 1"):
            record(UNIT * np.float32(factor))


def test_half_precision_is_near_enough() -> None:
    check_unit(UNIT.astype(np.float16).astype(np.float32))
    check_unit(None)


@pytest.mark.parametrize(("width", "height"), [(0, 3), (4, 0), (-1, 3)])
def test_pictures_without_pixels(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f"not {width}×{height}"):
        Picture("a" * 64, width, height, "PNG")


@pytest.mark.parametrize("gps", [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0)])
def test_places_on_earth(gps: tuple[float, float]) -> None:
    assert replace(PICTURE, gps=gps).gps == gps


@pytest.mark.parametrize("gps", [(90.1, 0.0), (0.0, -180.1), (float("nan"), 0.0)])
def test_places_that_are_not(gps: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="not a latitude and longitude"):
        replace(PICTURE, gps=gps)


def test_a_file_is_an_image_or_a_failure() -> None:
    failure = Failure("truncated", "it ends early", retryable=False)
    good, bad = File("r", "a.jpg", 1, 2, "i"), File("r", "a.jpg", 1, 2, failure=failure)
    assert good.id == bad.id == file_id("r", "a.jpg")
    for image, why in ((None, None), ("i", failure)):
        with pytest.raises(ValueError, match="either an image or a failure"):
            File("r", "a.jpg", 1, 2, image, why)


def test_records_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        CORNER.area_px = 3  # type: ignore[misc]
