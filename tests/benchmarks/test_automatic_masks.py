"""How masks are paired and counted, and the comparison with upstream on a drawn scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import mask_equality
from benchmarks.mask_equality import Compared, compare, found_again, is_at_threshold
from benchmarks.upstream import raw_masks
from indexer.profiles import MaskSettings, Profile
from indexer.segmentation import masks
from indexer.segmentation.sam2_model import RawMask

LEFT, RIGHT = (2.0, 5.0), (8.0, 5.0)


@pytest.fixture
def settings(fast_profile: Profile) -> MaskSettings:
    return replace(
        fast_profile.masks,
        pred_iou_thresh=0.8,
        stability_score_thresh=0.9,
        box_nms_thresh=mask_equality.KEEP_ALL,
    )


def mask(
    columns: slice, point: tuple[float, float], iou: float = 0.85, stability: float = 0.95
) -> RawMask:
    """Return a mask of whole columns of a picture of 10 × 10 pixels."""
    pixels = np.zeros((10, 10), dtype=np.bool_)
    pixels[:, columns] = True
    return RawMask(masks.encode(pixels), iou, stability, point)


def test_masks_are_paired_with_the_closest_of_their_prompt(settings: MaskSettings) -> None:
    expected = [mask(slice(0, 4), LEFT), mask(slice(0, 5), LEFT), mask(slice(0, 4), RIGHT)]
    found = [mask(slice(0, 4), RIGHT), mask(slice(0, 5), LEFT), mask(slice(0, 3), LEFT)]
    assert compare(expected, found, settings) == Compared(
        expected=3, found=3, ious=(1.0, 0.75, 1.0), identical=2
    )


def test_a_mask_of_another_prompt_is_no_partner(settings: MaskSettings) -> None:
    expected, found = [mask(slice(0, 4), LEFT)], [mask(slice(0, 4), RIGHT)]
    assert compare(expected, found, settings) == Compared(1, 1, missing=1, added=1)
    dropping = replace(settings, box_nms_thresh=0.7)
    assert compare(expected, found, dropping) == Compared(1, 1, ious=(1.0,), identical=1)


def test_a_mask_elsewhere_is_no_partner(settings: MaskSettings) -> None:
    expected, found = [mask(slice(0, 4), LEFT)], [mask(slice(5, 9), LEFT)]
    assert compare(expected, found, settings) == Compared(1, 1, missing=1, added=1)


def test_masks_at_a_threshold_are_not_counted(settings: MaskSettings) -> None:
    at_iou = mask(slice(0, 4), LEFT, iou=0.80009)
    at_stability = mask(slice(0, 4), LEFT, stability=0.90009)
    clear = mask(slice(0, 4), RIGHT, iou=0.80011, stability=0.90011)
    assert is_at_threshold(at_iou, settings)
    assert is_at_threshold(at_stability, settings)
    assert not is_at_threshold(clear, settings)
    assert compare([at_iou, clear], [], settings) == Compared(2, 0, missing=1, at_threshold=1)
    assert compare([], [at_stability, clear], settings) == Compared(0, 2, added=1, at_threshold=1)


def test_figures_are_of_all_pictures_together() -> None:
    first = Compared(expected=60, found=60, ious=(1.0,) * 60, identical=50)
    second = Compared(expected=40, found=41, ious=(0.95, 0.94) * 20, missing=1, at_threshold=2)
    assert (first + second).figures("demo") == {
        "demo_upstream_masks": 100,
        "demo_masks": 101,
        "demo_missing": 1,
        "demo_added": 0,
        "demo_at_threshold": 2,
        "demo_least_iou": 0.94,
        "demo_identical_share": 0.5,
        "demo_matched_share": 0.8,
        "demo_difference_in_number_share": 0.01,
    }


def test_masks_found_again() -> None:
    expected = [mask(slice(0, 5), LEFT), mask(slice(6, 10), LEFT)]
    found = [mask(slice(0, 4), RIGHT)]
    assert found_again(expected, found, 0.8).tolist() == [True, False]
    assert found_again(expected, found, 0.81).tolist() == [False, False]
    assert found_again(expected, [], 0.8).tolist() == [False, False]


def test_upstreams_run_lengths_are_read() -> None:
    one = {"predicted_iou": 0.9, "stability_score": 0.8, "point_coords": [[1.0, 2.0]]}
    corner = {**one, "segmentation": {"size": [2, 3], "counts": [0, 1, 5]}}
    middle = {**one, "segmentation": {"size": [2, 3], "counts": [2, 2, 2]}}
    found = raw_masks([corner, middle])
    assert masks.decode(found[0].rle).tolist() == [[True, False, False], [False, False, False]]
    assert masks.decode(found[1].rle).tolist() == [[False, True, False], [False, True, False]]
    assert (found[0].predicted_iou, found[0].stability_score) == (0.9, 0.8)
    assert found[0].point == (1.0, 2.0)


def test_the_demo_models_masks_are_upstreams() -> None:
    figures = mask_equality.on_scenes("cpu", ["float32"], 4, [0])
    for name in ("demo", "demo_all", "demo_multimask_all"):
        assert figures[f"{name}_float32_upstream_masks"] > 2
        assert figures[f"{name}_float32_missing"] == figures[f"{name}_float32_added"] == 0
        assert figures[f"{name}_float32_least_iou"] >= 0.99
        assert figures[f"{name}_float32_matched_share"] == 1


def test_what_less_precision_costs_is_compared_with_what_it_costs_upstream() -> None:
    figures = mask_equality.on_scenes("cpu", ["bfloat16"], 3, [0])
    for who in ("bfloat16", "upstream_bfloat16"):
        name = f"demo_multimask_all_{who}"
        assert figures[f"{name}_upstream_masks"] > 2
        assert figures[f"{name}_matched_share"] >= 0.5
        assert figures[f"{name}_identical_share"] < 1
