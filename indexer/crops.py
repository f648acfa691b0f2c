"""What CLIP is shown of a segment: a square crop with its surroundings, and which patches count.

Coordinates are pixels of the EXIF-transposed picture; windows may reach beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageFilter
from numpy.typing import NDArray

from indexer.records import Box

Pixels = NDArray[np.uint8]
RGB = tuple[int, int, int]
#: What is shown around a segment: what is there, one colour, or what is there out of focus.
Surroundings = Literal["kept", "mean", "blurred"]

#: Version of the crop: part of the vector space, so that vectors of two recipes never mix.
CROP_VERSION = 1
#: With fewer touched patches than this, attention limited to them says too little.
MIN_PATCHES = 4
#: Radius of the blur around a segment, as a share of the crop's side.
_BLUR = 1 / 20


@dataclass(frozen=True, eq=False)
class Crop:
    """A segment as CLIP sees it.

    Attributes:
        pixels: uint8 RGB, shape (n, n, 3), n the model's image size.
        touched: bool, shape (g, g), g the model's patches per side: those the mask touches.
    """

    pixels: Pixels
    touched: NDArray[np.bool_]


def square_window(box: Box, margin: float, width: int, height: int) -> Box:
    """Return the square around a box, with side `margin` × the box's longer side.

    It is shifted to stay inside the picture; along a side where it is larger than the picture,
    it covers the whole of it, with the box as near the middle as that allows.
    """
    x0, y0, x1, y1 = box
    side = max(1, round(margin * max(x1 - x0, y1 - y0)))
    left = _shifted(round((x0 + x1 - side) / 2), side, width)
    top = _shifted(round((y0 + y1 - side) / 2), side, height)
    return (left, top, left + side, top + side)


def cut(picture: PIL.Image.Image, window: Box, size: int, fill: RGB) -> Pixels:
    """Scale the window to `size` × `size` RGB pixels; what lies beyond the picture is `fill`."""
    left, top, right, bottom = window
    scale = size / (right - left)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(right, picture.width), min(bottom, picture.height)
    at = (round((x0 - left) * scale), round((y0 - top) * scale))
    to = (round((x1 - left) * scale), round((y1 - top) * scale))
    shape = (max(1, to[0] - at[0]), max(1, to[1] - at[1]))
    inside = picture.resize(shape, PIL.Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))
    if shape == (size, size):
        return np.asarray(inside)
    canvas = PIL.Image.new("RGB", (size, size), fill)
    canvas.paste(inside, at)
    return np.asarray(canvas)


def cut_mask(mask: NDArray[np.bool_], window: Box, size: int) -> NDArray[np.float32]:
    """Return how much of each pixel of the crop the mask covers, 0 to 1; shape (size, size).

    Args:
        mask: shape (H, W), the whole picture.
        window: a square, see `square_window`; nothing beyond the picture is covered.
        size: side of the crop, pixels.
    """
    left, top, right, bottom = window
    x0, y0 = max(left, 0), max(top, 0)
    drawn = mask[y0 : max(bottom, 0), x0 : max(right, 0)].astype(np.uint8) * np.uint8(255)
    part = PIL.Image.fromarray(drawn).convert("RGB")
    shifted = (left - x0, top - y0, right - x0, bottom - y0)
    return np.asarray(cut(part, shifted, size, (0, 0, 0))[:, :, 0] / np.float32(255))


def replace_surroundings(
    pixels: Pixels, covered: NDArray[np.float32], colour: RGB | None
) -> Pixels:
    """Return the crop with what the mask does not cover in one colour, or blurred.

    Args:
        pixels: uint8 RGB, shape (n, n, 3).
        covered: shape (n, n), see `cut_mask`.
        colour: that of the surroundings; None blurs them.
    """
    if colour is None:
        blur = PIL.ImageFilter.GaussianBlur(_BLUR * len(pixels))
        around = np.asarray(PIL.Image.fromarray(pixels).filter(blur), dtype=np.float32)
    else:
        around = np.array(colour, dtype=np.float32)
    share = covered[:, :, None]
    return np.asarray(np.rint(pixels * share + around * (1 - share)), dtype=np.uint8)


def touched_patches(
    mask: NDArray[np.bool_], box: Box, window: Box, patches: int
) -> NDArray[np.bool_]:
    """Return which of the window's `patches` × `patches` squares hold a pixel of the mask.

    Args:
        mask: shape (H, W), the whole picture.
        box: tight half-open box around the mask.
        window: a square, see `square_window`.
        patches: squares per side.
    """
    x0, y0, x1, y1 = box
    sums = np.zeros((y1 - y0 + 1, x1 - x0 + 1), dtype=np.int64)
    np.cumsum(mask[y0:y1, x0:x1], axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    left, right = _patch_edges(window[0], window[2], patches, x0, x1)
    top, bottom = _patch_edges(window[1], window[3], patches, y0, y1)
    inside = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    return inside > 0


def _patch_edges(
    start: int, stop: int, patches: int, low: int, high: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return each patch's first and last-plus-one pixel, clipped to [low, high], minus low."""
    edges = np.arange(patches + 1) * (stop - start)  # times patches, to stay with whole numbers
    first = start + edges[:-1] // patches
    last = start - (-edges[1:] // patches)
    return np.clip(first, low, high) - low, np.clip(last, low, high) - low


def _shifted(start: int, side: int, length: int) -> int:
    room = length - side
    return min(max(start, min(0, room)), max(0, room))
