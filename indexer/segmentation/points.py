"""Which points of the grid are decoded, and in which order.

`exact` decodes all of them. Most find what their neighbours have found. `fast` decodes every
fourth point of every fourth row first, then every second of every second, then the rest, each time
without the points that are explained: those well inside of a mask that a point nearby has led to.
What it can lose is a part smaller than the distance of the points that were decoded, on a thing
that was found as a whole. How much that is: docs/benchmarks.md.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Distances of the points in each round, in steps of the grid.
STRIDES = (4, 2, 1)
#: Steps of the grid by which a point must lie inside of a mask. (On drawn scenes, 32 points a side:
#: of exact's masks 85 % are found with 0, 96 % with a half, 99 % with 1, with 20, 33 and 47 % of
#: its points.)
_MARGIN = 1.0


def lattice(side: int, stride: int) -> NDArray[np.int64]:
    """Return the indices of the points of a round, of a grid of `side` × `side`, row by row."""
    every = np.arange(side)
    along: NDArray[np.int64] = every[(every - STRIDES[0] // 2) % stride == 0]
    return np.add.outer(along * side, along).ravel()


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
