"""Which points of the grid are decoded, and in which order.

`exact` decodes all of them. Most find what their neighbours have found. `fast` decodes a sixteenth
of them first, then in four rounds those between, each time without the points that are explained:
those well inside of a stable mask that a point nearby has led to. What it can lose is a part
smaller than the distance of the points that were decoded, on a thing that was found as a whole.
How much that is: docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Stability score from which a mask explains other points, and the steps of the grid by which
#: they must lie inside of it. (Demo model, 32 points a side, scenes with large objects from seed
#: 7300 on, share of exact's masks found and of its points decoded: a half and 0.85 98 % and 42 %; a
#: half and 0.8 97 %, 38 %; a quarter 97 %, 35 %; three quarters 98 %, 48 %. One step and masks of
#: any stability, points by squares alone: 98 % and 50 %.)
SURE, _MARGIN = 0.85, 0.5
#: Distances of the points that are left before a round, in steps of the grid.
_STRIDES = (4, 2)


def rounds(side: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the points of each round, and how near the masks must be that explain them.

    First come every fourth point of every fourth row; then twice the middles of the squares that
    are left, and the middles of their sides.

    Args:
        side: points along each side of the grid.

    Yields:
        The indices of points, row by row, and steps of the grid along each axis.
    """
    x = np.arange(side) - _STRIDES[0] // 2
    y = x[:, None]
    waiting = np.ones((side, side), np.bool_)

    def taken(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        indices = np.flatnonzero(waiting & chosen)
        waiting[chosen] = False
        return indices

    def every(stride: int) -> NDArray[np.bool_]:
        on: NDArray[np.bool_] = (x % stride == 0) & (y % stride == 0)
        return on

    yield taken(every(_STRIDES[0])), 0
    for stride in _STRIDES:
        finer = every(stride // 2)
        yield taken(finer & ((x + y) % stride == 0)), stride
        yield taken(finer), stride


def explained(
    indices: NDArray[np.int64], side: int, masks: Tensor, prompts: Tensor, reach: int
) -> NDArray[np.bool_]:
    """Say of points whether a mask found nearby covers them and what is around them.

    Args:
        indices: of the points in the grid of `side` × `side`.
        side: of the grid.
        masks: bool, (K, h, w), each of the grid's whole extent.
        prompts: (x, y) of the point that led to each mask, in shares of the extent, (K, 2).
        reach: steps of the grid, along each axis, that count as nearby.
    """
    places = torch.from_numpy(np.stack([indices % side, indices // side], 1))
    origins = torch.round(prompts * side - 0.5).long()
    near = (origins[:, None] - places).abs().amax(2) <= reach
    mask, point = near.nonzero(as_tuple=True)
    ring = torch.cartesian_prod(*[torch.tensor([-_MARGIN, 0.0, _MARGIN])] * 2)
    height, width = masks.shape[1:]
    around = (places[point, None] + 0.5 + ring) / side * torch.tensor([width, height])
    x, y = around.long().unbind(2)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)  # the picture's edge is no mask's
    device = masks.device
    covered = masks[mask[:, None].to(device), y.to(device), x.to(device)].all(1).cpu()
    found = np.zeros(len(indices), np.bool_)
    found[point[covered].numpy()] = True
    return found
