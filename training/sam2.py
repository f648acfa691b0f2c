"""Train the demo SAM 2 on drawn scenes: `python -m training.sam2 RUN --scenes FOLDER`.

Stopped at any time, the same command goes on from the last checkpoint. Batches depend on the seed,
the step, and how many scenes there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

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


@dataclass(frozen=True)
class Stage:
    """Steps on batches of one shape; without prompts, only the shortcut teaches.

    Attributes:
        steps: how many.
        shape: of the batches.
        kinds: the chance of each kind of prompts.
    """

    steps: int
    shape: BatchShape
    kinds: dict[Kind, float]


@dataclass(frozen=True)
class Plan:
    """What decides a run, apart from the scenes.

    Attributes:
        stages: one after the other.
        cycles: of the learning rates; they have as many steps as the stages.
        peak: the highest learning rate of Muon.
        peak_adam: that of AdamW.
        weight_decay: of matrices inside blocks.
        average: decay of the moving average of the weights.
        held: steps during which `hold_on_the_prompt` keeps the tokens looking at the prompts'
            places; later ones may change that.
        seed: of the first weights and of every batch.
    """

    stages: tuple[Stage, ...]
    cycles: tuple[runs.Cycle, ...]
    peak: float = 3e-3
    peak_adam: float = 1e-3
    weight_decay: float = 0.05
    average: float = 0.998
    held: int = 900
    seed: int = 0

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)


_CLEAR: dict[Kind, float] = {"click": 0.6, "box": 0.4}
_ALL: dict[Kind, float] = {"click": 0.4, "box": 0.3, "refined": 0.3}
_WINDOW = BatchShape(pictures=4, side=384, window=256, prompts=12, anchors=24)
_WHOLE = BatchShape(pictures=3, side=384, window=384, prompts=10, anchors=24)

_LARGE = BatchShape(pictures=4, side=512, window=384, prompts=10, anchors=24, jitter=0.02)
_BOXES: dict[Kind, float] = {"click": 0.4, "box": 0.5, "refined": 0.1}

#: The shortcut alone first, then everything on windows, then on whole pictures, then the same at
#: the side that the model is used at: a step costs the more, the later it is.
PLAN = Plan(
    (
        Stage(200, dataclasses.replace(_WINDOW, prompts=0), _CLEAR),
        Stage(700, _WINDOW, _CLEAR),
        Stage(2300, _WINDOW, _ALL),
        Stage(1500, _WHOLE, _ALL),
        Stage(1750, _LARGE, _BOXES),
        Stage(150, dataclasses.replace(_LARGE, pictures=2, window=512), _BOXES),
    ),
    (runs.Cycle(4700, 1.0, warmup=200), runs.Cycle(1900, 0.5, warmup=80)),
)


class Run:
    """A training run: the model, its optimiser, its average, and the step it has come to."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        """Build everything as it is before the first step."""
        torch.manual_seed(plan.seed)
        self.plan, self.device, self.step = plan, device, 0
        self.model = build_untrained(_CONFIG).train()
        look_at_the_prompt(self.model)
        self.model.to(device)
        self.shortcut = Shortcut(self.model.hidden_dim).to(device)
        self.parameters = [*self.model.parameters(), *self.shortcut.parameters()]
        self.optimisers = self._optimisers()
        self.average = runs.MovingAverage(self.model, plan.average)
        # one thread for each picture: they wait for one another once a step, not at every operation
        workers = torch.get_num_threads() if device.type == "cpu" else 1
        self._threads = ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(1,)
        )

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        """Return Muon for the matrices inside blocks, and AdamW for all else."""
        plan = self.plan
        return [
            Muon(self._groups(inner=True), lr=0.0, weight_decay=plan.weight_decay),
            torch.optim.AdamW(
                self._groups(inner=False), lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True
            ),
        ]

    def _groups(self, *, inner: bool) -> list[dict[str, Any]]:
        """Return two groups: what is taught from the start, and from the first prompt on."""
        named = [*self.model.named_parameters(), *self.shortcut.named_parameters()]
        mine = [
            (name, p) for name, p in named if (p.ndim > 1 and name.startswith(_BLOCKS)) is inner
        ]
        return [
            {"params": [p for name, p in mine if name.startswith(_ANSWERING) is answering]}
            for answering in (False, True)
        ]

    def train_step(self, shards: Shards) -> dict[str, float]:
        """Take one step and return what it found out."""
        stage, _ = runs.part_at(self.plan.stages, self.step)
        rng = np.random.default_rng([self.plan.seed, self.step])
        held = self.step < self.plan.held
        batch = draw_batch(shards, stage.shape, stage.kinds, rng)
        set_side(self.model, stage.shape.side, stage.shape.window)
        self._set_rates()
        figures = self._backward(batch, rng)
        nn.utils.clip_grad_norm_(self.parameters, _MAX_NORM)
        for optimiser in self.optimisers:
            optimiser.step()
        if held:
            hold_on_the_prompt(self.model)
        self.average.update(self.model, self.step)
        self.step += 1
        return {"step": self.step, **figures}

    def _set_rates(self) -> None:
        """Set the learning rates; what answers prompts has a warm-up of its own."""
        plan = self.plan
        share = runs.rate(plan.cycles, self.step)
        answering = (self.step + 1 - plan.stages[0].steps) / plan.cycles[0].warmup
        for optimiser, peak in zip(self.optimisers, (plan.peak, plan.peak_adam), strict=True):
            for group, risen in zip(optimiser.param_groups, (1.0, answering), strict=True):
                group["lr"] = peak * share * min(max(risen, 0.0), 1.0)

    def _backward(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """Compute the gradients: each picture's in a thread of its own, then their mean."""
        seeds = rng.integers(1 << 31, size=len(batch.prompts)).tolist()
        found = list(self._threads.map(self._gradients, batch.pictures, batch.prompts, seeds))
        for i, parameter in enumerate(self.parameters):
            some = [one for gradients, _ in found if (one := gradients[i]) is not None]
            parameter.grad = torch.stack(some).sum(0) / len(found) if some else None
        losses = [figures for _, figures in found]
        names = sorted({name for figures in losses for name in figures})
        return {
            name: _mean(figures[name] for figures in losses if name in figures) for name in names
        }

    def _gradients(
        self, picture: Tensor, prompts: Prompts, seed: int
    ) -> tuple[tuple[Tensor | None, ...], dict[str, float]]:
        """Return the gradients of what is asked of one picture, and its losses."""
        features = encode(self.model, picture[None].to(self.device))
        losses = {"dense": self._dense_loss(features, prompts)}
        if len(prompts.wanted):
            generator = torch.Generator(self.device).manual_seed(seed)
            losses[prompts.kind] = _answer(self.model, features, prompts, generator)
        size = features[0].square().mean()
        total = torch.stack([*losses.values(), _EMBEDDING_WEIGHT * size]).sum()
        gradients = torch.autograd.grad(total, self.parameters, allow_unused=True)
        figures = {name: float(loss.detach()) for name, loss in losses.items()}
        return gradients, {**figures, "embedding": float(size.detach())}

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


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _answer(
    model: SAM2Base, features: list[Tensor], prompts: Prompts, generator: torch.Generator
) -> Tensor:
    device = features[0].device
    coverage = prompts.coverage.to(device)[prompts.wanted.to(device)]
    points = prompts.points.to(device), prompts.point_labels.to(device)
    previous = None
    if prompts.kind == "refined":
        with torch.no_grad():
            logits, ious = decode(model, features, points, origin=prompts.origin)
        best = best_of_three(logits, ious)
        points, previous = _correct(points, best, coverage, generator), best[:, None].clamp(-32, 32)
    logits, ious = decode(model, features, points, previous, prompts.origin)
    return prompt_loss(logits, ious, coverage, ambiguous=prompts.kind == "click")


