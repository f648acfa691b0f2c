"""A published SAM 2 from the hub's cache on disk, as a user has it after the first download."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from indexer import models
from indexer.errors import ModelError
from indexer.profiles import Sam2Profile
from indexer.segmentation import sam2_build
from indexer.segmentation.sam2_model import Sam2Model

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

CPU = torch.device("cpu")
NAME = "facebook/sam2.1-hiera-tiny"
LARGER = {
    "facebook/sam2.1-hiera-small": "sam2.1_hiera_small.pt",
    "facebook/sam2.1-hiera-base-plus": "sam2.1_hiera_base_plus.pt",
    "facebook/sam2.1-hiera-large": "sam2.1_hiera_large.pt",
}


@contextmanager
def cached_model(name: str, file: str) -> Iterator[tuple[Path, SAM2Base]]:
    """Lay out random weights as huggingface_hub does; yield their file, and the model with them."""
    repo = Path(os.environ["HF_HOME"]) / "hub" / f"models--{name.replace('/', '--')}"
    revision = "0123456789abcdef0123456789abcdef01234567"
    path = repo / "snapshots" / revision / file
    path.parent.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision, encoding="ascii")
    model = draw(name)
    torch.save({"model": model.state_dict()}, path)
    yield path, model
    shutil.rmtree(repo)


def draw(name: str) -> SAM2Base:
    """Build the model with random weights, faster than upstream would draw them."""
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    config, _ = HF_MODEL_ID_TO_FILENAMES[name]
    with sam2_build.Undrawn():
        model = sam2_build.build_untrained(str(files("sam2") / config))
    generator = torch.Generator().manual_seed(1)
    for tensor in model.state_dict().values():
        block = torch.randn(min(tensor.numel(), 4096), generator=generator) / 10
        repeats = -(-tensor.numel() // len(block))
        tensor.copy_(block.repeat(repeats)[: tensor.numel()].view_as(tensor))
    return model


@pytest.fixture(scope="module")
def cached() -> Iterator[Path]:
    """Upstream's hiera tiny in the hub's cache."""
    with cached_model(NAME, "sam2.1_hiera_tiny.pt") as (path, _):
        yield path


@pytest.fixture(scope="module")
def model(cached: Path) -> Sam2Model:
    return Sam2Model(Sam2Profile(NAME, None), CPU)


def test_the_cached_weights_are_found_offline(model: Sam2Model, cached: Path) -> None:
    assert model.fingerprint == hashlib.sha256(cached.read_bytes()).hexdigest()
    assert (model.name, model.image_size) == (NAME, 1024)
    saved = torch.load(cached, weights_only=True)["model"]
    loaded = model.upstream.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[key], loaded[key]) for key in saved)


@pytest.mark.parametrize("name", LARGER)
def test_the_larger_models_load_completely(name: str) -> None:
    with cached_model(name, LARGER[name]) as (path, saved):
        loaded = Sam2Model(Sam2Profile(name, None), CPU)
        assert loaded.fingerprint == models.file_fingerprint(path)
    expected, found = saved.state_dict(), loaded.upstream.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert loaded.image_size == 1024


def test_the_file_of_transformers_beside_it_is_explained(cached: Path) -> None:
    """The hub's repositories hold both: `model.safetensors` is what transformers saves."""
    theirs = cached.with_name("model.safetensors")
    kinds = ("vision_encoder.backbone.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight")
    others = ("memory_encoder.projection.weight", "no_memory_embedding", "occlusion_spatial_embed")
    save_file({key: torch.zeros(1) for key in (*kinds, *others)}, theirs)
    with pytest.raises(ModelError, match="is in the format of the transformers library") as caught:
        Sam2Model(Sam2Profile(NAME, str(theirs)), CPU)
    assert str(theirs) in caught.value.message
    assert caught.value.hint == (
        "use the original checkpoint: the .pt file in the same hub repository"
    )
    ours = Sam2Model(Sam2Profile(NAME, None), CPU)  # it is not in the way
    assert ours.fingerprint == hashlib.sha256(cached.read_bytes()).hexdigest()
    theirs.unlink()


def test_a_local_path_to_the_same_file_is_the_same_model(model: Sam2Model, cached: Path) -> None:
    local = Sam2Model(Sam2Profile(NAME, str(cached)), CPU)
    assert (local.fingerprint, local.config) == (model.fingerprint, model.config)


def test_masks_are_those_of_upstreams_builder(
    model: Sam2Model, cached: Path, scene: NDArray[np.uint8]
) -> None:
    from sam2.build_sam import build_sam2

    theirs = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", str(cached), device="cpu")
    for name in ("via_stability", "stability_delta", "stability_thresh"):
        ours = getattr(model.upstream.sam_mask_decoder, f"dynamic_multimask_{name}")
        assert ours == getattr(theirs.sam_mask_decoder, f"dynamic_multimask_{name}")
        assert ours
    upstream = dataclasses.replace(model.embed(scene)).predictor
    upstream.model = theirs
    upstream.set_image(scene.copy())
    points, labels = np.array([[80.0, 60.0]], np.float32), np.array([1], np.int32)
    embedded = model.embed(scene)
    for multimask in (True, False):
        found = model.predict(embedded, points, labels, None, None, multimask_output=multimask)
        masks, scores, logits = upstream.predict(points, labels, multimask_output=multimask)
        np.testing.assert_array_equal(found[0], masks.astype(np.bool_))
        np.testing.assert_allclose(found[1], scores, atol=1e-5)
        np.testing.assert_allclose(found[2], logits, atol=1e-4)
