"""Drawn scenes: every pixel has one owner, and the seed decides everything."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import PIL.Image
import pytest

from indexer.demo.scenes import (
    CLASSES,
    COLOURS,
    HELD_OUT_PAIRS,
    PATTERNS,
    SIZE,
    Scene,
    _add_object,
    _background,
    _Canvas,
    draw_scene,
)
from indexer.demo.sprites import draw_sprite


@pytest.fixture(scope="module")
def training() -> list[Scene]:
    return [draw_scene(seed, "training") for seed in range(24)]


def test_objects_and_regions_cover_every_pixel_exactly_once(training: list[Scene]) -> None:
    for scene in training:
        masks = [*scene.regions, *(drawn.mask for drawn in scene.objects)]
        assert (np.sum(masks, axis=0, dtype=int) == 1).all()


def test_every_mask_shows_something_and_has_the_size_of_the_picture(training: list[Scene]) -> None:
    for scene in training:
        assert scene.pixels.shape == (512, 640, 3)
        assert scene.pixels.dtype == np.uint8
        for mask in [*scene.regions, *(drawn.mask for drawn in scene.objects)]:
            assert mask.shape == (512, 640)
            assert mask.dtype == np.bool_
            assert mask.sum() > 100


def test_scenes_have_one_or_two_regions_and_several_objects(training: list[Scene]) -> None:
    assert {len(scene.regions) for scene in training} == {1, 2}
    assert all(4 <= len(scene.objects) <= 14 for scene in training)
    assert np.mean([len(scene.objects) for scene in training]) > 8


def test_the_same_seed_gives_the_same_scene() -> None:
    first, second = draw_scene(7), draw_scene(7)
    assert first.jpeg == second.jpeg
    assert [drawn.name for drawn in first.objects] == [drawn.name for drawn in second.objects]
    assert np.array_equal(first.objects[0].mask, second.objects[0].mask)


def test_seeds_and_splits_differ() -> None:
    scenes = [draw_scene(0, "training"), draw_scene(0, "held-out"), draw_scene(1, "held-out")]
    assert len({scene.jpeg for scene in scenes}) == 3
    assert draw_scene(0).jpeg == scenes[1].jpeg


def test_the_jpeg_holds_the_pixels() -> None:
    scene = draw_scene(3)
    decoded = PIL.Image.open(io.BytesIO(scene.jpeg))
    assert decoded.format == "JPEG"
    assert decoded.size == SIZE == (640, 512)
    assert np.array_equal(np.asarray(decoded), scene.pixels)


def test_each_class_has_one_held_out_colour_and_each_colour_some_class() -> None:
    assert len(CLASSES) >= 24
    assert sorted(name for _, name in HELD_OUT_PAIRS) == sorted(CLASSES)
    per_colour = Counter(colour for colour, _ in HELD_OUT_PAIRS)
    assert set(per_colour) == set(COLOURS)
    assert set(per_colour.values()) == {2, 3}


def test_held_out_pairs_appear_only_in_held_out_scenes(training: list[Scene]) -> None:
    shown = {(drawn.colour, drawn.name) for scene in training for drawn in scene.objects}
    assert not shown & HELD_OUT_PAIRS
    held_out = [draw_scene(seed) for seed in range(4)]
    assert HELD_OUT_PAIRS & {(d.colour, d.name) for scene in held_out for d in scene.objects}


def test_every_class_colour_pattern_and_size_appears(training: list[Scene]) -> None:
    drawn = [drawn for scene in training for drawn in scene.objects]
    assert {each.name for each in drawn} == set(CLASSES)
    assert {each.colour for each in drawn} == set(COLOURS)
    assert {each.size for each in drawn} == {"small", "medium", "large"}
    patterns = Counter(each.pattern for each in drawn)
    assert set(patterns) == set(PATTERNS)
    assert 0.4 < patterns["plain"] / len(drawn) < 0.6


def test_size_follows_the_visible_extent(training: list[Scene]) -> None:
    areas = {"small": [0], "medium": [0], "large": [0]}
    for scene in training:
        for drawn in scene.objects:
            areas[drawn.size].append(int(drawn.mask.sum()))
    assert max(areas["small"]) < 100**2
    assert max(areas["medium"]) < 168**2
    assert np.mean(areas["small"]) < np.mean(areas["medium"]) < np.mean(areas["large"])


def test_nothing_may_hide_more_than_it_should() -> None:
    canvas = _Canvas(
        picture=PIL.Image.new("RGB", SIZE),
        owner=np.zeros((512, 640), dtype=np.uint8),
        tones=[np.zeros(3, dtype=np.float32)],
        areas=[1000, 100],
        visible=np.array([900, 50]),
        looks=[("star", "red", "plain", "small")],
    )
    assert canvas.may_take(np.array([600, 10]), "blue")  # 300 of 1000 and 40 of 100 are left
    assert not canvas.may_take(np.array([601, 10]), "blue")
    assert not canvas.may_take(np.array([600, 11]), "blue")
    assert not canvas.may_take(np.array([600, 10]), "red")  # on an object of its own colour
    assert canvas.may_take(np.array([600, 0]), "red")


def test_every_object_stays_at_least_40_percent_visible() -> None:
    rng = np.random.default_rng(0)
    canvas = _background(rng)
    for _ in range(14):
        _add_object(rng, canvas, "training")
    shown = np.bincount(canvas.owner.ravel())
    assert np.array_equal(shown, canvas.visible)
    assert (shown[len(canvas.tones) :] >= 0.4 * np.array(canvas.areas[len(canvas.tones) :])).all()


@pytest.mark.parametrize("name", CLASSES)
def test_an_outline_fills_the_length_asked_for(name: str) -> None:
    sprite = draw_sprite(np.random.default_rng(0), name, "red", "plain", 100)
    left, top, right, bottom = sprite.box
    # Turned by up to 45 degrees: the box may be wider than the outline, or narrower.
    assert 65 <= max(right - left, bottom - top) <= 145
    alpha = np.asarray(sprite.alpha)
    inside = alpha[top:bottom, left:right]
    assert int((inside >= 128).sum()) == int((alpha >= 128).sum()) > 800


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_named_colour_dominates(colour: str, pattern: str) -> None:
    sprite = draw_sprite(np.random.default_rng(1), "heart", colour, pattern, 200)
    surface = np.asarray(sprite.pixels)[np.asarray(sprite.alpha) >= 128].astype(float)
    names = list(COLOURS)
    tones = np.array([COLOURS[name] for name in names], dtype=float)
    distance = np.linalg.norm(surface[:, None, :] - tones[None], axis=2)
    share = Counter(names[i] for i in distance.argmin(axis=1))
    assert share.most_common(1)[0][0] == colour
