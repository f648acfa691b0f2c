"""The order of the points in fast mode, and which of them found masks explain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from indexer.segmentation import points


def order(side: int) -> list[str]:
    """Return the grid, each point as the number of its round."""
    rounds = np.full(side * side, -1)
    for number, (indices, _) in enumerate(points.rounds(side)):
        assert (rounds[indices] == -1).all()  # none comes twice
        rounds[indices] = number
    return ["".join(map(str, row)) for row in rounds.reshape(side, side)]


def test_the_rounds_of_a_grid() -> None:
    assert order(8) == [
        "14241424",
        "43434343",
        "24042404",
        "43434343",
        "14241424",
        "43434343",
        "24042404",
        "43434343",
    ]


def test_masks_that_explain_lie_the_nearer_the_closer_the_points_are() -> None:
    assert [reach for _, reach in points.rounds(8)][1:] == [4, 4, 2, 2]


@pytest.mark.parametrize("side", [1, 2, 3, 5, 11, 32])
def test_every_point_comes_once(side: int) -> None:
    indices = np.concatenate([some for some, _ in points.rounds(side)])
    assert sorted(indices.tolist()) == list(range(side * side))


def one_mask(rows: slice, columns: slice) -> Tensor:
    """Return a mask with 4 × 4 pixels for each of the points of a grid of 8 × 8."""
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[0, rows, columns] = True
    return mask


def explained(
    mask: Tensor, x: int, y: int, reach: int, stability: float = 0.93
) -> list[tuple[int, int]]:
    """Return the points (x, y) that a mask explains to which the point at (x, y) has led."""
    prompt = (torch.tensor([[x, y]]) + 0.5) / 8
    known = points.Known(mask, prompt, torch.tensor([stability]))
    found = points.explained(np.arange(64), 8, known, reach)
    return [(index % 8, index // 8) for index in np.flatnonzero(found).tolist()]


def test_points_well_inside_are_explained() -> None:
    # point 2 lies at pixel 10; of a steady mask it needs 9 to 11, of another one 7 to 13
    assert explained(one_mask(slice(9, 12), slice(9, 16)), 2, 2, 4) == [(2, 2), (3, 2)]
    assert explained(one_mask(slice(9, 12), slice(10, 16)), 2, 2, 4) == [(3, 2)]
    assert explained(one_mask(slice(7, 14), slice(7, 18)), 2, 2, 4, 0.92) == [(2, 2), (3, 2)]
    assert explained(one_mask(slice(7, 14), slice(8, 18)), 2, 2, 4, 0.92) == [(3, 2)]


def test_masks_that_are_not_stable_explain_nothing() -> None:
    assert points.are_sure(torch.tensor([0.79, 0.81, torch.nan])).tolist() == [False, True, False]


def test_only_points_nearby_are_explained() -> None:
    everything = one_mask(slice(None), slice(None))
    assert explained(everything, 0, 7, 1) == [(0, 6), (1, 6), (0, 7), (1, 7)]
    assert len(explained(everything, 4, 4, 7, 0.8)) == 64  # the picture's edge is no mask's


def test_a_hole_is_not_explained() -> None:
    mask = one_mask(slice(None), slice(None))
    mask[0, 14, 18] = False  # the pixel at the point (4, 3)
    assert (4, 3) not in explained(mask, 3, 3, 2)
    assert len(explained(mask, 3, 3, 2)) == 24


def test_each_mask_has_the_margin_of_its_own() -> None:
    small, large = one_mask(slice(9, 12), slice(9, 12)), one_mask(slice(20, 32), slice(20, 32))
    prompts = (torch.tensor([[2, 2], [6, 6]]) + 0.5) / 8
    parts = [
        points.Known(small, prompts[:1], torch.tensor([0.95])),
        points.Known(large, prompts[1:], torch.tensor([0.85])),
    ]
    found = points.explained(np.arange(64), 8, points.Known.joined(parts), 4)
    assert np.flatnonzero(found).tolist() == [18, 54, 55, 62, 63]
