"""What every training run shares: its loop, a schedule, a moving average, checkpoints, a log."""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from indexer import malloc

_log = logging.getLogger(__name__)


class Part(Protocol):
    """A part of a run."""

    @property
    def steps(self) -> int:
        """How long it is."""
        ...


PartT = TypeVar("PartT", bound=Part)
DataT = TypeVar("DataT")
DataT_contra = TypeVar("DataT_contra", contravariant=True)


class Run(Protocol[DataT_contra]):
    """A model in training, and all that its next step depends on."""

    step: int

    @property
    def plan(self) -> Part:
        """What decides the run."""
        ...

    def train_step(self, data: DataT_contra) -> dict[str, float]:
        """Take one step and return what it found out."""
        ...

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        ...

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        ...


@dataclass(frozen=True)
class Options:
    """What a training command is given.

    Attributes:
        run: folder of checkpoints and log.
        data: folder of what to learn from.
        minutes: stop after so long.
        device: of the model.
        export: where to write the average's weights as they are when the command ends.
    """

    run: Path
    data: Path
    minutes: float
    device: torch.device
    export: Path | None


def options(description: str | None, data: str, origin: str) -> Options:
    """Read the command line of a training command, and make its process ready.

    Args:
        description: of the command.
        data: what the option of the data is called.
        origin: the module that makes the data.
    """
    given = argparse.ArgumentParser(description=description)
    given.add_argument("run", type=Path, help="folder of the run")
    given.add_argument(f"--{data}", dest="data", type=Path, required=True, help=f"from {origin}")
    given.add_argument("--minutes", type=float, default=math.inf, help="stop after so long")
    given.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    given.add_argument("--export", type=Path, help="write the average's weights at the end")
    parsed = given.parse_args()
    logging.basicConfig(level=logging.INFO)
    malloc.keep_freed_memory()
    return Options(parsed.run, parsed.data, parsed.minutes, parsed.device, parsed.export)


def train(
    run: Run[DataT],
    folder: Path,
    read: Callable[[], DataT],
    watch: Callable[[], dict[str, float]],
    *,
    minutes: float,
    every: int = 200,
) -> None:
    """Train until the plan or the time is over, from the folder's checkpoint on if it has one.

    Args:
        run: what to train.
        folder: gets `checkpoint.pt` and `log.jsonl`.
        read: opens the data, at every checkpoint anew: there may be more of it by then.
        watch: returns more figures for the log, at every checkpoint.
        minutes: stop after so long.
        every: steps from checkpoint to checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.pt", folder / "log.jsonl"
    if checkpoint.is_file():
        run.load(checkpoint)
    data, started, saved = read(), time.monotonic(), None
    while run.step < run.plan.steps and time.monotonic() - started < minutes * 60:
        figures = run.train_step(data)
        if run.step % every == 0 or run.step == run.plan.steps:
            figures |= watch()
            data, saved = read(), run.step
            run.save(checkpoint)
        log_line(log, {**figures, "seconds": round(time.monotonic() - started, 1)})
    if run.step != saved:
        run.save(checkpoint)
    _log.info("%d of %d steps", run.step, run.plan.steps)


def part_at(parts: Sequence[PartT], step: int) -> tuple[PartT, int]:
    """Return the part that a step of the run belongs to, and which of its own steps that is.

    Raises:
        IndexError: if the step comes after the last part.
    """
    left = step
    for part in parts:
        if left < part.steps:
            return part, left
        left -= part.steps
    raise IndexError(f"step {step} comes after {step - left} planned ones")


@dataclass(frozen=True)
class Cycle:
    """Steps over which the rates rise to a share of their peaks, and fall to zero."""

    steps: int
    share: float
    warmup: int


def rate(cycles: Sequence[Cycle], step: int) -> float:
    """Return the share of the peaks that the learning rates have at a step."""
    cycle, step = part_at(cycles, step)
    return learning_rate(step, cycle.steps, cycle.share, warmup=cycle.warmup)


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
