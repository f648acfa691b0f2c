"""The demo models mean something: prompts give objects, and words find them."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.scene_truth import iou
from indexer.demo.scenes import HELD_OUT_PAIRS, DrawnObject, Scene, draw_scene
from indexer.embedding import Embedder
from indexer.profiles import configs_dir, load_profile
from indexer.segmentation.masks import encode, tight_box
from indexer.segmentation.segmenter import Prompt, Segmenter

CPU = torch.device("cpu")
_SMALLEST = 640 * 512 // 100  # of the objects that are asked for, pixels


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in range(700_000, 700_004)]


@pytest.fixture(scope="module")
def demo_segmenter() -> Segmenter:
    demo = load_profile("demo")
    return Segmenter(demo.sam2, demo.masks, CPU)


def test_clicks_give_most_of_the_objects(demo_segmenter: Segmenter, scenes: list[Scene]) -> None:
    ious = []
    for scene in scenes:
        embedded = demo_segmenter.embed(scene.pixels)
        for drawn in scene.objects:
            point = Prompt(points=(_middle(drawn.mask),))
            ious.append(iou(demo_segmenter.prompt(embedded, point).mask, drawn.mask))
    assert len(ious) > 25
    assert np.mean(ious) > 0.65  # random weights: 0.04


def test_words_find_true_segments(embedder: Embedder, scenes: list[Scene]) -> None:
    crops, truth = [], []
    for scene in scenes:
        picture = PIL.Image.fromarray(scene.pixels)
        for drawn in _large(scene):
            crops.append(embedder.crop_segment(picture, drawn.mask, tight_box(encode(drawn.mask))))
            truth.append((drawn.colour, drawn.name))
    vectors = embedder.vectors(crops)
    asked = sorted(set(truth) - HELD_OUT_PAIRS)
    right = [_first(embedder, f"{c} {n}", vectors, truth) == (c, n) for c, n in asked]
    assert len(asked) > 15
    assert np.mean(right) > 0.5  # guessing would be right once in fifteen times
    colours = [_first(embedder, f"{c} {n}", vectors, truth)[0] == c for c, n in asked]
    assert np.mean(colours) > 0.7


def test_the_weights_are_small_enough_for_the_repository() -> None:
    files = list((configs_dir() / "demo").glob("*.safetensors"))
    assert len(files) == 2
    assert sum(path.stat().st_size for path in files) <= 20_000_000


def _large(scene: Scene) -> list[DrawnObject]:
    return [drawn for drawn in scene.objects if drawn.mask.sum() >= _SMALLEST]


def _first(
    embedder: Embedder, words: str, vectors: NDArray[np.float32], truth: list[tuple[str, str]]
) -> tuple[str, str]:
    return truth[int((vectors @ embedder.text(words)).argmax())]


def _middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the pixel of the mask that is nearest to its centre."""
    rows, columns = np.nonzero(mask)
    away = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
    nearest = int(away.argmin())
    return float(columns[nearest]), float(rows[nearest])
