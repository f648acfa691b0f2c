"""Which points of the grid are decoded, and in which order.

`exact` decodes all of them. Most find what their neighbours have found. `fast` decodes a sixteenth
of them first, then in four rounds those between, each time without the points that are explained:
those well inside of a stable mask that a point nearby has led to. What it can lose is a part
smaller than the distance of the points that were decoded, on a thing that was found as a whole.
How much that is: docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Stability scores from which a mask explains other points, and the steps of the grid by which
#: they must lie inside of it: the steadier its edge, the fewer. (Demo model, 32 points a side,
#: scenes with large objects from seed 7300 on, share of exact's masks found and of its points
#: decoded: these 98 % and 38 %; a half from 0.85 on 98 %, 42 %; a quarter from 0.85 on 97 %, 35 %;
#: one step, whatever the stability, the points in three rounds, 98 %, 50 %. Scores are those of a
#: `stability_score_offset` of 1.)
_SURE, _MARGIN = 0.8, 0.75
_STEADY, _STEADY_MARGIN = 0.93, 0.25
#: Distances of the points along each axis after the first round, and after two more, in steps.
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


@dataclass(frozen=True, eq=False)
class Known:
    """K masks that were found.

    Attributes:
        masks: bool, (K, h, w), each of the grid's whole extent.
        prompts: (x, y) of the point that led to each mask, in shares of the extent, (K, 2).
        stability: their stability scores, (K,).
    """

    masks: Tensor
    prompts: Tensor
    stability: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Known]) -> Known:
        """Return the masks of all parts, of which there is one at least."""
        return cls(
            torch.cat([part.masks for part in parts]),
            torch.cat([part.prompts for part in parts]),
            torch.cat([part.stability for part in parts]),
        )


def are_sure(stability: Tensor) -> Tensor:
    """Say which masks can explain points, by their stability scores, (K,)."""
    return stability >= _SURE


def explained(indices: NDArray[np.int64], side: int, known: Known, reach: int) -> NDArray[np.bool_]:
    """Say of points whether a mask found nearby covers them and what is around them.

    Args:
        indices: of the points in the grid of `side` × `side`.
        side: of the grid.
        known: the masks, all of them sure.
        reach: steps of the grid, along each axis, that count as nearby.
    """
    places = torch.from_numpy(np.stack([indices % side, indices // side], 1))
    origins = torch.round(known.prompts * side - 0.5).long()
    near = (origins[:, None] - places).abs().amax(2) <= reach
    mask, point = near.nonzero(as_tuple=True)
    margins = torch.where(known.stability >= _STEADY, _STEADY_MARGIN, _MARGIN)
    ring = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 2)
    height, width = known.masks.shape[1:]
    around = places[point, None] + 0.5 + margins[mask, None, None] * ring
    x, y = (around / side * torch.tensor([width, height])).long().unbind(2)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)  # the picture's edge is no mask's
    device = known.masks.device
    covered = known.masks[mask[:, None].to(device), y.to(device), x.to(device)].all(1).cpu()
    found = np.zeros(len(indices), np.bool_)
    found[point[covered].numpy()] = True
    return found
