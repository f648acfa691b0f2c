"""The pixels of a hit's picture, as they were indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer import library
from indexer.errors import PictureError
from search.hits import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_picture(hit: Hit) -> NDArray[np.uint8]:
    """Read a hit's picture: uint8 RGB, shape (H, W, 3), the frame of the hit's box and mask.

    Raises:
        PictureError: see `read_content`.
    """
    return library.decode(read_content(hit)).pixels


def read_content(hit: Hit) -> library.Content:
    """Read the first of the files of a hit's picture that still has the indexed bytes.

    Raises:
        PictureError: none of them can be read, or all have changed since.
    """
    failure = PictureError("vanished", "no file of it is left")
    for path in hit.paths:
        try:
            content = library.read(path)
            if content.sha256 == hit.image.picture.sha256:
                return content
            failure = PictureError("vanished", "it has changed since it was indexed")
        except PictureError as error:
            failure = error
    raise failure
