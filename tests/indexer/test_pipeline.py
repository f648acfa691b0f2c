"""What the stages of a run do together, on the real models and the real embedded store."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from indexer import Indexer
from indexer.errors import ModelError, OutOfDeviceMemory
from indexer.index import Index
from indexer.profiles import Profile
from indexer.records import Failure, Image, Segment, Vector
from indexer.report import Report
from indexer.segmentation.sam2_model import Pixels
from indexer.segmentation.segmenter import Segmenter
from indexer.store import open_store
from tests.pictures import write_scene


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four different pictures."""
    for seed, name in enumerate("abcd"):
        write_scene(tmp_path / "photos" / f"{name}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def quick(fast_profile: Profile) -> Profile:
    """A profile with very few points."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=2))


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "index")


def failures(where: str) -> dict[str, Failure | None]:
    with closing(open_store(where, create_ok=False)) as store:
        return {file.path: file.failure for file in Index(store, where).failures()}


@contextmanager
def out_of_memory(module: torch.nn.Module, calls: set[int]) -> Iterator[None]:
    """Let these calls of a model's part fail as on a full device."""
    count = 0

    def fail(*_: object) -> None:
        nonlocal count
        count += 1
        if count in calls:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    handle = module.register_forward_pre_hook(fail)
    yield
    handle.remove()


def test_pictures_are_written_while_others_are_being_cut(
    photos: Path, where: str, quick: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first picture's writing waits until the second one is being cut."""
    cutting, write = threading.Event(), Index.write_image

    def note(report: Report) -> None:
        if report.current is not None and report.current.name == "b.png":
            cutting.set()

    def write_then(index: Index, image: Image, segments: Sequence[Segment]) -> None:
        assert cutting.wait(60)
        write(index, image, segments)

    monkeypatch.setattr(Index, "write_image", write_then)
    with Indexer(where, quick, batch_size=1) as indexer:
        assert indexer.index([photos], on_progress=note).images == 4


def test_progress_comes_one_call_at_a_time(photos: Path, where: str, quick: Profile) -> None:
    inside = threading.Lock()
    threads: set[str] = set()

    def note(_: Report) -> None:
        assert inside.acquire(blocking=False)
        threads.add(threading.current_thread().name)
        inside.release()

    with Indexer(where, quick) as indexer:
        indexer.index([photos], on_progress=note)
    assert len(threads) > 1


def test_no_thread_is_left_behind(photos: Path, where: str, quick: Profile) -> None:
    with Indexer(where, quick) as indexer:
        assert indexer.index([photos], limit=1).images == 1
        indexer.index([photos], stopped=lambda: True)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("stage")]


def test_the_size_of_batches_does_not_matter(photos: Path, tmp_path: Path, quick: Profile) -> None:
    found: list[Vector] = []
    one = Indexer(tmp_path / "one", quick, batch_size=64, workers=1)
    other = Indexer(tmp_path / "other", quick, batch_size=3, workers=4)
    for indexer in (one, other):
        indexer.index([photos])
    with (
        closing(open_store(str(tmp_path / "one"), create_ok=False)) as first,
        closing(open_store(str(tmp_path / "other"), create_ok=False)) as second,
    ):
        pairs = zip(first.scroll("segments").points, second.scroll("segments").points, strict=True)
        for left, right in pairs:
            assert (left.id, left.payload) == (right.id, right.payload)
        (image,) = {p.payload["image_id"] for p in first.scroll("segments", limit=1).points}
        for store in (first, second):
            (point,) = store.get("images", [image], vectors=True)
            assert point.vector is not None
            found.append(point.vector)
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_a_picture_too_large_for_the_device_is_recorded_and_tried_again(
    photos: Path, where: str, quick: Profile
) -> None:
    with Indexer(where, quick) as indexer:
        encoder = indexer.models().segmenter.model.upstream.image_encoder
        with out_of_memory(encoder, {2}):
            report = indexer.index([photos])
        assert (report.images, report.failed, report.complete) == (3, 1, True)
        failure = failures(where)["b.png"]
        assert failure is not None
        assert (failure.reason, failure.retryable) == ("out_of_memory", True)
        assert indexer.index([photos]).images == 1
    assert failures(where) == {}


def test_a_changed_picture_too_large_for_the_device_is_let_go(
    photos: Path, where: str, quick: Profile
) -> None:
    with Indexer(where, quick) as indexer:
        indexer.index([photos])
        write_scene(photos / "b.png", 20)
        encoder = indexer.models().segmenter.model.upstream.image_encoder
        with out_of_memory(encoder, {1}):
            assert indexer.index([photos]).failed == 1
        assert failures(where).keys() == {"b.png"}
        with closing(open_store(where, create_ok=False)) as store:
            assert store.count("images") == 3


def test_a_batch_of_crops_that_does_not_fit_is_halved(
    photos: Path, where: str, quick: Profile
) -> None:
    with Indexer(where, quick) as indexer:
        with out_of_memory(indexer.models().embedder.upstream.visual.conv1, {1, 2}):
            report = indexer.index([photos])
        assert (report.images, report.failed) == (4, 0)


def test_a_bug_is_not_taken_for_a_bad_picture(photos: Path, where: str, quick: Profile) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with Indexer(where, quick) as indexer:
        model = indexer.models().segmenter.model.upstream.image_encoder
        handle = model.register_forward_pre_hook(fail)
        with pytest.raises(ZeroDivisionError):
            indexer.index([photos])
        handle.remove()
        assert indexer.index([photos]).images == 4


def test_another_precision_is_provenance_only(photos: Path, where: str, quick: Profile) -> None:
    with Indexer(where, quick, precision="bfloat16") as indexer:
        indexer.index([photos / "a.png"])
    with closing(open_store(where, create_ok=False)) as store:
        assert Index(store, where).recipe.provenance["precision"] == "bfloat16"
    with Indexer(where, quick, precision="float32") as indexer:
        assert indexer.index([photos]).images == 3
    with pytest.raises(ModelError, match="float8"):
        Indexer(where, quick, precision="float8").models()


def as_on_a_gpu(indexer: Indexer) -> Indexer:
    """Let several pictures be cut at once, which is done on a GPU."""
    indexer._loader._models = replace(indexer.models(), concurrent=True)
    return indexer


def test_several_pictures_at_once(photos: Path, where: str, tmp_path: Path, quick: Profile) -> None:
    with Indexer(where, quick) as indexer:
        alone = indexer.index(photos)
    with as_on_a_gpu(Indexer(tmp_path / "other", quick)) as indexer:
        together = indexer.index(photos)
    assert (alone.images, alone.segments) == (together.images, together.segments)
    assert alone.images == 4


def test_a_picture_that_does_not_fit_beside_others_is_cut_alone(
    photos: Path, where: str, quick: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device has room for one picture; a second one comes while the first is being cut."""
    came_too_many, room, turned_away = threading.Event(), threading.Lock(), list[int]()

    def with_room_for_one(segmenter: Segmenter, pixels: Pixels, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        if not room.acquire(blocking=False):
            turned_away.append(1)
            came_too_many.set()
            raise OutOfDeviceMemory("too many at once")
        try:
            assert came_too_many.wait(60)
            return automatic(segmenter, pixels, *given, **named)
        finally:
            room.release()

    automatic = Segmenter.automatic
    monkeypatch.setattr(Segmenter, "automatic", with_room_for_one)
    with as_on_a_gpu(Indexer(where, quick)) as indexer:
        assert indexer.index(photos).images == 4
    assert turned_away
    assert failures(where) == {}


@pytest.mark.parametrize("asked", [1, 6, 12, 24])
def test_stopping_several_pictures_at_once(
    photos: Path, where: str, quick: Profile, asked: int
) -> None:
    left = iter([False] * asked)
    with as_on_a_gpu(Indexer(where, quick)) as indexer:
        stopped = indexer.index(photos, stopped=lambda: next(left, True))
        assert stopped.images < 4
        assert not stopped.complete
        assert stopped.images + indexer.index(photos).images == 4
    assert failures(where) == {}
