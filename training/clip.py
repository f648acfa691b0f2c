"""Train the demo CLIP on crops of drawn scenes: `python -m training.clip RUN --crops FOLDER`.

Stopped at any time, the same command goes on from the last checkpoint. Batches depend on the seed,
the step, and how many crops there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor, nn

from indexer import models
from training import runs
from training.clip_batches import Batch, BatchShape, Sampler
from training.clip_losses import (
    Heads,
    alike_loss,
    looks_loss,
    places_loss,
    sentence_loss,
)
from training.clip_model import Words, build, look, read_config, widened
from training.muon import Muon
from training.pool import Pool

_CONFIG = "demo/clip_tiny.json"
_MAX_NORM = 1.0


@dataclass(frozen=True)
class Stage:
    """Steps on batches of one shape, scaled to one side.

    Attributes:
        steps: how many.
        shape: of the batches.
        side: that the crops are scaled to, pixels.
        sentences: whether there are any; without them, only eyes learn.
        alike: what bringing alike crops together counts; sentences count 1.
    """

    steps: int
    shape: BatchShape
    side: int
    sentences: bool
    alike: float = 0.5


@dataclass(frozen=True)
class Plan:
    """What decides a run, apart from the crops.

    Attributes:
        stages: in their order.
        cycles: of the learning rates; they have as many steps as the stages.
        peak: the highest learning rate of Muon, which trains the blocks' matrices.
        peak_adam: that of AdamW, which trains the rest.
        weight_decay: of the blocks' matrices.
        average: how slowly the moving average of the weights moves, 0 to 1.
        seed: decides the first weights and, with the step, the batches.
    """

    stages: tuple[Stage, ...]
    cycles: tuple[runs.Cycle, ...]
    peak: float = 3e-3
    peak_adam: float = 1e-3
    weight_decay: float = 0.05
    average: float = 0.998
    seed: int = 0

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)


#: Shapes are what takes long to learn: they are met large, alone and on small pictures first.
PLAN = Plan(
    (
        Stage(2000, BatchShape(32, 0, 0, 0, filled=1.0, margin=1.25), side=32, sentences=False),
        Stage(1500, BatchShape(26, 3, 4, 5, filled=0.4, margin=1.75), side=32, sentences=True),
        Stage(1950, BatchShape(26, 3, 4, 5, filled=0.25, margin=2.5), side=48, sentences=True),
        Stage(700, BatchShape(40, 3, 4, 5, filled=0.25, margin=2.5), 48, sentences=True, alike=1.0),
    ),
    (
        runs.Cycle(4600, 1.0, warmup=100),
        runs.Cycle(850, 0.5, warmup=30),
        runs.Cycle(700, 0.5, warmup=30),
    ),
)


class Run:
    """A training run: the model, its optimisers, its average, and the step it has come to."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        """Build everything as it is before the first step."""
        torch.manual_seed(plan.seed)
        self.plan, self.device, self.step = plan, device, 0
        self.config = read_config(models.find_config(_CONFIG))
        self.words = Words(self.config["text_cfg"]["context_length"])
        self.model = build(self.config, self.words).to(device).train()
        width = self.config["vision_cfg"]["width"]
        self.heads = Heads(self.config["embed_dim"], width).to(device)
        self.optimisers = _optimisers(self.model, self.heads, plan)
        self.average = runs.MovingAverage(self.model, plan.average)
        self._mean, self._std = (
            torch.tensor(value, device=device).view(1, 3, 1, 1)
            for value in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
        )

    def train_step(self, sampler: Sampler) -> dict[str, float]:
        """Take one step and return what it found out."""
        plan = self.plan
        stage, _ = runs.part_at(plan.stages, self.step)
        rate = runs.rate(plan.cycles, self.step)
        batch = sampler.draw(stage.shape, np.random.default_rng([plan.seed, self.step]))
        for optimiser, peak in zip(self.optimisers, (plan.peak, plan.peak_adam), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate
            optimiser.zero_grad(set_to_none=True)
        loss, figures = self._loss(batch.to(self.device), stage)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([*self.model.parameters(), *self.heads.parameters()], _MAX_NORM)
        for optimiser in self.optimisers:
            optimiser.step()
        self.average.update(self.model, self.step)
        self.step += 1
        return {"step": self.step, **figures}

    def exported(self) -> dict[str, Tensor]:
        """Return the average's weights in open_clip's layout."""
        return widened(self.average.state, self.config, self.words)

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on."""
        runs.save_checkpoint(
            path,
            {
                "step": self.step,
                "model": self.model.state_dict(),
                "heads": self.heads.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                "average": self.average.state,
            },
        )

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        saved = runs.load_checkpoint(path, self.device)
        self.model.load_state_dict(saved["model"])
        self.heads.load_state_dict(saved["heads"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.average.state = saved["average"]
        self.step = saved["step"]

    def _loss(self, batch: Batch, stage: Stage) -> tuple[Tensor, dict[str, float]]:
        pictures = nn.functional.interpolate(
            (batch.images - self._mean) / self._std, stage.side, mode="bilinear", antialias=True
        )
        vectors, patches = look(self.model.visual, pictures)
        looks, looks_right = looks_loss(self.heads, vectors, batch.codes)
        places, places_right = places_loss(self.heads, patches, batch.places)
        parts = {"looks": looks, "places": places}
        if stage.sentences:
            images = nn.functional.normalize(vectors, dim=-1)
            texts = self.model.encode_text(batch.tokens, normalize=True)
            parts["sentences"] = sentence_loss(images, texts, batch, self.model.logit_scale)
            parts["alike"] = alike_loss(images, batch.codes)
        weights = {"alike": stage.alike}
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        figures = {name: float(part.detach()) for name, part in parts.items()}
        return total, {"loss": float(total.detach()), **figures, **looks_right, **places_right}


def _optimisers(model: nn.Module, heads: nn.Module, plan: Plan) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the blocks, and AdamW for all else."""
    named = [*model.named_parameters(), *heads.named_parameters(prefix="heads")]
    inner = {name for name, p in named if "resblocks" in name and p.ndim > 1}
    return [
        Muon(
            [p for name, p in named if name in inner],
            lr=plan.peak,
            weight_decay=plan.weight_decay,
        ),
        torch.optim.AdamW(
            [p for name, p in named if name not in inner],
            lr=plan.peak_adam,
            betas=(0.9, 0.98),
            weight_decay=0.0,
        ),
    ]


def main() -> None:
    """Train, or go on, from the command line."""
    given = runs.options(__doc__, "crops", "training.pool")
    run = Run(PLAN, given.device)
    runs.train(
        run,
        given.run,
        lambda: Sampler(Pool(given.data), run.words),
        dict,
        minutes=given.minutes,
    )
    if given.export:
        runs.export(given.export, run.exported())


if __name__ == "__main__":
    main()
