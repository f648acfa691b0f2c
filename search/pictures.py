"""Regions as pictures: drawn, as a mask, cut out, before another background, cropped.

Plain functions from pixels and regions to Pillow's images; nothing is read or written here, and no
model is asked. Pixels are uint8 RGB of shape (H, W, 3), and every region's mask has that size: the
frame of the EXIF-transposed picture.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from indexer.crops import RGB, Pixels, cut, square_window
from indexer.records import Box, Region
from indexer.segmentation.masks import decode

#: What a region is put before: a colour, a picture (scaled and cropped to cover), or the picture's
#: own surroundings, blurred.
Background = RGB | Pixels | Literal["blur"]
Mask = NDArray[np.bool_]

#: The colour of a single region.
PINK: RGB = (255, 45, 120)
#: Most regions in one label map.
MOST_LABELS = 65_535
_TINT = 0.35
#: Outline width over the picture's longer side.
_OUTLINE = 1 / 300
#: Steps of this share of the colour circle come nearest to each other as late as possible.
_GOLDEN = (5**0.5 - 1) / 2
#: Saturation and value of colours, in turn: of hues that are near, one is darker or paler.
_TONES = ((0.82, 1.0), (1.0, 0.7), (0.5, 1.0))
#: Standard deviation of the blur over the picture's longer side.
_BLUR = 1 / 50
#: Longest side at which a blur is computed, pixels: it has no detail that could be lost.
_BLUR_SIDE = 512
_PADDING: RGB = (0, 0, 0)


def distinct_colours(count: int) -> list[RGB]:
    """Return colours that are easy to tell apart, pink first; always the same ones."""
    hue = colorsys.rgb_to_hsv(*(value / 255 for value in PINK))[0]
    colours = [PINK]
    for i in range(1, count):
        saturation, value = _TONES[i % len(_TONES)]
        red, green, blue = colorsys.hsv_to_rgb((hue + i * _GOLDEN) % 1, saturation, value)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours[:count]


def draw(
    pixels: Pixels, regions: Sequence[Region], colours: Sequence[RGB] | None = None
) -> PIL.Image.Image:
    """Draw regions into their picture: the objects tinted and outlined, the rest as it is.

    Larger regions are drawn first, so that parts stay visible on what they are parts of.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        regions: with masks of that size; may be none.
        colours: one for each region, in their order; without them `distinct_colours`.

    Returns:
        Mode RGB, W × H.

    Raises:
        ValueError: a mask has another size, or there are not as many colours as regions.
    """
    colours = distinct_colours(len(regions)) if colours is None else colours
    picture = pixels.copy()
    width = max(1, round(max(pixels.shape[:2]) * _OUTLINE))
    pairs = zip(regions, colours, strict=True)
    for region, colour in sorted(pairs, key=lambda pair: -pair[0].area_px):
        mask = _mask(pixels, region)
        x0, y0, x1, y1 = region.box
        near = (slice(max(0, y0 - width), y1 + width), slice(max(0, x0 - width), x1 + width))
        inside, part = mask[near], picture[near]
        tinted = pixels[near][inside] * (1 - _TINT) + np.asarray(colour) * _TINT
        part[inside] = np.rint(tinted).astype(np.uint8)
        part[_grown(inside, width) & ~inside] = colour
    return PIL.Image.fromarray(picture)


def mask_picture(region: Region) -> PIL.Image.Image:
    """Return a region's mask as a picture of the whole frame: mode L, 255 on it and 0 beside it."""
    return PIL.Image.fromarray(decode(region.rle).astype(np.uint8) * 255)


def label_map(regions: Sequence[Region], size: tuple[int, int]) -> PIL.Image.Image:
    """Return many regions as one picture of the whole frame: a number for each region.

    Where regions overlap, the smaller one is seen, as in `draw`.

    Args:
        regions: with masks of that size, at most `MOST_LABELS`; may be none.
        size: (height, width) in pixels.

    Returns:
        Mode I;16: 0 where there is no region, else the position of the region plus 1.

    Raises:
        ValueError: there are too many regions for 16 bits.
    """
    if len(regions) > MOST_LABELS:
        raise ValueError(f"{len(regions)} regions do not fit into 16 bits")
    labels = np.zeros(size, dtype=np.uint16)
    for i, region in sorted(enumerate(regions, start=1), key=lambda pair: -pair[1].area_px):
        labels[decode(region.rle)] = i
    return PIL.Image.fromarray(labels)


