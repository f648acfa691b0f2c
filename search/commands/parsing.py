"""What is named on a command line: points, boxes, colours, pictures."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from indexer.errors import PictureError, QueryError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.records import Box
    from search.pictures import Background

XY = tuple[float, float]


def point(text: str) -> XY:
    """Return the pixel that "x,y" names.

    Raises:
        typer.BadParameter: it is not of that form.
    """
    x, y = _numbers(text, "x,y")
    return x, y


def box(text: str) -> Box:
    """Return the half-open box that "x0,y0,x1,y1" names, in whole pixels.

    Raises:
        typer.BadParameter: it is not of that form.
    """
    x0, y0, x1, y1 = (round(number) for number in _numbers(text, "x0,y0,x1,y1"))
    return x0, y0, x1, y1


def colour(text: str) -> tuple[int, int, int]:
    """Return the RGB colour, 0 to 255 each, that "#rrggbb" names; "#rgb" is short for it.

    Raises:
        typer.BadParameter: it is not of that form.
    """
    digits = text.removeprefix("#")
    if re.fullmatch("#(?:[0-9a-fA-F]{3}){1,2}", text) is None:
        raise typer.BadParameter(f"{text!r} is not of the form #rrggbb, in hexadecimal digits")
    if len(digits) == len("rgb"):
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def background(text: str) -> Background:
    """Return what is put behind an object: a colour "#rrggbb", "blur", or the file of a picture.

    Raises:
        typer.BadParameter: it is none of these.
        QueryError: the picture cannot be read.
    """
    if text == "blur":
        return "blur"
    if text.startswith("#"):
        return colour(text)
    if not Path(text).exists():
        raise typer.BadParameter(f"the background {text!r} is neither #rrggbb nor blur, nor a file")
    return picture(Path(text))


def picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture: uint8 RGB, shape (H, W, 3), as EXIF orients it.

    Raises:
        QueryError: it is not there, or cannot be used.
    """
    from indexer import library

    if not path.exists():
        raise QueryError(f"there is no picture {path}", "check the spelling")
    try:
        return library.decode(library.read(path)).pixels
    except PictureError as error:
        raise QueryError(f"{path} cannot be used: {error.message}") from error


def mask(file: Path) -> NDArray[np.bool_]:
    """Read a rough mask: where a picture is opaque, or where it is bright.

    A pixel is on the mask if it is more than half as opaque, or more than half as bright, as the
    most opaque or brightest pixel; so black and white may be 0 and 255 or 0 and 1.

    Returns:
        bool, shape (H, W), as EXIF orients it.

    Raises:
        QueryError: the file cannot be used.
    """
    import numpy as np

    values = picture(file).max(axis=2)
    alpha = _alpha(file)
    if alpha is not None and alpha.min() < alpha.max():
        values = alpha
    return np.asarray(values > values.max() / 2)


def _alpha(file: Path) -> NDArray[np.uint8] | None:
    """Return how opaque the pixels of a picture that can be read are, 0 to 255."""
    import numpy as np
    import PIL.Image
    import PIL.ImageOps

    with PIL.Image.open(file) as picture:
        if not picture.has_transparency_data:
            return None
        return np.asarray(PIL.ImageOps.exif_transpose(picture).convert("RGBA").getchannel("A"))


def _numbers(text: str, names: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names.split(",")) or not all(map(math.isfinite, numbers)):
        raise typer.BadParameter(f"{text!r} is not of the form {names}, in pixels")
    return numbers
