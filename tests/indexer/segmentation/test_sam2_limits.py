"""Stopping within a picture, too little memory on the device, lower precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from indexer.errors import OutOfDeviceMemory, Stopped
from indexer.profiles import MaskSettings, Profile, load_profile
from indexer.segmentation import masks
from indexer.segmentation.sam2_model import RawMask, Sam2Model

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


@pytest.fixture
def model(fast_profile: Profile) -> Sam2Model:
    """A model of its own for each test: it remembers what did not fit."""
    return Sam2Model(fast_profile.sam2, CPU)


@pytest.fixture
def settings(fast_profile: Profile) -> MaskSettings:
    """16 points, in one batch."""
    return dataclasses.replace(fast_profile.masks, points_per_side=4, points_per_batch=16)


@contextmanager
def memory_for(model: Sam2Model, most: int, message: str | None = None) -> Iterator[list[int]]:
    """Let decoding run out of memory beyond `most` prompts at once; collect those that went well.

    The prompt encoder gets each batch first. With a message, the error is a plain RuntimeError, as
    MPS raises it.
    """
    decoded: list[int] = []

    def check(_: object, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        count = prompts_in(given, named)
        if count > most:
            raise RuntimeError(message) if message else torch.OutOfMemoryError("CUDA out of memory")
        decoded.append(count)

    encoder: torch.nn.Module = model.upstream.sam_prompt_encoder
    handle = encoder.register_forward_pre_hook(check, with_kwargs=True)
    yield decoded
    handle.remove()


def prompts_in(given: tuple[Any, ...], named: dict[str, Any]) -> int:
    """Return how many prompts the prompt encoder is given."""
    points, _ = given[0] if given else named["points"]
    return len(points)


def prompt(model: Sam2Model, pixels: Pixels) -> tuple[NDArray[Any], ...]:
    points, labels = np.array([[80.0, 60.0]], np.float32), np.array([1], np.int32)
    embedded = model.embed(pixels)
    return model.predict(embedded, points, labels, None, None, multimask_output=True)


@pytest.mark.parametrize("batches", [0, 2])
def test_stopping_within_a_picture(
    model: Sam2Model, settings: MaskSettings, scene: Pixels, batches: int
) -> None:
    four = dataclasses.replace(settings, points_per_batch=4)
    with memory_for(model, 16) as decoded, pytest.raises(Stopped):
        model.automatic(scene, four, lambda: len(decoded) == batches)
    assert decoded == [4] * batches


def test_nobody_stops(model: Sam2Model, settings: MaskSettings, scene: Pixels) -> None:
    asked: list[int] = []

    def never() -> bool:
        asked.append(1)
        return False

    found = model.automatic(scene, settings, never)
    assert len(asked) == 2 + len(found)  # 16 points, eight at a time; then each mask
    assert found == model.automatic(scene, settings)


@pytest.mark.parametrize("message", [None, "MPS backend out of memory (MPS allocated: 17 GB)"])
def test_points_are_halved_until_they_fit(
    model: Sam2Model, settings: MaskSettings, scene: Pixels, message: str | None
) -> None:
    four = model.automatic(scene, dataclasses.replace(settings, points_per_batch=4))
    assert len(four) > 2
    with memory_for(model, 5, message) as decoded:
        assert model.automatic(scene, settings) == four
        assert decoded == [4, 4, 4, 4]
    with memory_for(model, 16) as decoded:  # the next picture begins with what fitted
        assert model.automatic(scene, settings) == four
        assert decoded == [4, 4, 4, 4]


def test_what_was_decoded_before_is_not_decoded_again(
    model: Sam2Model, settings: MaskSettings, scene: Pixels
) -> None:
    expected = model.automatic(scene, settings)
    with memory_for(model, 16) as decoded:

        def less_memory_after_the_first() -> bool:
            if decoded == [8]:
                encoder.register_forward_pre_hook(fail_beyond_three, with_kwargs=True)
            return False

        def fail_beyond_three(_: object, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            if prompts_in(given, named) > 3:
                decoded.pop()
                raise torch.OutOfMemoryError("CUDA out of memory")

        encoder: torch.nn.Module = model.upstream.sam_prompt_encoder
        eight = dataclasses.replace(settings, points_per_batch=8)
        found = model.automatic(scene, eight, less_memory_after_the_first)
    assert decoded == [8, 2, 2, 2, 2]
    assert_alike(found, expected, 0.99)


def test_refinement_takes_the_smaller_batch_too(
    model: Sam2Model, settings: MaskSettings, scene: Pixels
) -> None:
    refined = dataclasses.replace(settings, use_m2m=True)
    expected = model.automatic(scene, refined)
    with memory_for(model, 8) as decoded:
        found = model.automatic(scene, refined)
    assert decoded == [8, 8, 8, 8, 8, 8, 8, 8]  # 2 × 8 points, each followed by 3 × 8 masks
    assert_alike(found, expected, 0.99)


def test_a_single_point_does_not_fit(
    model: Sam2Model, settings: MaskSettings, scene: Pixels
) -> None:
    expected = model.automatic(scene, settings)
    with memory_for(model, 0) as decoded, pytest.raises(OutOfDeviceMemory) as caught:
        model.automatic(scene, settings)
    assert decoded == []
    assert caught.value.message == (
        "one point on the picture of 160×120 pixels does not fit into the memory of the device cpu"
    )
    assert "--device cpu" in caught.value.hint
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert model.automatic(scene, settings) == expected  # it works again


def test_a_picture_or_a_prompt_does_not_fit(
    model: Sam2Model, settings: MaskSettings, scene: Pixels
) -> None:
    expected = prompt(model, scene)
    with memory_for(model, 0), pytest.raises(OutOfDeviceMemory, match="160×120 pixels"):
        prompt(model, scene)

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = model.upstream.image_encoder.register_forward_pre_hook(fail)
    for work in (lambda: model.embed(scene), lambda: model.automatic(scene, settings)):
        with pytest.raises(OutOfDeviceMemory, match=r"^the picture of 160×120 pixels does not fit"):
            work()
    handle.remove()
    np.testing.assert_array_equal(prompt(model, scene)[0], expected[0])


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    model: Sam2Model, settings: MaskSettings, scene: Pixels
) -> None:
    with memory_for(model, 0, "the shapes differ") as decoded:
        for work in (lambda: model.automatic(scene, settings), lambda: prompt(model, scene)):
            with pytest.raises(RuntimeError, match=r"^the shapes differ$"):
                work()
    assert decoded == []


def assert_alike(found: list[RawMask], expected: list[RawMask], least_iou: float) -> None:
    """Check that each mask has a twin, in whatever order."""
    assert len(found) == len(expected) > 2
    for mask in found:
        assert max(masks.iou([mask.rle, twin.rle])[0, 1] for twin in expected) >= least_iou


def test_bfloat16_finds_nearly_the_same_masks(scene: Pixels) -> None:
    """The trained model: at most one mask more or less of seven, IoU at least 0.95."""
    demo = load_profile("demo")
    grid = dataclasses.replace(demo.masks, points_per_side=6)
    exact = Sam2Model(demo.sam2, CPU)
    rough = Sam2Model(demo.sam2, CPU, torch.bfloat16)
    assert (rough.fingerprint, rough.config) == (exact.fingerprint, exact.config)
    expected, found = (model.automatic(scene, grid) for model in (exact, rough))
    assert len(expected) > 5
    assert abs(len(found) - len(expected)) <= 1
    twins = [max(masks.iou([a.rle, b.rle])[0, 1] for b in expected) for a in found]
    assert sorted(twins)[1] >= 0.95
    assert found != expected  # it did compute with less


def test_prompts_in_bfloat16_are_answered_in_float32(scene: Pixels) -> None:
    demo = load_profile("demo")
    exact, rough = (
        prompt(Sam2Model(demo.sam2, CPU, precision), scene)
        for precision in (torch.float32, torch.bfloat16)
    )
    assert [part.dtype for part in rough] == [np.bool_, np.float32, np.float32]
    assert [part.shape for part in rough] == [(3, 120, 160), (3,), (3, 128, 128)]
    np.testing.assert_allclose(rough[1], exact[1], atol=0.05)
    assert np.abs(rough[2] - exact[2]).max() > 0
    assert (rough[0] == exact[0]).mean() > 0.98
