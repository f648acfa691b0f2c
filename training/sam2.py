"""Train the demo SAM 2 on drawn scenes: `python -m training.sam2 RUN --scenes FOLDER`.

Stopped at any time, the same command goes on from the last checkpoint. Batches depend on the seed
and the step alone.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from indexer import malloc
from indexer.segmentation.sam2_model import build_untrained
from training import runs
from training.sam2_batches import Batch, BatchShape, Kind, Prompts, draw_batch
from training.sam2_clicks import mean_click_iou
from training.sam2_losses import mask_loss, prompt_loss
from training.sam2_model import (
    Shortcut,
    decode,
    encode,
    hold_on_the_prompt,
    look_at_the_prompt,
    set_side,
)
from training.scenes import Shards

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

_CONFIG = "demo/sam2_tiny.yaml"
_KINDS: tuple[Kind, ...] = ("click", "box", "refined")
_KIND_SHARES = (0.5, 0.25, 0.25)
#: What answers prompts, and is taught only from the first prompt on.
_ANSWERING = ("sam_prompt_encoder.", "sam_mask_decoder.transformer.", "sam_mask_decoder.iou")
_MAX_NORM = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """Steps on batches of one shape; without prompts, the encoder learns alone."""

    steps: int
    shape: BatchShape


@dataclass(frozen=True)
class Plan:
    """What decides a run, apart from the scenes.

    Attributes:
        stages: one after the other.
        peak: highest learning rate, reached after `warmup` steps.
        warmup: steps.
        weight_decay: of matrices, not of biases and norms.
        average: decay of the moving average of the weights.
        held: steps with clicks alone, the tokens being held to look at the prompts' places.
        seed: of the first weights and of every batch.
    """

    stages: tuple[Stage, ...]
    peak: float = 1.4e-3
    warmup: int = 200
    weight_decay: float = 0.05
    average: float = 0.998
    held: int = 1100
    seed: int = 0

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def shape(self, step: int) -> BatchShape:
        """Return the shape of the batch of a step."""
        for stage in self.stages:
            if step < stage.steps:
                return stage.shape
            step -= stage.steps
        raise IndexError(f"the plan has {self.steps} steps")


#: The encoder first, then everything on small pictures, then on pictures of the model's own size:
#: a step costs four times as much at the end as at the start.
PLAN = Plan(
    (
        Stage(300, BatchShape(pictures=4, side=256, prompts=0, anchors=24)),
        Stage(1700, BatchShape(pictures=4, side=256, prompts=8, anchors=16)),
        Stage(640, BatchShape(pictures=3, side=384, prompts=8, anchors=16)),
    )
)


class Run:
    """A training run: the model, its optimiser, its average, and the step it has come to."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        """Build everything as it is before the first step."""
        torch.manual_seed(plan.seed)
        self.plan, self.device, self.step = plan, device, 0
        self.model = build_untrained(_CONFIG).to(device).train()
        look_at_the_prompt(self.model)
        self.shortcut = Shortcut(self.model.hidden_dim).to(device)
        self.parameters = [*self.model.parameters(), *self.shortcut.parameters()]
        self.optimiser = torch.optim.AdamW(
            list(self._groups()), lr=plan.peak, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.average = runs.MovingAverage(self.model, plan.average)

    def _groups(self) -> Iterator[dict[str, Any]]:
        """Yield what is taught from the start and from the first prompt on; matrices apart."""
        named = [*self.model.named_parameters(), *self.shortcut.named_parameters()]
        for answering in (False, True):
            mine = [p for name, p in named if name.startswith(_ANSWERING) is answering]
            matrices, others = ([p for p in mine if (p.ndim > 1) is two] for two in (True, False))
            start = self.plan.stages[0].steps if answering else 0
            yield {"params": matrices, "start": start, "weight_decay": self.plan.weight_decay}
            yield {"params": others, "start": start}

    def train_step(self, shards: Shards) -> dict[str, float]:
        """Take one step and return what it found out."""
        shape = self.plan.shape(self.step)
        rng = np.random.default_rng([self.plan.seed, self.step])
        torch.manual_seed(int(rng.integers(1 << 31)))  # of the corrective clicks
        shares = (1, 0, 0) if self.step < self.plan.held else _KIND_SHARES
        kind = _KINDS[int(rng.choice(len(_KINDS), p=shares))]
        batch = draw_batch(shards, shape, kind, rng)
        set_side(self.model, shape.side)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(group["start"])
        self.optimiser.zero_grad(set_to_none=True)
        figures = self._backward(batch, kind)
        nn.utils.clip_grad_norm_(self.parameters, _MAX_NORM)
        self.optimiser.step()
        if self.step < self.plan.held:
            hold_on_the_prompt(self.model)
        self.average.update(self.model, self.step)
        self.step += 1
        return {"step": self.step, "side": shape.side, **figures}

    def _rate(self, start: int) -> float:
        """Return the learning rate of what is taught from a step on: that has its own warm-up."""
        if self.step < start:
            return 0.0
        plan = self.plan
        rate = runs.learning_rate(self.step, plan.steps, plan.peak, warmup=plan.warmup)
        return rate * min(1.0, (self.step - start + 1) / plan.warmup)

    def _backward(self, batch: Batch, kind: Kind) -> dict[str, float]:
        """Compute the gradients: of each picture's prompts in turn, then of the encoder once."""
        features = encode(self.model, batch.pictures.to(self.device))
        leaves = [feature.detach().requires_grad_() for feature in features]
        dense = prompted = 0.0
        for i, prompts in enumerate(batch.prompts):
            mine = [leaf[i : i + 1] for leaf in leaves]
            loss = self._dense_loss(mine, prompts)
            dense += float(loss.detach())
            if len(prompts.wanted):
                answered = _answer(self.model, mine, prompts, kind)
                prompted += float(answered.detach())
                loss = loss + answered
            (loss / len(batch.prompts)).backward()  # type: ignore[no-untyped-call]
        gradients = [leaf.grad for leaf in leaves]
        torch.autograd.backward(features, gradients)
        figures = {"dense": dense / len(batch.prompts)}
        if batch.prompts[0].wanted.numel():
            figures[kind] = prompted / len(batch.prompts)
        return figures

    def _dense_loss(self, features: list[Tensor], prompts: Prompts) -> Tensor:
        part, row, column = prompts.anchors.to(self.device).unbind(1)
        places = (2 * torch.stack([column, row], 1) + 1) / prompts.coverage.shape[-1] - 1
        logits = self.shortcut(self.model, features, places)
        return mask_loss(logits, prompts.coverage.to(self.device)[part][:, None]).mean()

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on."""
        runs.save_checkpoint(
            path,
            {
                "step": self.step,
                "model": self.model.state_dict(),
                "shortcut": self.shortcut.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state,
            },
        )

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        saved = runs.load_checkpoint(path, self.device)
        self.model.load_state_dict(saved["model"])
        self.shortcut.load_state_dict(saved["shortcut"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.state = saved["average"]
        self.step = saved["step"]


def _answer(model: SAM2Base, features: list[Tensor], prompts: Prompts, kind: Kind) -> Tensor:
    device = features[0].device
    coverage = prompts.coverage.to(device)[prompts.wanted.to(device)]
    points = prompts.points.to(device), prompts.point_labels.to(device)
    previous = None
    if kind == "refined":
        with torch.no_grad():
            logits, ious = decode(model, features, points)
        best = logits[torch.arange(len(ious)), 1 + ious[:, 1:].argmax(1)]
        points, previous = _correct(points, best, coverage), best[:, None].clamp(-32, 32)
    logits, ious = decode(model, features, points, previous)
    return prompt_loss(logits, ious, coverage, ambiguous=kind == "click")


def _correct(
    points: tuple[Tensor, Tensor], logits: Tensor, coverage: Tensor
) -> tuple[Tensor, Tensor]:
    """Add to each prompt a click where its mask is wrong: on what is missing, or too much."""
    wanted = coverage > 0.5  # noqa: PLR2004  half a pixel
    wrong = (wanted != (logits > 0)).float().flatten(1)
    # a place inside a wrong area is likelier than one on its border
    side = logits.shape[-1]
    inner = F.avg_pool2d(wrong.view(-1, 1, side, side), 3, 1, 1).flatten(1) * wrong
    place = torch.multinomial(inner.square() + 1e-9, 1)
    stride = 4
    x, y = place % side * stride + stride / 2, place // side * stride + stride / 2
    coordinates = torch.cat([points[0], torch.stack([x, y], -1)], 1)
    labels = wanted.flatten(1).gather(1, place).to(torch.int32)
    return coordinates, torch.cat([points[1], labels], 1)


def train(run: Run, folder: Path, scenes: Path, *, minutes: float, every: int = 200) -> None:
    """Train until the plan or the time is over; checkpoints and the log go into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.pt", folder / "log.jsonl"
    if checkpoint.is_file():
        run.load(checkpoint)
    shards = Shards(scenes)
    started = time.monotonic()
    while run.step < run.plan.steps and time.monotonic() - started < minutes * 60:
        figures = run.train_step(shards)
        if run.step % every == 0 or run.step == run.plan.steps:
            set_side(run.model, run.plan.stages[-1].shape.side)
            figures["one_click_iou"] = mean_click_iou(run.model, run.average.state, run.device)
            shards = Shards(scenes)  # there may be more of them by now
            run.save(checkpoint)
        runs.log_line(log, {**figures, "seconds": round(time.monotonic() - started, 1)})
    run.save(checkpoint)


def main() -> None:
    """Train, or go on, from the command line; the weights are written when the plan is done."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("run", type=Path, help="folder of the run")
    arguments.add_argument("--scenes", type=Path, required=True, help="from training.scenes")
    arguments.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    arguments.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    arguments.add_argument("--export", type=Path, help="where to write the average's weights")
    given = arguments.parse_args()
    logging.basicConfig(level=logging.INFO)
    malloc.keep_freed_memory()
    run = Run(PLAN, given.device)
    train(run, given.run, given.scenes, minutes=given.minutes)
    if given.export:
        runs.export(given.export, run.average.state)
    _log.info("%d of %d steps", run.step, run.plan.steps)


if __name__ == "__main__":
    main()
