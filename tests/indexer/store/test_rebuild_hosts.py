"""Replacing and removing indexes while host processes have them open."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from indexer.errors import StoreDamaged, StoreUnavailable
from indexer.store import discard, draft_location, edge_files, open_store, wire
from indexer.store.edge import EdgeStore
from indexer.store.hosted import HostedStore
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, segment, vec

X = vec(1, 0, 0)
NEW_RECIPE = {"new": 1}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HostedStore]:
    with closing(HostedStore(tmp_path / "index")) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
        yield store


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """A draft of that index that no host has open."""
    folder = tmp_path / "index" / "rebuild"
    with closing(EdgeStore(folder)) as store:
        store.create(NEW_RECIPE, DIM)
        store.upsert("segments", [segment(7, X)])
    return folder


def test_the_draft_is_inside_the_folder() -> None:
    assert draft_location("photos/index") == "photos/index/rebuild"
    assert draft_location("http://host:6333/photos") == "http://host:6333/photos.rebuild"
    assert draft_location("http://host:6333/photos/") == "http://host:6333/photos.rebuild"


def test_a_relative_draft_is_the_callers(
    store: HostedStore, draft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.adopt(draft_location("index"))
    assert store.recipe() == NEW_RECIPE
    assert not draft.exists()


def test_clients_and_host_stay_the_same_through_the_switch(
    store: HostedStore, draft: Path, tmp_path: Path
) -> None:
    before = wire.find(tmp_path / "index")
    with closing(HostedStore(tmp_path / "index")) as other:
        assert other.count("segments") == 5
        store.adopt(str(draft))
        assert (other.recipe(), other.count("segments")) == (NEW_RECIPE, 1)
    assert wire.find(tmp_path / "index") == before


def test_a_draft_in_use_is_not_adopted(draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_files, "PATIENCE_S", 0.5)
    with closing(EdgeStore(draft.parent)) as store:
        store.create(RECIPE, DIM)
        with (
            closing(HostedStore(draft)),
            pytest.raises(StoreUnavailable, match=r"rebuild is still in use .*end the programs"),
        ):
            store.adopt(str(draft))
        assert store.recipe() == RECIPE


def test_a_damaged_draft_is_not_adopted(store: HostedStore, draft: Path) -> None:
    for path in draft.glob("shards-*/segments/segments/*/segment.json"):
        path.write_bytes(b"")
    with pytest.raises(StoreDamaged):
        store.adopt(str(draft))
    assert (store.recipe(), store.count("segments")) == (RECIPE, 5)
    assert len(list(draft.glob("shards-*/segments"))) == 1


def test_a_host_killed_while_it_waits_for_the_draft_keeps_the_old_index(
    store: HostedStore, draft: Path
) -> None:
    contact = wire.find(draft.parent)
    assert contact is not None
    with closing(HostedStore(draft)):
        killer = threading.Timer(0.3, os.kill, (contact.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(StoreUnavailable, match="ended during adopt"):
            store.adopt(str(draft))
    assert (store.recipe(), store.count("segments")) == (RECIPE, 5)
    store.adopt(str(draft))
    assert (store.recipe(), store.count("segments")) == (NEW_RECIPE, 1)


def test_a_draft_finds_its_records_where_a_killed_adoption_left_them(draft: Path) -> None:
    (records,) = draft.glob("shards-*")
    records.rename(draft.parent / records.name)
    with closing(open_store(str(draft), create_ok=False)) as found:
        assert (found.recipe(), found.count("segments")) == (NEW_RECIPE, 1)
    assert records.exists()


def test_discarding_waits_for_the_host(store: HostedStore, tmp_path: Path) -> None:
    store.close()
    start = time.monotonic()
    discard(str(tmp_path / "index"))
    assert time.monotonic() - start > 1
    assert not (tmp_path / "index").exists()


def test_an_index_in_use_is_not_discarded(
    store: HostedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_files, "PATIENCE_S", 0.5)
    with pytest.raises(StoreUnavailable, match=r"index is still in use .*end the programs"):
        discard(str(tmp_path / "index"))
    assert store.count("segments") == 5
