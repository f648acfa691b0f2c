"""Search structures of an embedded index are built beside it, while it is used."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from indexer.errors import StoreError, StoreFull
from indexer.store import edge_build, layout, wire
from indexer.store.base import Filter, HasId, Match, Point
from indexer.store.edge import EdgeStore
from indexer.store.hosted import HostedStore
from indexer.store.storage import Storage

DIM = 512
#: Enough for Edge to build a graph: 12 MB of vectors.
COUNT = 6_000


def name(number: int) -> str:
    return str(UUID(int=number))


def points(start: int, stop: int) -> list[Point]:
    rng = np.random.default_rng(start)  # of few dimensions, as embeddings nearly are
    turn = np.random.default_rng(0).standard_normal((16, DIM))
    rows = (rng.standard_normal((stop - start, 16)) @ turn).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [
        Point(name(number), {"image_id": "one", "depth": number % 3}, row)
        for number, row in zip(range(start, stop), rows, strict=True)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "index"
    with closing(EdgeStore(place)) as store:
        store.create({"made": "here"}, DIM)
        for start in range(0, COUNT, 1000):
            store.upsert("segments", points(start, start + 1000))
    return place


@pytest.fixture
def store(folder: Path) -> Iterator[EdgeStore]:
    with closing(EdgeStore(folder)) as opened:
        yield opened


def parts(folder: Path) -> set[str]:
    """Return what lies where the segments are: one folder, and what says which."""
    (data,) = folder.glob("shards-*")
    return {path.name.partition("-")[0] for path in data.glob("segments*")}


def graph_size(folder: Path) -> int:
    (data,) = folder.glob("shards-*")
    return sum(
        path.stat().st_size for path in data.glob("segments*/segments/*/vector_index/links*")
    )


def test_a_graph_is_built_in_another_process_and_finds_the_same(
    folder: Path, store: EdgeStore
) -> None:
    queries = [point.vector for point in points(77, 80) if point.vector is not None]
    before = [[hit.id for hit in store.search("segments", q, limit=10)] for q in queries]
    assert graph_size(folder) == 0
    store.optimise()
    assert graph_size(folder) > 0
    assert parts(folder) == {"segments", "segments.at"}
    after = [[hit.id for hit in store.search("segments", q, limit=10)] for q in queries]
    assert sum(len(set(a) & set(b)) for a, b in zip(before, after, strict=True)) >= 28
    assert store.count("segments") == COUNT
    store.check()


def test_little_that_is_new_is_left_as_it_is(folder: Path, store: EdgeStore) -> None:
    store.optimise()
    (data,) = folder.glob("shards-*")
    before = (data / "segments.at").read_text()
    store.upsert("segments", points(COUNT, COUNT + 50))
    store.optimise()
    assert (data / "segments.at").read_text() == before


def test_searches_and_writes_go_on_meanwhile(folder: Path) -> None:
    """Through the host, as processes do: what is written while it builds is in what is built."""
    with closing(HostedStore(folder)) as store:
        worker = threading.Thread(target=store.optimise)
        query = points(1, 2)[0].vector
        assert query is not None
        waits, stages = [0.0], set()
        worker.start()
        number = COUNT
        while worker.is_alive():
            started = time.monotonic()
            store.search("segments", query, limit=10)
            store.upsert("segments", points(number, number + 1))
            waits.append(time.monotonic() - started)
            progress = store.optimising()
            if progress is not None:
                stages.add(progress.stage)
                assert progress.done is None or 0 <= progress.done <= 1
            number += 1
        store.set_payload("segments", {"depth": 9}, Filter((HasId((name(0),)),)))
        assert "building" in stages
        assert number - COUNT > 20
        assert store.count("segments") == number
        last = store.get("segments", [name(number - 1), name(COUNT)], vectors=True)
        assert [point.id for point in last] == [name(number - 1), name(COUNT)]
        assert store.count("segments", Filter((Match("depth", (9,)),))) == 1
        assert store.optimising() is None
        store.check()


def test_progress_of_what_is_empty(tmp_path: Path) -> None:
    with closing(HostedStore(tmp_path)) as store:
        store.create({"made": "here"}, DIM)
        worker = threading.Thread(target=store.optimise, args=(Storage(memory="mmap"),))
        worker.start()
        while worker.is_alive():
            store.optimising()
        assert store.storage().memory == "mmap"


def test_storage_is_kept_and_can_be_changed(folder: Path) -> None:
    small = Storage(quantization="turbo4", memory="mmap", hnsw_ef=64)
    with closing(EdgeStore(folder)) as store:
        assert store.storage() == Storage()
        store.optimise(small)
        assert store.storage() == small
    with closing(EdgeStore(folder)) as store:
        assert store.storage() == small
        vector = points(0, 1000)[5].vector
        assert vector is not None
        assert store.search("segments", vector, limit=1)[0].id == name(5)
        store.check()


def test_quantised_vectors_go_when_they_are_not_wanted(folder: Path) -> None:
    (data,) = folder.glob("shards-*")
    quantised = "segments*/segments/*/vector_storage/quantized.data"
    with closing(EdgeStore(folder)) as store:
        store.optimise()
        assert list(data.glob(quantised))
        store.optimise(Storage(quantization="none"))
        assert not list(data.glob(quantised))
        assert store.count("segments") == COUNT


def test_a_builder_that_is_killed_leaves_the_index_as_it_was(
    folder: Path, store: EdgeStore
) -> None:
    failed: list[StoreError] = []

    def work() -> None:
        try:
            store.optimise()
        except StoreError as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    os.kill(builder(folder), signal.SIGKILL)
    worker.join()
    assert "status -9" in str(failed[0])
    assert parts(folder) == {"segments"}
    assert store.count("segments") == COUNT
    store.optimise()
    assert graph_size(folder) > 0


def test_a_host_that_is_killed_while_it_builds_leaves_the_index_as_it_was(folder: Path) -> None:
    with closing(HostedStore(folder)) as store:
        worker = threading.Thread(target=pytest.raises, args=(StoreError, store.optimise))
        worker.start()
        build = builder(folder)
        contact = wire.find(folder)
        assert contact is not None
        os.kill(contact.pid, signal.SIGKILL)
        worker.join()
        deadline = time.monotonic() + 10
        while alive(build) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not alive(build)  # nobody would use what it builds
    with closing(HostedStore(folder)) as store:
        assert store.count("segments") == COUNT
        assert parts(folder) == {"segments"}
        store.check()


def test_a_disk_without_room_is_left_alone(
    folder: Path, store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_build, "_SPARE_BYTES", 2**60)
    with pytest.raises(StoreFull, match="segsearch optimize"):
        store.optimise()
    assert parts(folder) == {"segments"}
    assert store.count("segments") == COUNT


def test_a_copy_takes_no_more_space_than_what_is_copied(folder: Path, store: EdgeStore) -> None:
    """Edge's files have holes."""
    (data,) = folder.glob("shards-*")
    before = layout.disk_usage(data / "segments")
    store.optimise(Storage(quantization="none"))
    (now,) = data.glob("segments-*")
    assert layout.disk_usage(now) < 1.2 * before


def builder(folder: Path) -> int:
    """Return the process that builds for this index, once there is one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"indexer.store.edge_build" in words and str(folder).encode() in b" ".join(words):
                return int(status.parent.name)
        time.sleep(0.01)
    raise AssertionError("nothing builds")


def alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
