"""Pictures as SAM 2 takes them, in memory that does not grow with the picture.

A part of the adapter of the `sam2` package, see `sam2_model.py`. Upstream turns all of a picture
into float32, twice, before it is scaled: 1.2 GB for 48 megapixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.utils.transforms import SAM2Transforms
from torch import Tensor
from torch.nn import functional

Pixels = NDArray[np.uint8]

#: Pixels that are float32 at once.
_PIXELS_AT_ONCE = 1 << 22


class Transforms(SAM2Transforms):  # type: ignore[misc]
    """Upstream's transforms; pictures are scaled in strips."""

    def __call__(self, pixels: Pixels) -> Tensor:
        """Scale a uint8 RGB picture, (H, W, 3), to the model's square and normalise its colours.

        Returns:
            float32, (3, S, S): what upstream returns. Its scaling, with antialiasing, goes along
            rows first and along columns then, so that strips of rows can be narrowed one by one.
        """
        side: int = self.resolution
        height, width, _ = pixels.shape
        narrow = torch.empty(3, height, side)
        rows = max(1, _PIXELS_AT_ONCE // width)
        for start in range(0, height, rows):
            strip = torch.from_numpy(pixels[start : start + rows]).permute(2, 0, 1)
            narrow[:, start : start + rows] = _scaled(strip.float().div(255), (len(strip[0]), side))
        normalised: Tensor = self.transforms[1](_scaled(narrow, (side, side)))
        return normalised


def _scaled(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(
        picture[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0]
