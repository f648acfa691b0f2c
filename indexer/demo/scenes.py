"""Seeded scenes of drawn objects, with the truth about every pixel.

They stand in for photographs: to train and to try the tiny demo models, and to measure masks
and search where every answer is known.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageFilter
from numpy.typing import NDArray

from indexer.demo.backgrounds import draw_background, draw_border
from indexer.demo.classes import SHAPES
from indexer.demo.coco import coco_annotations
from indexer.demo.fills import COLOURS, PATTERNS, Floats
from indexer.demo.sprites import LONGEST_SIDE, Sprite, draw_sprite

__all__ = [
    "CLASSES", "COLOURS", "HELD_OUT_PAIRS", "PATTERNS", "SIZE", "DrawnObject", "Scene", "Split",
    "draw_scene", "write_library",
]  # fmt: skip

Split = Literal["training", "held-out"]
Mask = NDArray[np.bool_]

#: Width and height of every picture, pixels.
SIZE = (640, 512)
CLASSES: tuple[str, ...] = tuple(SHAPES)
#: Pairs of a colour and a class that no training scene shows, one for every class.
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    (list(COLOURS)[i * 3 % len(COLOURS)], name) for i, name in enumerate(CLASSES)
)
#: Longest sides, pixels: below the first an object is small, below the second it is medium.
SIZE_LIMITS = (100.0, 168.0)
#: The least share of an object that later objects and the picture's border leave visible.
LEAST_VISIBLE = 0.4
_LEAST_BACKGROUND = 0.3
_OBJECT_COUNT = (6, 14)
_TRIES_PER_OBJECT = 12
#: How far an object may reach over the picture's border, as a share of its own extent.
_OVERHANG = 0.15
_CHANCE_OF_TABLE = 0.35
_CHANCE_OF_PLAIN = 0.5
_CHANCE_OF_BLUR = 0.35
#: Least distance in RGB (0 to 255) between an object's main colour and a background's mean.
_STAND_OUT = 75.0


@dataclass(frozen=True)
class DrawnObject:
    """One object of a scene.

    Attributes:
        name: One of `CLASSES`.
        colour: One of `COLOURS`; the colour of most of its surface.
        pattern: One of `PATTERNS`.
        size: "small", "medium" or "large", by its longest side.
        mask: Its visible pixels, bool of shape (height, width).
    """

    name: str
    colour: str
    pattern: str
    size: str
    mask: Mask


@dataclass(frozen=True)
class Scene:
    """A drawn picture; the masks of its objects and regions cover every pixel exactly once.

    Attributes:
        seed: The seed that it was drawn from.
        split: Whether it may show the pairs that training scenes never show.
        pixels: RGB, uint8 of shape (height, width, 3).
        objects: Back to front.
        regions: The visible background, bool masks of shape (height, width): the whole
            backdrop, or the wall and the table.
        jpeg: The file that the pixels were decoded from.
    """

    seed: int
    split: Split
    pixels: NDArray[np.uint8]
    objects: tuple[DrawnObject, ...]
    regions: tuple[Mask, ...]
    jpeg: bytes = field(repr=False)


def draw_scene(seed: int, split: Split = "held-out") -> Scene:
    """Draw the scene of that seed; seed and split decide everything."""
    rng = np.random.default_rng([0 if split == "training" else 1, seed])
    canvas = _background(rng)
    for _ in range(int(rng.integers(_OBJECT_COUNT[0], _OBJECT_COUNT[1] + 1))):
        _add_object(rng, canvas, split)
    jpeg = _photographed(rng, canvas.picture)
    pixels = np.asarray(PIL.Image.open(io.BytesIO(jpeg)).convert("RGB"))
    masks = [canvas.owner == label for label in range(len(canvas.areas))]
    regions = tuple(masks[: len(canvas.tones)])
    shown = zip(canvas.looks, masks[len(regions) :], strict=True)
    objects = tuple(DrawnObject(*looks, mask) for looks, mask in shown)
    return Scene(seed, split, pixels, objects, regions, jpeg)


def write_library(folder: Path, count: int, split: Split = "held-out") -> list[Path]:
    """Write scenes 0 to count − 1 and the truth about them, in COCO's format.

    Args:
        folder: Gets scene-000.jpg and so on, and annotations.json.
        count: Number of scenes.
        split: Which scenes.

    Returns:
        The paths of the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scene-{seed:03d}.jpg" for seed in range(count)]
    scenes = (_written(path, draw_scene(seed, split)) for seed, path in enumerate(paths))
    truth = coco_annotations([path.name for path in paths], scenes, CLASSES)
    (folder / "annotations.json").write_text(json.dumps(truth), encoding="utf-8")
    return paths


def _written(path: Path, scene: Scene) -> Scene:
    path.write_bytes(scene.jpeg)
    return scene


