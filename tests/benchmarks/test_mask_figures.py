"""Recall, precision and prompts, with masks made up so that the figures are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from benchmarks.figures import Figure
from benchmarks.mask_figures import AutomaticFigures, PromptFigures
from benchmarks.scene_truth import Labels, Mask, Truth, pieces
from indexer.records import Region
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt, Prompted, Segmenter

SIDE = 20
PIXELS = np.zeros((SIDE, SIDE, 3), np.uint8)


def block(x0: int, y0: int, x1: int, y1: int) -> Mask:
    made = np.zeros((SIDE, SIDE), np.bool_)
    made[y0:y1, x0:x1] = True
    return made


#: Two large objects and, with 3 of 400 pixels, a small one.
STAR, MUG, KITE = block(0, 0, 10, 4), block(12, 10, 20, 20), block(0, 15, 3, 16)


def truth() -> Truth:
    objects: Labels = (STAR + 2 * MUG + 3 * KITE).astype(np.int32)
    pairs = (("red", "star"), ("blue", "mug"), ("red", "kite"))
    backdrop = (objects == 0).astype(np.int32)
    things = (objects, pieces(objects), backdrop)
    return Truth(objects, things, pairs, np.bincount(objects.ravel())[1:] / objects.size)


def region(mask: Mask) -> Region:
    rle = masks.encode(mask)
    return Region(rle, masks.tight_box(rle), masks.area(rle), 0.9, 0.9)


def compared(*found: Mask) -> tuple[dict[str, Figure], list[int]]:
    measured = AutomaticFigures()
    cuts = measured.compare([region(mask) for mask in found], list(found), truth())
    return measured.figures(), [cut.source for cut in cuts]


def test_perfect_masks_find_everything() -> None:
    figures, sources = compared(STAR, MUG, KITE, ~(STAR | MUG | KITE))
    assert figures == {
        "automatic_recall": Figure(1, 2),
        "automatic_recall_small": Figure(1, 1),
        "automatic_precision": Figure(1, 4),
        "automatic_masks_per_picture": Figure(4, 1),
    }
    assert sources == [0, 1, 2, -1]


def test_an_object_is_found_from_three_quarters_and_meant_from_a_half() -> None:
    figures, sources = compared(block(0, 0, 10, 3), block(12, 10, 20, 15), block(4, 4, 9, 9))
    assert figures["automatic_recall"] == Figure(0.5, 2)  # 30 / 40 is enough, 40 / 80 is not
    assert figures["automatic_recall_small"] == Figure(0, 1)
    assert figures["automatic_precision"].value == pytest.approx(2 / 3)
    assert sources == [0, 1, -1]


def test_no_masks_find_nothing() -> None:
    figures, sources = compared()
    assert figures["automatic_recall"] == Figure(0, 2)
    assert "automatic_precision" not in figures
    assert sources == []


def prompted(answer: list[Mask]) -> tuple[list[Prompt], dict[str, Figure]]:
    """Let a segmenter give these answers to the three prompts of each object in turn."""
    asked: list[Prompt] = []
    logits = np.zeros((1, 4, 4), np.float32)

    def prompt(_embedded: object, given: Prompt) -> Prompted:
        asked.append(given)
        return Prompted(answer[len(asked) - 1], 0.9, logits)

    segmenter = SimpleNamespace(embed=lambda _pixels: None, prompt=prompt)
    measured = PromptFigures()
    measured.see(cast("Segmenter", segmenter), PIXELS, truth())
    return asked, measured.figures()


def test_prompts_are_the_innermost_pixel_a_correction_and_the_box() -> None:
    half, surplus = block(0, 0, 5, 4), MUG | block(0, 5, 9, 15)
    asked, figures = prompted([half, STAR, STAR, surplus, MUG, MUG, KITE, KITE])
    first, again, box = asked[:3]
    assert STAR[int(first.points[0][1]), int(first.points[0][0])]
    assert again.points[0] == first.points[0]
    assert again.points[1][0] >= 5
    assert again.previous is not None
    assert box.box == (0, 0, 10, 4)
    assert len(asked[4].not_points) == 1
    assert len(asked) == 8  # the exact answer of the third was not corrected
    assert figures["click_iou_small"] == figures["box_iou_small"] == Figure(1, 1)
    assert figures["click_iou_large"].value == pytest.approx((20 / 40 + 80 / 170) / 2)
    assert figures["click_iou"].value == pytest.approx((20 / 40 + 80 / 170 + 1) / 3)
    assert (figures["click_iou_large"].n, figures["click_iou"].n) == (2, 3)
    assert figures["refined_click_iou"] == figures["box_iou"] == Figure(1, 3)
