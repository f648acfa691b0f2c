"""Parquet files, read back by pyarrow."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from indexer.library.paths import original
from indexer.recipe import Recipe
from indexer.records import Rle
from indexer.segmentation import masks
from search.export import Kind
from search.export.export import export
from search.export.parquet import parquet_file
from search.hits import Hit
from tests.search.export.made import TAKEN, block, made_hit


def test_an_index_comes_back(hits: list[Hit], recipe: Recipe, tmp_path: Path) -> None:
    list(export(hits, tmp_path, "x", kinds=[Kind.parquet], ranked=False, recipe=recipe))
    table = pq.read_table(tmp_path / "segments.parquet")
    assert json.loads(table.schema.metadata[b"segsearch"]) == recipe.to_plain()
    assert table.schema.field("vector").type.list_size == recipe.dim
    rows = table.to_pylist()
    for hit, row in zip(hits, rows, strict=True):
        assert hit.segment is not None
        region = hit.segment.region
        assert (row["segment_id"], row["image_id"]) == (hit.segment.id, hit.image.id)
        assert [Path(original(path)) for path in row["paths"]] == list(hit.paths)
        assert Path(original(row["path"])) == hit.path
        assert (row["x0"], row["y0"], row["x1"], row["y1"]) == region.box
        rle = Rle(tuple(row["rle"]["size"]), row["rle"]["counts"])
        assert rle == region.rle
        assert masks.area(rle) == row["area_px"]
        assert (row["depth"], row["parent_id"]) == (region.depth, hit.segment.parent_id)
        assert row["taken_at"] == hit.image.picture.taken_at
        assert row["score"] is None
        np.testing.assert_array_equal(
            np.asarray(row["vector"], dtype=np.float32), hit.segment.vector
        )
    assert any(row["taken_at"] == datetime(2024, 5, 1, 23, 30) for row in rows)
    assert any(os.fsdecode(b"caf\xe9.png") in original(row["path"]) for row in rows)


def test_facts_of_a_hit(tmp_path: Path) -> None:
    mask = block(slice(2, 5), slice(3, 9))
    hit = made_hit(tmp_path, "a.png", mask, score=0.25, label="mug", label_score=0.5)
    hit = replace(hit, standard_score=4.5, contrast=1.5, relevance=1.5)
    list(export([hit], tmp_path, "x", kinds=[Kind.parquet], ranked=True))
    (row,) = pq.read_table(tmp_path / "segments.parquet").to_pylist()
    assert "vector" not in row  # without a recipe
    assert (row["score"], row["area_px"], row["area_fraction"]) == (0.25, 18, 18 / 108)
    assert (row["standard_score"], row["contrast"], row["relevance"]) == (4.5, 1.5, 1.5)
    assert (row["label"], row["label_score"], row["label_source"]) == ("mug", 0.5, "detector")
    assert (row["width"], row["height"], row["format"], row["camera"]) == (12, 9, "PNG", None)
    assert (row["latitude"], row["longitude"], row["taken_at"]) == (47.5, -8.25, TAKEN)
    assert row["sha256"] == hit.image.picture.sha256


def test_vectors_that_were_not_asked_for(hits: list[Hit], recipe: Recipe, tmp_path: Path) -> None:
    assert hits[0].segment is not None
    without = replace(hits[0], segment=replace(hits[0].segment, vector=None))
    file = tmp_path / "x.parquet"
    with parquet_file(file, recipe, ranked=True) as add:
        add(without)
        add(hits[1])
    vectors = pq.read_table(file)["vector"].to_pylist()
    assert vectors[0] is None
    assert len(vectors[1]) == recipe.dim


def test_it_is_written_in_groups(
    hits: list[Hit], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.export.parquet._GROUP", 3)
    file = tmp_path / "x.parquet"
    with parquet_file(file, recipe, ranked=False) as add:
        for hit in hits[:7]:
            add(hit)
    data = pq.ParquetFile(file)
    assert [data.metadata.row_group(i).num_rows for i in range(3)] == [3, 3, 1]


def test_nothing_has_columns_too(recipe: Recipe, tmp_path: Path) -> None:
    list(export([], tmp_path, "x", kinds=[Kind.parquet], ranked=False, recipe=recipe))
    table = pq.read_table(tmp_path / "segments.parquet")
    assert (table.num_rows, table.num_columns) == (0, 31)