def _correct(
    points: tuple[Tensor, Tensor], logits: Tensor, coverage: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Add to each prompt a click where its mask is wrong: on what is missing, or too much."""
    wanted = coverage > 0.5  # noqa: PLR2004  half a pixel
    wrong = (wanted != (logits > 0)).float().flatten(1)
    # a place inside a wrong area is likelier than one on its border
    side = logits.shape[-1]
    inner = F.avg_pool2d(wrong.view(-1, 1, side, side), 3, 1, 1).flatten(1) * wrong
    place = torch.multinomial(inner.square() + 1e-9, 1, generator=generator)
    x, y = ((at + 0.5) * MASK_STRIDE for at in (place % side, place // side))
    coordinates = torch.cat([points[0], torch.stack([x, y], -1)], 1)
    labels = wanted.flatten(1).gather(1, place).to(torch.int32)
    return coordinates, torch.cat([points[1], labels], 1)


def _open(folder: Path) -> Shards:
    shards = Shards(folder)
    if not len(shards):
        raise FileNotFoundError(f"{folder} holds no scenes; see training.scenes")
    return shards


def main() -> None:
    """Train, or go on, from the command line."""
    given = runs.options(__doc__, "scenes", "training.scenes")
    run = Run(PLAN, given.device)

    def watch() -> dict[str, float]:
        set_side(run.model, PLAN.stages[-1].shape.side)
        return held_out_ious(run.model, run.average.state, run.device)

    runs.train(run, given.run, lambda: _open(given.data), watch, minutes=given.minutes)
    if given.export:
        runs.export(given.export, run.average.state)


if __name__ == "__main__":
    main()
