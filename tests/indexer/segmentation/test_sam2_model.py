"""The adapter against upstream's own classes, on the same weights and pictures."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf

from indexer.errors import ModelError
from indexer.profiles import MaskSettings, Profile, Sam2Profile, configs_dir
from indexer.segmentation import masks, sam2_build, sam2_model
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
    generator.predictor._bb_feat_sizes = [(96, 96), (48, 48), (24, 24)]  # of a 384-pixel model
    return generator


def assert_same(ours: list[RawMask], theirs: list[dict[str, Any]]) -> None:
    """Check that both hold the same masks, in whatever order, with the same scores."""
    assert len(ours) == len(theirs) > 2
    left = list(theirs)
    for mask in ours:
        pixels = masks.decode(mask.rle)
        ious = [
            (pixels & other["segmentation"]).sum() / (pixels | other["segmentation"]).sum()
            if [list(mask.point)] == other["point_coords"]
            else 0.0
            for other in left
        ]
        twin = left.pop(int(np.argmax(ious)))
        assert max(ious) >= 0.99
        assert mask.predicted_iou == pytest.approx(twin["predicted_iou"], abs=1e-3)
        assert mask.stability_score == pytest.approx(twin["stability_score"], abs=1e-2)


@contextmanager
def points_at_once(model: Sam2Model) -> Iterator[list[int]]:
    """Collect how many prompts each pass of the mask decoder is given."""
    counts: list[int] = []

    def note(_: object, __: object, arguments: dict[str, torch.Tensor], ___: object) -> None:
        counts.append(len(arguments["sparse_prompt_embeddings"]))

    decoder: torch.nn.Module = model.upstream.sam_mask_decoder
    handle = decoder.register_forward_hook(note, with_kwargs=True)
    yield counts
    handle.remove()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"crop_n_layers": 1, "points_per_side": 4, "crop_n_points_downscale_factor": 2},
        {"use_m2m": True},
        {"multimask_output": False},
        {"mask_threshold": 1.5, "stability_score_offset": 0.5},
        {"box_nms_thresh": 0.5, "pred_iou_thresh": 0.9, "stability_score_thresh": 0.9},
    ],
    ids=str,
)
def test_automatic_masks_are_upstreams(
    model: Sam2Model, fast_profile: Profile, scene: Pixels, changes: dict[str, Any]
) -> None:
    settings = dataclasses.replace(fast_profile.masks, points_per_batch=5, **changes)
    theirs = upstream_generator(model, settings).generate(scene.copy())
    assert_same(model.automatic(scene, settings), theirs)


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
    np.testing.assert_array_equal(found, expected)
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
        assert masks.iou([left.rle, right.rle])[0, 1] >= 0.99


def test_points_at_once_are_bounded_by_the_size_of_the_picture(
    model: Sam2Model, fast_profile: Profile, scene: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(fast_profile.masks, points_per_side=4, points_per_batch=7)
    with points_at_once(model) as counts:
        model.automatic(scene, settings)
    assert counts == [7, 7, 2]
    three_points = 3 * 3 * 120 * 160 * 4  # three masks each, float32
    monkeypatch.setattr(sam2_model, "_MASK_BYTES", three_points)
    with points_at_once(model) as counts:
        model.automatic(scene, settings)
    assert counts == [3, 3, 3, 3, 3, 1]
    with points_at_once(model) as counts:
        model.automatic(scene, dataclasses.replace(settings, multimask_output=False))
    assert counts == [7, 7, 2]


@pytest.mark.parametrize(
    ("height", "width", "points"),
    [(120, 160, 64), (3000, 4000, 7), (12_000, 16_000, 1), (40_000, 40_000, 1)],
)
def test_points_at_once_on_huge_pictures(
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


def config(tmp_path: Path, text: str) -> Sam2Profile:
    (tmp_path / "sam2.yaml").write_text(text, encoding="utf-8")
    return Sam2Profile(str(tmp_path / "sam2.yaml"), "seeded:1")


DEMO = (configs_dir() / "demo" / "sam2_tiny.yaml").read_text(encoding="utf-8")
NECK = "sam2.modeling.backbones.image_encoder.FpnNeck"


@pytest.mark.parametrize(
    "target",
    [
        "builtins.print",
        "os.getcwd",
        "sam2.build_sam.build_sam2",
        "sam2.modeling.sam2_base.torch.os.getcwd",  # reachable from sam2.modeling, not in it
        "sam2.modeling.sam2_base.torch.nn.Identity",
        "sam2.modeling.backbones.hieradet.partial",  # functools', a class all the same
        "sam2.modeling.nothing.Here",
        "sam2.modeling.sam2_base.Nothing",
        "sam2.modeling.sam2_base.get_1d_sine_pe",
        "sam2.modeling.${oc.env:HOME}",
    ],
)
def test_a_configuration_that_calls_anything_else(tmp_path: Path, target: str) -> None:
    profile = config(tmp_path, DEMO.replace(NECK, target))
    with pytest.raises(ModelError, match=r"sam2\.yaml calls ") as caught:
        Sam2Model(profile, CPU)
    assert caught.value.hint == "only classes of sam2.modeling are allowed"


def test_upstreams_configurations_are_allowed() -> None:
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    assert len(HF_MODEL_ID_TO_FILENAMES) == 8
    for name in HF_MODEL_ID_TO_FILENAMES:
        path, _ = sam2_build._locate(Sam2Profile(name, "seeded:1"))
        config = OmegaConf.to_container(sam2_build._read_config(path))
        sam2_build._check_targets(path, config)
        assert "sam2.modeling.backbones.hieradet.Hiera" in str(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no SAM 2 configuration"),
        ("- 1", "is no SAM 2 configuration"),
        ("models: {}", "is no SAM 2 configuration"),
        ("model: null", "is no SAM 2 configuration"),
        ("model: 3", "is no SAM 2 configuration"),
        ("model: {a: 1}", "is no SAM 2 configuration"),
        ("model: [1", "cannot be read"),
        ("model: {a: '${b}'}", "cannot be read"),
        (DEMO.replace("image_size:", "image_sise:"), "cannot be built"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Sam2Model(config(tmp_path, text), CPU)
    assert "sam2.yaml" in caught.value.message


@pytest.mark.parametrize("name", ["facebook/sam2.1-hiera-tinny", "demo/sam2_tinny.yaml", ""])
def test_a_misspelt_model(name: str) -> None:
    with pytest.raises(ModelError, match=f"no model configuration '{name}'"):
        Sam2Model(Sam2Profile(name, "seeded:1"), CPU)


def test_a_configuration_needs_weights() -> None:
    with pytest.raises(ModelError, match=r"demo/sam2_tiny\.yaml comes without weights") as caught:
        Sam2Model(Sam2Profile("demo/sam2_tiny.yaml", None), CPU)
    assert "facebook/sam2.1-hiera-tiny" in caught.value.hint


def test_the_seed_decides_the_weights(model: Sam2Model, fast_profile: Profile) -> None:
    random = torch.get_rng_state()
    same = Sam2Model(fast_profile.sam2, CPU)
    other = Sam2Model(dataclasses.replace(fast_profile.sam2, checkpoint="seeded:5"), CPU)
    assert torch.equal(torch.get_rng_state(), random)
    assert same.fingerprint == model.fingerprint != other.fingerprint
    assert (model.name, model.image_size) == (fast_profile.sam2.model, 384)


def test_the_configuration_counts_where_the_weights_are_the_same(
    tmp_path: Path, model: Sam2Model, fast_profile: Profile
) -> None:
    plain = Path(fast_profile.sam2.model).read_text(encoding="utf-8")
    commented = Sam2Model(config(tmp_path, "# mine\n" + plain), CPU)
    larger = Sam2Model(config(tmp_path, plain.replace("size: 384", "size: 512")), CPU)
    assert commented.fingerprint == larger.fingerprint
    assert commented.config == model.config != larger.config
