"""The embedded engine's files: half made, damaged, or open elsewhere."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import StoreDamaged, StoreError, StoreUnavailable
from indexer.store import discard, layout, wire
from indexer.store.base import KINDS, Filter, Kind, Match
from indexer.store.edge import EdgeStore
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, segment, uid, vec

X = vec(1, 0, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed index with the sample segments."""
    with closing(EdgeStore(tmp_path)) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
    return tmp_path


def test_an_index_is_found_again(folder: Path) -> None:
    with closing(EdgeStore(folder)) as store:
        assert store.recipe() == RECIPE
        assert len(store.search("segments", X)) == len(SEGMENTS)
        store.check()


def test_without_closing_nothing_written_is_lost(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path)
    store.create(RECIPE, DIM)
    store.upsert("segments", SEGMENTS)
    del store
    with closing(EdgeStore(tmp_path)) as store:
        assert store.count("segments") == len(SEGMENTS)


def test_a_second_opener_is_told(folder: Path) -> None:
    with closing(EdgeStore(folder)), pytest.raises(StoreUnavailable, match="another process"):
        EdgeStore(folder)


def data(folder: Path) -> Path:
    """Return the folder of records of the index in `folder`."""
    (found,) = folder.glob("shards-*")
    return found


def test_a_half_made_index_is_none_and_can_be_made(folder: Path) -> None:
    leftover = data(folder)
    for settings in (leftover / layout.SETTINGS_FILE, folder / layout.SETTINGS_FILE):
        settings.unlink()  # the copy is written last
    with closing(EdgeStore(folder)) as store:
        assert store.recipe() is None
        store.create({"second": 2}, 5)
        assert store.recipe() == {"second": 2}
        assert store.count("segments") == 0
    assert data(folder) != leftover


def test_an_index_without_its_settings_is_not_overwritten(folder: Path) -> None:
    (folder / layout.SETTINGS_FILE).unlink()
    with pytest.raises(StoreDamaged, match=r"segsearch\.json is missing.*check --repair"):
        EdgeStore(folder)


def test_files_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    photos = [tmp_path / each / "a.jpg" for each in ("images", "shards-2024", "shards-01234567")]
    for photo in photos:
        photo.parent.mkdir()
        photo.touch()
    with closing(EdgeStore(tmp_path)) as store:
        store.create(RECIPE, DIM)
    with closing(EdgeStore(tmp_path)) as store:
        assert store.recipe() == RECIPE
    discard(str(tmp_path))
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(photos)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1, "dim": "x", "recipe": {}}'])
def test_damaged_settings_are_called_so(folder: Path, text: str) -> None:
    (folder / layout.SETTINGS_FILE).write_text(text)
    with pytest.raises(StoreDamaged, match=r"segsearch\.json.*check --repair"):
        EdgeStore(folder)


def test_settings_that_are_not_text_are_called_damaged(folder: Path) -> None:
    (folder / layout.SETTINGS_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreDamaged, match="not text"):
        EdgeStore(folder)


@pytest.mark.parametrize("name", [None, "", "..", "shards-../../x"])
def test_settings_without_their_records_place_are_refused(folder: Path, name: str | None) -> None:
    path = folder / layout.SETTINGS_FILE
    stored = json.loads(path.read_text())
    del stored["data"]
    path.write_text(json.dumps(stored if name is None else {**stored, "data": name}))
    with pytest.raises(StoreError, match="another version of segsearch made it"):
        EdgeStore(folder)


def test_another_layout_is_not_opened(folder: Path) -> None:
    path = folder / layout.SETTINGS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(StoreError, match="layout 99"):
        EdgeStore(folder)


def test_check_notices_changed_settings(folder: Path) -> None:
    with closing(EdgeStore(folder)) as store:
        (folder / layout.SETTINGS_FILE).unlink()
        with pytest.raises(StoreDamaged, match="is missing"):
            store.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_part_is_called_damage(folder: Path, kind: Kind) -> None:
    (data(folder) / kind).rename(folder / "elsewhere")
    with (
        pytest.raises(StoreDamaged, match="check --repair"),
        closing(EdgeStore(folder)) as store,
    ):
        store.count(kind)


@pytest.mark.parametrize("name", ["segment.json", "vector_storage/vectors/status.dat"])
def test_truncated_files_are_called_damage(folder: Path, name: str) -> None:
    for path in data(folder).glob(f"segments/segments/*/{name}"):
        path.write_bytes(b"")
    with (
        closing(EdgeStore(folder)) as store,
        pytest.raises(StoreDamaged, match="check --repair"),
    ):
        store.count("segments")


@pytest.mark.parametrize("kind", KINDS)
def test_the_sound_parts_can_be_used_beside_a_damaged_one(folder: Path, kind: Kind) -> None:
    (data(folder) / kind).rename(folder / "hidden")
    with closing(EdgeStore(folder)) as store:
        for other in KINDS:
            if other != kind:
                store.count(other)
        with pytest.raises(StoreDamaged):
            store.flush()
        (folder / "hidden").rename(data(folder) / kind)
        store.flush()
        assert store.count("segments") == len(SEGMENTS)


def test_parts_are_opened_when_they_are_used(folder: Path) -> None:
    segments, hidden = data(folder) / "segments", folder / "hidden"
    segments.rename(hidden)
    with closing(EdgeStore(folder)) as store:
        assert store.count("files") == 0
        with pytest.raises(StoreDamaged):
            store.count("segments")
        hidden.rename(segments)
        assert store.count("segments") == len(SEGMENTS)


def test_check_finds_zeroed_vectors(folder: Path) -> None:
    (vectors,) = data(folder).glob("segments/segments/*/vector_storage/vectors/chunk_0.mmap")
    with vectors.open("r+b") as file:
        file.write(bytes(DIM * np.dtype(np.float32).itemsize))
    with closing(EdgeStore(folder)) as store:
        assert store.count("segments") == len(SEGMENTS)
        with pytest.raises(StoreDamaged, match=r"segments: .* is not what was written"):
            store.check()


def test_answers_stay_right_with_a_graph(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(4000, 768)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = np.argsort(-vectors @ vectors[0])[:20]
    with closing(EdgeStore(tmp_path)) as store:
        store.create(RECIPE, 768)
        for start in range(0, 4000, 500):
            rows = range(start, start + 500)
            store.upsert("segments", [segment(row, vectors[row], depth=row % 50) for row in rows])
        store.optimise()
        found = [int(hit.id[-4:]) for hit in store.search("segments", vectors[0])]
        assert len(set(found) & set(expected)) >= 17  # the graph is not the same every time
        fifth = Filter(must=(Match("depth", (0,)),))
        assert store.search("segments", vectors[0], where=fifth)[0].id == uid(0)


def test_an_adoption_that_is_asked_for_again_is_done_once(tmp_path: Path) -> None:
    index, draft = tmp_path / "index", tmp_path / "index" / "rebuild"
    with closing(EdgeStore(index)) as store, ThreadPoolExecutor(2) as pool:
        store.create(RECIPE, DIM)
        with closing(EdgeStore(draft)) as made:
            made.create({"name": "new"}, DIM)
        lock = wire.take_lock(draft)
        assert lock is not None
        twice = [pool.submit(store.adopt, str(draft)) for _ in range(2)]
        time.sleep(0.3)  # both have seen the draft, and wait
        os.close(lock)
        for call in twice:
            call.result()
        assert store.recipe() == {"name": "new"}
