"""Pictures that callers hand over, as the arrays that the models take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.errors import SegsearchError

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

_CHANNELS = 3


def as_pixels(image: PIL.Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB picture as a uint8 array of shape (H, W, 3).

    Raises:
        SegsearchError: it is not RGB with 8 bits a channel.
    """
    import numpy as np

    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != _CHANNELS or pixels.shape[2] != _CHANNELS:
        raise SegsearchError(
            f"a picture must be RGB with 8 bits a channel, not {pixels.dtype} {pixels.shape}",
            "convert it with PIL's convert('RGB'), or read it with indexer.library.decode",
        )
    if pixels.size == 0:
        raise SegsearchError(f"a picture of {pixels.shape} has no pixels", "give another one")
    return pixels
