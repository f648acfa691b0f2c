"""The vectors against open_clip's own, on the same weights and pictures."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from indexer.crops import Crop
from indexer.embedding import Embedder, blend
from indexer.errors import OutOfDeviceMemory
from indexer.profiles import Profile, configs_dir
from indexer.records import Vector
from indexer.work import BATCH_SIZE

CPU = torch.device("cpu")
#: The demo CLIP: 48 pixels, 6 × 6 patches.
SIDE, PATCHES, DIM = 48, 6, 128


@pytest.fixture(scope="module")
def reference() -> open_clip.CLIP:
    """The demo CLIP as open_clip loads it from the same file."""
    demo = configs_dir() / "demo"
    open_clip.add_model_config(demo / "clip_tiny.json")
    return open_clip.create_model(
        "clip_tiny", pretrained=str(demo / "clip_tiny.safetensors"), weights_only=True
    ).eval()


@pytest.fixture(scope="module")
def crops() -> list[Crop]:
    """Three crops of noise, with masks of 20, 6 and 4 patches."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (3, SIDE, SIDE, 3), dtype=np.uint8)
    touched = np.zeros((3, PATCHES, PATCHES), dtype=np.bool_)
    touched[0, 2:6, 1:6] = True
    touched[1, 5] = True
    touched[2, [0, 3, 3, 5], [0, 3, 4, 5]] = True
    return [Crop(*pair) for pair in zip(pixels, touched, strict=True)]


def weighted(profile: Profile, focus_weight: float) -> Embedder:
    return Embedder(dataclasses.replace(profile.clip, focus_weight=focus_weight), CPU)


def seeded(profile: Profile, seed: int) -> Embedder:
    return Embedder(dataclasses.replace(profile.clip, pretrained=f"seeded:{seed}"), CPU)


def normalised(crops: list[Crop], visual: open_clip.transformer.VisionTransformer) -> torch.Tensor:
    """Return the crops as the images that open_clip's own preprocessing makes of them."""
    preprocess = open_clip.image_transform(
        SIDE, is_train=False, **{key: visual.preprocess_cfg[key] for key in ("mean", "std")}
    )
    return torch.stack([preprocess(PIL.Image.fromarray(crop.pixels)) for crop in crops])


@torch.inference_mode()
def context_of(model: open_clip.CLIP, crops: list[Crop]) -> Vector:
    rows = model.encode_image(normalised(crops, model.visual), normalize=True)
    return np.asarray(rows.numpy())


@torch.inference_mode()
def focus_of(model: open_clip.CLIP, crops: list[Crop]) -> Vector:
    """Run the whole last block with a mask: its class token sees the touched patches alone."""
    visual = model.visual
    tokens = visual._embeds(normalised(crops, visual))
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    mask = torch.zeros(len(crops), tokens.shape[1], tokens.shape[1])
    for i, crop in enumerate(crops):
        seen = np.concatenate([[False], crop.touched.ravel()])
        mask[i, 0, torch.from_numpy(~seen)] = -math.inf
    tokens = last(tokens, attn_mask=mask.repeat_interleave(last.attn.num_heads, dim=0))
    rows = visual.ln_post(tokens)[:, 0] @ visual.proj
    return np.asarray(torch.nn.functional.normalize(rows, dim=-1).numpy())


def test_what_it_says_of_itself(embedder: Embedder) -> None:
    assert (embedder.dim, embedder.image_size, embedder.patches) == (DIM, SIDE, PATCHES)


def test_context_is_open_clips_own(
    fast_profile: Profile, reference: open_clip.CLIP, crops: list[Crop]
) -> None:
    vectors = weighted(fast_profile, 0.0).vectors(crops)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, context_of(reference, crops), atol=1e-5)


