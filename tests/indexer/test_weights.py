"""The table of weights against the packages that know; what is on disk; what is fetched."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import open_clip
import pytest
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

from indexer import clip_weights, weights
from indexer.errors import ModelError, WeightsUnavailable
from indexer.profiles import Profile, configs_dir, load_profile, profile_names
from indexer.segmentation import sam2_build

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached() -> Iterator[Path]:
    """The weights of `fast`'s SAM 2 in the hub's cache: 5 bytes of them."""
    repo = Path(os.environ["HF_HOME"]) / "hub" / "models--facebook--sam2.1-hiera-tiny"
    path = repo / "snapshots" / COMMIT / "sam2.1_hiera_tiny.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12345")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT, encoding="ascii")
    yield path
    shutil.rmtree(repo)


def changed(model: str, checkpoint: str | None, clip: str, pretrained: str | None) -> Profile:
    demo = load_profile("demo")
    return dataclasses.replace(
        demo,
        sam2=dataclasses.replace(demo.sam2, model=model, checkpoint=checkpoint),
        clip=dataclasses.replace(demo.clip, model=clip, pretrained=pretrained),
    )


def test_the_table_is_sam2s_own() -> None:
    ours = {name: published.files for name, published in weights.SAM2.items()}
    theirs = {name: (file,) for name, (_, file) in HF_MODEL_ID_TO_FILENAMES.items()}
    assert ours == {name: files for name, files in theirs.items() if "sam2.1" in name}
    assert all(published.repo == name for name, published in weights.SAM2.items())


def test_the_table_is_open_clips_own() -> None:
    assert clip_weights.HUB_FILES == (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    for (name, tag), published in weights.CLIP.items():
        assert clip_weights.hub_source(name, tag) == (published.repo, published.files)


@pytest.mark.parametrize("name", [name for name in profile_names() if name != "demo"])
def test_the_packaged_profiles_are_in_the_table(name: str) -> None:
    profile = load_profile(name)
    sam2, clip = weights.needed(profile)
    assert (sam2.role, sam2.model) == ("sam2", profile.sam2.model)
    assert sam2.source == f"{profile.sam2.model}/{weights.SAM2[profile.sam2.model].files[0]}"
    assert (clip.role, clip.model) == ("clip", f"{profile.clip.model} {profile.clip.pretrained}")
    assert clip.source.endswith("-DataComp.XL-s13B-b90K/open_clip_model.safetensors")
    assert (sam2.licence, clip.licence) == ("Apache-2.0", "MIT")
    assert (sam2.path, clip.path) == (None, None)
    assert 1e8 < (sam2.size_bytes or 0) < 1e9
    assert 5e8 < (clip.size_bytes or 0) < 2e9


def test_the_sizes_are_those_of_the_models() -> None:
    """The smallest of each kind; the rest are of the same classes."""
    config, _ = HF_MODEL_ID_TO_FILENAMES["facebook/sam2.1-hiera-tiny"]
    with sam2_build.Undrawn():
        sam2 = sam2_build.build_untrained(str(files("sam2") / config))
        clip = open_clip.create_model("ViT-B-16")
    for model, published in (
        (sam2, weights.SAM2["facebook/sam2.1-hiera-tiny"]),
        (clip, weights.CLIP["ViT-B-16", "datacomp_xl_s13b_b90k"]),
    ):
        total = sum(tensor.nbytes for tensor in model.state_dict().values())
        assert published.size_bytes == total


def test_the_demo_is_here() -> None:
    sam2, clip = weights.needed(load_profile("demo"))
    folder = configs_dir() / "demo"
    assert (sam2.path, clip.path) == (
        folder / "sam2_tiny.safetensors",
        folder / "clip_tiny.safetensors",
    )
    assert sam2.size_bytes == (folder / "sam2_tiny.safetensors").stat().st_size
    assert {sam2.licence, clip.licence} == {"Apache-2.0"}
    assert weights.fetch(load_profile("demo")) == [sam2, clip]


def test_what_is_in_the_cache_is_here(cached: Path) -> None:
    sam2, clip = weights.needed(load_profile("fast"))
    assert (sam2.path, sam2.size_bytes, clip.path) == (cached, 5, None)
    sam2_alone = changed("facebook/sam2.1-hiera-tiny", None, "ViT-B-32", "seeded:1")
    assert weights.fetch(sam2_alone) == [sam2]


def test_offline_nothing_is_fetched(cached: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="the weights ViT-B-32 datacomp_xl_s13b_b90k"):
        weights.fetch(load_profile("fast"))
    with pytest.raises(WeightsUnavailable, match=r"sam2\.1-hiera-large"):
        weights.fetch(load_profile("quality"))


def test_models_that_the_table_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"abc")
    sam2, clip = weights.needed(
        changed("facebook/sam2-hiera-tiny", None, f"local-dir:{tmp_path}", None)
    )
    assert sam2 == weights.Weights(
        "sam2",
        "facebook/sam2-hiera-tiny",
        "facebook/sam2-hiera-tiny/sam2_hiera_tiny.pt",
        *(None, None, None),
    )
    assert (clip.path, clip.size_bytes, clip.licence) == (tmp_path, 3, None)
    (openai,) = weights.needed(changed("x.yaml", "seeded:1", "ViT-B-32", "openai"))
    assert openai.source == "timm/vit_base_patch32_clip_224.openai/open_clip_model.safetensors"
    (hub,) = weights.needed(changed("x.yaml", "seeded:1", "hf-hub:org/name", None))
    assert hub.source == "org/name/open_clip_model.safetensors"


def test_weights_from_a_seed_are_not_needed() -> None:
    assert weights.needed(changed("x.yaml", "seeded:1", "ViT-B-32", "seeded:2")) == []


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    missing = changed("demo/sam2_tiny.yaml", str(tmp_path / "w.pt"), "ViT-B-32", "seeded:1")
    (found,) = weights.needed(missing)
    assert (found.source, found.path) == (str(tmp_path / "w.pt"), None)
    with pytest.raises(WeightsUnavailable, match=r"there is no weights file .*w\.pt"):
        weights.fetch(missing)
    with pytest.raises(ModelError, match="knows no weights 'opanai' for ViT-B-32"):
        weights.needed(changed("x.yaml", "seeded:1", "ViT-B-32", "opanai"))


def test_listing_the_packaged_profiles_imports_no_model() -> None:
    code = """if True:
        import sys
        from indexer.profiles import load_profile, profile_names
        from indexer.weights import needed
        print(sum(len(needed(load_profile(name))) for name in profile_names()))
        print({"torch", "sam2", "open_clip"} & set(sys.modules))
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "8\nset()\n"
