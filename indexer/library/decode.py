"""Turn one file into identified bytes, and those into pixels."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from indexer.errors import PictureError
from indexer.library import formats
from indexer.library.remote import S3Path
from indexer.records import Picture

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.library.metadata import Exif

#: Default for the largest file that is read, bytes.
MAX_BYTES = 512 * 2**20
#: Default for the largest picture that is decoded, pixels. A larger setting works up to what
#: Pillow itself refuses, 178,956,970 pixels.
MAX_PIXELS = 128_000_000
#: The longest side that is accepted, pixels: upstream's `calculate_stability_score`
#: (sam2/utils/amg.py), which runs for `use_m2m`, sums the rows of a mask in int16.
MAX_SIDE = 32_767


@dataclass(frozen=True)
class Content:
    """The bytes of one file.

    Attributes:
        data: all of them.
        sha256: of the data, 64 hex digits.
    """

    data: bytes = field(repr=False)
    sha256: str


@dataclass(frozen=True, eq=False)
class Decoded:
    """One decoded picture.

    Attributes:
        picture: what the file says about itself.
        pixels: uint8, shape (height, width, 3), sRGB, in the EXIF-transposed frame; C-contiguous
            and read-only.
    """

    picture: Picture
    pixels: NDArray[np.uint8]


def read(location: Path, max_bytes: int = MAX_BYTES) -> Content:
    """Read a file and identify it by its content.

    Args:
        location: a regular file, or an object.
        max_bytes: the largest file that is accepted.

    Raises:
        PictureError: `empty`, `too_large`, `unreadable` (retryable) or `vanished` (retryable).
    """
    if isinstance(location, S3Path):
        data = location.read_all(max_bytes)
        return Content(data, hashlib.sha256(data).hexdigest())
    try:
        with open(location, "rb", opener=_open_at_once) as stream:
            data = _read_regular(stream, max_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PictureError("vanished", "the file is gone: run again", retryable=True) from error
    except OSError as error:
        message = f"it cannot be read ({error.strerror}): check its permissions and its drive"
        raise PictureError("unreadable", message, retryable=True) from error
    return Content(data, hashlib.sha256(data).hexdigest())


def decode(content: Content, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a picture completely, to 8-bit sRGB in the EXIF-transposed frame.

    The first frame of an animation and the first page of a document are used. Transparency is
    composited on white. May run in several threads at once.

    Args:
        content: the file's bytes.
        max_pixels: the largest picture that is accepted; its longest side may be `MAX_SIDE`.

    Raises:
        PictureError: `corrupt`, `needs_extra` (retryable), `too_large` or `unsupported_format`.
        MemoryError: there is too little memory for the picture.
    """
    import numpy as np

    name, upright, exif, frames = _decoded(content, max_pixels)
    pixels = np.asarray(upright)
    pixels.setflags(write=False)
    picture = Picture(
        sha256=content.sha256,
        width=upright.width,
        height=upright.height,
        format=name,
        frames=frames,
        taken_at=exif.taken_at,
        camera=exif.camera,
        gps=exif.gps,
    )
    return Decoded(picture, pixels)


def preview(content: Content, side: int, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a picture as `decode` does, scaled down to look at.

    Args:
        content: the file's bytes.
        side: most pixels that the longer side has; a smaller picture stays as it is.
        max_pixels: see `decode`.

    Returns:
        uint8, shape (height, width, 3), sRGB, in the EXIF-transposed frame.

    Raises:
        PictureError: see `decode`.
    """
    import numpy as np
    from PIL.Image import Resampling

    _, upright, _, _ = _decoded(content, max_pixels, side)
    upright.thumbnail((side, side), Resampling.LANCZOS)
    return np.asarray(upright)


def _decoded(
    content: Content, max_pixels: int, least_side: int | None = None
) -> tuple[str, PIL.Image.Image, Exif, int]:
    """Return the format, the picture in sRGB as EXIF orients it, its EXIF, and its frames."""
    # Imported here, so that commands that decode nothing start without them.
    from indexer.library import colour, metadata, pillow

    name = formats.sniff(content.data)
    if name is None:
        message = "this is not a picture in a supported format: convert it to JPEG or PNG"
        raise PictureError("unsupported_format", message)
    image, frames = pillow.load(content.data, name, max_pixels, MAX_SIDE, least_side)
    exif = metadata.read_exif(image)
    upright = metadata.transpose(colour.to_srgb(image, pillow.depth(image, content.data)), exif)
    return image.format or name, upright, exif, frames


def _open_at_once(location: str, flags: int) -> int:
    """Open without waiting for the other end, which a pipe may never get."""
    return os.open(location, flags | os.O_NONBLOCK)


def _read_regular(stream: BinaryIO, max_bytes: int) -> bytes:
    info = os.fstat(stream.fileno())
    if not stat.S_ISREG(info.st_mode):
        message = "this is not a regular file: move it elsewhere"
        raise PictureError("unreadable", message, retryable=True)
    if info.st_size == 0:
        raise PictureError("empty", "the file is empty: replace or remove it")
    if info.st_size > max_bytes:
        message = f"the file has {info.st_size} bytes, the limit is {max_bytes}: make it smaller"
        raise PictureError("too_large", message)
    data = stream.read(info.st_size + 1)
    if len(data) != info.st_size:
        message = "the file changed while it was read: run again when it is complete"
        raise PictureError("unreadable", message, retryable=True)
    return data
