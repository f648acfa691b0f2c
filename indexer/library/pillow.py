"""The calls into Pillow that can fail on a malformed file, and what their failures mean."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

# The plugins of the allow-list are imported by name: Image.open would import all of them, and
# the first of two threads to do so leaves the other with half of them.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from indexer.errors import PictureError
from indexer.library import formats
from indexer.library.quiet import quiet

#: What Pillow's readers raise on malformed data; learnt from their code and by fuzzing them.
MALFORMED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,  # libavif and libheif
    ZeroDivisionError,
    struct.error,
    zlib.error,
)

_MAX_DETAIL = 200
#: How Pillow tells that a decoder in C got no memory.
_NO_MEMORY = "out of memory"
_BITS_PER_SAMPLE = 258


def load(
    data: bytes, name: str, max_pixels: int, max_side: int, least_side: int | None = None
) -> tuple[Image.Image, int]:
    """Open and completely decode the first frame.

    Args:
        data: the file.
        name: its format, as `formats.sniff` says.
        max_pixels: largest accepted picture.
        max_side: longest accepted side, pixels.
        least_side: a JPEG may be decoded to a half, a quarter or an eighth of its size, as long as
            its sides have this many pixels; several times faster.

    Returns:
        The loaded image, in Pillow's mode and in the file's frame, and the number of frames.

    Raises:
        PictureError: see `indexer.library.decode.decode`.
        MemoryError: there is too little memory for the picture.
    """
    _check_support(name)
    with _reading(name):
        image = Image.open(BytesIO(data), formats=(name,))
    _check_size(image.size, max_pixels, max_side)
    with _reading(name):
        frames = formats.tiff_pages(data) if name == "TIFF" else getattr(image, "n_frames", 1)
        if least_side is not None:
            image.draft(None, (least_side, least_side))
        image.load()
    return image, int(frames)


def depth(image: Image.Image, data: bytes) -> int:
    """Return the bits per sample in the file, which Pillow's modes do not tell."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        return formats.png_depth(data)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))[0])
    return 8


def _check_support(name: str) -> None:
    if name == "HEIF":
        try:
            import pillow_heif
        except ImportError as error:
            message = "HEIC needs an extra: pip install 'segsearch[heic]'"
            raise PictureError("needs_extra", message, retryable=True) from error
        pillow_heif.register_heif_opener()
    elif name in ("AVIF", "WEBP") and not features.check(name.lower()):
        message = f"this Pillow was built without {name}: install the one from the package index"
        raise PictureError("needs_extra", message, retryable=True)


def _check_size(size: tuple[int, int], max_pixels: int, max_side: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _too_large(f"{width}×{height} pixels, the limit is {max_pixels} in all")
    if max(size) > max_side:
        raise _too_large(f"{width}×{height} pixels, the limit is {max_side} on a side")


def _too_large(what: str) -> PictureError:
    return PictureError("too_large", f"the picture has {what}: scale it down, or cut it into parts")


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn what Pillow raises on malformed data into our error, and keep its warnings in.

    Its DecompressionBombWarning is among them: our own limit decides, which may be higher.
    """
    try:
        with quiet():
            yield
    except Image.DecompressionBombError as error:
        raise _too_large("more pixels than Pillow ever decodes") from error
    except UnidentifiedImageError as error:
        message = f"its {name} header is damaged, or of a kind that is not supported"
        raise PictureError("corrupt", f"{message}: save it anew") from error
    except MALFORMED as error:
        if isinstance(error, OSError) and str(error).startswith(_NO_MEMORY):
            raise MemoryError(str(error)) from error
        shown = "".join(c if c.isprintable() else " " for c in str(error))
        detail = " ".join(shown.split())[:_MAX_DETAIL] or type(error).__name__
        message = f"its {name} data is damaged or cut short ({detail}): replace it by a good copy"
        raise PictureError("corrupt", message) from error
