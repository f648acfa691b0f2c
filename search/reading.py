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
    """Read a hit's picture from the first of its files that still has the indexed bytes.

    Returns:
        uint8 RGB, shape (H, W, 3), the frame that the hit's box and mask are in.

    Raises:
        PictureError: none of them can be read, or all have changed since.
    """
    failure = PictureError("vanished", "no file of it is left")
    for path in hit.paths:
        try:
            content = library.read(path)
            if content.sha256 == hit.image.picture.sha256:
                return library.decode(content).pixels
            failure = PictureError("vanished", "it has changed since it was indexed")
        except PictureError as error:
            failure = error
    raise failure
