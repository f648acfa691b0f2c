"""Replacing an index by its draft, and removing indexes, on every engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from indexer.errors import IndexNotFound, StoreError
from indexer.store import draft_location
from indexer.store.base import KINDS, Filter, HasId, Match, Point, Store
from indexer.store.edge import EdgeStore
from tests.indexer.store.conftest import Engine
from tests.indexer.store.samples import DIM, FILES, RECIPE, SEGMENTS, segment, uid, vec

#: What the draft has: another recipe, and vectors of 4 numbers, not 3.
NEW_RECIPE = {"vector_space": {"clip": "larger"}}
NEW_DIM = 4
NEW_SEGMENTS = [
    segment(1, vec(0, 0, 0, 1), depth=7),
    segment(8, vec(0, 0, 1, 0), depth=7),
    segment(9, vec(0, 0, 0.6, 0.8), depth=7),
]


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    """Each engine in turn, with the sample records."""
    with closing(engine.open(engine.location)) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
        store.upsert("files", FILES)
        yield store


def build_draft(engine: Engine) -> str:
    location = draft_location(engine.location)
    with closing(engine.open(location)) as draft:
        draft.create(NEW_RECIPE, NEW_DIM)
        draft.upsert("segments", NEW_SEGMENTS)
        draft.upsert("roots", [Point(uid(90), {"path": "/photos"})])
    return location


def ids(store: Store) -> list[int]:
    """Return the short form of the segments' ids."""
    return [int(point.id[-4:]) for point in store.scroll("segments").points]


def expect_new(store: Store) -> None:
    assert store.recipe() == NEW_RECIPE
    counts = {kind: store.count(kind) for kind in KINDS}
    assert counts == {"images": 0, "segments": 3, "files": 0, "roots": 1}
    assert ids(store) == [1, 8, 9]
    assert store.get("segments", [uid(1)])[0].payload == {"depth": 7}
    hits = store.search("segments", vec(0, 0, 0, 1))
    assert [(hit.id, hit.score) for hit in hits] == [(uid(1), 1), (uid(9), 0.8), (uid(8), 0)]
    assert store.facet("segments", "depth") == {"7": 3}
    store.check()


def test_a_draft_is_an_index_of_its_own(engine: Engine, store: Store) -> None:
    with closing(engine.open(build_draft(engine))) as draft:
        expect_new(draft)
    assert store.recipe() == RECIPE
    assert ids(store) == [1, 2, 3, 4, 5]
    store.check()


def test_adopting_replaces_records_recipe_and_dimension(engine: Engine, store: Store) -> None:
    store.adopt(build_draft(engine))
    expect_new(store)


def test_an_adopted_index_is_found_again(engine: Engine, store: Store) -> None:
    store.adopt(build_draft(engine))
    store.upsert("segments", [segment(10, vec(1, 0, 0, 0))])
    with pytest.raises(StoreError, match="4"):
        store.upsert("segments", [segment(11, vec(1, 0, 0))])
    store.close()
    with closing(engine.open(engine.location)) as again:
        assert again.recipe() == NEW_RECIPE
        assert ids(again) == [1, 8, 9, 10]


def test_the_draft_is_gone_afterwards(engine: Engine, store: Store) -> None:
    location = build_draft(engine)
    store.adopt(location)
    with pytest.raises(IndexNotFound, match="rebuild"):
        store.adopt(location)
    with closing(engine.open(location)) as draft:
        assert draft.recipe() is None
    expect_new(store)


def test_an_index_can_be_replaced_many_times(engine: Engine, store: Store) -> None:
    for number in range(2):
        location = draft_location(engine.location)
        with closing(engine.open(location)) as draft:
            draft.create({"number": number}, DIM)
            draft.upsert("segments", [segment(number, vec(1, 0, 0))])
        store.adopt(location)
        assert (store.recipe(), ids(store)) == ({"number": number}, [number])


def test_adopting_nothing_is_refused_and_harms_nothing(engine: Engine, store: Store) -> None:
    location = draft_location(engine.location)
    with pytest.raises(IndexNotFound, match=r"no index .*rebuild"):
        store.adopt(location)
    engine.open(location).close()  # opened, and never created
    with pytest.raises(IndexNotFound, match=r"no index .*rebuild"):
        store.adopt(location)
    assert store.recipe() == RECIPE
    assert ids(store) == [1, 2, 3, 4, 5]


