"""Pixels, thumbnails and SAM 2's embeddings of pictures, kept for the next request."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal
from weakref import WeakKeyDictionary

import PIL.Image
from pydantic import BeforeValidator

from indexer import library
from indexer.crops import Pixels
from indexer.errors import PictureError
from search.api.library import Library, gone
from search.caching import Lru
from search.hits import Hit
from search.reading import read_content, read_picture

if TYPE_CHECKING:
    from indexer.segmentation.sam2_model import Embedded
    from indexer.segmentation.segmenter import Prompt, Prompted, Segmenter

#: Longest sides that pictures are scaled down to; in an address they are text.
Size = Annotated[Literal[160, 320, 640, 1280, 2048], BeforeValidator(int)]

_JPEG_QUALITY = 85
_PIXEL_BYTES, _THUMBNAIL_BYTES = 384 * 2**20, 128 * 2**20
#: Embeddings that are kept: some 16 MB each with the real models.
_EMBEDDINGS = 16
#: Pictures that are decoded, or searched with, at the same time.
_AT_ONCE = 2


class Pictures:
    """What was made of pictures, as much as the limits allow. Safe to use from many threads."""

    def __init__(self, library_: Library) -> None:
        """Start with nothing."""
        self._library = library_
        self._pixels: Lru[str, Pixels] = Lru(_PIXEL_BYTES, lambda pixels: pixels.nbytes)
        self._thumbnails: Lru[tuple[str, int], bytes] = Lru(_THUMBNAIL_BYTES, len)
        self._embeddings: WeakKeyDictionary[Segmenter, Lru[str, Embedded]] = WeakKeyDictionary()
        self._sam = threading.Lock()
        #: Held by searches that read pictures, before any lock of this class.
        self.searching = threading.Semaphore(_AT_ONCE)
        self._decoding = threading.Semaphore(_AT_ONCE)  # who holds it waits for nobody

    def pixels(self, hit: Hit) -> Pixels:
        """Return an image's pixels, uint8 RGB of shape (H, W, 3).

        Raises:
            Refused: no file with the indexed bytes is left.
        """

        def make() -> Pixels:
            readable = self._library.readable(hit)
            with self._decoding:
                return _there(lambda: read_picture(readable))

        return self._pixels.get(hit.image.id, make)

    def thumbnail(self, hit: Hit, size: Size) -> bytes:
        """Return an image as a JPEG whose longer side has `size` pixels at most.

        Raises:
            Refused: see `pixels`.
        """

        def make() -> bytes:
            readable = self._library.readable(hit)
            with self._decoding:
                small = _there(lambda: library.preview(read_content(readable), size))
            return jpeg(PIL.Image.fromarray(small))

        return self._thumbnails.get((hit.image.id, size), make)

    def prompted(
        self, name: str, pixels: Callable[[], Pixels], prompt: Prompt, *, candidates: bool
    ) -> list[Prompted]:
        """Let SAM 2 cut out of a picture what a prompt points at, best first.

        Args:
            name: the id of the picture, under which its embedding is kept.
            pixels: returns the picture.
            prompt: where the object lies.
            candidates: return all that the prompt may mean.

        Raises:
            QueryError: the prompt lies outside the picture.
            ModelError: the index's SAM 2 cannot be loaded.
        """
        segmenter = self._library.opened().searcher.segmenter()
        with self._sam:  # one after the other is faster than all at once, and bounds the memory
            kept = self._embeddings.setdefault(segmenter, Lru(_EMBEDDINGS))
            embedded = kept.get(name, lambda: segmenter.embed(pixels()))
            if candidates:
                return segmenter.candidates(embedded, prompt)
            return [segmenter.prompt(embedded, prompt)]


def jpeg(picture: PIL.Image.Image) -> bytes:
    """Return an RGB picture as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def png(picture: PIL.Image.Image) -> bytes:
    """Return a picture as PNG, compressed little: it is made while somebody waits."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def scaled(picture: PIL.Image.Image, size: int) -> PIL.Image.Image:
    """Return a picture whose longer side has `size` pixels at most."""
    picture.thumbnail((size, size), PIL.Image.Resampling.LANCZOS)
    return picture


def _there(read: Callable[[], Pixels]) -> Pixels:
    try:
        return read()
    except PictureError as error:
        raise gone(error) from error
