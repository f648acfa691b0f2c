"""The mode `fast` against `exact`, with the demo model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from indexer.demo.scenes import draw_scene
from indexer.profiles import MaskSettings, load_profile
from indexer.segmentation import masks
from indexer.segmentation.sam2_model import Pixels, RawMask, Sam2Model

SIDE = 16
#: A held-out scene whose largest object covers a ninth of it.
LARGE = 7002


@pytest.fixture(scope="module")
def model() -> Sam2Model:
    return Sam2Model(load_profile("demo").sam2, torch.device("cpu"))


def settings(mode: str, **changes: Any) -> MaskSettings:  # noqa: ANN401
    demo = load_profile("demo").masks
    return dataclasses.replace(demo, mode=mode, points_per_side=SIDE, **changes)


@contextmanager
def decoded_points(model: Sam2Model) -> Iterator[list[tuple[float, float]]]:
    """Collect the points that are decoded, in pixels of the square that the model sees."""
    points: list[tuple[float, float]] = []

    def note(_: object, given: tuple[Any, ...]) -> None:
        (corners, _), *_ = given
        points.extend((x, y) for x, y in corners[:, 0].tolist())

    handle = model.upstream.sam_prompt_encoder.register_forward_pre_hook(note)
    yield points
    handle.remove()


def best_ious(expected: list[RawMask], found: list[RawMask]) -> NDArray[np.float64]:
    """Return for each mask the highest IoU that any of the others has with it."""
    ious = masks.iou([mask.rle for mask in (*expected, *found)])
    best: NDArray[np.float64] = ious[: len(expected), len(expected) :].max(1)
    return best


def test_points_are_left_out_and_few_masks(model: Sam2Model) -> None:
    pixels = draw_scene(LARGE).pixels
    exact = model.automatic(pixels, settings("exact"))
    with decoded_points(model) as points:
        fast = model.automatic(pixels, settings("fast"))
    assert len(set(points)) == len(points)  # none is decoded twice
    assert len(points) <= 0.65 * SIDE**2
    assert (best_ious(exact, fast) >= 0.8).mean() >= 0.8


def test_its_masks_are_those_of_the_same_points(model: Sam2Model) -> None:
    """Without what masks do to each other, `fast` has some of the masks of `exact`."""
    alone = {"box_nms_thresh": 1.0, "min_mask_region_area": 0}
    pixels = draw_scene(LARGE).pixels
    fast = model.automatic(pixels, settings("fast", **alone))
    exact = {mask.point: mask for mask in model.automatic(pixels, settings("exact", **alone))}
    assert len({mask.point for mask in fast}) == len(fast) < len(exact)
    for mask in fast:
        assert best_ious([mask], [exact[mask.point]]).item() >= 0.99


@pytest.mark.parametrize("level", [0, 128])
def test_a_picture_of_nothing(model: Sam2Model, level: int) -> None:
    pixels: Pixels = np.full((40, 60, 3), level, np.uint8)
    never_good = settings("fast", pred_iou_thresh=1.0)
    with decoded_points(model) as points:
        assert model.automatic(pixels, never_good) == []
    assert len(points) == SIDE**2  # nothing explains any


def test_crops_have_a_grid_each(model: Sam2Model) -> None:
    pixels = draw_scene(LARGE).pixels
    crops = settings("fast", crop_n_layers=1, crop_n_points_downscale_factor=2)
    with decoded_points(model) as points:
        made = model.automatic(pixels, crops)
    assert made
    assert len(points) < SIDE**2 + 4 * (SIDE // 2) ** 2
