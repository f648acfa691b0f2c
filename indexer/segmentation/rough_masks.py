"""Masks that a person or a program has drawn roughly, in the terms in which SAM 2 takes prompts.

SAM 2's mask prompt is not a mask but the low-resolution logits of an earlier answer. A rough mask
is made to look like one; what it says besides, a box and a point, are prompts of their own.
"""

from __future__ import annotations

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

#: Logit of a pixel that is on the mask for sure, as upstream has it where it takes a given mask for
#: an answer (`SAM2Base._use_mask_as_output`).
_SURE = 10.0


def as_logits(mask: Mask, side: int) -> NDArray[np.float32]:
    """Return a mask as the low-resolution logits of an answer.

    Args:
        mask: bool, shape (H, W), in the picture's frame.
        side: of the model's logits.

    Returns:
        float32, shape (1, side, side): the covered share of each cell, from -10 for none of it to
        10 for all of it.
    """
    share = PIL.Image.fromarray(mask.astype(np.float32)).resize(
        (side, side), PIL.Image.Resampling.BOX
    )
    logits: NDArray[np.float32] = (2 * np.asarray(share) - 1) * np.float32(_SURE)
    return logits[np.newaxis]


def innermost(mask: Mask) -> tuple[float, float]:
    """Return (x, y) of a pixel of the mask that is farthest from all that is not the mask.

    What lies beyond the picture is not the mask.

    Args:
        mask: bool, shape (H, W), not empty.
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x), float(y)


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of shape (H, W) with its holes filled: what lies within its outlines."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(whole, outlines, -1, 1, cv2.FILLED)
    return whole.astype(np.bool_)
