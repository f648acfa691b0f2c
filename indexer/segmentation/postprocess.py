"""Logits to masks: how stable, where, and as run lengths, at the size of the picture.

A mask is nothing but its logits until it is known to be kept. Then its run lengths are read off
them, so that no picture-sized array is made, neither for those that are dropped nor for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from indexer.segmentation import kernels

#: Pixels that are held at once on a device other than the CPU, in float32.
_PIXELS_AT_ONCE = 1 << 25


@dataclass(frozen=True, eq=False)
class Measured:
    """What is known of M masks from all of their pixels; on the CPU.

    Attributes:
        stability: float32 stability scores, (M,); not a number where no pixel is above even the
            lowered threshold.
        boxes: int64 boxes of the pixels above the threshold, (M, 4): x0, y0, x1, y1, inclusive as
            upstream's are; zeros for an empty mask.
    """

    stability: Tensor
    boxes: Tensor


def measure(logits: Tensor, size: tuple[int, int], threshold: float, offset: float) -> Measured:
    """Measure masks at the size of their picture, as upstream does.

    Args:
        logits: float32, (M, h, w), on any device.
        size: (height, width) of the picture.
        threshold: logit above which a pixel belongs to the mask.
        offset: by which the threshold is raised and lowered for the stability score: the number
            of pixels above the one, over the number above the other.
    """
    if len(logits) == 0:
        return Measured(torch.empty(0), torch.empty(0, 4, dtype=torch.int64))
    if logits.device.type == "cpu":
        counted = kernels.measure(logits.contiguous().numpy(), *size, threshold, offset)
        found = torch.from_numpy(counted)
    else:
        at_once = max(1, _PIXELS_AT_ONCE // (size[0] * size[1]))
        parts = [
            measure_on_device(part, size, threshold, offset)
            for part in torch.split(logits, at_once)
        ]
        found = torch.cat(parts).cpu()
    return Measured(found[:, 0] / found[:, 1], found[:, 2:].long())


def measure_on_device(
    logits: Tensor, size: tuple[int, int], threshold: float, offset: float
) -> Tensor:
    """Return what `kernels.measure` does, (M, 6), by torch on the logits' device."""
    height, width = size
    pixels = functional.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
    over, under = (
        (pixels > level).sum((1, 2), dtype=torch.int32)
        for level in (threshold + offset, threshold - offset)
    )
    inside = pixels > threshold
    columns, rows = inside.any(1).int(), inside.any(2).int()
    box = torch.stack(
        [
            columns.argmax(1),
            rows.argmax(1),
            width - 1 - columns.flip(1).argmax(1),
            height - 1 - rows.flip(1).argmax(1),
        ],
        1,
    )
    box *= columns.any(1, keepdim=True)
    return torch.cat([over[:, None], under[:, None], box.int()], 1)


def changes(
    logits: Tensor,
    box: tuple[int, int, int, int],
    crop: tuple[int, int, int, int],
    height: int,
    threshold: float,
) -> NDArray[np.int64]:
    """Return where a mask of a crop begins and ends in the picture, see `masks.from_changes`.

    Args:
        logits: float32, (h, w), on the CPU.
        box: around the mask in the crop, from `measure`.
        crop: half-open box of the crop in the picture.
        height: of the picture.
        threshold: logit above which a pixel belongs to the mask.
    """
    x0, y0, x1, y1 = crop
    size, place = (y1 - y0, x1 - x0), (x0, y0, height)
    found: NDArray[np.int64] = kernels.changes(logits.numpy(), size, threshold, box, place)
    return found
