"""Training the demo SAM 2: prompts ask for what they point at, and a stopped run goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from indexer.demo.scenes import draw_scene
from indexer.profiles import Sam2Profile
from indexer.segmentation.sam2_model import Sam2Model
from training import runs, sam2_clicks
from training.sam2 import PLAN as DEMO_PLAN
from training.sam2 import Plan, Run, Stage, _correct
from training.sam2_batches import BatchShape, Kind, draw_batch
from training.sam2_losses import mask_ious, mask_loss, prompt_loss
from training.sam2_model import Shortcut, _position_channels, decode, encode, set_side
from training.scenes import FIRST_OBJECT, Shards

CPU = torch.device("cpu")
SMALL = BatchShape(pictures=1, side=64, window=64, prompts=3, anchors=4)
KINDS: dict[Kind, float] = {"click": 0.4, "box": 0.3, "refined": 0.3}
PLAN = Plan(
    (Stage(1, dataclasses.replace(SMALL, prompts=0), KINDS), Stage(3, SMALL, KINDS)),
    (runs.Cycle(4, 1.0, warmup=1),),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """One shard of three scenes: a bright square on the left, a dark one on the right."""
    folder = tmp_path_factory.mktemp("shards")
    pixels = np.full((3, 64, 80, 3), 120, dtype=np.uint8)
    labels = np.zeros((3, 64, 80), dtype=np.uint8)
    pixels[:, 8:40, 4:36], labels[:, 8:40, 4:36] = 240, FIRST_OBJECT
    pixels[:, 20:60, 44:76], labels[:, 20:60, 44:76] = 10, FIRST_OBJECT + 1
    np.save(folder / "pixels-000.npy", pixels)
    np.save(folder / "labels-000.npy", labels)
    (folder / "objects-000.json").write_text("[[], [], []]")
    return Shards(folder)


@pytest.mark.parametrize("kind", ["click", "box", "refined"])
def test_prompts_point_at_what_they_ask_for(shards: Shards, kind: Kind) -> None:
    batch = draw_batch(shards, dataclasses.replace(SMALL, prompts=20), {kind: 1.0}, _rng())
    (prompts,) = batch.prompts
    assert prompts.kind == kind
    assert prompts.origin == (0, 0)
    assert batch.pictures.shape == (1, 3, 64, 64)
    assert prompts.coverage.shape[1:] == (16, 16)
    torch.testing.assert_close(prompts.coverage.sum(0), torch.ones(16, 16))
    assert prompts.points.shape == (20, 2 if kind == "box" else 1, 2)
    assert set(prompts.point_labels.flatten().tolist()) == ({2, 3} if kind == "box" else {1})
    for part, corners in zip(prompts.wanted, prompts.points, strict=True):
        column, row = (corners.mean(0) / 4).long().clamp(0, 15).tolist()
        assert kind == "box" or prompts.coverage[part, row, column] > 0
    for part, row, column in prompts.anchors.tolist():
        assert prompts.coverage[part, row, column] > 0.5


def test_a_box_without_jitter_is_tight(shards: Shards) -> None:
    shape = dataclasses.replace(SMALL, prompts=20, jitter=0.0)
    (prompts,) = draw_batch(shards, shape, {"box": 1.0}, _rng()).prompts
    for part, corners in zip(prompts.wanted, prompts.points, strict=True):
        rows, columns = np.nonzero(prompts.coverage[part].numpy())  # cells of four pixels
        low, high = corners.numpy() / 4
        assert [int(x) for x in low] == [columns.min(), rows.min()]
        assert [int(np.ceil(x)) for x in high] == [columns.max() + 1, rows.max() + 1]


def test_the_same_generator_draws_the_same_batch(shards: Shards) -> None:
    one, two = (draw_batch(shards, SMALL, {"click": 1.0}, _rng()) for _ in range(2))
    assert torch.equal(one.pictures, two.pictures)
    assert torch.equal(one.prompts[0].points, two.prompts[0].points)


def test_a_window_is_a_part_of_its_picture(shards: Shards) -> None:
    shape = dataclasses.replace(SMALL, side=96)
    batches = [
        draw_batch(shards, shape, {"click": 1.0}, np.random.default_rng(i)) for i in range(9)
    ]
    assert {batch.pictures.shape for batch in batches} == {(1, 3, 64, 64)}
    origins = {batch.prompts[0].origin for batch in batches}
    assert len(origins) > 2
    assert all(0 <= place <= 2 for origin in origins for place in origin)


def test_a_window_has_the_positions_of_its_place_in_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Run(PLAN, CPU).model
    set_side(model, 128, 64)
    encoder, decoder = model.sam_prompt_encoder, model.sam_mask_decoder
    seen: list[torch.Tensor] = []
    predict_masks = decoder.predict_masks

    def note(*, image_pe: torch.Tensor, **others: object) -> object:
        seen.append(image_pe)
        return predict_masks(image_pe=image_pe, **others)

    monkeypatch.setattr(decoder, "predict_masks", note)
    features = [feature.detach() for feature in _features()]
    point = torch.tensor([[[20.0, 40.0]]]), torch.ones(1, 1)
    with torch.no_grad():
        logits, _ = decode(model, features, point, origin=(0, 4))
    assert logits.shape == (1, 4, 16, 16)
    whole = encoder.pe_layer((8, 8))[None]
    torch.testing.assert_close(seen[0], whole[..., 0:4, 4:8])


def test_losses_are_least_for_the_right_mask() -> None:
    wanted = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    right, wrong = wanted * 20 - 10, 10 - wanted * 20
    assert mask_loss(right, wanted) < 0.01
    assert mask_loss(wrong, wanted) > 1
    assert mask_ious(torch.stack([right, wrong]), wanted[None]).tolist() == [1.0, 0.0]
    both = torch.tensor([[10.0, 10.0], [10.0, -10.0]])
    assert mask_ious(both[None], wanted[None]).tolist() == [pytest.approx(2 / 3)]


def test_an_ambiguous_prompt_teaches_the_best_mask_most() -> None:
    wanted = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    taught = {}
    for ambiguous in (False, True):
        logits = torch.zeros(1, 4, 2, 2)
        logits[0, 2] = wanted[0] * 0.2 - 0.1  # a little better than the others
        logits.requires_grad_()
        prompt_loss(logits, torch.zeros(1, 4), wanted, ambiguous=ambiguous).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        taught[ambiguous] = logits.grad.abs().sum((0, 2, 3))
    assert taught[True][2] > 3 * taught[True][1]
    assert taught[False][2] < taught[False][1] == taught[False][3]
    assert taught[True][0] == taught[False][0] > 0


def test_a_corrective_click_is_where_the_mask_is_wrong() -> None:
    coverage = torch.zeros(2, 16, 16)
    coverage[:, :, :8] = 1  # the left half is wanted
    missed, surplus = torch.full((16, 16), -1.0), torch.ones(16, 16)
    points = torch.zeros(2, 1, 2), torch.ones(2, 1, dtype=torch.int32)
    generator = torch.Generator().manual_seed(0)
    places, labels = _correct(points, torch.stack([missed, surplus]), coverage, generator)
    assert places.shape == (2, 2, 2)
    assert labels.tolist() == [[1, 1], [1, 0]]
    assert places[0, 1, 0] < 32 < places[1, 1, 0] < 64


def test_the_shortcut_learns_to_tell_parts_apart() -> None:
    model, features = Run(PLAN, CPU).model, _features()
    shortcut = Shortcut(model.hidden_dim)
    wanted = torch.zeros(2, 1, 16, 16)
    wanted[0, :, :, :8], wanted[1, :, :, 8:] = 1, 1
    places = torch.tensor([[-0.5, 0.0], [0.5, 0.0]])  # (x, y): left and right
    optimiser = torch.optim.Adam([*features, *model.sam_mask_decoder.parameters()], lr=0.02)
    losses = []
    for _ in range(20):
        loss = mask_loss(shortcut(model, features, places), wanted).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_the_tokens_look_at_the_prompt_before_any_training() -> None:
    model = Run(PLAN, CPU).model
    set_side(model, 256)
    seen: list[torch.Tensor] = []

    def note(attention: torch.nn.Module, _given: object, named: dict[str, torch.Tensor]) -> None:
        query, key = attention.q_proj(named["q"]), attention.k_proj(named["k"])  # type: ignore[operator]
        heads = [t.unflatten(-1, (8, 8)).transpose(1, 2) for t in (query, key)]
        weights = (heads[0] @ heads[1].transpose(-1, -2) / 8**0.5).softmax(-1)
        seen.append(weights.mean((1, 2)).unflatten(-1, (16, 16)))

    first = model.sam_mask_decoder.transformer.layers[0].cross_attn_token_to_image
    first.register_forward_pre_hook(note, with_kwargs=True)
    points = torch.tensor([[[40.0, 200.0]], [[200.0, 72.0]]])  # (x, y)
    with torch.no_grad():
        decode(model, encode(model, torch.zeros(1, 3, 256, 256)), (points, torch.ones(2, 1)))
    for weights, (row, column) in zip(seen[0], [(12, 2), (4, 12)], strict=True):
        near = weights[row - 1 : row + 2, column - 1 : column + 2].sum()
        assert near > 0.3  # of 9 of 256 places


def test_gradients_are_the_mean_over_the_pictures_threads_or_not(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    run = Run(PLAN, CPU)
    batch = draw_batch(shards, dataclasses.replace(SMALL, pictures=3), KINDS, _rng())
    set_side(run.model, 64)
    figures = run._backward(batch, np.random.default_rng(1))
    seeds = np.random.default_rng(1).integers(1 << 31, size=3).tolist()
    alone = [run._gradients(*one) for one in zip(batch.pictures, batch.prompts, seeds, strict=True)]
    assert figures["dense"] == pytest.approx(np.mean([one["dense"] for _, one in alone]))
    for i, parameter in enumerate(run.parameters):
        some = [one for gradients, _ in alone if (one := gradients[i]) is not None]
        assert (parameter.grad is None) is (not some)
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, sum(some) / 3)


def test_the_tokens_are_held_for_so_many_steps(shards: Shards) -> None:
    for held, moved in ((9, False), (0, True)):
        run = Run(dataclasses.replace(PLAN, held=held), CPU)
        channels = _position_channels(run.model)
        run.train_step(shards)
        run.train_step(shards)
        weight = run.model.sam_mask_decoder.mask_tokens.weight[:, channels]
        assert bool(weight.any()) is moved


def test_a_run_is_watched_on_held_out_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam2_clicks, "_scenes", lambda: (draw_scene(900_000),))
    run = Run(PLAN, CPU)
    set_side(run.model, 128)
    figures = sam2_clicks.held_out_ious(run.model, run.average.state, CPU)
    assert figures.keys() == {"one_click_iou", "box_iou"}
    assert all(0 < value < 0.5 for value in figures.values())  # nothing is learned yet


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    shards: Shards, tmp_path: Path
) -> None:
    whole, stopped = Run(PLAN, CPU), Run(PLAN, CPU)
    figures = [whole.train_step(shards) for _ in range(4)]
    assert "dense" in figures[0]
    for _ in range(2):
        stopped.train_step(shards)
    stopped.save(tmp_path / "checkpoint.pt")
    resumed = Run(PLAN, CPU)
    resumed.load(tmp_path / "checkpoint.pt")
    for _ in range(2):
        resumed.train_step(shards)
    for name, value in whole.average.state.items():
        assert torch.equal(value, resumed.average.state[name]), name


def test_the_demo_plan_gives_every_step_a_rate() -> None:
    assert sum(cycle.steps for cycle in DEMO_PLAN.cycles) == DEMO_PLAN.steps


def test_a_trained_model_loads_through_a_profile(shards: Shards, tmp_path: Path) -> None:
    run = Run(PLAN, CPU)
    run.train_step(shards)
    path = tmp_path / "sam2.safetensors"
    runs.export(path, run.average.state)
    loaded = Sam2Model(Sam2Profile("demo/sam2_tiny.yaml", str(path)), CPU)
    weights = loaded.upstream.state_dict()
    for_video = {name for name in weights if "mem" in name or "obj_ptr" in name}
    assert for_video == {"no_mem_embed", "no_mem_pos_enc", "maskmem_tpos_enc"}  # upstream's always
    assert weights["maskmem_tpos_enc"].numel() == 0
    for name, value in run.average.state.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-2, atol=1e-3)


def test_a_model_takes_pictures_of_another_side() -> None:
    run = Run(PLAN, CPU)
    for side in (64, 128):
        set_side(run.model, side)
        deep, middle, fine = encode(run.model, torch.zeros(1, 3, side, side))
        assert [f.shape[-1] for f in (deep, middle, fine)] == [side // 16, side // 8, side // 4]


def _features() -> list[torch.Tensor]:
    """Features of strides 16, 8 and 4 of a picture of 64 pixels, to be learnt."""
    torch.manual_seed(0)
    sizes = ((128, 4), (32, 8), (16, 16))
    return [torch.randn(1, width, side, side).requires_grad_() for width, side in sizes]


def _rng() -> np.random.Generator:
    return np.random.default_rng(3)