def test_a_draft_can_become_the_first_index(engine: Engine) -> None:
    location = build_draft(engine)
    with closing(engine.open(engine.location)) as store:
        assert store.recipe() is None
        store.adopt(location)
        expect_new(store)


def test_another_client_sees_the_new_index(engine: Engine, store: Store) -> None:
    if isinstance(store, EdgeStore):
        pytest.skip("one process has it to itself")
    with closing(engine.open(engine.location)) as other:
        assert len(other.search("segments", vec(1, 0, 0))) == len(SEGMENTS)
        store.adopt(build_draft(engine))
        hits = other.search("segments", vec(0, 0, 0, 1))
        assert [hit.id for hit in hits] == [uid(1), uid(9), uid(8)]
        with pytest.raises(StoreError, match="4"):
            other.search("segments", vec(1, 0, 0))
        other.upsert("segments", [segment(10, vec(1, 0, 0, 0))])
        assert ids(other) == ids(store) == [1, 8, 9, 10]
        assert other.recipe() == NEW_RECIPE


def test_readers_see_all_of_the_old_or_all_of_the_new(engine: Engine, store: Store) -> None:
    """The draft has the same dimension, so that one query suits both."""
    location = draft_location(engine.location)
    with closing(engine.open(location)) as draft:
        draft.create(NEW_RECIPE, DIM)
        draft.upsert("segments", [segment(n, vec(1, 0, 0), depth=7) for n in (1, 8)])
    old = {"search": [1, 2, 3, 4, 5], "depth": [0, 0, 1, 1, 2]}
    new = {"search": [1, 8], "depth": [7, 7]}
    over = threading.Event()

    def numbers(found: list[str]) -> list[int]:
        return sorted(int(each[-4:]) for each in found)

    reads: dict[str, Callable[[], list[int]]] = {
        "search": lambda: numbers([h.id for h in store.search("segments", vec(1, 0, 0))]),
        "depth": lambda: sorted(p.payload["depth"] for p in store.scroll("segments").points),
    }

    def read(what: str) -> list[list[int]]:
        seen = [reads[what]()]
        while not over.is_set():
            seen.append(reads[what]())
        return [*seen, reads[what]()]

    with ThreadPoolExecutor() as threads:
        readers = {what: threads.submit(read, what) for what in (*reads, "search")}
        time.sleep(0.1)
        store.adopt(location)
        time.sleep(0.1)
        over.set()
        for what, reader in readers.items():
            seen = reader.result()
            switched = seen.index(new[what])
            assert all(each == old[what] for each in seen[:switched])
            assert all(each == new[what] for each in seen[switched:])
            assert switched > 0


def test_discarding_removes_an_index(engine: Engine, store: Store) -> None:
    store.close()
    engine.discard(engine.location)
    with closing(engine.open(engine.location)) as again:
        assert again.recipe() is None
        with pytest.raises(IndexNotFound):
            again.count("segments")
        again.create({"second": 2}, 5)
        assert again.count("segments") == 0


def test_discarding_a_draft_leaves_the_index(engine: Engine, store: Store) -> None:
    location = build_draft(engine)
    engine.discard(location)
    with pytest.raises(IndexNotFound):
        store.adopt(location)
    assert store.recipe() == RECIPE
    assert ids(store) == [1, 2, 3, 4, 5]
    assert len(store.search("segments", vec(1, 0, 0))) == len(SEGMENTS)


def test_discarding_nothing_does_nothing(engine: Engine) -> None:
    for _ in range(2):
        engine.discard(engine.location)
        engine.discard(draft_location(engine.location))


def test_a_draft_goes_on_where_it_was_left(engine: Engine, store: Store) -> None:
    location = build_draft(engine)
    with closing(engine.open(location)) as draft:
        draft.upsert("segments", [segment(10, vec(1, 0, 0, 0))])
        draft.delete("segments", Filter((HasId((uid(8),)),)))
    store.adopt(location)
    assert ids(store) == [1, 9, 10]
    assert store.count("segments", Filter((Match("depth", (7,)),))) == 2
