from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from indexer.errors import QueryError
from indexer.records import Box
from indexer.segmentation.rough_masks import as_logits, innermost
from indexer.segmentation.sam2_model import Embedded
from indexer.segmentation.segmenter import XY, Prompt, Prompted, Segmenter

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))
MASKS = SIZES.flatmap(lambda size: arrays.arrays(np.bool_, size)).filter(np.any)


def test_logits_are_sure_inside_and_outside_and_undecided_on_the_edge() -> None:
    mask = np.zeros((8, 16), dtype=np.bool_)
    mask[:, :6] = True  # one and a half of the four columns
    logits = as_logits(mask, 4)
    assert logits.shape == (1, 4, 4)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits[0], [[10, 0, -10, -10]] * 4, atol=1e-5)


def test_a_small_mask_leaves_a_trace() -> None:
    mask = np.zeros((100, 100), dtype=np.bool_)
    mask[55, 55] = True
    logits = as_logits(mask, 10)[0]
    assert np.argwhere(logits > -10).tolist() == [[5, 5]]
    assert logits[5, 5] == pytest.approx(-9.8)


def test_the_innermost_pixel_of_plain_shapes() -> None:
    mask = np.zeros((9, 20), dtype=np.bool_)
    mask[2:7, 3:8] = True
    mask[4, 8:] = True  # a thin tail
    assert innermost(mask) == (5, 4)
    assert innermost(np.ones((5, 7), dtype=np.bool_)) in {(2, 2), (3, 2), (4, 2)}


def test_the_innermost_pixel_of_a_ring_is_on_it() -> None:
    y, x = np.mgrid[:41, :41]
    away = np.hypot(x - 20, y - 20)
    column, row = innermost((away < 18) & (away > 10))
    assert 13 <= np.hypot(column - 20, row - 20) <= 15


@settings(max_examples=50)
@given(MASKS)
def test_nothing_is_farther_from_the_edge(mask: Mask) -> None:
    height, width = mask.shape
    outside = np.argwhere(~np.pad(mask, 1)) - 1

    def depth(x: float, y: float) -> float:
        return float(np.hypot(outside[:, 0] - y, outside[:, 1] - x).min())

    deepest = max(depth(x, y) for y in range(height) for x in range(width))
    assert depth(*innermost(mask)) == pytest.approx(deepest)


@pytest.fixture(scope="module")
def embedded(segmenter: Segmenter, scene: Pixels) -> Embedded:
    return segmenter.embed(scene)


@pytest.fixture(scope="module")
def rough() -> Mask:
    """A mask of 40 by 20 pixels on the scene; its innermost pixels are those of row 49 and 50."""
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[40:60, 60:100] = True
    return mask


@pytest.mark.parametrize(
    ("given", "points", "labels", "box"),
    [
        ({}, None, [1], (60, 40, 100, 60)),
        ({"points": ((70.0, 50.0),)}, [(70.0, 50.0)], [1], (60, 40, 100, 60)),
        ({"box": (50, 30, 110, 70)}, None, [1], (50, 30, 110, 70)),
        ({"not_points": ((20.0, 20.0),)}, None, [1, 0], (60, 40, 100, 60)),
    ],
)
def test_a_rough_mask_brings_its_box_and_its_innermost_pixel(
    *,
    segmenter: Segmenter,
    embedded: Embedded,
    rough: Mask,
    given: dict[str, Any],
    points: list[XY] | None,
    labels: list[int],
    box: Box,
) -> None:
    prompt = Prompt(mask=rough, **given)
    assert not prompt.is_ambiguous
    answer = segmenter.prompt(embedded, prompt)
    on_it = points or [innermost(rough)]
    found, scores, logits = embedded.predictor.predict(
        np.array([*on_it, *prompt.not_points]),
        np.array(labels),
        np.array(box),
        as_logits(rough, 96),
        multimask_output=False,
    )
    np.testing.assert_array_equal(answer.mask, found[0].astype(np.bool_))
    np.testing.assert_array_equal(answer.logits, logits)
    assert answer.predicted_iou == pytest.approx(float(scores[0]))


def test_a_rough_mask_makes_a_difference(
    segmenter: Segmenter, embedded: Embedded, rough: Mask
) -> None:
    point, box = innermost(rough), (60, 40, 100, 60)
    without = segmenter.prompt(embedded, Prompt(points=(point,), box=box))
    answer = segmenter.prompt(embedded, Prompt(mask=rough))
    assert (answer.logits != without.logits).any()


def test_refining_is_asking_again_with_the_answer(
    segmenter: Segmenter, embedded: Embedded, rough: Mask
) -> None:
    point = (80.0, 60.0)
    second = segmenter.candidates(embedded, Prompt(points=(point,)))[1]
    further = Prompt(points=(point,), not_points=((20.0, 20.0),))
    refined = segmenter.refine(embedded, further, second)
    expected = Prompt((point,), ((20.0, 20.0),), previous=second.logits)
    np.testing.assert_array_equal(refined.logits, segmenter.prompt(embedded, expected).logits)
    first = segmenter.prompt(embedded, Prompt(mask=rough))
    refined = segmenter.refine(embedded, Prompt(mask=rough), first)
    expected = Prompt((innermost(rough),), box=(60, 40, 100, 60), previous=first.logits)
    np.testing.assert_array_equal(refined.logits, segmenter.prompt(embedded, expected).logits)


def test_masks_that_say_nothing_or_too_much(rough: Mask) -> None:
    with pytest.raises(QueryError, match="the mask of the prompt is empty"):
        Prompt(points=((3.0, 4.0),), mask=np.zeros((120, 160), dtype=np.bool_))
    with pytest.raises(QueryError, match="a mask and a previous mask"):
        Prompt(mask=rough, previous=np.zeros((1, 96, 96), dtype=np.float32))


def test_a_mask_of_another_size(segmenter: Segmenter, embedded: Embedded) -> None:
    prompt = Prompt(mask=np.ones((160, 120), dtype=np.bool_))
    expected = "the mask of the prompt has 120×160 pixels, the picture 160×120"
    answer = Prompted(np.ones((2, 2), dtype=np.bool_), 0.5, np.zeros((1, 96, 96), dtype=np.float32))
    with pytest.raises(QueryError) as caught:
        segmenter.prompt(embedded, prompt)
    assert caught.value.message == expected
    with pytest.raises(QueryError) as caught:
        segmenter.candidates(embedded, prompt)
    assert caught.value.message == expected
    with pytest.raises(QueryError) as caught:
        segmenter.refine(embedded, prompt, answer)
    assert caught.value.message == expected
