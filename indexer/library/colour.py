"""Every mode that Pillow decodes to, as 8-bit sRGB on white."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
_PHOTOMETRIC = 262
_ROWS = 256


def to_srgb(image: Image.Image, bits: int) -> Image.Image:
    """Convert a loaded image to 8-bit sRGB, transparency composited on white.

    An embedded ICC profile is followed; one that is broken, or made for other channels than the
    image has, is passed over. 16-bit grey is scaled by its full range. 32-bit integer grey is
    taken for 16-bit where it fits, 32-bit float for 0 to 1 where it fits; else the range that
    occurs is stretched to black and white. Not-a-number is black.

    Args:
        image: loaded, any mode.
        bits: per sample, in the file.

    Returns:
        A new image of mode RGB.
    """
    base, alpha = _without_alpha(image, bits)
    icc = image.info.get("icc_profile")
    rgb = _converted(base, icc if isinstance(icc, bytes) else None)  # a TIFF's may be any value
    if alpha is None:
        return rgb
    white = Image.new("RGB", rgb.size, _WHITE)
    white.paste(rgb, mask=alpha)
    return white


def _without_alpha(image: Image.Image, bits: int) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours in a mode of 8-bit channels and, if there is one, the alpha as L."""
    if image.mode in ("P", "PA"):
        opaque = image.mode == "P" and "transparency" not in image.info
        image = image.convert("RGB" if opaque else "RGBA")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if image.mode in ("LA", "RGBA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    alpha = _keyed_alpha(image, bits)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image, bits), alpha
    if image.mode == "1":
        return image.convert("L"), alpha
    return image, alpha


def _keyed_alpha(image: Image.Image, bits: int) -> Image.Image | None:
    """Return the alpha of an image that has one transparent colour (PNG's tRNS, GIF)."""
    key = image.info.get("transparency")
    if key is None or not (image.mode in ("1", "L", "RGB") or image.mode.startswith("I;16")):
        return None
    samples = np.asarray(image)
    if image.mode == "1":
        key = bool(key)
    elif image.mode == "L" and bits < 8:  # noqa: PLR2004 - Pillow spreads samples to 8 bits, not the key
        key = key * 255 // (2**bits - 1)
    elif image.mode == "RGB" and bits > 8:  # noqa: PLR2004 - likewise, it keeps the high bytes
        key = [sample >> 8 for sample in key]
    different = samples != np.asarray(key)
    if different.ndim > 2:  # noqa: PLR2004
        different = different.any(axis=2)
    return Image.fromarray(different.astype(np.uint8) * 255)


def _grey(image: Image.Image, bits: int) -> Image.Image:
    """Scale grey of more than 8 bits to mode L."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 2.0**bits - 1
    else:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        full = 1.0 if image.mode == "F" else 65_535.0
        if low >= 0 and high <= full:
            low, high = 0.0, full
    scaled = _scaled(values, low, high)
    # Pillow inverts "white is zero" for 8 bits only.
    tags: Any = getattr(image, "tag_v2", {})
    return Image.fromarray(255 - scaled if tags.get(_PHOTOMETRIC) == 0 else scaled)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map low to 0 and high to 255, some rows at a time to keep the memory small."""
    scaled = np.empty(values.shape, np.uint8)
    factor = 255 / (high - low) if high > low else 0.0
    for start in range(0, len(values), _ROWS):
        with np.errstate(invalid="ignore"):  # a signalling NaN says so when it is widened
            rows = np.nan_to_num(values[start : start + _ROWS].astype(np.float64), nan=low)
        scaled[start : start + _ROWS] = np.rint((rows.clip(low, high) - low) * factor)
    return scaled


def _converted(image: Image.Image, icc: bytes | None) -> Image.Image:
    if image.mode == "LAB":
        # Pillow's own convert cannot; the file's numbers are CIE L*a*b*, whatever its profile.
        return _through(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            if not ImageCms.getProfileDescription(profile).startswith("sRGB"):
                image = _through(image, profile)
        except (OSError, ImageCms.PyCMSError, UnicodeDecodeError):
            pass  # a broken profile says nothing: the plain conversion is the best guess
    return image.convert("RGB")


def _through(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """Convert through a profile; unchanged where the profile is for other channels."""
    space = profile.profile.xcolor_space.strip()
    if space == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if {"GRAY": "L", "Lab": "LAB"}.get(space, space) != image.mode:
        return image
    # The profiles of a transform must not be shared between threads: each call has its own.
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(profile, srgb, image.mode, "RGB").apply(image)