def test_focus_is_the_last_block_limited_to_the_mask(
    fast_profile: Profile, reference: open_clip.CLIP, crops: list[Crop]
) -> None:
    vectors = weighted(fast_profile, 1.0).vectors(crops)
    np.testing.assert_allclose(vectors, focus_of(reference, crops), atol=1e-5)
    assert (np.abs(vectors - context_of(reference, crops)).max(axis=1) > 0.01).all()


def test_the_stored_vector_is_the_blend(
    fast_profile: Profile, reference: open_clip.CLIP, crops: list[Crop]
) -> None:
    blend = 0.7 * context_of(reference, crops) + 0.3 * focus_of(reference, crops)
    blend /= np.linalg.norm(blend, axis=1, keepdims=True)
    np.testing.assert_allclose(weighted(fast_profile, 0.3).vectors(crops), blend, atol=1e-5)


def test_both_views_apart(embedder: Embedder, reference: open_clip.CLIP, crops: list[Crop]) -> None:
    context, focus = embedder.views(crops)
    np.testing.assert_allclose(context, context_of(reference, crops), atol=1e-5)
    np.testing.assert_allclose(focus, focus_of(reference, crops), atol=1e-5)
    np.testing.assert_array_equal(blend(context, focus, 0.7), embedder.vectors(crops))
    assert [view.shape for view in embedder.views([])] == [(0, DIM)] * 2


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_below_four_patches_focus_is_context(
    fast_profile: Profile, reference: open_clip.CLIP, crops: list[Crop], count: int
) -> None:
    touched = np.arange(PATCHES * PATCHES).reshape(PATCHES, PATCHES) % 7 == 0
    touched &= np.cumsum(touched).reshape(touched.shape) <= count
    assert touched.sum() == count
    crop = Crop(crops[0].pixels, touched)
    difference = weighted(fast_profile, 1.0).vectors([crop]) - context_of(reference, [crop])
    assert (np.abs(difference).max() < 1e-5) == (count < 4)


def test_the_crop_is_not_changed(embedder: Embedder, crops: list[Crop]) -> None:
    few = np.zeros((PATCHES, PATCHES), dtype=np.bool_)
    few[0, 0] = True
    crop = Crop(crops[0].pixels.copy(), few)
    embedder.vectors([crop])
    assert crop.touched.sum() == 1
    np.testing.assert_array_equal(crop.pixels, crops[0].pixels)


def test_the_batch_does_not_matter(embedder: Embedder, crops: list[Crop]) -> None:
    untouched = Crop(crops[1].pixels, np.zeros((PATCHES, PATCHES), dtype=np.bool_))
    some = [*crops, untouched]
    many = (some * BATCH_SIZE)[: BATCH_SIZE + 3]
    single = np.concatenate([embedder.vectors([crop]) for crop in some])
    np.testing.assert_allclose(embedder.vectors(some), single, atol=1e-5)
    together = embedder.vectors(many)
    assert together.shape == (BATCH_SIZE + 3, DIM)
    for i in (0, 1, 2, 3, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 2):
        np.testing.assert_allclose(together[i], single[i % 4], atol=1e-5)


