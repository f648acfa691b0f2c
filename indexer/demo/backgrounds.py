"""Muted backdrops for the drawn scenes: noise, wood, cloth, tiles, sand, blurred views."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
from numpy.typing import NDArray

from indexer.demo.fills import Floats, as_rgb, as_sheet

Size = tuple[int, int]
_SATURATION = (0.04, 0.34)
#: Neither nearly black nor nearly white, so that black and white objects stand out.
_VALUE = (0.42, 0.78)


def draw_background(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    """Draw one of the textures in muted tones.

    Args:
        rng: Decides everything.
        size: Width and height, pixels.

    Returns:
        A picture of mode RGB.
    """
    texture = _TEXTURES[int(rng.integers(len(_TEXTURES)))]
    return texture(rng, size)


def draw_border(rng: np.random.Generator, size: Size) -> NDArray[np.bool_]:
    """Return where the table is below the wall, bool of shape (height, width)."""
    width, height = size
    level, slope = (
        float(rng.uniform(0.35, 0.65)) * height,
        math.tan(float(rng.uniform(-0.12, 0.12))),
    )
    y, x = np.ogrid[:height, :width]
    return np.asarray(y >= level + slope * (x - width / 2))


def _tone(rng: np.random.Generator, *, near: Floats | None = None) -> Floats:
    """Return a muted colour, float32 of shape (3,); near another one if that is given."""
    hue, saturation = float(rng.uniform()), float(rng.uniform(*_SATURATION))
    value = float(rng.uniform(*_VALUE))
    if near is not None:
        hue, saturation, value = colorsys.rgb_to_hsv(*(float(c) / 255 for c in near))
        hue = (hue + float(rng.uniform(-0.08, 0.08))) % 1
        saturation = float(np.clip(saturation + rng.uniform(-0.1, 0.1), *_SATURATION))
        step = float(rng.uniform(0.06, 0.16)) * (1 if value < 0.6 else -1)  # noqa: PLR2004
        value = float(np.clip(value + step, 0.36, 0.84))
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32) * 255


def _pair(rng: np.random.Generator) -> tuple[Floats, Floats]:
    first = _tone(rng)
    return first, _tone(rng, near=first)


def _blend(first: Floats, second: Floats, share: Floats) -> PIL.Image.Image:
    """Return the picture that goes from the first tone to the second, share (h, w) 0 to 1."""
    sheet = PIL.Image.new("RGB", (share.shape[1], share.shape[0]), as_rgb(first))
    sheet.paste(as_rgb(second), mask=as_sheet(share))
    return sheet


def _noise(rng: np.random.Generator, size: Size, cells: tuple[float, float]) -> Floats:
    """Return smooth noise with that many cells across and down, float32 (h, w), −1 to 1."""
    columns, rows = (max(2, round(count)) for count in cells)
    coarse = rng.uniform(-1, 1, size=(rows, columns)).astype(np.float32)
    sheet = PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)
    return np.asarray(sheet)


def _octaves(
    rng: np.random.Generator, size: Size, cells: tuple[float, float], count: int
) -> Floats:
    """Return noise of several scales, float32 (h, w), about −1 to 1."""
    # The coarser scales are drawn at half the size, which is faster and looks the same.
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    total = _noise(rng, half, cells)
    for octave in range(1, count - 1):
        finer = (cells[0] * 2.2**octave, cells[1] * 2.2**octave)
        total = total + _noise(rng, half, finer) * np.float32(0.6**octave)
    sheet = PIL.Image.fromarray(total).resize(size, PIL.Image.Resampling.BILINEAR)
    finest = (cells[0] * 2.2 ** (count - 1), cells[1] * 2.2 ** (count - 1))
    total = np.asarray(sheet) + _noise(rng, size, finest) * np.float32(0.6 ** (count - 1))
    return np.asarray(total * np.float32(0.6))


def _turned(rng: np.random.Generator, size: Size, scale: float) -> tuple[Floats, Floats]:
    """Return pixel coordinates along two turned axes, in units of `scale` pixels."""
    turn = float(rng.choice([0, 0, 45, rng.uniform(0, 90)])) / 180 * math.pi
    y, x = (axis.astype(np.float32) for axis in np.ogrid[: size[1], : size[0]])
    cos, sin = np.float32(math.cos(turn) / scale), np.float32(math.sin(turn) / scale)
    return x * cos + y * sin, y * cos - x * sin


def _mottled(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    cells = float(rng.uniform(2, 7))
    return _blend(*_pair(rng), 0.5 + _octaves(rng, size, (cells, cells * 0.8), 5))


def _wood(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    hue, value = float(rng.uniform(0.05, 0.11)), float(rng.uniform(0.5, 0.78))
    rgb = colorsys.hsv_to_rgb(hue, float(rng.uniform(0.16, 0.34)), value)
    light = np.array(rgb, dtype=np.float32) * 255
    grain = _octaves(rng, size, (2, float(rng.uniform(14, 30))), 3)
    y = np.linspace(0, float(rng.uniform(8, 24)), size[1], dtype=np.float32)[:, None]
    rings = np.sin(np.float32(math.tau) * (y + np.float32(1.3) * _noise(rng, size, (3, 4))))
    planks = int(rng.integers(1, 6))
    plank = np.arange(size[1]) * planks // size[1]
    shifts = rng.uniform(-0.2, 0.2, size=planks).astype(np.float32)[plank]
    share = np.asarray(0.5 + 0.35 * grain + 0.25 * rings + shifts[:, None], dtype=np.float32)
    sheet = _blend(light, light * np.float32(0.72), share)
    for row in np.flatnonzero(np.diff(plank)):
        sheet.paste(as_rgb(light * np.float32(0.5)), (0, int(row), size[0], int(row) + 2))
    return sheet


def _plaid(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    axes = _turned(rng, size, float(rng.uniform(40, 130)))
    wide, narrow = float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.04, 0.1))
    share = _noise(rng, size, (size[0] / 3, size[1] / 3)) * np.float32(0.12) + np.float32(0.06)
    for axis in axes:
        phase = axis - np.floor(axis)
        share += np.float32(0.4) * (phase < wide)
        share += np.float32(0.35) * (np.abs(phase - (1 + wide) / 2) < narrow)
    return _blend(*_pair(rng), share)


def _tiles(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    scale = float(rng.uniform(45, 120))
    u, v = _turned(rng, size, scale)
    shifts = rng.uniform(-0.25, 0.25, size=(64, 64)).astype(np.float32)
    tile = shifts[np.floor(u).astype(np.int8) & 63, np.floor(v).astype(np.int8) & 63]
    sheet = _blend(*_pair(rng), 0.35 + tile + 0.2 * _octaves(rng, size, (6, 5), 3))
    edge = np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v))) * np.float32(scale)
    joint = np.clip(2.5 - edge, 0, 1) * np.float32(0.7)
    sheet.paste(as_rgb(_tone(rng)), mask=as_sheet(joint))
    return sheet


def _sand(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    grains = rng.standard_normal((size[1], size[0]), dtype=np.float32)
    coarse = _noise(rng, size, (size[0] / 4, size[1] / 4))
    speckles = np.float32(0.7) * (coarse > rng.uniform(0.6, 0.9))
    drift = _octaves(rng, size, (4, 3), 2)
    fineness = np.float32(rng.uniform(0.05, 0.16))
    return _blend(*_pair(rng), 0.35 + 0.25 * drift + speckles + fineness * grains)


def _bokeh(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    small = (size[0] // 4, size[1] // 4)
    first, second = _pair(rng)
    sheet = _blend(first, second, 0.5 + _octaves(rng, small, (3, 3), 2))
    for _ in range(int(rng.integers(10, 40))):
        light = PIL.Image.new("L", small)
        x, y = float(rng.uniform(0, small[0])), float(rng.uniform(0, small[1]))
        radius = float(rng.uniform(3, 16))
        disc = (x - radius, y - radius, x + radius, y + radius)
        PIL.ImageDraw.Draw(light).ellipse(disc, fill=int(rng.integers(50, 170)))
        sheet.paste(as_rgb(_tone(rng, near=second)), mask=light)
    return _enlarged(sheet, size, float(rng.uniform(0.8, 3)))


def _landscape(rng: np.random.Generator, size: Size) -> PIL.Image.Image:
    small = (size[0] // 4, size[1] // 4)
    top, tone = _pair(rng)
    y = np.linspace(0, 1, small[1], dtype=np.float32)[:, None]
    sheet = _blend(top, tone, np.broadcast_to(y, (small[1], small[0])))
    for level in np.sort(rng.uniform(0.25, 0.95, size=int(rng.integers(2, 5)))):
        tone = _tone(rng, near=tone)
        ridge = np.float32(level) + 0.12 * _octaves(rng, (small[0], 2), (4, 2), 3)[:1]
        sheet.paste(as_rgb(tone), mask=as_sheet((y - ridge) * np.float32(40)))
    return _enlarged(sheet, size, float(rng.uniform(2.5, 5)))


def _enlarged(small: PIL.Image.Image, size: Size, blur: float) -> PIL.Image.Image:
    """Return the picture blurred (radius in small pixels) and scaled up to the size."""
    blurred = small.filter(PIL.ImageFilter.GaussianBlur(blur))
    return blurred.resize(size, PIL.Image.Resampling.BICUBIC)


_TEXTURES: tuple[Callable[[np.random.Generator, Size], PIL.Image.Image], ...] = (
    _mottled,
    _wood,
    _plaid,
    _tiles,
    _sand,
    _bokeh,
    _landscape,
)
