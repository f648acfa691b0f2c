"""Batches for the demo SAM 2: augmented scenes, prompts on them, and the masks they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.scene_truth import innermost
from indexer.segmentation.masks import encode, tight_box
from training.scenes import FIRST_OBJECT, Labels, Pixels, Shards

#: What the prompts of a batch are: one click, a box, or a click that a second one corrects.
Kind = Literal["click", "box", "refined"]

#: Mean and standard deviation of ImageNet's pixels, as `sam2.utils.transforms` takes them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Masks are predicted on a grid this many times coarser than the model's input.
MASK_STRIDE = 4
#: Pixels of the model's input per cell of its embedding.
CELL = 16
#: Parts that show fewer pixels than this, at half the model's scale, are not asked for.
_MIN_PIXELS = 40
_BACKGROUND_SHARE = 0.15
_CENTRAL_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class Prompts:
    """What is asked of one picture.

    Attributes:
        kind: of all its prompts.
        origin: row and column of the window in its picture, in cells of the embedding.
        coverage: (L, s, s) in [0, 1]: how much of each mask pixel each part of the scene covers.
        wanted: (P,) the part that each prompt asks for.
        points: (P, N, 2), (x, y) in pixels of the window.
        point_labels: (P, N) int32: 1 for a click, 2 and 3 for the corners of a box.
        anchors: (K, 3) int64: a part, and row and column of a mask pixel in it.
    """

    kind: Kind
    origin: tuple[int, int]
    coverage: Tensor
    wanted: Tensor
    points: Tensor
    point_labels: Tensor
    anchors: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows of pictures (B, 3, S, S), normalised as SAM 2 does, and what is asked of each."""

    pictures: Tensor
    prompts: tuple[Prompts, ...]


@dataclass(frozen=True)
class BatchShape:
    """How large a batch is.

    Attributes:
        pictures: in the batch.
        side: of each picture, pixels.
        window: side of the part of it that is shown, pixels; a multiple of the coarsest stride.
        prompts: per picture.
        anchors: per picture.
        jitter: standard deviation of the corners of boxes, as a share of the boxes' sides.
    """

    pictures: int
    side: int
    window: int
    prompts: int
    anchors: int
    jitter: float = 0.04


def draw_batch(
    shards: Shards, shape: BatchShape, shares: dict[Kind, float], rng: np.random.Generator
) -> Batch:
    """Draw a batch of augmented scenes; the generator decides everything.

    Args:
        shards: the scenes.
        shape: how large the batch is.
        shares: the chance of each kind of prompts, picture by picture.
        rng: the generator.
    """
    kinds, chances = list(shares), list(shares.values())
    pictures: list[Tensor] = []
    prompts: list[Prompts] = []
    while len(pictures) < shape.pictures:
        pixels, labels, _ = shards.scene(int(rng.integers(len(shards))))
        pixels, labels = _augment(pixels, labels, shape.side, rng)
        origin = _origin(shape, rng)
        pixels, labels = _window(pixels, labels, shape.window, origin)
        if _parts(labels)[-1] < FIRST_OBJECT:
            continue  # the window holds no object
        pictures.append(normalised(pixels))
        kind = kinds[int(rng.choice(len(kinds), p=chances))]
        prompts.append(_ask(labels, shape, kind, origin, rng))
    return Batch(torch.stack(pictures), tuple(prompts))


def _origin(shape: BatchShape, rng: np.random.Generator) -> tuple[int, int]:
    """Return row and column of a window, in cells of the embedding."""
    places = (shape.side - shape.window) // CELL + 1
    return int(rng.integers(places)), int(rng.integers(places))


def _window(
    pixels: Pixels, labels: Labels, side: int, origin: tuple[int, int]
) -> tuple[Pixels, Labels]:
    """Cut a window out of pixels and of labels, which are of half their scale."""
    top, left = (place * CELL for place in origin)
    shown = pixels[top : top + side, left : left + side]
    top, left, side = top // 2, left // 2, side // 2
    return shown, labels[top : top + side, left : left + side]


