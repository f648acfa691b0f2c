"""A few real scenes and the crops of them, drawn once for all tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import pool, scenes


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes in two shards."""
    folder = tmp_path_factory.mktemp("scenes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "PER_SHARD", 2)
        scenes.draw_shards(folder, 4)
    return folder


@pytest.fixture(scope="session")
def few_crops(few_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crops of those scenes."""
    folder = tmp_path_factory.mktemp("crops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "PER_SHARD", 2)
        patch.setattr(pool, "PER_SHARD", 2)
        pool.cut_pool(few_scenes, folder, 4)
    return folder
