"""Seeded pictures of plain shapes: what most tests look at."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter

XY = tuple[float, float]

SIZE = (512, 384)
#: Shapes are drawn this many times larger and scaled down, for smooth edges.
_OVERSAMPLE = 3
COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (252, 206, 60),
    "green": (56, 142, 60),
    "blue": (30, 96, 190),
    "purple": (123, 44, 191),
}


def _polygon(corners: int, inner: float = 1.0) -> Callable[[XY, float, float], list[XY]]:
    """Return a function that gives the corners of a regular polygon, or a star if inner < 1."""
    count = corners if inner == 1.0 else 2 * corners

    def corners_of(centre: XY, radius: float, turn: float) -> list[XY]:
        points = []
        for i in range(count):
            reach, angle = radius * (inner if i % 2 else 1.0), turn + math.tau * i / count
            points.append(
                (centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle))
            )
        return points

    return corners_of


SHAPES = {
    "circle": _polygon(48),
    "triangle": _polygon(3),
    "square": _polygon(4),
    "hexagon": _polygon(6),
    "star": _polygon(5, inner=0.45),
    "gear": _polygon(9, inner=0.75),
}


def draw_scene(seed: int) -> PIL.Image.Image:
    """Draw an RGB picture of `SIZE` with five to nine shapes; the seed decides everything."""
    rng = np.random.default_rng(seed)
    width, height = (side * _OVERSAMPLE for side in SIZE)
    picture = _background(rng, width, height)
    pen = PIL.ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(5, 10))):
        shape = SHAPES[str(rng.choice(list(SHAPES)))]
        red, green, blue = COLOURS[str(rng.choice(list(COLOURS)))]
        radius = float(rng.uniform(0.07, 0.2)) * height
        centre = (float(rng.uniform(0.1, 0.9)) * width, float(rng.uniform(0.15, 0.85)) * height)
        outline = shape(centre, radius, float(rng.uniform(0, math.tau)))
        shadow = [(x + radius * 0.08, y + radius * 0.08) for x, y in outline]
        pen.polygon(shadow, fill=(60, 60, 60))
        pen.polygon(outline, fill=(red, green, blue))
    return picture.resize(SIZE, PIL.Image.Resampling.LANCZOS)


def _background(rng: np.random.Generator, width: int, height: int) -> PIL.Image.Image:
    """Return a pale, softly mottled background."""
    coarse = rng.integers(205, 250, size=(6, 8, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC)
