"""Which CLIPs can be loaded, from where, and why others cannot."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import PIL.Image
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from indexer.crops import Crop
from indexer.embedding import Embedder
from indexer.errors import ModelError, WeightsUnavailable
from indexer.profiles import Profile, configs_dir

CPU = torch.device("cpu")
DEMO = json.loads((configs_dir() / "demo" / "clip_tiny.json").read_text(encoding="utf-8"))
TINY_TEXT = {"context_length": 16, "width": 32, "heads": 2, "layers": 1}


def _tower(**options: Any) -> VisionTransformer:  # noqa: ANN401
    """Build a small tower for 48 pixels, with 4 × 4 patches."""
    sizes: dict[str, Any] = {
        "img_size": 48,
        "patch_size": 12,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
    }
    asked = {key: options[key] for key in ("class_token", "global_pool", "num_classes")}
    return VisionTransformer(**sizes, **asked)


@timm.models.register_model
def map_pooled_for_tests(**options: Any) -> VisionTransformer:  # noqa: ANN401
    """What SigLIP's towers are: no class token, attention pooling."""
    return _tower(class_token=False, **options)


@timm.models.register_model
def map_pooled_with_class_token_for_tests(**options: Any) -> VisionTransformer:  # noqa: ANN401
    return _tower(class_token=True, **options)


def load(profile: Profile, model: object, pretrained: str | None, **changes: Any) -> Embedder:  # noqa: ANN401
    clip = dataclasses.replace(profile.clip, model=str(model), pretrained=pretrained, **changes)
    return Embedder(clip, CPU)


def write_config(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(DEMO | changes), encoding="utf-8")
    return path


def timm_tower(name: str, pool: str) -> dict[str, object]:
    return {
        "image_size": 48,
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": pool,
        "timm_proj": "none",
    }