def normalised(pixels: Pixels) -> Tensor:
    """Make RGB pixels (side, side, 3) the model's input (3, side, side)."""
    picture = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    return (picture - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def _augment(
    pixels: Pixels, labels: Labels, side: int, rng: np.random.Generator
) -> tuple[Pixels, Labels]:
    """Cut out, scale, flip and recolour a scene.

    Returns:
        pixels (side, side, 3), and labels at half that scale: all that masks need.
    """
    height, width = labels.shape
    if rng.random() < 0.5:  # noqa: PLR2004  half of them stay whole
        rows, columns = (int(length * rng.uniform(0.6, 1.0)) for length in (height, width))
        top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        window = slice(top, top + rows), slice(left, left + columns)
        pixels, labels = pixels[window], labels[window]
    pixels = _resized(pixels, side, cv2.INTER_AREA)
    labels = _resized(labels, side // 2, cv2.INTER_NEAREST_EXACT)
    flip_x, flip_y = (int(step) for step in rng.choice([1, -1], size=2))
    gain = rng.uniform(0.8, 1.2, size=3) * rng.uniform(0.8, 1.2)
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)
    channels = rng.permutation(3)
    recoloured = np.stack([table[:, i][pixels[..., channels[i]]] for i in range(3)], axis=-1)
    flipped = recoloured[::flip_y, ::flip_x], labels[::flip_y, ::flip_x]
    return np.ascontiguousarray(flipped[0]), np.ascontiguousarray(flipped[1])


def _resized(array: NDArray[np.uint8], side: int, interpolation: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(array, (side, side), interpolation=interpolation), dtype=np.uint8)


def _ask(
    labels: Labels,
    shape: BatchShape,
    kind: Kind,
    origin: tuple[int, int],
    rng: np.random.Generator,
) -> Prompts:
    parts = _parts(labels)
    masks = labels == parts[:, None, None].astype(np.uint8)
    coverage = F.avg_pool2d(torch.from_numpy(masks).float(), MASK_STRIDE // 2)
    wanted = _draw_parts(parts, shape.prompts, rng)
    point_labels = [2, 3] if kind == "box" else [1]
    points = np.empty((shape.prompts, len(point_labels), 2))
    for i, part in enumerate(wanted):
        if kind == "box":
            points[i] = _box(masks[part], shape.jitter, rng)
        else:
            points[i] = _click(masks[part], rng)
    return Prompts(
        kind,
        origin,
        coverage,
        torch.from_numpy(wanted),
        torch.from_numpy(points * 2).float(),
        torch.tensor(point_labels, dtype=torch.int32).repeat(shape.prompts, 1),
        _draw_anchors(coverage, _draw_parts(parts, shape.anchors, rng), rng),
    )


def _parts(labels: Labels) -> NDArray[np.int64]:
    """Return the labels that show enough to be asked for, in order."""
    return np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256) >= _MIN_PIXELS)


def _draw_parts(
    parts: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return `count` positions in `parts`: mostly objects, each as likely; some background."""
    objects = parts >= FIRST_OBJECT
    share = np.where(objects, (1 - _BACKGROUND_SHARE) / objects.sum(), 0.0)
    if not objects.all():
        share[~objects] = _BACKGROUND_SHARE / (~objects).sum()
    return rng.choice(len(parts), size=count, p=share / share.sum())


def _click(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a click on the mask, (x, y) in its pixels, shape (1, 2)."""
    if rng.random() < _CENTRAL_SHARE:
        column, row = innermost(mask)
    else:
        inside = np.flatnonzero(mask)
        row, column = divmod(int(inside[rng.integers(len(inside))]), mask.shape[1])
    # halfway from the pixel's corner to its middle, which is a pixel's middle at the model's scale
    return np.array([[column, row]], dtype=np.float64) + 0.25


def _box(mask: NDArray[np.bool_], jitter: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the shaken corners of the mask's tight box, (x, y) in its pixels, shape (2, 2)."""
    low, high = np.array(tight_box(encode(mask))).reshape(2, 2)
    shift = rng.normal(0, jitter, size=(2, 2)).clip(-0.1, 0.1) * (high - low)
    corners: NDArray[np.float64] = np.stack([low, high]) + shift
    return corners.clip(0, np.array(mask.shape[::-1]))


def _draw_anchors(coverage: Tensor, chosen: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
    """Return (K, 3): each chosen part with a mask pixel that is well inside it."""
    inside = [np.flatnonzero(part > part.max() * 0.6) for part in coverage.flatten(1).numpy()]
    places = np.array([inside[part][int(rng.integers(len(inside[part])))] for part in chosen])
    side = coverage.shape[-1]
    return torch.from_numpy(np.stack([chosen, places // side, places % side], axis=1))