def cutout(pixels: Pixels, region: Region, *, trim: bool = False) -> PIL.Image.Image:
    """Cut a region out: its pixels on nothing.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        region: with a mask of that size.
        trim: only the region's box, not the whole frame.

    Returns:
        Mode RGBA: alpha is the mask, 255 or 0; what is not seen is black, so that a cut-out gives
        nothing away of its surroundings.

    Raises:
        ValueError: the mask has another size.
    """
    x0, y0, x1, y1 = region.box if trim else (0, 0, pixels.shape[1], pixels.shape[0])
    mask = _mask(pixels, region)[y0:y1, x0:x1]
    picture = np.zeros((*mask.shape, 4), dtype=np.uint8)
    picture[mask, :3] = pixels[y0:y1, x0:x1][mask]
    picture[mask, 3] = 255
    return PIL.Image.fromarray(picture)


def replace_background(pixels: Pixels, region: Region, background: Background) -> PIL.Image.Image:
    """Put something else behind a region.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        region: with a mask of that size; its pixels stay as they are.
        background: an RGB colour; a uint8 RGB picture of any size, scaled and cropped around its
            middle to cover the frame; or "blur": the surroundings blurred, without the object's
            own colours, which would glow around it.

    Returns:
        Mode RGB, W × H.

    Raises:
        ValueError: the mask has another size.
    """
    mask = _mask(pixels, region)
    if isinstance(background, str):
        behind = _blurred(pixels, ~mask)
    elif isinstance(background, tuple):
        behind = np.broadcast_to(np.asarray(background, dtype=np.uint8), pixels.shape)
    else:
        height, width = mask.shape
        fitted = PIL.ImageOps.fit(
            PIL.Image.fromarray(background), (width, height), PIL.Image.Resampling.BICUBIC
        )
        behind = np.asarray(fitted)
    return PIL.Image.fromarray(np.where(mask[..., None], pixels, behind))


def square_crop(
    pixels: Pixels, box: Box, margin: float, size: int | None = None
) -> PIL.Image.Image:
    """Cut out the square around a box, with its surroundings.

    The square is that of `indexer.crops.square_window`: shifted to stay inside the picture; what
    reaches beyond a picture that is smaller than the square is black.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        box: half-open pixel box inside the picture.
        margin: side of the square over the box's longer side; 1 is a square as tight as can be.
        size: scale the square to this many pixels a side; without it, pixels stay as they are.

    Returns:
        Mode RGB, square.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = square_window(box, margin, width, height)
    x, y = max(left, 0), max(top, 0)
    inside = PIL.Image.fromarray(pixels[y : max(bottom, 0), x : max(right, 0)])
    window = (left - x, top - y, right - x, bottom - y)
    return PIL.Image.fromarray(cut(inside, window, size or right - left, _PADDING))


def _mask(pixels: Pixels, region: Region) -> Mask:
    if region.rle.size != pixels.shape[:2]:
        raise ValueError(f"a mask of {region.rle.size} does not fit pixels of {pixels.shape[:2]}")
    return decode(region.rle)


def _grown(mask: Mask, by: int) -> Mask:
    """Return a mask grown by so many pixels in all directions, corners square."""
    for _ in range(2):  # columns, then, turned on its side, rows
        sums = np.cumsum(np.pad(mask, ((by + 1, by), (0, 0))), axis=0, dtype=np.int32)
        mask = (sums[2 * by + 1 :] > sums[: -2 * by - 1]).T
    return mask


def _blurred(pixels: Pixels, outside: Mask) -> Pixels:
    """Blur what lies outside, as if there were nothing else."""
    height, width = outside.shape
    scale = min(1.0, _BLUR_SIDE / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    across, down = (_gaussian(length, _BLUR * max(small)) for length in small)

    def smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
        shrunk = PIL.Image.fromarray(values).resize(small, PIL.Image.Resampling.BOX)
        smoothed: NDArray[np.float32] = down @ np.asarray(shrunk) @ across
        return smoothed

    weights = smooth(outside.astype(np.float32))
    tiny = np.finfo(np.float32).tiny
    channels = [smooth((pixels[..., i] * outside).astype(np.float32)) for i in range(3)]
    mixed = np.stack(channels, axis=-1) / np.maximum(weights, tiny)[..., None]
    picture = PIL.Image.fromarray(np.rint(np.clip(mixed, 0, 255)).astype(np.uint8))
    return np.asarray(picture.resize((width, height), PIL.Image.Resampling.BICUBIC))


def _gaussian(length: int, deviation: float) -> NDArray[np.float32]:
    """Return the (length, length) weights of all pixels of a line for each of them."""
    places = np.arange(length)
    weights = np.exp(-0.5 * ((places[:, None] - places) / deviation) ** 2)
    return weights.astype(np.float32)
