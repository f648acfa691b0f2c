"""Archives: every payload comes back, other programs read them, damage is named."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import StoreDamaged, StoreError
from indexer.store import open_store
from indexer.store.archive import is_archive, reading, writing
from indexer.store.archive.columns import text
from indexer.store.archive.manifest import Dtype, Head
from indexer.store.base import KINDS, Kind, Point
from indexer.store.storage import DEFAULT_STORAGE
from indexer.store.transfer import transfer
from tests.indexer.store.transferring import DIM, RECIPE, records, uid

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=8,
)
#: Names that have columns too, with whatever values.
FIELDS = ("box", "point", "gps", "rle", "taken_at", "paths", "area_px", "label", "whole", "size")


def write(folder: Path, made: dict[Kind, list[Point]], dtype: Dtype = "float32") -> Path:
    """Write an archive with these records, by rising id."""
    draft = writing.ArchiveDraft(folder, Head(RECIPE, DIM, DEFAULT_STORAGE, dtype))
    for kind, points in made.items():
        ordered = sorted(points, key=lambda point: point.id)
        for start in range(0, len(ordered), 20):
            draft.append(kind, ordered[start : start + 20])
    draft.finish(lambda _: None)
    return folder


def everything(folder: Path, kind: Kind, after: str | None = None) -> list[Point]:
    archive = reading.ArchiveRecords(folder)
    pages = archive.pages(kind, after=after, limit=7, vectors=True)
    return [point for page in pages for point in page]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(writing, "GROUP_ROWS", 20)
    monkeypatch.setattr(writing, "PART_ROWS", 50)
    return write(tmp_path / "a.parquet", records(30))


@settings(max_examples=40)
@given(
    st.lists(
        st.dictionaries(st.text() | st.sampled_from(FIELDS), JSON, max_size=6),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(KINDS),
)
def test_any_payload_comes_back(payloads: list[dict[str, Any]], kind: Kind) -> None:
    points = [Point(uid(number), payload) for number, payload in enumerate(payloads)]
    with tempfile.TemporaryDirectory() as folder:
        found = everything(write(Path(folder) / "a.parquet", {kind: points}), kind)
    wanted = sorted(points, key=lambda point: point.id)
    assert [(p.id, text(p.payload)) for p in found] == [(p.id, text(p.payload)) for p in wanted]
    assert [point.vector for point in found] == [None] * len(points)


def test_records_come_by_rising_id_from_any_on(archive: Path) -> None:
    for kind, points in records(30).items():
        wanted = sorted(points, key=lambda point: point.id)
        ids = [point.id for point in wanted]
        assert [point.id for point in everything(archive, kind)] == ids
        for at in (0, len(ids) // 2, len(ids) - 1):
            assert [point.id for point in everything(archive, kind, ids[at])] == ids[at:]
        assert everything(archive, kind, "f" * 8 + "-ffff-ffff-ffff-ffffffffffff") == []
        for point, there in zip(wanted, everything(archive, kind), strict=True):
            assert (point.vector is None) == (there.vector is None)
            if point.vector is not None:
                np.testing.assert_array_equal(point.vector, there.vector)


def test_files_of_bounded_size(archive: Path) -> None:
    parts = sorted((archive / "segments").iterdir())
    assert [path.name for path in parts] == [f"part-{number:05d}.parquet" for number in range(2)]
    assert [pq.read_metadata(path).num_rows for path in parts] == [60, 60]
    assert pq.read_metadata(parts[0]).num_row_groups == 3
    assert pq.read_metadata(parts[0]).row_group(0).column(0).compression == "ZSTD"


def test_columns_say_what_the_payload_says(archive: Path) -> None:
    rows = pq.read_table(archive / "segments").to_pylist()
    assert len(rows) == 120
    for row in rows:
        payload = json.loads(row["payload"])
        assert [row[name] for name in ("x0", "y0", "x1", "y1")] == payload["box"]
        assert row["rle_counts"] == payload["rle"]["counts"]
        assert row["label"] == payload.get("label")
        assert row["paths"] == payload["paths"]
        assert (row["taken_at"] is None) == (payload["taken_at"] is None)
    image = pq.read_table(archive / "images").to_pylist()[0]
    assert image["indexed_at"].utcoffset().total_seconds() == 0
    assert {row["failed"] for row in pq.read_table(archive / "files").to_pylist()} == {True, False}
    assert pq.read_table(archive / "roots").to_pylist()[0]["path"] == "/fotos/Ägypten"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pandas_polars_and_duckdb_read_it(tmp_path: Path, dtype: Dtype) -> None:
    made = sorted(records(30)["segments"], key=lambda point: point.id)
    folder = write(tmp_path / "a.parquet", records(30), dtype) / "segments"
    vectors = np.stack([point.vector for point in made if point.vector is not None])
    ids, limit = [point.id for point in made], 1e-7 if dtype == "float32" else 1e-3
    large = sorted(point.id for point in made if point.payload["area_px"] > 3000)

    frame = pd.read_parquet(folder)
    assert frame["id"].tolist() == ids
    assert frame["vector"][0].dtype == dtype
    assert np.abs(np.stack(frame["vector"].to_list()) - vectors).max() < limit
    assert sorted(frame[frame["area_px"] > 3000]["id"]) == large

    lazy = pl.scan_parquet(folder / "*.parquet")
    polars = lazy.collect()
    number = pl.Float32 if dtype == "float32" else pl.Float16
    assert polars.schema["vector"] == pl.Array(number, DIM)
    assert polars["id"].to_list() == ids
    assert np.abs(polars["vector"].to_numpy().astype(np.float32) - vectors).max() < limit
    assert sorted(lazy.filter(pl.col("area_px") > 3000).collect()["id"]) == large

    with closing(duckdb.connect()) as database:
        table = f"read_parquet('{folder}/*.parquet')"
        rows = database.sql(f"SELECT id, vector FROM {table} ORDER BY id").fetchall()  # noqa: S608
        assert [row[0] for row in rows] == ids
        assert np.abs(np.array([row[1] for row in rows]) - vectors).max() < limit
        found = database.sql(f"SELECT id FROM {table} WHERE area_px > 3000 ORDER BY id")  # noqa: S608
        assert [row[0] for row in found.fetchall()] == large
        cosine = database.sql(
            "SELECT array_cosine_similarity(a.vector::FLOAT[8], b.vector::FLOAT[8]) "  # noqa: S608
            f"FROM {table} a, {table} b WHERE a.id = '{ids[0]}' AND b.id = '{ids[1]}'"
        ).fetchall()[0][0]
        assert cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=limit)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    group = pq.read_metadata(path).row_group(0)
    vectors = group.column(group.num_columns - 1)
    content = bytearray(path.read_bytes())
    content[vectors.data_page_offset + vectors.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(content)


def replace_rows(path: Path) -> None:
    """Leave a part of the same size in the manifest's eyes, with fewer rows."""
    pq.write_table(pq.read_table(path).slice(1), path)
    manifest = path.parents[1] / "segsearch.json"
    plain = json.loads(manifest.read_text())
    for part in plain["parts"]["segments"]:
        if part["file"].endswith(path.name):
            part["bytes"] = path.stat().st_size
    manifest.write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "is missing"),
        (cut, "bytes, and should have"),
        (replace_rows, "59 rows, should have 60"),
        (flip, "cannot be read"),
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "cannot be read"),
    ],
)
def test_damaged_parts_are_named(
    archive: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(archive / "segments" / "part-00001.parquet")
    with pytest.raises(StoreDamaged, match=f"part-00001.parquet.* {message}"):
        transfer(str(archive), str(tmp_path / "b.parquet"))
    assert not (tmp_path / "b.parquet").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"version": 2}, StoreError, "has version 2, this segsearch reads version 1"),
        ({"dtype": "int8"}, StoreDamaged, "no manifest of an archive"),
        ({"counts": {"segments": 7}}, StoreDamaged, "its counts are"),
        ({"parts": {}}, StoreDamaged, "no manifest of an archive"),
        ({"dim": 9}, StoreDamaged, "its column vector is not"),
    ],
)
def test_manifests_that_are_not_right(
    archive: Path, tmp_path: Path, change: dict[str, Any], error: type[StoreError], message: str
) -> None:
    manifest = archive / "segsearch.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(error, match=message):
        transfer(str(archive), str(tmp_path / "b.parquet"))
    manifest.write_text("{")
    with pytest.raises(StoreDamaged, match=r"segsearch\.json is no manifest"):
        transfer(str(archive), str(tmp_path / "b.parquet"))


def test_what_is_an_archive(archive: Path, tmp_path: Path) -> None:
    assert is_archive(str(archive))
    assert is_archive(str(tmp_path / "new.parquet"))
    assert is_archive(str(tmp_path / "new.PARQUET") + "/")
    assert not is_archive(str(tmp_path / "new"))
    assert not is_archive("http://localhost:6333/x.parquet")
    renamed = archive.rename(tmp_path / "backup")
    assert is_archive(str(renamed))
    with pytest.raises(StoreError, match="archive"):
        open_store(str(renamed), create_ok=True)
