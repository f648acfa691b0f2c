from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from indexer.errors import QueryError
from indexer.profiles import MaskSettings, Profile
from indexer.records import Box, Region
from indexer.segmentation import masks
from indexer.segmentation.sam2_model import Embedded, Sam2Model
from indexer.segmentation.segmenter import XY, Prompt, Prompted, Segmenter

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def embedded(segmenter: Segmenter, scene: Pixels) -> Embedded:
    return segmenter.embed(scene)


@pytest.fixture(scope="module")
def everything(fast_profile: Profile, scene: Pixels) -> list[Region]:
    """The regions of the scene without any filter of ours."""
    return with_settings(
        fast_profile, min_area_fraction=0.0, max_area_fraction=1.0, merge_iou_thresh=None
    ).automatic(scene)


def with_settings(profile: Profile, **changes: Any) -> Segmenter:  # noqa: ANN401
    return Segmenter(profile.sam2, dataclasses.replace(profile.masks, **changes), CPU)


def upstreams(
    embedded: Embedded, points: list[XY], labels: list[int], box: Box | None, *, multimask: bool
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Ask upstream's predictor directly."""
    found, scores, logits = embedded.predictor.predict(
        np.array(points) if points else None,
        np.array(labels) if points else None,
        None if box is None else np.array(box),
        multimask_output=multimask,
    )
    return found.astype(np.bool_), scores, logits


@contextmanager
def encoder_runs(segmenter: Segmenter) -> Iterator[list[None]]:
    """Collect one item per run of the image encoder."""
    runs: list[None] = []
    encoder: torch.nn.Module = segmenter.model.upstream.image_encoder
    handle = encoder.register_forward_hook(lambda *_: runs.append(None))
    yield runs
    handle.remove()


def test_regions_are_nested_and_say_what_prompted_them(segmenter: Segmenter, scene: Pixels) -> None:
    regions = segmenter.automatic(scene)
    assert len(regions) > 10
    assert [r.area_px for r in regions] == sorted((r.area_px for r in regions), reverse=True)
    assert max(region.depth for region in regions) >= 2
    grid = {(160 * (2 * i + 1) / 12, 120 * (2 * j + 1) / 12) for i in range(6) for j in range(6)}
    near = {(round(x, 3), round(y, 3)) for x, y in grid}
    for region in regions:
        assert region.rle.size == (120, 160)
        assert region.box == masks.tight_box(region.rle)
        assert region.area_px == masks.area(region.rle)
        assert region.point is not None
        assert tuple(round(value, 3) for value in region.point) in near
        assert region.stability_score is not None
        assert region.stability_score >= 0.7
        assert region.predicted_iou > 0.5


def test_the_same_picture_gives_the_same_regions(segmenter: Segmenter, scene: Pixels) -> None:
    assert segmenter.automatic(scene) == segmenter.automatic(scene.copy())


def test_regions_that_are_too_small_or_too_large_are_dropped(
    fast_profile: Profile, scene: Pixels, everything: list[Region]
) -> None:
    least, most = 100 / (120 * 160), 300 / (120 * 160)
    expected = {r.rle for r in everything if 100 <= r.area_px <= 300}
    assert 0 < len(expected) < len(everything) - 2
    assert any(r.area_px < 100 for r in everything)
    kept = with_settings(
        fast_profile, min_area_fraction=least, max_area_fraction=most, merge_iou_thresh=None
    ).automatic(scene)
    assert {region.rle for region in kept} == expected


def test_the_limits_of_the_area_belong_to_it(
    fast_profile: Profile, scene: Pixels, everything: list[Region]
) -> None:
    chosen = everything[len(everything) // 2]
    exactly = chosen.area_fraction
    kept = with_settings(
        fast_profile,
        min_area_fraction=exactly,
        max_area_fraction=exactly,
        merge_iou_thresh=None,
    ).automatic(scene)
    assert chosen.rle in {region.rle for region in kept}
    assert {region.area_px for region in kept} == {chosen.area_px}


def test_near_identical_regions_are_merged_only_if_wanted(
    fast_profile: Profile, scene: Pixels, everything: list[Region]
) -> None:
    merged = with_settings(
        fast_profile, min_area_fraction=0.0, max_area_fraction=1.0, merge_iou_thresh=0.5
    ).automatic(scene)

    def most_alike(regions: list[Region]) -> float:
        overlap = masks.iou([region.rle for region in regions])
        return float((overlap - np.eye(len(regions))).max())

    assert most_alike(everything) >= 0.5 > most_alike(merged)
    assert {region.rle for region in merged} < {region.rle for region in everything}


def test_containment_is_the_profiles(fast_profile: Profile, scene: Pixels) -> None:
    shares = []
    for threshold in (0.5, 1.0):
        regions = with_settings(fast_profile, containment_thresh=threshold).automatic(scene)
        inside = masks.share_inside([region.rle for region in regions])
        nested = [(i, r.parent) for i, r in enumerate(regions) if r.parent is not None]
        shares.append([inside[i, parent] for i, parent in nested])
        assert min(shares[-1]) >= threshold
    assert min(shares[0]) < 1.0  # or the two could not differ
    assert len(shares[0]) > len(shares[1])


def test_a_blank_picture_is_one_region_at_most(fast_profile: Profile) -> None:
    blank = np.full((40, 60, 3), 255, dtype=np.uint8)
    (region,) = with_settings(fast_profile, max_area_fraction=1.0).automatic(blank)
    assert region.area_fraction == 1.0
    assert with_settings(fast_profile, max_area_fraction=0.95).automatic(blank) == []


def test_the_recipe_has_every_setting_that_decides_what(
    segmenter: Segmenter, fast_profile: Profile
) -> None:
    recipe = segmenter.recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    settings = {field.name for field in dataclasses.fields(MaskSettings)}
    assert recipe.keys() == {"model", "config", "weights", "generator"} | settings - {
        "points_per_batch"
    }
    assert recipe["model"] == fast_profile.sam2.model
    assert recipe["weights"] == Sam2Model(fast_profile.sam2, CPU).fingerprint


def test_the_recipe_changes_with_what_and_not_with_how_fast(
    segmenter: Segmenter, fast_profile: Profile
) -> None:
    recipe = segmenter.recipe()
    assert with_settings(fast_profile, points_per_batch=3).recipe() == recipe
    changed: dict[str, Any] = {"merge_iou_thresh": None, "min_area_fraction": 0.25, "use_m2m": True}
    for name, value in changed.items():
        assert with_settings(fast_profile, **{name: value}).recipe() == {**recipe, name: value}
    other = dataclasses.replace(fast_profile.sam2, checkpoint="seeded:5")
    weights = Segmenter(other, fast_profile.masks, CPU).recipe()["weights"]
    assert weights != recipe["weights"]


def test_a_single_point_gives_the_best_of_three(segmenter: Segmenter, embedded: Embedded) -> None:
    points = [(float(x), float(y)) for x in range(10, 160, 30) for y in range(10, 120, 30)]
    places = set()
    for point in [*points, (0.0, 0.0), (159.9, 119.9)]:
        found, scores, logits = upstreams(embedded, [point], [1], None, multimask=True)
        assert len(found) == 3
        best = int(np.argmax(scores))
        places.add(best)
        answer = segmenter.prompt(embedded, Prompt(points=(point,)))
        np.testing.assert_array_equal(answer.mask, found[best])
        np.testing.assert_array_equal(answer.logits, logits[best : best + 1])
        assert answer.predicted_iou == pytest.approx(float(scores.max()))
        assert answer.mask.dtype == np.bool_
        assert answer.mask.shape == (120, 160)
        assert answer.logits.shape == (1, 96, 96)
    assert len(places) > 1  # or always taking the first would do


@pytest.mark.parametrize(
    ("points", "not_points", "box"),
    [
        ([(80, 60), (90, 70)], [], None),
        ([(80, 60)], [(20, 20)], None),
        ([], [], (40, 30, 120, 90)),
        ([], [], (0, 0, 160, 120)),
        ([(80, 60)], [], (40, 30, 120, 90)),
        ([], [(45, 35)], (40, 30, 120, 90)),
    ],
)
def test_everything_else_gives_one_mask(
    segmenter: Segmenter,
    embedded: Embedded,
    points: list[XY],
    not_points: list[XY],
    box: Box | None,
) -> None:
    labels = [1] * len(points) + [0] * len(not_points)
    found, scores, logits = upstreams(embedded, points + not_points, labels, box, multimask=False)
    prompt = Prompt(tuple(points), tuple(not_points), box)
    answer = segmenter.prompt(embedded, prompt)
    assert not prompt.is_ambiguous
    np.testing.assert_array_equal(answer.mask, found[0])
    np.testing.assert_array_equal(answer.logits, logits)
    assert answer.predicted_iou == pytest.approx(float(scores[0]))


def test_points_on_and_beside_the_object_are_told_apart(
    segmenter: Segmenter, embedded: Embedded
) -> None:
    here, there = (80.0, 60.0), (20.0, 20.0)
    one = segmenter.prompt(embedded, Prompt(points=(here,), not_points=(there,)))
    other = segmenter.prompt(embedded, Prompt(points=(there,), not_points=(here,)))
    assert (one.logits != other.logits).any()


def test_an_answer_can_be_refined(segmenter: Segmenter, embedded: Embedded) -> None:
    first = segmenter.prompt(embedded, Prompt(points=((80.0, 60.0),)))
    prompt = Prompt(points=((80.0, 60.0),), previous=first.logits)
    refined = segmenter.prompt(embedded, prompt)
    found, scores, logits = embedded.predictor.predict(
        np.array([[80.0, 60.0]]), np.array([1]), None, first.logits, multimask_output=False
    )
    np.testing.assert_array_equal(refined.logits, logits)
    np.testing.assert_array_equal(refined.mask, found[0].astype(np.bool_))
    assert refined.predicted_iou == pytest.approx(float(scores[0]))
    assert (refined.logits != first.logits).any()
    alone = segmenter.prompt(embedded, Prompt(previous=first.logits))
    assert alone.mask.shape == (120, 160)


def test_the_picture_is_encoded_once(segmenter: Segmenter, scene: Pixels) -> None:
    with encoder_runs(segmenter) as runs:
        embedded = segmenter.embed(scene)
        for x in range(0, 160, 32):
            segmenter.prompt(embedded, Prompt(points=((float(x), 60.0),)))
        segmenter.prompt(embedded, Prompt(box=(10, 10, 50, 50)))
    assert len(runs) == 1


def test_two_embedded_pictures_do_not_disturb_each_other(
    segmenter: Segmenter, scene: Pixels
) -> None:
    prompt = Prompt(points=((20.0, 30.0),))
    first = segmenter.embed(scene)
    before = segmenter.prompt(first, prompt)
    second = segmenter.embed(np.ascontiguousarray(scene[::-1, :100]))
    segmenter.automatic(scene[:50])
    after, other = segmenter.prompt(first, prompt), segmenter.prompt(second, prompt)
    np.testing.assert_array_equal(after.logits, before.logits)
    assert (first.size, second.size) == ((120, 160), (120, 100))
    assert other.mask.shape == (120, 100)


@pytest.mark.parametrize(
    "point", [(160, 60), (80, 120), (-1, 60), (80, -0.5), (float("nan"), 3), (float("inf"), 3)]
)
@pytest.mark.parametrize("on_it", [True, False])
def test_points_outside_the_picture(
    segmenter: Segmenter, embedded: Embedded, point: XY, on_it: bool
) -> None:
    inside = (80.0, 60.0)
    prompt = Prompt((point,)) if on_it else Prompt((inside,), (point,))
    with pytest.raises(QueryError) as caught:
        segmenter.prompt(embedded, prompt)
    x, y = point
    assert caught.value.message == (
        f"the point {x:g},{y:g} lies outside the picture of 160×120 pixels"
    )


@pytest.mark.parametrize(
    "box", [(0, 0, 161, 120), (0, 0, 160, 121), (-1, 0, 9, 9), (9, 9, 9, 20), (20, 9, 9, 20)]
)
def test_boxes_outside_the_picture(segmenter: Segmenter, embedded: Embedded, box: Box) -> None:
    with pytest.raises(QueryError) as caught:
        segmenter.prompt(embedded, Prompt(box=box))
    assert caught.value.message == (f"box {box} does not lie inside a picture of 160×120 pixels")
    assert "x0,y0,x1,y1" in caught.value.hint


def test_a_prompt_says_what_to_cut_out() -> None:
    for not_points in ((), ((3.0, 4.0),), ((3.0, 4.0), (5.0, 6.0))):
        with pytest.raises(QueryError, match="a prompt needs a point on the object"):
            Prompt(not_points=not_points)


@pytest.mark.parametrize("shape", [(96, 96), (3, 96, 96), (1, 256, 256), (1, 96, 95)])
def test_a_previous_mask_of_another_model(
    segmenter: Segmenter, embedded: Embedded, shape: tuple[int, ...]
) -> None:
    with pytest.raises(QueryError) as caught:
        segmenter.prompt(embedded, Prompt(previous=np.zeros(shape, dtype=np.float32)))
    assert caught.value.message == (f"a previous mask must have shape (1, 96, 96), not {shape}")


def test_answers_become_regions() -> None:
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[2:4, 3:6] = True
    answer = Prompted(mask, 0.75, np.zeros((1, 96, 96), dtype=np.float32))
    click = answer.region(Prompt(points=((4.0, 3.0),)))
    assert click == Region(
        masks.encode(mask), (3, 2, 6, 4), 6, 0.75, None, point=(4.0, 3.0), parent=None, depth=0
    )
    drawn = answer.region(Prompt(points=((4.0, 3.0),), box=(0, 0, 8, 6)))
    assert drawn == dataclasses.replace(click, point=None)


def test_an_empty_answer_is_no_region() -> None:
    logits = np.zeros((1, 96, 96), dtype=np.float32)
    empty = Prompted(np.zeros((6, 8), dtype=np.bool_), 0.1, logits)
    assert empty.region(Prompt(points=((4.0, 3.0),))) is None


def test_the_candidates_are_upstreams_three_best_first(
    segmenter: Segmenter, embedded: Embedded
) -> None:
    orders = set()
    for x in range(10, 160, 30):
        point = (float(x), 60.0)
        found, scores, logits = upstreams(embedded, [point], [1], None, multimask=True)
        order = sorted(range(3), key=lambda i: -scores[i])
        orders.add(tuple(order))
        prompt = Prompt(points=(point,))
        answers = segmenter.candidates(embedded, prompt)
        assert [answer.predicted_iou for answer in answers] == pytest.approx(scores[order].tolist())
        for answer, i in zip(answers, order, strict=True):
            np.testing.assert_array_equal(answer.mask, found[i])
            np.testing.assert_array_equal(answer.logits, logits[i : i + 1])
        best = segmenter.prompt(embedded, prompt)
        np.testing.assert_array_equal(best.logits, answers[0].logits)
    assert len(orders) > 1  # or no order at all would do


def test_there_are_three_candidates_for_any_prompt(
    segmenter: Segmenter, embedded: Embedded
) -> None:
    box = (40, 30, 120, 90)
    answers = segmenter.candidates(embedded, Prompt(box=box))
    _, scores, _ = upstreams(embedded, [], [], box, multimask=True)
    assert [a.predicted_iou for a in answers] == pytest.approx(sorted(scores, reverse=True))