@dataclass
class _Canvas:
    """A scene in the making.

    Labels count from 0: first the regions, then the objects.

    Attributes:
        picture: What is drawn so far, mode RGB.
        owner: The label that each pixel shows, uint8 of shape (height, width).
        tones: Each region's mean colour.
        looks: Each object's class, colour, pattern and size.
        areas: What each label covers, in pixels, with what the border and later objects hide.
        visible: What each label shows, in pixels.
    """

    picture: PIL.Image.Image
    owner: NDArray[np.uint8]
    tones: list[Floats]
    areas: list[int]
    visible: NDArray[np.int64]
    looks: list[tuple[str, str, str, str]] = field(default_factory=list)

    def may_take(self, taken: NDArray[np.int64], colour: str) -> bool:
        """Return whether an object of that colour may hide so many pixels of each label.

        It must leave enough of each, and not lie on an object of its own colour, where its
        edge would be hard to see.
        """
        regions = len(self.tones)
        least = np.array(self.areas) * LEAST_VISIBLE
        least[:regions] *= _LEAST_BACKGROUND / LEAST_VISIBLE
        alike = [looks[1] == colour for looks in self.looks]
        too_much = (self.visible - taken < least) & (taken > 0)
        return not too_much.any() and not (taken[regions:] > 0)[alike].any()


def _background(rng: np.random.Generator) -> _Canvas:
    """Return a canvas with one region, or two of them: wall and table."""
    picture = draw_background(rng, SIZE)
    owner = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    if rng.random() < _CHANCE_OF_TABLE:
        table = draw_border(rng, SIZE)
        picture.paste(draw_background(rng, SIZE), mask=PIL.Image.fromarray(table))
        owner[table] = 1
    areas = np.bincount(owner.ravel())
    sample, labels = np.asarray(picture)[::4, ::4], owner[::4, ::4]
    tones = [sample[labels == label].mean(axis=0, dtype=np.float32) for label in range(len(areas))]
    return _Canvas(picture, owner, tones, areas.tolist(), areas)


def _add_object(rng: np.random.Generator, canvas: _Canvas, split: Split) -> None:
    """Add one object, or none if no place is found for it."""
    name, colour = _pair(rng, canvas, split)
    plain = rng.random() < _CHANCE_OF_PLAIN
    pattern = PATTERNS[0] if plain else PATTERNS[int(rng.integers(1, len(PATTERNS)))]
    longest = math.exp(rng.uniform(math.log(LONGEST_SIDE[0]), math.log(LONGEST_SIDE[1])))
    sprite = draw_sprite(rng, name, colour, pattern, longest)
    solid = np.asarray(sprite.alpha) >= 128  # noqa: PLR2004
    whole = int(solid.sum())
    for _ in range(_TRIES_PER_OBJECT):
        left, top = _place(rng, sprite)
        beneath = canvas.owner[max(0, top) : top + solid.shape[0], max(0, left) :]
        beneath = beneath[:, : solid.shape[1] + min(0, left)]
        mask = solid[max(0, -top) :, max(0, -left) :][: beneath.shape[0], : beneath.shape[1]]
        taken = np.bincount(beneath[mask], minlength=len(canvas.areas))
        if taken.sum() < LEAST_VISIBLE * whole or not canvas.may_take(taken, colour):
            continue
        canvas.picture.paste((0, 0, 0), (left, top), sprite.shadow)
        canvas.picture.paste(sprite.pixels, (left, top), sprite.alpha)
        beneath[mask] = len(canvas.areas)
        canvas.visible = np.append(canvas.visible - taken, taken.sum())
        canvas.areas.append(whole)
        size = ("small", "medium", "large")[int(np.searchsorted(SIZE_LIMITS, longest))]
        canvas.looks.append((name, colour, pattern, size))
        return


def _pair(rng: np.random.Generator, canvas: _Canvas, split: Split) -> tuple[str, str]:
    """Return a class and a colour that stands out from the background and is allowed."""
    name = CLASSES[int(rng.integers(len(CLASSES)))]
    colours = [
        colour
        for colour, rgb in COLOURS.items()
        if all(np.linalg.norm(tone - np.array(rgb)) >= _STAND_OUT for tone in canvas.tones)
        and not (split == "training" and (colour, name) in HELD_OUT_PAIRS)
    ]
    return name, colours[int(rng.integers(len(colours)))]


def _place(rng: np.random.Generator, sprite: Sprite) -> tuple[int, int]:
    """Return where the sprite's patch begins in the picture: left and top, pixels."""
    starts = []
    for axis in (0, 1):
        low, high = sprite.box[axis], sprite.box[axis + 2]
        over = _OVERHANG * (high - low)
        starts.append(round(float(rng.uniform(-over, SIZE[axis] - (high - low) + over))) - low)
    return starts[0], starts[1]


def _photographed(rng: np.random.Generator, picture: PIL.Image.Image) -> bytes:
    """Return the picture as a camera might give it: a JPEG file with a little blur and noise."""
    gains = rng.uniform(0.92, 1.06) * rng.uniform(0.97, 1.03, size=3)
    picture = picture.point(
        [min(255, round(i * float(gain))) for gain in gains for i in range(256)]
    )
    if rng.random() < _CHANCE_OF_BLUR:
        picture = picture.filter(PIL.ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9))))
    # The noise is in the luma alone: JPEG would take most of it out of the chroma.
    luma, *chroma = picture.convert("YCbCr").split()
    noise = rng.standard_normal((SIZE[1], SIZE[0]), dtype=np.float32)
    noisy = np.asarray(luma) + noise * np.float32(rng.uniform(1, 5))
    luma = PIL.Image.fromarray(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    picture = PIL.Image.merge("YCbCr", (luma, *chroma))
    picture.save(file, "JPEG", quality=int(rng.integers(60, 96)))
    return file.getvalue()
