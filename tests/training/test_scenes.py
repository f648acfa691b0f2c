"""Shards of scenes: what a label means, and going on where a stopped run was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.demo.scenes import DrawnObject, Scene
from training import scenes
from training.scenes import FIRST_OBJECT, Shards, draw_shards, labels_of


def tiny_scene(seed: int, split: str) -> Scene:
    """A wall, a table, and a fish that hides part of a star, all of one shade."""
    assert split == "training"
    owner = np.zeros((4, 6), dtype=np.int64)
    owner[2:] = 1
    owner[1:3, 1:3] = 2
    owner[2:, 2:] = 3
    objects = (
        DrawnObject("star", "red", "plain", "small", owner == 2),
        DrawnObject("fish", "blue", "dotted", "large", owner == 3),
    )
    pixels = np.full((4, 6, 3), seed % 256, dtype=np.uint8)
    return Scene(seed, "training", pixels, objects, (owner == 0, owner == 1), b"")


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "draw_scene", tiny_scene)


def test_labels_tell_regions_and_objects_apart() -> None:
    labels = labels_of(tiny_scene(0, "training"))
    assert labels.dtype == np.uint8
    assert labels.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, FIRST_OBJECT, FIRST_OBJECT, 0, 0, 0],
        [1, FIRST_OBJECT, *[FIRST_OBJECT + 1] * 4],
        [1, 1, *[FIRST_OBJECT + 1] * 4],
    ]


def test_scenes_are_those_of_their_seeds(tmp_path: Path) -> None:
    draw_shards(tmp_path, 200)
    shards = Shards(tmp_path)
    assert len(shards) == 200
    pixels, labels, objects = shards.scene(123)
    assert np.array_equal(pixels, tiny_scene(123, "training").pixels)
    assert np.array_equal(labels, labels_of(tiny_scene(123, "training")))
    assert objects[1] == {"name": "fish", "colour": "blue", "pattern": "dotted", "size": "large"}


def test_a_stopped_run_goes_on_and_more_scenes_can_follow(tmp_path: Path) -> None:
    draw_shards(tmp_path, 100)
    before = (tmp_path / "pixels-000.npy").stat().st_mtime_ns
    (tmp_path / "pixels-001.npy").write_bytes(b"half a sh")  # stopped before its objects
    assert len(Shards(tmp_path)) == 100
    draw_shards(tmp_path, 300)
    assert (tmp_path / "pixels-000.npy").stat().st_mtime_ns == before
    assert len(Shards(tmp_path)) == 300


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    draw_shards(tmp_path, 100)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"pixels-000.npy", "labels-000.npy", "objects-000.json"}


def test_part_of_a_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="150 scenes"):
        draw_shards(tmp_path, 150)
