"""Muon against torch's own, which rounds to bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(32, 96), (96, 32), (48, 48)])
def test_singular_values_come_near_to_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=generator)))
    assert values.min() > 0.3
    assert values.max() < 1.3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_steps_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = nn.Parameter(torch.randn(32, 64, generator=generator))
    theirs = nn.Parameter(ours.detach().clone())
    start = ours.detach().clone()
    muon = Muon([ours], lr=0.01, weight_decay=0.1)
    peer = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        ours.grad = torch.randn(32, 64, generator=generator)
        theirs.grad = ours.grad.clone()
        muon.step()
        peer.step()  # type: ignore[no-untyped-call]
    moved = (ours - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved
