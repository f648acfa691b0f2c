"""Train the demo SAM 2 on drawn scenes: `python -m training.sam2 RUN --scenes FOLDER`.

Stopped at any time, the same command goes on from the last checkpoint. Batches depend on the seed
and the step alone.
"""

from __future__ import annotations

import argparse
import logging
import time
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
from training.muon import Muon
from training.sam2_batches import MASK_STRIDE, Batch, BatchShape, Kind, Prompts, draw_batch
from training.sam2_clicks import held_out_ious
from training.sam2_losses import mask_loss, prompt_loss
from training.sam2_model import (
    Shortcut,
    best_of_three,
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
#: The chance of each kind of prompts, first and then.
_FIRST_KINDS: dict[Kind, float] = {"click": 0.6, "box": 0.4}
_KINDS: dict[Kind, float] = {"click": 0.4, "box": 0.3, "refined": 0.3}
#: What answers prompts, and is taught only from the first prompt on.
_ANSWERING = ("sam_prompt_encoder.", "sam_mask_decoder.transformer.", "sam_mask_decoder.iou")
_MAX_NORM = 1.0
#: Weight of the embedding's mean square: without it the embedding grows, and drowns the encoding of
#: positions that is added to it.
_EMBEDDING_WEIGHT = 0.02
#: Matrices inside blocks, which Muon teaches; the rest is left to AdamW.
_BLOCKS = (
    "image_encoder.trunk.blocks.",
    "sam_mask_decoder.transformer.",
    "sam_mask_decoder.output_hypernetworks_mlps.",
)
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
        peak: highest learning rate of Muon, reached after `warmup` steps.
        peak_adam: the same of AdamW.
        warmup: steps.
        weight_decay: of matrices inside blocks.
        average: decay of the moving average of the weights.
        held: steps while the tokens are held to look at the prompts' places, which nobody corrects.
        seed: of the first weights and of every batch.
    """

    stages: tuple[Stage, ...]
    peak: float = 3e-3
    peak_adam: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.05
    average: float = 0.998
    held: int = 900
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


#: The encoder first, then everything on windows, then on whole pictures: a step costs the more, the
#: later it is.
PLAN = Plan(
    (
        Stage(200, BatchShape(pictures=4, side=384, window=256, prompts=0, anchors=24)),
        Stage(3000, BatchShape(pictures=4, side=384, window=256, prompts=12, anchors=24)),
        Stage(1500, BatchShape(pictures=3, side=384, window=384, prompts=10, anchors=24)),
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
        self.optimisers = self._optimisers()
        self.average = runs.MovingAverage(self.model, plan.average)

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        """Return Muon for the matrices inside blocks, and AdamW for all else."""
        plan = self.plan
        return [
            Muon(self._groups(plan.peak, inner=True), lr=0.0, weight_decay=plan.weight_decay),
            torch.optim.AdamW(
                self._groups(plan.peak_adam, inner=False),
                lr=0.0,
                betas=(0.9, 0.98),
                weight_decay=0.0,
                fused=True,
            ),
        ]

    def _groups(self, peak: float, *, inner: bool) -> list[dict[str, Any]]:
        """Return two groups: what is taught from the start, and from the first prompt on."""
        named = [*self.model.named_parameters(), *self.shortcut.named_parameters()]
        mine = [
            (name, p) for name, p in named if (p.ndim > 1 and name.startswith(_BLOCKS)) is inner
        ]
        groups = []
        for answering in (False, True):
            parameters = [p for name, p in mine if name.startswith(_ANSWERING) is answering]
            start = self.plan.stages[0].steps if answering else 0
            groups.append({"params": parameters, "peak": peak, "start": start})
        return groups

    def train_step(self, shards: Shards) -> dict[str, float]:
        """Take one step and return what it found out."""
        shape = self.plan.shape(self.step)
        rng = np.random.default_rng([self.plan.seed, self.step])
        torch.manual_seed(int(rng.integers(1 << 31)))  # of the corrective clicks
        held = self.step < self.plan.held
        batch = draw_batch(shards, shape, _FIRST_KINDS if held else _KINDS, rng)
        set_side(self.model, shape.side, shape.window)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self._rate(group["peak"], group["start"])
            optimiser.zero_grad(set_to_none=True)
        figures = self._backward(batch)
        nn.utils.clip_grad_norm_(self.parameters, _MAX_NORM)
        for optimiser in self.optimisers:
            optimiser.step()
        if held:
            hold_on_the_prompt(self.model)
        self.average.update(self.model, self.step)
        self.step += 1
        return {"step": self.step, **figures}

    def _rate(self, peak: float, start: int) -> float:
        """Return the learning rate of what is taught from a step on: that has its own warm-up."""
        if self.step < start:
            return 0.0
        plan = self.plan
        rate = runs.learning_rate(self.step, plan.steps, peak, warmup=plan.warmup)
        return rate * min(1.0, (self.step - start + 1) / plan.warmup)

    def _backward(self, batch: Batch) -> dict[str, float]:
        """Compute the gradients: of each picture's prompts in turn, then of the encoder once."""
        features = encode(self.model, batch.pictures.to(self.device))
        leaves = [feature.detach().requires_grad_() for feature in features]
        losses: dict[str, list[float]] = {}
        for i, prompts in enumerate(batch.prompts):
            mine = [leaf[i : i + 1] for leaf in leaves]
            loss = self._dense_loss(mine, prompts)
            losses.setdefault("dense", []).append(float(loss.detach()))
            if len(prompts.wanted):
                answered = _answer(self.model, mine, prompts)
                losses.setdefault(prompts.kind, []).append(float(answered.detach()))
                loss = loss + answered
            (loss / len(batch.prompts)).backward()  # type: ignore[no-untyped-call]
        size = features[0].square().mean()
        gradients = [leaf.grad for leaf in leaves]
        torch.autograd.backward([*features, _EMBEDDING_WEIGHT * size], [*gradients, None])
        figures = {name: sum(some) / len(some) for name, some in losses.items()}
        return {**figures, "embedding": float(size.detach())}

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
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                "average": self.average.state,
            },
        )

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        saved = runs.load_checkpoint(path, self.device)
        self.model.load_state_dict(saved["model"])
        self.shortcut.load_state_dict(saved["shortcut"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.average.state = saved["average"]
        self.step = saved["step"]


def _answer(model: SAM2Base, features: list[Tensor], prompts: Prompts) -> Tensor:
    device = features[0].device
    coverage = prompts.coverage.to(device)[prompts.wanted.to(device)]
    points = prompts.points.to(device), prompts.point_labels.to(device)
    previous = None
    if prompts.kind == "refined":
        with torch.no_grad():
            logits, ious = decode(model, features, points, origin=prompts.origin)
        best = best_of_three(logits, ious)
        points, previous = _correct(points, best, coverage), best[:, None].clamp(-32, 32)
    logits, ious = decode(model, features, points, previous, prompts.origin)
    return prompt_loss(logits, ious, coverage, ambiguous=prompts.kind == "click")


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
    x, y = ((at + 0.5) * MASK_STRIDE for at in (place % side, place // side))
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
            figures |= held_out_ious(run.model, run.average.state, run.device)
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