@pytest.fixture(scope="module")
def crops() -> list[Crop]:
    """Three crops of noise for a CLIP with 48 pixels and 4 × 4 patches."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, 48, 48, 3), dtype=np.uint8)
    touched = np.zeros((3, 4, 4), dtype=np.bool_)
    touched[0, 1:3, 1:3] = True
    touched[1, 3, :] = touched[1, :, 0] = True
    touched[2, 0, :3] = True  # too few
    return [Crop(*pair) for pair in zip(pixels, touched, strict=True)]


@pytest.fixture(scope="module")
def noise() -> list[Crop]:
    """Two crops of noise for the demo CLIP."""
    pixels = np.random.default_rng(0).integers(0, 255, (2, 48, 48, 3), dtype=np.uint8)
    touched = np.zeros((2, 6, 6), dtype=np.bool_)
    touched[:, 2:5, 3:7] = True
    return [Crop(*pair) for pair in zip(pixels, touched, strict=True)]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Weights for the demo CLIP."""
    open_clip.add_model_config(configs_dir() / "demo" / "clip_tiny.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        weights: dict[str, torch.Tensor] = open_clip.create_model("clip_tiny").state_dict()
    return weights


@pytest.fixture
def pooled(tmp_path: Path) -> Path:
    """The configuration of a CLIP with a SigLIP-type tower."""
    return write_config(
        tmp_path / "pooled_tiny.json",
        embed_dim=32,
        custom_text=True,
        init_logit_bias=-10,
        vision_cfg=timm_tower("map_pooled_for_tests", "map"),
        text_cfg=TINY_TEXT,
    )


def normalised(crops: list[Crop], model: open_clip.CustomTextCLIP) -> torch.Tensor:
    config = model.visual.preprocess_cfg
    preprocess = open_clip.image_transform(
        48, is_train=False, mean=config["mean"], std=config["std"]
    )
    return torch.stack([preprocess(PIL.Image.fromarray(crop.pixels)) for crop in crops])


@torch.inference_mode()
def pooled_by_hand(images: torch.Tensor, seen: list[bool], trunk: VisionTransformer) -> np.ndarray:
    """Pool the tokens that are seen as if the others did not exist."""
    pool = trunk.attn_pool
    tokens = trunk.forward_features(images)[:, torch.tensor(seen)]
    n, count, width = tokens.shape
    heads, side = pool.num_heads, width // pool.num_heads
    query = pool.q(pool.latent).reshape(1, 1, heads, side).transpose(1, 2)
    keys, values = pool.kv(tokens).reshape(n, count, 2, heads, side).permute(2, 0, 3, 1, 4)
    weights = (query @ keys.transpose(2, 3) / side**0.5).softmax(-1)
    found = pool.proj((weights @ values).transpose(1, 2).reshape(n, 1, width))
    found = found + pool.mlp(pool.norm(found))
    return np.asarray(torch.nn.functional.normalize(found[:, 0], dim=-1).numpy())


def test_a_siglip_type_tower(fast_profile: Profile, pooled: Path, crops: list[Crop]) -> None:
    context = load(fast_profile, pooled, "seeded:1", focus_weight=0.0)
    focus = load(fast_profile, pooled, "seeded:1", focus_weight=1.0)
    assert (context.dim, context.image_size, context.patches) == (32, 48, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = open_clip.create_model("pooled_tiny").eval()
    images = normalised(crops, model)
    with torch.inference_mode():
        expected = model.encode_image(images, normalize=True).numpy()
    np.testing.assert_allclose(context.vectors(crops), expected, atol=1e-5)

    found = focus.vectors(crops)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-5)
    for i in (0, 1):
        seen = crops[i].touched.ravel().tolist()
        by_hand = pooled_by_hand(images[i : i + 1], seen, model.visual.trunk)
        np.testing.assert_allclose(found[i], by_hand[0], atol=1e-5)
        assert np.abs(found[i] - expected[i]).max() > 0.01
    np.testing.assert_allclose(
        found, np.concatenate([focus.vectors([crop]) for crop in crops]), atol=1e-5
    )


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_a_siglip_type_tower_with_less_precision(
    fast_profile: Profile, pooled: Path, crops: list[Crop], precision: torch.dtype
) -> None:
    clip = dataclasses.replace(fast_profile.clip, model=str(pooled), pretrained="seeded:1")
    expected = Embedder(clip, CPU).vectors(crops)
    found = Embedder(clip, CPU, precision).vectors(crops)
    assert found.dtype == np.float32
    assert (expected * found).sum(axis=1).min() >= 0.99
    assert np.abs(expected - found).max() > 0


@pytest.mark.parametrize(
    "vision",
    [
        {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16},  # CLIP's ResNet
        timm_tower("resnet18", "avg") | {"timm_proj": "linear"},
        timm_tower("map_pooled_for_tests", "avg"),
        timm_tower("map_pooled_with_class_token_for_tests", "map"),
        DEMO["vision_cfg"] | {"pool_type": "avg"},
        DEMO["vision_cfg"] | {"attentional_pool": True},
    ],
    ids=["resnet", "timm resnet", "mean of tokens", "prefix tokens", "mean", "attentional"],
)
def test_towers_whose_attention_cannot_be_limited(
    fast_profile: Profile, tmp_path: Path, vision: dict[str, object]
) -> None:
    path = write_config(tmp_path / "tower.json", embed_dim=32, vision_cfg=vision)
    with pytest.raises(ModelError, match="has no attention to limit to a mask") as caught:
        load(fast_profile, path, "seeded:1")
    assert "class token" in caught.value.hint


def test_pictures_that_are_no_squares(fast_profile: Profile, tmp_path: Path) -> None:
    vision = DEMO["vision_cfg"] | {"image_size": [96, 48]}
    path = write_config(tmp_path / "oblong.json", vision_cfg=vision)
    with pytest.raises(ModelError, match=r"looks at pictures of \[96, 48\], not at squares"):
        load(fast_profile, path, "seeded:1")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_weights_file(
    fast_profile: Profile,
    tmp_path: Path,
    noise: list[Crop],
    state: dict[str, torch.Tensor],
    name: str,
) -> None:
    path = tmp_path / name
    if name.endswith(".pt"):
        torch.save({"state_dict": state, "epoch": 1}, path)
    else:
        save_file(state, path)
    loaded = load(fast_profile, "demo/clip_tiny.json", str(path))
    drawn = load(fast_profile, "demo/clip_tiny.json", "seeded:11")
    np.testing.assert_array_equal(loaded.vectors(noise), drawn.vectors(noise))
    np.testing.assert_array_equal(loaded.text("red"), drawn.text("red"))
    weights = hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.vector_space() == {**drawn.vector_space(), "weights": weights}


def lay_out(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """Write a model as open_clip pushes it to the hub."""
    folder.mkdir(parents=True)
    config = {"model_cfg": DEMO, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def hub_name(state: dict[str, torch.Tensor]) -> Iterator[str]:
    """The name of a model that lies in the hub's cache."""
    repo = Path(os.environ["HF_HOME"]) / "hub" / "models--org--tiny"
    revision = "0123456789abcdef0123456789abcdef01234567"
    lay_out(repo / "snapshots" / revision, state)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision, encoding="ascii")
    yield "hf-hub:org/tiny"
    shutil.rmtree(repo)


def test_a_local_folder_and_the_hubs_cache(
    fast_profile: Profile,
    tmp_path: Path,
    noise: list[Crop],
    state: dict[str, torch.Tensor],
    hub_name: str,
) -> None:
    folder = lay_out(tmp_path / "mine", state)
    local = load(fast_profile, f"local-dir:{folder}", None)
    cached = load(fast_profile, hub_name, None)
    np.testing.assert_array_equal(local.vectors(noise), cached.vectors(noise))
    named = load(fast_profile, "demo/clip_tiny.json", str(folder / "open_clip_model.safetensors"))
    np.testing.assert_array_equal(local.text("red"), named.text("red"))
    assert np.abs(local.vectors(noise) - named.vectors(noise)).max() > 1e-3  # another mean
    assert local.vector_space()["mean"] == cached.vector_space()["mean"] == [0.5] * 3
    assert cached.vector_space()["weights"] == named.vector_space()["weights"]
    assert (local.vector_space()["model"], cached.vector_space()["model"]) == ("mine", "tiny")


@pytest.mark.parametrize("model", ["ViT-B-32", "demo/clip_tiny.json"])
def test_weights_are_never_left_to_chance(fast_profile: Profile, model: str) -> None:
    with pytest.raises(ModelError, match=f"the CLIP {model} comes without weights"):
        load(fast_profile, model, None)


def test_a_local_folder_without_weights(
    fast_profile: Profile, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    folder = lay_out(tmp_path / "mine", state)
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match="could not be loaded"):
        load(fast_profile, f"local-dir:{folder}", None)
    with pytest.raises(WeightsUnavailable, match="not found"):
        load(fast_profile, f"local-dir:{tmp_path / 'nothing'}", None)


@pytest.mark.parametrize("pretrained", ["seeded:1", "openai", "WEIGHTS"])
def test_weights_that_would_be_ignored(
    fast_profile: Profile, tmp_path: Path, state: dict[str, torch.Tensor], pretrained: str
) -> None:
    folder = lay_out(tmp_path / "mine", state)
    pretrained = pretrained.replace("WEIGHTS", str(folder / "open_clip_model.safetensors"))
    with pytest.raises(ModelError, match="names its own weights"):
        load(fast_profile, f"local-dir:{folder}", pretrained)


@pytest.mark.parametrize(
    ("model", "pretrained", "named"),
    [
        (
            "ViT-B-32",
            "datacomp_xl_s13b_b90k",
            "ViT-B-32 datacomp_xl_s13b_b90k (laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K/",
        ),
        ("ViT-B-32", "openai", "ViT-B-32 openai (timm/vit_base_patch32_clip_224.openai/"),
        ("hf-hub:org/missing", None, "org/missing/open_clip_model.safetensors are not in"),
    ],
)
def test_weights_that_the_hub_would_have(
    fast_profile: Profile, model: str, pretrained: str | None, named: str
) -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        load(fast_profile, model, pretrained)
    assert caught.value.message.startswith(f"the weights {named}")
    ways_on = ("segsearch models fetch", "path of a weights file", "--profile demo")
    assert all(way in caught.value.hint for way in ways_on)


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-B-33", "openai", "knows no weights 'openai' for ViT-B-33"),
        ("ViT-B-32", "opanai", "knows no weights 'opanai' for ViT-B-32"),
        ("ViT-B-33", "seeded:1", "open_clip cannot build ViT-B-33"),
        ("demo/clip_tiny.json", "nowhere.pt", "there is no such file"),
        ("demo/clip_huge.json", "seeded:1", "no model configuration 'demo/clip_huge.json'"),
    ],
)
def test_misspelt_names(fast_profile: Profile, model: str, pretrained: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(fast_profile, model, pretrained)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is no CLIP configuration: it lacks embed_dim, text_cfg, vision_cfg"),
        ("{}", "is no CLIP configuration: it lacks embed_dim, text_cfg, vision_cfg"),
        (json.dumps(DEMO).replace('"width"', '"widht"'), "open_clip cannot build RN50x64"),
    ],
)
def test_a_configuration_of_another_shape(
    fast_profile: Profile, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "RN50x64.json"  # open_clip has one of this name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        load(fast_profile, path, "seeded:1")
    assert load(fast_profile, "demo/clip_tiny.json", "seeded:2").dim == 128


def test_a_tokenizer_that_cannot_be_had(fast_profile: Profile, tmp_path: Path) -> None:
    text = TINY_TEXT | {"hf_tokenizer_name": "org/missing"}
    path = write_config(tmp_path / "tokens.json", text_cfg=text)
    with pytest.raises(ModelError, match="the tokenizer of tokens"):
        load(fast_profile, path, "seeded:1")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world" * 9, bytes(500)])
def test_files_that_hold_no_weights(
    fast_profile: Profile, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}(: | is not a weights file)"):
        load(fast_profile, "demo/clip_tiny.json", str(tmp_path / name))


@pytest.mark.parametrize("content", [{}, {"a": os.system}, {"visual.proj": torch.zeros(1)}])
def test_files_that_hold_something_else(
    fast_profile: Profile, tmp_path: Path, content: dict[str, object]
) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt(: | is not a weights file)") as caught:
        load(fast_profile, "demo/clip_tiny.json", str(tmp_path / "w.pt"))
    assert "weights_only" not in str(caught.value)
