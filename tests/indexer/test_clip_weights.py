"""A published CLIP from the hub's cache, as a user has it after the first download."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from indexer import clip_weights, models
from indexer.embedding import Embedder
from indexer.profiles import Profile
from indexer.segmentation.sam2_build import Undrawn


@pytest.fixture
def cached_tag() -> Iterator[tuple[Path, dict[str, torch.Tensor]]]:
    """The file of `ViT-B-32` + `datacomp_xl_s13b_b90k` in the hub's cache, and what it holds."""
    repo = (
        Path(os.environ["HF_HOME"]) / "hub" / "models--laion--CLIP-ViT-B-32-DataComp.XL-s13B-b90K"
    )
    revision = "0123456789abcdef0123456789abcdef01234567"
    path = repo / "snapshots" / revision / "open_clip_model.safetensors"
    path.parent.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision, encoding="ascii")
    with Undrawn():
        state = open_clip.create_model("ViT-B-32").state_dict()
    for i, tensor in enumerate(state.values()):
        tensor.fill_(i / 1000)
    save_file(state, path)
    yield path, state
    shutil.rmtree(repo)


def test_a_tag_from_the_hubs_cache(
    fast_profile: Profile, cached_tag: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    path, state = cached_tag
    tag = "datacomp_xl_s13b_b90k"
    clip = dataclasses.replace(fast_profile.clip, model="ViT-B-32", pretrained=tag)
    found = Embedder(clip, torch.device("cpu"))
    assert found.vector_space()["weights"] == models.file_fingerprint(path)
    assert (found.dim, found.image_size, found.patches) == (512, 224, 7)
    loaded = found.upstream.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    with Undrawn():
        theirs = open_clip.create_model("ViT-B-32", pretrained=tag)
    assert found.upstream.visual.preprocess_cfg == theirs.visual.preprocess_cfg


def test_what_a_tag_says_about_pictures(caplog: pytest.LogCaptureFixture) -> None:
    siglip = clip_weights._preprocess("ViT-B-16-SigLIP", "webli")
    assert (siglip["mean"], siglip["std"]) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert not caplog.records
    clip_weights._preprocess("ViT-B-32", "openai")
    assert "ends in -quickgelu" in caplog.text
