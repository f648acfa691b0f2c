"""A published SAM 2 from the hub's cache on disk, as a user has it after the first download."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from indexer.profiles import Sam2Profile
from indexer.segmentation.sam2_model import Sam2Model

CPU = torch.device("cpu")
NAME = "facebook/sam2.1-hiera-tiny"


@pytest.fixture(scope="module")
def cached() -> Iterator[Path]:
    """Upstream's hiera tiny with random weights, laid out as huggingface_hub lays it out."""
    repo = Path(os.environ["HF_HOME"]) / "hub" / "models--facebook--sam2.1-hiera-tiny"
    revision = "0123456789abcdef0123456789abcdef01234567"
    path = repo / "snapshots" / revision / "sam2.1_hiera_tiny.pt"
    path.parent.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision, encoding="ascii")
    drawn = Sam2Model(Sam2Profile(NAME, "seeded:1"), CPU)
    torch.save({"model": drawn.upstream.state_dict()}, path)
    yield path
    shutil.rmtree(repo)


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
