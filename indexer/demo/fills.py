"""Colours and patterns: what the surface of a drawn object looks like."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import PIL.Image
from numpy.typing import NDArray

RGB = tuple[int, int, int]
Floats = NDArray[np.float32]

COLOURS: dict[str, RGB] = {
    "red": (208, 30, 36),
    "orange": (246, 128, 18),
    "yellow": (250, 216, 40),
    "green": (44, 150, 60),
    "blue": (34, 92, 204),
    "purple": (122, 46, 172),
    "pink": (248, 138, 182),
    "brown": (118, 70, 34),
    "black": (30, 30, 33),
    "white": (246, 246, 242),
}
PATTERNS = ("plain", "striped", "dotted", "checked")
#: How much of an object the second tone of its pattern covers. Less on black and white, where
#: it may be the other of the two: which is the main colour should be plain to see.
_SHARE = (0.28, 0.38)
_SHARE_ON_NEUTRAL = (0.2, 0.27)
_NEUTRAL_NAMES = ("black", "white")
_NEUTRALS: tuple[RGB, ...] = ((246, 246, 242), (240, 228, 196), (28, 28, 30), (128, 128, 128))
#: Colours whose darker and lighter tones do not look like another colour of the list.
_TONED = ("green", "blue", "purple")
#: Least difference in luma (0 to 255) between the two tones of a pattern.
_CONTRAST = 70.0


def luma(colour: Floats | RGB) -> float:
    """Return how light a colour looks, 0 to 255."""
    red, green, blue = (float(c) for c in colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def jittered(rng: np.random.Generator, colour: str) -> Floats:
    """Return a tone near the named colour, float32 of shape (3,), 0 to 255."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in COLOURS[colour]))
    hue = (hue + rng.uniform(-0.012, 0.012)) % 1
    saturation = min(1.0, saturation * rng.uniform(0.92, 1.05))
    value = min(1.0, value * rng.uniform(0.93, 1.05))
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32) * 255


def second_tone(rng: np.random.Generator, colour: str, main: Floats) -> Floats:
    """Return a neutral, or for some colours a darker or lighter tone, that stands out."""
    tones = [np.array(tone, dtype=np.float32) for tone in _NEUTRALS[:3]]
    if colour in _NEUTRAL_NAMES:
        tones.append(np.array(_NEUTRALS[3], dtype=np.float32))
    if colour in _TONED:
        tones += [main * np.float32(0.45), main * np.float32(0.4) + np.float32(153)]
    tones = [tone for tone in tones if abs(luma(tone) - luma(main)) >= _CONTRAST] or tones[:1]
    return tones[int(rng.integers(len(tones)))]


def second_share(rng: np.random.Generator, colour: str) -> float:
    """Return how much of an object of that main colour its second tone should cover, 0 to 1."""
    return float(rng.uniform(*(_SHARE_ON_NEUTRAL if colour in _NEUTRAL_NAMES else _SHARE)))


def pattern_cover(
    rng: np.random.Generator, pattern: str, size: tuple[int, int], side: float, share: float
) -> Floats:
    """Return how much of each pixel the second tone covers.

    Args:
        rng: Decides the direction, scale and offset.
        pattern: One of `PATTERNS` other than "plain".
        size: Width and height, pixels.
        side: The object's longest side, pixels.
        share: How much it covers on the whole, 0 to 0.5.

    Returns:
        float32 of shape (height, width), 0 to 1, with soft edges one pixel wide.
    """
    y, x = (axis.astype(np.float32) for axis in np.ogrid[: size[1], : size[0]])
    turn = rng.uniform(0, math.pi)
    period = max(9.0, side * float(rng.uniform(0.13, 0.22)))
    cos, sin = np.float32(math.cos(turn) / period), np.float32(math.sin(turn) / period)
    u = x * cos + y * sin + np.float32(rng.uniform())
    v = y * cos - x * sin + np.float32(rng.uniform())
    if pattern == "striped":
        inside = share / 2 - _to_nearest(u)
    elif pattern == "dotted":
        inside = math.sqrt(share / math.pi) - np.hypot(_to_nearest(u), _to_nearest(v))
    else:
        # Two lattices of squares, one in the gaps of the other: a chequer of touching corners.
        half = np.float32(math.sqrt(share / 2) / 2)
        one = np.maximum(_to_nearest(u), _to_nearest(v))
        other = np.maximum(_to_nearest(u + np.float32(0.5)), _to_nearest(v + np.float32(0.5)))
        inside = half - np.minimum(one, other)
    cover = np.clip(inside * period + 0.5, 0, 1)
    return np.asarray(cover, dtype=np.float32)


def as_rgb(tone: Floats) -> RGB:
    """Return the tone in whole numbers, cut to 0 to 255."""
    red, green, blue = (round(min(255.0, max(0.0, float(c)))) for c in tone)
    return red, green, blue


def as_sheet(cover: Floats) -> PIL.Image.Image:
    """Return a cover, float32 of shape (h, w), cut to 0 to 1, as a picture of mode L."""
    return PIL.Image.fromarray(np.clip(cover * np.float32(255) + 0.5, 0, 255).astype(np.uint8))


def _to_nearest(t: Floats) -> Floats:
    """Return the distance to the nearest whole number."""
    return np.abs(t - np.round(t))
