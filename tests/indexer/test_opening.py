"""How a run opens what it writes to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from indexer import opening
from indexer.recipe import Recipe
from indexer.store import open_store
from indexer.store.base import Point
from indexer.store.schema import TRANSFER_MARK
from indexer.store.storage import Storage

RECIPE = Recipe({"dim": 4, "model": "clip"}, {"model": "sam2"}, {"profile": {}})
ROOT = "00000000-0000-0000-0000-000000000001"


def test_a_draft_is_gone_on_with(tmp_path: Path) -> None:
    with closing(opening.draft(str(tmp_path), RECIPE, Storage(hnsw_ef=64))) as store:
        store.upsert("roots", [Point(ROOT, {"path": "/photos"})])
    with closing(opening.draft(str(tmp_path), RECIPE, Storage())) as store:
        assert store.count("roots") == 1
        assert store.storage() == Storage(hnsw_ef=64)


def test_that_of_another_recipe_is_not(tmp_path: Path) -> None:
    with closing(opening.draft(str(tmp_path), RECIPE, Storage())) as store:
        store.upsert("roots", [Point(ROOT, {"path": "/photos"})])
    other = Recipe(RECIPE.vector_space, {"model": "another"}, RECIPE.provenance)
    with closing(opening.draft(str(tmp_path), other, Storage())) as store:
        assert store.count("roots") == 0


def test_that_of_a_transfer_is_not(tmp_path: Path) -> None:
    with closing(open_store(str(tmp_path), create_ok=True)) as store:
        store.create(RECIPE.to_plain(), RECIPE.dim)
        store.upsert("roots", [Point(TRANSFER_MARK, {"transfer": "x"}), Point(ROOT, {})])
    with closing(opening.draft(str(tmp_path), RECIPE, Storage())) as store:
        assert store.count("roots") == 0
