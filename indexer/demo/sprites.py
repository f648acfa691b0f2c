"""One drawn object by itself: a small patch with its colours, its opacity and its shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageChops
import PIL.ImageDraw
import PIL.ImageFilter

from indexer.demo.classes import SHAPES
from indexer.demo.fills import (
    Floats,
    as_rgb,
    as_sheet,
    jittered,
    luma,
    pattern_cover,
    second_share,
    second_tone,
)
from indexer.demo.outlines import Part, Role

LONGEST_SIDE = (60.0, 280.0)
#: Outlines are drawn this many times larger and scaled down, for smooth edges.
_OVERSAMPLE = 3
_WIDE_BLUR = 2.0
_MAX_TURN = 45.0
_ASPECT_JITTER = 0.15
_CHANCE_OF_RIM = 0.6


@dataclass(frozen=True)
class Sprite:
    """An object drawn on a patch that its shadow fits on too.

    Attributes:
        box: Extent of the outline on the patch: left, top, right, bottom, pixels.
        pixels: Mode RGB; meaningful where alpha is not 0.
        alpha: Opacity, mode L, of the same size.
        shadow: How much the shadow darkens what lies beneath, mode L, of the same size.
    """

    box: tuple[int, int, int, int]
    pixels: PIL.Image.Image
    alpha: PIL.Image.Image
    shadow: PIL.Image.Image


def draw_sprite(
    rng: np.random.Generator, name: str, colour: str, pattern: str, longest: float
) -> Sprite:
    """Draw an object, mirrored or not, turned and stretched a little as the generator decides.

    Args:
        rng: Decides everything but the following.
        name: One of the classes.
        colour: One of the colours.
        pattern: One of the patterns.
        longest: Longest side of the outline before it is turned, pixels.
    """
    blur = 2.0 + 0.02 * longest
    right, down = (round(1 + float(rng.uniform(0.01, 0.05)) * longest) for _ in range(2))
    margin = math.ceil(2.5 * blur) + max(right, down)
    parts, box = _posed(rng, name, longest, margin)
    size = (box[2] + margin, box[3] + margin)
    alpha = _painted(parts, "body", "hole", size)
    pixels, main = _surface(rng, colour, pattern, alpha, longest)
    dark, light = _detail_tones(main)
    _tint(pixels, dark, _painted(parts, "dark", "light", size))
    _tint(pixels, light, _painted(parts, "light", "dark", size))
    depth = float(rng.uniform(0.25, 0.5))
    shadow = _blurred(PIL.ImageChops.offset(alpha, right, down), blur)
    shadow = shadow.point([round(level * depth) for level in range(256)])
    return Sprite(box=box, pixels=pixels, alpha=alpha, shadow=shadow)


def _posed(
    rng: np.random.Generator, name: str, longest: float, margin: int
) -> tuple[list[Part], tuple[int, int, int, int]]:
    """Return the parts in patch pixels and the box of the outline."""
    shape = SHAPES[name]
    stretch = 1 + float(rng.uniform(-_ASPECT_JITTER, _ASPECT_JITTER))
    mirror = -1.0 if rng.random() < 0.5 else 1.0  # noqa: PLR2004
    turn = math.radians(float(rng.uniform(-_MAX_TURN, _MAX_TURN)))
    cos, sin = math.cos(turn), math.sin(turn)
    body = np.concatenate([part.points for part in shape if part.role == "body"])
    scale = np.array([mirror * stretch, 1.0])
    scale *= longest / float(np.ptp(body * scale, axis=0).max())
    matrix = np.array([[cos, sin], [-sin, cos]]) * scale[:, None]
    placed = body @ matrix
    low = placed.min(axis=0) - margin
    right, bottom = (math.ceil(end) for end in placed.max(axis=0) - low)
    parts = [Part(part.role, part.points @ matrix - low) for part in shape]
    return parts, (margin, margin, right, bottom)


def _painted(parts: list[Part], on: Role, off: Role, size: tuple[int, int]) -> PIL.Image.Image:
    """Return the cover of the parts of one role, another rubbing out, mode L."""
    sheet = PIL.Image.new("L", (size[0] * _OVERSAMPLE, size[1] * _OVERSAMPLE))
    pen = PIL.ImageDraw.Draw(sheet)
    for part in parts:
        if part.role in (on, off):
            points = (part.points * _OVERSAMPLE - 0.5).ravel().tolist()
            pen.polygon(points, fill=255 if part.role == on else 0)
    return sheet.reduce(_OVERSAMPLE)


def _surface(
    rng: np.random.Generator, colour: str, pattern: str, alpha: PIL.Image.Image, longest: float
) -> tuple[PIL.Image.Image, Floats]:
    """Return the colours of the object without its details, mode RGB, and its main colour."""
    main = jittered(rng, colour)
    sheet = PIL.Image.new("RGB", alpha.size, as_rgb(main))
    if pattern != "plain":
        second, share = second_tone(rng, colour, main), second_share(rng, colour)
        cover = pattern_cover(rng, pattern, alpha.size, longest, share)
        sheet.paste(as_rgb(second), mask=as_sheet(cover))
    turn, depth = float(rng.uniform(0, math.tau)), float(rng.uniform(0.05, 0.22))
    y, x = (axis.astype(np.float32) for axis in np.ogrid[: alpha.height, : alpha.width])
    along = (x - alpha.width / 2) * math.cos(turn) + (y - alpha.height / 2) * math.sin(turn)
    shade = as_sheet(along * np.float32(depth / longest) + np.float32(depth / 2))
    if rng.random() < _CHANCE_OF_RIM:
        rim = 2 * float(rng.uniform(0.15, 0.4))
        inner = _blurred(alpha, 1.0 + 0.012 * longest)
        darker = inner.point([round((255 - level) * rim) for level in range(256)])
        shade = PIL.ImageChops.add(shade, darker)
    sheet.paste((0, 0, 0), mask=shade)
    return sheet, main


def _tint(picture: PIL.Image.Image, tone: Floats, cover: PIL.Image.Image) -> None:
    """Paint the tone where it covers; only the box around that, which is much faster."""
    box = cover.getbbox()
    if box is not None:
        picture.paste(as_rgb(tone), box, cover.crop(box))


def _blurred(sheet: PIL.Image.Image, radius: float) -> PIL.Image.Image:
    """Return the sheet blurred, wide blurs at half the size, which nobody sees."""
    blur = PIL.ImageFilter.GaussianBlur
    if radius < _WIDE_BLUR:
        return sheet.filter(blur(radius))
    half = sheet.reduce(2).filter(blur(radius / 2))
    return half.resize(sheet.size, PIL.Image.Resampling.BILINEAR)


def _detail_tones(main: Floats) -> tuple[Floats, Floats]:
    """Return the tones of the "dark" and the "light" details on that main colour."""
    if luma(main) < 60:  # noqa: PLR2004 - on black the darker details would not show
        return main + np.float32(75), main + np.float32(150)
    if luma(main) > 225:  # noqa: PLR2004 - nor the lighter ones on white
        return main * np.float32(0.42), main * np.float32(0.7)
    return main * np.float32(0.42), main * np.float32(0.3) + np.float32(175)
