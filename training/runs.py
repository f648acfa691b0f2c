"""What every training run shares: a schedule, a moving average, checkpoints and a log."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def learning_rate(step: int, steps: int, peak: float, *, warmup: int) -> float:
    """Return a linear rise over `warmup` steps, then half a cosine down to zero at `steps`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class MovingAverage:
    """An exponential moving average of a module's state, which is what a run exports."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module; over few steps at first, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill leaves the old one or the new one, never half of one."""
    fresh = path.with_suffix(".fresh")
    torch.save(content, fresh)
    fresh.replace(path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint that this project wrote."""
    content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return content


def log_line(path: Path, figures: dict[str, float]) -> None:
    """Append one JSON line to the run's log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(figures) + "\n")


def export(path: Path, state: dict[str, Tensor]) -> None:
    """Write weights in half precision as a `.safetensors` file."""
    from safetensors.torch import save

    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in state.items()
    }
    path.write_bytes(save(halves))
