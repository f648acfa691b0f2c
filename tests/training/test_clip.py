"""Training the tiny CLIP: it learns, goes on where it was, and becomes a model of the product."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from indexer.embedding import Embedder
from indexer.profiles import Profile
from training import runs
from training.clip import PLAN as DEMO_PLAN
from training.clip import Plan, Run, Stage
from training.clip_batches import Batch, BatchShape, Sampler, fill
from training.clip_model import look
from training.pool import NO_NAME, UNKNOWN, Pool
from training.sentences import BACKGROUND, OBJECT, SEVERAL

CPU = torch.device("cpu")
EYES = Stage(2, BatchShape(4, 0, 0, 0, filled=1.0, margin=1.25), side=32, sentences=False)
ALL = Stage(6, BatchShape(4, 1, 2, 2, filled=0.4, margin=2.5), side=48, sentences=True)
PLAN = Plan((EYES, ALL), (runs.Cycle(8, 1.0, warmup=2),))


@pytest.fixture(scope="module")
def trained(few_crops: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run that was never stopped, and its weights as exported."""
    folder = tmp_path_factory.mktemp("run")
    run = Run(PLAN, CPU)
    sampler = Sampler(Pool(few_crops), run.words)
    for _ in range(4):
        run.train_step(sampler)
    runs.export(folder / "clip.safetensors", run.exported())
    return run, folder / "clip.safetensors"


class Same(Sampler):
    """Gives the same batch again and again."""

    def draw(self, shape: BatchShape, rng: np.random.Generator) -> Batch:  # noqa: ARG002
        return super().draw(shape, np.random.default_rng(0))


def test_what_is_true_of_a_batch(few_crops: Path) -> None:
    run = Run(PLAN, CPU)
    batch = Sampler(Pool(few_crops), run.words).draw(ALL.shape, np.random.default_rng(1))
    kinds = batch.codes[:, 0]
    assert batch.true.diagonal().all()
    assert torch.equal(batch.true[kinds == BACKGROUND], (kinds == BACKGROUND).expand(2, -1))
    objects, several = kinds == OBJECT, kinds == SEVERAL
    assert not batch.known[objects][:, several].any()
    assert batch.known.diagonal().all()
    assert batch.known[:, kinds == BACKGROUND].all()
    pairs = batch.codes[objects][:, 1:3].reshape(4, 2, 2)
    assert torch.equal(pairs[:, 0], pairs[:, 1])


def test_the_demo_plan_gives_every_step_a_rate() -> None:
    assert sum(cycle.steps for cycle in DEMO_PLAN.cycles) == DEMO_PLAN.steps


def test_steps_lower_the_loss(few_crops: Path) -> None:
    run = Run(Plan((dataclasses.replace(ALL, steps=100),), (runs.Cycle(100, 1.0, warmup=2),)), CPU)
    sampler = Same(Pool(few_crops), run.words)
    losses = [run.train_step(sampler)["loss"] for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]


def test_a_stopped_run_goes_on_as_if_it_never_stopped(
    trained: tuple[Run, Path], few_crops: Path, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    for _ in range(2):
        run = Run(PLAN, CPU)
        if path.is_file():
            run.load(path)
        sampler = Sampler(Pool(few_crops), run.words)
        for _ in range(2):
            run.train_step(sampler)
        run.save(path)
    assert run.step == trained[0].step
    for name, value in trained[0].exported().items():
        assert torch.equal(run.exported()[name], value), name


def test_exported_weights_are_a_model_of_the_product(
    trained: tuple[Run, Path], fast_profile: Profile
) -> None:
    run, path = trained
    assert path.stat().st_size < 9_000_000
    embedder = Embedder(dataclasses.replace(fast_profile.clip, pretrained=str(path)), CPU)
    sentences = ["a red star.", "a photo of an orange umbrella"]
    run.model.load_state_dict(run.average.state)
    with torch.inference_mode():
        expected = run.model.encode_text(run.words.tokens(sentences), normalize=True)
    np.testing.assert_allclose(embedder.texts(sentences), expected.numpy(), atol=0.01)


def test_looking_is_what_the_model_does(trained: tuple[Run, Path]) -> None:
    visual = trained[0].model.visual
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        vectors, patches = look(visual, images)
        torch.testing.assert_close(vectors, visual(images))
    assert patches.shape == (2, 36, 128)
    assert look(visual, images[:, :, :32, :32])[1].shape == (2, 16, 128)


def test_fills_leave_the_subject_alone() -> None:
    count = 40
    images = torch.rand(count, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(count, 1, 48, 48, dtype=torch.bool)
    masks[:, :, 12:36, 12:36] = True
    places = torch.zeros(count, 3, 24, 24, dtype=torch.long)
    places[:, 2, 6:18, 6:18] = 1
    filled, known = fill(images, masks, places, np.random.default_rng(0))
    assert torch.equal(filled[:, :, 13:35, 13:35], images[:, :, 13:35, 13:35])
    assert not (filled[:, :, :11] == images[:, :, :11]).all(dim=(1, 2, 3)).any()
    assert (known[:, 0, 6:18, 6:18] == 0).all()
    assert set(known[:, 0, :6].flatten().tolist()) == {NO_NAME, UNKNOWN}


def test_words_that_no_sentence_has_are_all_the_same(
    trained: tuple[Run, Path], fast_profile: Profile
) -> None:
    clip = dataclasses.replace(fast_profile.clip, pretrained=str(trained[1]))
    one, other = Embedder(clip, CPU).texts(["a red giraffe", "a red zebra"])
    np.testing.assert_array_equal(one, other)
