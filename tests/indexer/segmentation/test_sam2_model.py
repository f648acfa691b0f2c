"""The adapter against upstream's own classes, on the same weights and pictures."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from indexer.profiles import MaskSettings, Profile, Sam2Profile, load_profile
from indexer.segmentation import masks, sam2_model
from indexer.segmentation.sam2_model import OUR_SETTINGS, RawMask, Sam2Model

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def model(fast_profile: Profile) -> Sam2Model:
    return Sam2Model(fast_profile.sam2, CPU)


def upstream_generator(model: Sam2Model, settings: MaskSettings) -> Any:  # noqa: ANN401
    """Return upstream's generator with its own points_per_batch, made to fit the image size."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

        options = dataclasses.asdict(settings)
        for name in (*OUR_SETTINGS, "points_per_batch"):
            del options[name]
        generator = SAM2AutomaticMaskGenerator(model.upstream, **options)
    side = model.image_size // 16
    generator.predictor._bb_feat_sizes = [(n * side, n * side) for n in (4, 2, 1)]
    return generator


def assert_same(ours: list[RawMask], theirs: list[dict[str, Any]]) -> None:
    """Check that both hold the same masks with the same scores, and in the same order.

    But for those of nearly the same predicted IoU, which may be either way round.
    """
    assert len(ours) == len(theirs) > 2
    left = list(range(len(theirs)))
    places: list[int] = []
    for mask in ours:
        pixels = masks.decode(mask.rle)
        ious = [
            overlap(pixels, theirs[place]["segmentation"])
            if [list(mask.point)] == theirs[place]["point_coords"]
            else 0.0
            for place in left
        ]
        assert max(ious) >= 0.99
        places.append(left.pop(int(np.argmax(ious))))
        twin = theirs[places[-1]]
        assert mask.predicted_iou == pytest.approx(twin["predicted_iou"], abs=1e-3)
        expected = pytest.approx(twin["stability_score"], abs=1e-2, nan_ok=True)
        assert mask.stability_score == expected
    scores = [theirs[place]["predicted_iou"] for place in places]
    for this, following in itertools.pairwise(range(len(places))):
        tied = abs(scores[this] - scores[following]) < 1e-4
        assert tied or places[this] < places[following]


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the masks' IoU; that of two empty ones is 1."""
    return float((one & other).sum() / (one | other).sum()) if (one | other).any() else 1.0


@contextmanager
def points_at_once(model: Sam2Model) -> Iterator[list[int]]:
    """Collect how many prompts are decoded at once; the prompt encoder gets each batch first."""
    counts: list[int] = []

    def note(_: object, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        points, _ = given[0] if given else named["points"]
        counts.append(len(points))

    encoder: torch.nn.Module = model.upstream.sam_prompt_encoder
    handle = encoder.register_forward_pre_hook(note, with_kwargs=True)
    yield counts
    handle.remove()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"crop_n_layers": 1, "points_per_side": 4, "crop_n_points_downscale_factor": 2},
        {"crop_n_layers": 2, "points_per_side": 4, "crop_n_points_downscale_factor": 2},
        {"use_m2m": True},
        {"multimask_output": False},
        {"mask_threshold": 1.5, "stability_score_offset": 0.5},
        {"box_nms_thresh": 0.5, "pred_iou_thresh": 0.9, "stability_score_thresh": 0.9},
        {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "points_per_side": 3},
    ],
    ids=str,
)
def test_automatic_masks_are_upstreams(
    model: Sam2Model, fast_profile: Profile, scene: Pixels, changes: dict[str, Any]
) -> None:
    settings = dataclasses.replace(fast_profile.masks, points_per_batch=5, **changes)
    theirs = upstream_generator(model, settings).generate(scene.copy())
    assert_same(model.automatic(scene, settings), theirs)


def test_the_demos_masks_are_upstreams(scene: Pixels) -> None:
    """One mask for each point, the single one or the best of three, cleaned by upstream."""
    demo = load_profile("demo")
    assert (demo.masks.multimask_output, demo.masks.min_mask_region_area) == (False, 200)
    model = Sam2Model(demo.sam2, CPU)
    upstreams = upstream_generator(model, dataclasses.replace(demo.masks, min_mask_region_area=0))
    data = upstreams._generate_masks(scene.copy())
    nms_thresh = max(demo.masks.box_nms_thresh, demo.masks.crop_nms_thresh)
    cleaned = upstreams.postprocess_small_regions(data, 200, nms_thresh)
    theirs = [
        {
            "segmentation": _unpacked(rle),
            "point_coords": [point.tolist()],
            "predicted_iou": iou.item(),
            "stability_score": stability.item(),
        }
        for rle, point, iou, stability in zip(
            cleaned["rles"],
            cleaned["points"],
            cleaned["iou_preds"],
            cleaned["stability_score"],
            strict=True,
        )
    ]
    assert_same(model.automatic(scene, demo.masks), theirs)


