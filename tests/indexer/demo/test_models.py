"""The demo models mean something: prompts give objects, and words find them."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.mask_figures import PromptFigures
from benchmarks.scene_truth import truth_of
from indexer.demo.scenes import HELD_OUT_PAIRS, DrawnObject, Scene, draw_scene
from indexer.embedding import Embedder
from indexer.profiles import configs_dir, load_profile
from indexer.segmentation.masks import encode, tight_box
from indexer.segmentation.segmenter import Segmenter

CPU = torch.device("cpu")
_SMALLEST = 640 * 512 // 100  # of the objects that are asked for, pixels


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in range(700_000, 700_004)]


@pytest.fixture(scope="module")
def demo_segmenter() -> Segmenter:
    demo = load_profile("demo")
    return Segmenter(demo.sam2, demo.masks, CPU)


def test_prompts_give_the_objects(demo_segmenter: Segmenter, scenes: list[Scene]) -> None:
    seen = PromptFigures()
    for scene in scenes:
        seen.see(demo_segmenter, scene.pixels, truth_of(scene))
    figures = seen.figures()
    assert figures["click_iou"].n > 25
    assert figures["click_iou"].value > 0.8  # random weights: 0.04
    assert figures["box_iou"].value > 0.75
    assert figures["refined_click_iou"].value > figures["click_iou"].value


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
    assert np.mean(right) > 0.8  # guessing would be right once in fifteen times
    colours = [_first(embedder, f"{c} {n}", vectors, truth)[0] == c for c, n in asked]
    assert np.mean(colours) > 0.85


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
