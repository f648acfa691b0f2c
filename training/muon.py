"""Muon: steepest descent of matrices in the spectral norm (Keller Jordan's Muon).

torch's own calculates in bfloat16, which many processors only emulate: a quarter of a step here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Coefficients of the Newton–Schulz iteration that brings singular values near to 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
#: An update's root mean square is that of AdamW's usual updates (arXiv 2502.16982).
_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Momentum whose updates have singular values of about 1; for matrices alone."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(matrices, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Take one step; matrices without a gradient stay."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._step_one(matrix, matrix.grad, group)

    def _step_one(self, matrix: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if not state:
            state["velocity"] = torch.zeros_like(matrix)
        velocity = state["velocity"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(velocity, group["momentum"])  # Nesterov's
        update = orthogonal(ahead).mul_(_RMS * max(matrix.shape) ** 0.5)
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.sub_(update, alpha=group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix whose singular values are all 1, up to a factor."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    near: Tensor = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = near @ near.T
        near = torch.addmm(near, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), near, beta=_A)
    return near if matrix.shape[0] <= matrix.shape[1] else near.T