def test_a_single_mask_gives_way_only_where_the_model_says_so(scene: Pixels) -> None:
    demo = load_profile("demo")
    settings = dataclasses.replace(
        demo.masks, min_mask_region_area=0, points_per_side=6, pred_iou_thresh=0.2
    )
    model = Sam2Model(demo.sam2, CPU)
    decoder = model.upstream.sam_mask_decoder
    decoder.dynamic_multimask_stability_delta = 0.1  # with which some are stable and some are not
    found = []
    for gives_way in (True, False):
        decoder.dynamic_multimask_via_stability = gives_way
        found.append(model.automatic(scene, settings))
        assert_same(found[-1], upstream_generator(model, settings).generate(scene.copy()))
    scores = [{mask.predicted_iou for mask in some} for some in found]
    assert len(scores[0] - scores[1]) > 1
    assert len(scores[0] & scores[1]) > 1


def test_a_model_whose_decoder_takes_no_finer_features(
    tmp_path: Path, fast_profile: Profile, scene: Pixels
) -> None:
    text = Path(fast_profile.sam2.model).read_text(encoding="utf-8")
    (tmp_path / "sam2.yaml").write_text(
        text.replace("high_res_features_in_sam: true", "high_res_features_in_sam: false"),
        encoding="utf-8",
    )
    model = Sam2Model(Sam2Profile(str(tmp_path / "sam2.yaml"), "seeded:4"), CPU)
    settings = dataclasses.replace(
        fast_profile.masks, pred_iou_thresh=0.0, stability_score_thresh=0.3
    )
    theirs = upstream_generator(model, settings).generate(scene.copy())
    assert len(theirs) > 2
    assert_same(model.automatic(scene, settings), theirs)


def test_refinement_by_upstream_is_said_once(
    model: Sam2Model, fast_profile: Profile, scene: Pixels, caplog: pytest.LogCaptureFixture
) -> None:
    sam2_model._say_once.cache_clear()
    settings = dataclasses.replace(fast_profile.masks, points_per_side=1)
    with caplog.at_level(logging.WARNING):
        model.automatic(scene, settings)
        assert caplog.messages == []
        for _ in range(2):
            model.automatic(scene, dataclasses.replace(settings, use_m2m=True))
    assert caplog.messages == [
        "use_m2m runs SAM 2's own automatic masks, which are many times slower"
    ]


def test_small_regions_go_by_upstreams_own_function(
    model: Sam2Model, fast_profile: Profile, scene: Pixels
) -> None:
    """Upstream calls it no more, and its replacement needs a CUDA kernel that no wheel has."""
    plain = upstream_generator(model, fast_profile.masks)
    data = plain._generate_masks(scene.copy())
    cleaned = plain.postprocess_small_regions(data, 20, fast_profile.masks.box_nms_thresh)
    expected = [masks.decode(masks.encode(_unpacked(rle))) for rle in cleaned["rles"]]

    settings = dataclasses.replace(fast_profile.masks, min_mask_region_area=20)
    found = [masks.decode(mask.rle) for mask in model.automatic(scene, settings)]
    assert len(found) == len(expected)
    assert np.mean(np.array(found) ^ np.array(expected)) <= 1e-5  # noise of float32, see test_boxes
    assert all(_islands(mask) == 1 or _smallest(mask) >= 20 for mask in found)
    before = [masks.decode(mask.rle) for mask in model.automatic(scene, fast_profile.masks)]
    assert any(_islands(mask) > 1 and _smallest(mask) < 20 for mask in before)


def _unpacked(rle: dict[str, Any]) -> NDArray[np.bool_]:
    from sam2.utils.amg import rle_to_mask

    return np.asarray(rle_to_mask(rle), dtype=np.bool_)


def _areas(mask: NDArray[np.bool_]) -> list[int]:
    import cv2

    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [int(area) for area in stats[1:, cv2.CC_STAT_AREA]]


def _islands(mask: NDArray[np.bool_]) -> int:
    return len(_areas(mask))


def _smallest(mask: NDArray[np.bool_]) -> int:
    return min(_areas(mask))


def test_the_batch_of_points_does_not_matter(
    model: Sam2Model, fast_profile: Profile, scene: Pixels
) -> None:
    one, all_of_them = (
        model.automatic(scene, dataclasses.replace(fast_profile.masks, points_per_batch=n))
        for n in (1, 36)
    )
    assert len(one) == len(all_of_them)
    for left, right in zip(one, all_of_them, strict=True):
        assert left.point == right.point
        assert left.predicted_iou == pytest.approx(right.predicted_iou, abs=1e-3)
        pixels, others = masks.decode(left.rle), masks.decode(right.rle)
        assert (pixels ^ others).sum() <= max(1, 0.01 * (pixels | others).sum())


def test_points_at_once(model: Sam2Model, fast_profile: Profile, scene: Pixels) -> None:
    settings = dataclasses.replace(fast_profile.masks, points_per_side=4, points_per_batch=7)
    with points_at_once(model) as counts:
        model.automatic(scene, settings)
    assert counts == [7, 7, 2]
    with points_at_once(model) as counts:
        model.automatic(scene, dataclasses.replace(settings, points_per_batch=16))
    assert counts == [8, 8]  # on a CPU a batch is shared out to its cores


def test_the_size_of_the_picture_bounds_the_points_of_refinement_alone(
    model: Sam2Model, fast_profile: Profile, scene: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `use_m2m` upstream's code makes pixels of all masks of a batch; ours never does."""
    settings = dataclasses.replace(fast_profile.masks, points_per_side=4, points_per_batch=7)
    three_points = 3 * 3 * 120 * 160 * 4  # three masks each, float32
    monkeypatch.setattr(sam2_model, "_MASK_BYTES", three_points)
    with points_at_once(model) as counts:
        model.automatic(scene, settings)
    assert counts == [7, 7, 2]
    refined = dataclasses.replace(settings, use_m2m=True)
    with points_at_once(model) as counts:
        model.automatic(scene, refined)
    assert counts == [3, 3, 3, 3] * 5 + [1, 3]  # points, then their masks, three times as many
    with points_at_once(model) as counts:
        model.automatic(scene, dataclasses.replace(refined, multimask_output=False))
    assert counts == [7, 7, 7, 7, 2, 2]


@pytest.mark.parametrize(
    ("height", "width", "points"),
    [(120, 160, 64), (3000, 4000, 7), (12_000, 16_000, 1), (40_000, 40_000, 1)],
)
def test_points_of_refinement_at_once_on_huge_pictures(
    fast_profile: Profile, height: int, width: int, points: int
) -> None:
    huge = np.broadcast_to(np.uint8(0), (height, width, 3))
    settings = dataclasses.replace(fast_profile.masks, points_per_batch=64)
    assert sam2_model._affordable_points(huge, settings) == points


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (40, 30)])
@pytest.mark.parametrize("layers", [0, 2])
def test_tiny_thin_and_blank_pictures(
    model: Sam2Model, fast_profile: Profile, size: tuple[int, int], layers: int
) -> None:
    settings = dataclasses.replace(fast_profile.masks, points_per_side=2, crop_n_layers=layers)
    picture = np.full((*size, 3), 127, dtype=np.uint8)
    for mask in model.automatic(picture, settings):
        assert mask.rle.size == size


def test_no_mask_is_good_enough(model: Sam2Model, fast_profile: Profile, scene: Pixels) -> None:
    for layers, m2m in ((0, False), (0, True), (1, False)):
        settings = dataclasses.replace(
            fast_profile.masks,
            points_per_side=2,
            pred_iou_thresh=1.0,
            stability_score_thresh=1.0,
            crop_n_layers=layers,
            use_m2m=m2m,
            min_mask_region_area=9,
        )
        assert model.automatic(scene, settings) == []


def test_pictures_are_read_only_for_the_model(model: Sam2Model, fast_profile: Profile) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    before = picture.copy()
    settings = dataclasses.replace(fast_profile.masks, points_per_side=2)
    writable = model.automatic(picture, settings)
    np.testing.assert_array_equal(picture, before)
    picture.flags.writeable = False
    assert model.automatic(picture, settings) == writable
    backwards = np.ascontiguousarray(picture[:, ::-1])[:, ::-1]
    assert backwards.strides[1] < 0
    assert model.automatic(backwards, settings) == writable


def test_the_callers_autocast_is_not_ours(
    model: Sam2Model, fast_profile: Profile, scene: Pixels
) -> None:
    alone = model.automatic(scene, fast_profile.masks)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.automatic(scene, fast_profile.masks) == alone