def limit_memory(embedder: Embedder, most: int, passed: list[int]) -> None:
    """Let the embedder run out of memory beyond `most` crops; note the batches that went well."""

    def check(_: object, images: tuple[torch.Tensor]) -> None:
        if len(images[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        passed.append(len(images[0]))

    embedder.upstream.visual.conv1.register_forward_pre_hook(check)


def test_batches_are_halved_until_they_fit(fast_profile: Profile, crops: list[Crop]) -> None:
    many = (crops * 5)[:13]
    expected = Embedder(fast_profile.clip, CPU, batch_size=3).vectors(many)
    tight, passed = Embedder(fast_profile.clip, CPU, batch_size=12), list[int]()
    limit_memory(tight, 5, passed)
    np.testing.assert_array_equal(tight.vectors(many), expected)
    assert passed == [3, 3, 3, 3, 1]
    passed.clear()
    tight.vectors(many[:6])  # begins with what fitted
    assert passed == [3, 3]


def test_a_single_crop_does_not_fit(fast_profile: Profile, crops: list[Crop]) -> None:
    tight, passed = Embedder(fast_profile.clip, CPU), list[int]()
    limit_memory(tight, 0, passed)
    with pytest.raises(OutOfDeviceMemory, match="one crop for CLIP does not fit"):
        tight.vectors(crops)
    assert passed == []


def test_bfloat16_gives_nearly_the_same_vectors(
    embedder: Embedder, fast_profile: Profile, crops: list[Crop]
) -> None:
    rough = Embedder(fast_profile.clip, CPU, torch.bfloat16)
    words = ["red circle", "a blue star"]
    for exact, found in (
        (embedder.vectors(crops), rough.vectors(crops)),
        (embedder.texts(words), rough.texts(words)),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        assert (exact * found).sum(axis=1).min() >= 0.99
        assert np.abs(exact - found).max() > 1e-5  # it did compute with less
    assert rough.text("red").dtype == np.float32
    assert rough.vector_space() == embedder.vector_space()


def test_no_crops(embedder: Embedder) -> None:
    vectors = embedder.vectors([])
    assert vectors.shape == (0, DIM)
    assert vectors.dtype == np.float32


def test_vectors_have_length_1(embedder: Embedder, crops: list[Crop]) -> None:
    rows = [*embedder.vectors(crops), embedder.text("red circle"), *embedder.texts(["a", "b"])]
    np.testing.assert_allclose([np.linalg.norm(row) for row in rows], 1, atol=1e-5)


def test_text_is_the_normalised_mean_over_the_templates(
    fast_profile: Profile, reference: open_clip.CLIP
) -> None:
    templates = ("a {}.", "{}, or a {}?", "{}")
    embedder = Embedder(dataclasses.replace(fast_profile.clip, templates=templates), CPU)
    sentences = ["a red circle.", "red circle, or a red circle?", "red circle"]
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("clip_tiny")(sentences)
        rows = np.asarray(reference.encode_text(tokens, normalize=True).numpy())
    mean = rows.mean(axis=0)
    np.testing.assert_allclose(embedder.texts(sentences), rows, atol=1e-6)
    text = embedder.text("red circle")
    np.testing.assert_allclose(text, mean / np.linalg.norm(mean), atol=1e-6)
    assert text.shape == (DIM,)
    assert text.dtype == np.float32


@pytest.mark.parametrize("words", ["", "{}", "{0} {x}", "ü 日本 🍓", "word " * 500])
def test_any_text_has_a_vector(embedder: Embedder, words: str) -> None:
    assert np.isfinite(embedder.text(words)).all()


def test_the_seed_decides_the_vectors(fast_profile: Profile, crops: list[Crop]) -> None:
    state = torch.get_rng_state()
    one, same, other = (seeded(fast_profile, seed) for seed in (2, 2, 3))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(same.vectors(crops), one.vectors(crops))
    np.testing.assert_array_equal(same.text("a"), one.text("a"))
    assert same.vector_space() == one.vector_space()
    assert np.abs(other.vectors(crops) - one.vectors(crops)).max() > 0.01
    assert other.vector_space()["weights"] != one.vector_space()["weights"]


def test_a_seeded_model_is_built_without_a_word(
    fast_profile: Profile, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    seeded(fast_profile, 2)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert capfd.readouterr() == ("", "")


def test_a_segment_and_what_is_around_it(embedder: Embedder, scene: NDArray[np.uint8]) -> None:
    picture = PIL.Image.fromarray(scene)
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[40:60, 30:70] = True
    crop = embedder.crop_segment(picture, mask, (30, 40, 70, 60))
    expected = picture.resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC, box=(26, 26, 74, 74))
    np.testing.assert_array_equal(crop.pixels, np.asarray(expected))
    # the crop is 1.2 × 40 = 48 pixels wide; the mask covers 4 to 44 of them, and 14 to 34 downwards
    rows, columns = np.nonzero(crop.touched)
    assert (set(rows.tolist()), set(columns.tolist())) == ({1, 2, 3, 4}, {0, 1, 2, 3, 4, 5})
    assert crop.touched.sum() == 24


def test_another_margin_and_other_surroundings(
    embedder: Embedder, scene: NDArray[np.uint8], reference: open_clip.CLIP
) -> None:
    picture = PIL.Image.fromarray(scene)
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[40:60, 30:70] = True
    box = (30, 40, 70, 60)
    tight = embedder.crop_segment(picture, mask, box, 1.0)
    expected = picture.resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC, box=(30, 30, 70, 70))
    np.testing.assert_array_equal(tight.pixels, np.asarray(expected))
    np.testing.assert_array_equal(
        embedder.crop_segment(picture, mask, box, 1.2).pixels,
        embedder.crop_segment(picture, mask, box).pixels,
    )
    mean = [round(255 * value) for value in reference.visual.preprocess_cfg["mean"]]
    plain = embedder.crop_segment(picture, mask, box, 1.0, "mean")
    assert (plain.pixels[:10] == mean).all()  # the mask begins at row 12 of 48
    np.testing.assert_array_equal(plain.pixels[16:32], tight.pixels[16:32])
    np.testing.assert_array_equal(plain.touched, tight.touched)
    blurred = embedder.crop_segment(picture, mask, box, 1.0, "blurred")
    np.testing.assert_array_equal(blurred.pixels[16:32], tight.pixels[16:32])
    assert not np.array_equal(blurred.pixels[:10], tight.pixels[:10])


def test_a_whole_picture_is_padded_with_the_mean(
    embedder: Embedder, scene: NDArray[np.uint8], reference: open_clip.CLIP
) -> None:
    crop = embedder.crop_picture(PIL.Image.fromarray(scene[:80]))
    mean = [round(255 * value) for value in reference.visual.preprocess_cfg["mean"]]
    assert (crop.pixels[:12] == mean).all()  # 160 × 80 in 48 × 48: bands of 12
    assert (crop.pixels[36:] == mean).all()
    assert not (crop.pixels[12:36] == mean).all(axis=2).any()
    assert crop.touched.tolist() == [[0 < i < 5] * 6 for i in range(6)]


def test_a_picture_read_twice(embedder: Embedder, scene: NDArray[np.uint8]) -> None:
    first, second = (
        embedder.vectors([embedder.crop_picture(PIL.Image.fromarray(scene.copy()))])
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_the_vector_space_changes_with_what_changes_vectors(
    embedder: Embedder, fast_profile: Profile, tmp_path: Path
) -> None:
    space = embedder.vector_space()
    assert json.loads(json.dumps(space)) == space
    assert space.keys() == {
        *("model", "config", "weights", "dim", "image_size", "mean", "std"),
        *("crop", "crop_margin", "focus_weight"),
    }

    def changed(**changes: Any) -> dict[str, object]:  # noqa: ANN401
        other = Embedder(dataclasses.replace(fast_profile.clip, **changes), CPU).vector_space()
        return {key: other[key] for key in space if other[key] != space[key]}

    assert changed(crop_margin=2.0) == {"crop_margin": 2.0}
    assert changed(focus_weight=0.25) == {"focus_weight": 0.25}
    assert changed(pretrained="seeded:3").keys() == {"weights"}
    assert changed(templates=("{}",)) == {}  # of queries alone

    text = (configs_dir() / "demo" / "clip_tiny.json").read_text(encoding="utf-8")
    path = tmp_path / "clip_tiny.json"
    path.write_text(json.dumps(json.loads(text)), encoding="utf-8")
    assert changed(model=str(path)) == {}  # where the file lies does not matter
    path.write_text(text.replace('"head_width": 32', '"head_width": 64'), encoding="utf-8")
    assert changed(model=str(path)).keys() == {"config"}  # the weights are of the same shapes
