"""The server engine on a real socket: addresses, keys, faults of the server and of the network."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from indexer.errors import IndexNotFound, StoreDamaged, StoreError, StoreUnavailable
from indexer.store.base import Filter, HasId, Point
from indexer.store.server import ServerStore, connect
from tests.indexer.store.facade import Facade, Fault
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, uid, vec

X = vec(1, 0, 0)


@pytest.fixture
def store(facade: Facade) -> Iterator[ServerStore]:
    with closing(connect(f"{facade.url}/photos", timeout_s=1)) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
        facade.seen.clear()
        yield store


def collection(facade: Facade, kind: str, name: str = "photos") -> str:
    """Return the one collection with records of this kind."""
    _, answer = facade.answer("GET", "/collections", {})
    names = [each["name"] for each in answer["result"]["collections"]]
    (found,) = [each for each in names if each.startswith(f"{name}_{kind}_")]
    return str(found)


def asked(facade: Facade, start: str) -> list[str]:
    """Return the requests so far whose method and path start like this."""
    return [request for request, _ in facade.seen if request.startswith(start)]


@pytest.mark.parametrize(
    "fault", [Fault("status", 503), Fault("status", 500), Fault("status", 429), Fault("reset")]
)
def test_passing_faults_go_unnoticed(facade: Facade, store: ServerStore, fault: Fault) -> None:
    facade.faults.extend([fault, fault])
    assert store.count("segments") == len(SEGMENTS)
    assert len(facade.seen) == 3


def test_a_write_whose_answer_is_lost_is_repeated(facade: Facade, store: ServerStore) -> None:
    facade.faults.append(Fault("lost"))
    store.upsert("files", [Point(uid(1), {"n": 1})])
    facade.faults.append(Fault("lost"))
    store.delete("segments", Filter(must=(HasId((uid(1),)),)))
    assert len(facade.seen) == 4
    assert store.count("files") == 1
    assert store.count("segments") == len(SEGMENTS) - 1


def test_a_lasting_fault_is_reported_with_what_the_server_said(
    facade: Facade, store: ServerStore
) -> None:
    facade.faults.extend([Fault("status", 503)] * 9)
    with pytest.raises(StoreUnavailable) as caught:
        store.count("segments")
    assert f"{facade.url}/photos" in caught.value.message
    assert "injected 503" in caught.value.message
    assert "docker compose up -d" in caught.value.hint
    assert len(facade.seen) == 4


def test_a_server_that_stalls_is_given_up(facade: Facade, store: ServerStore) -> None:
    facade.faults.extend([Fault("stall", 2)] * 9)
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match="Timeout"):
        store.search("segments", X)
    assert time.monotonic() - start < 5
    facade.faults.clear()


def test_a_server_that_is_not_there_is_reported() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    start = time.monotonic()
    with (
        closing(connect(f"http://127.0.0.1:{port}/photos")) as store,
        pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}/photos.*docker compose up -d"),
    ):
        store.recipe()
    assert time.monotonic() - start < 5


def test_what_is_not_qdrant_is_told_apart(facade: Facade, store: ServerStore) -> None:
    facade.faults.append(Fault("status", 200))
    with pytest.raises(StoreError, match="not a Qdrant server"):
        store.count("segments")


def test_refusals_are_passed_on_and_not_repeated(facade: Facade, store: ServerStore) -> None:
    facade.faults.append(Fault("status", 400))
    with pytest.raises(StoreError, match="injected 400"):
        store.upsert("files", [Point(uid(1), {})])
    assert len(asked(facade, "PUT")) == 1


def test_an_index_deleted_by_somebody_else_is_missed(facade: Facade, store: ServerStore) -> None:
    assert store.count("segments") == len(SEGMENTS)
    facade.answer("DELETE", f"/collections/{collection(facade, 'segments')}", {})
    with pytest.raises(IndexNotFound, match="not found"):
        store.count("segments")


def test_the_api_key_is_sent(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with closing(connect(f"{facade.url}/photos")) as store:
        assert store.recipe() is None
    assert [headers["api-key"] for _, headers in facade.seen] == ["secret"]


def test_without_a_key_none_is_sent(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    with closing(connect(f"{facade.url}/photos")) as store:
        assert store.recipe() is None
    assert "api-key" not in facade.seen[0][1]


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_key_is_explained(facade: Facade, store: ServerStore, status: int) -> None:
    facade.faults.append(Fault("status", status))
    with pytest.raises(StoreError, match="QDRANT_API_KEY"):
        store.count("segments")


@pytest.mark.parametrize(
    "step",
    ["PUT /collections/photos_files", "PUT /collections/photos_segments", "PATCH", "POST"],
)
def test_a_creation_that_broke_off_is_no_index(facade: Facade, step: str) -> None:
    with closing(connect(f"{facade.url}/photos")) as store:
        facade.faults.append(Fault("status", 400, on=step))
        with pytest.raises(StoreError, match="injected 400"):
            store.create(RECIPE, DIM)
        assert store.recipe() is None
        store.create({"second": 2}, DIM)
        assert store.recipe() == {"second": 2}
    assert collection(facade, "images")


def test_indexes_on_one_server_are_apart(facade: Facade, store: ServerStore) -> None:
    with closing(connect(f"{facade.url}/other")) as other:
        assert other.recipe() is None
        other.create({"other": 1}, 7)
        assert other.count("segments") == 0
    assert store.recipe() == RECIPE
    assert store.count("segments") == len(SEGMENTS)


def test_damaged_settings_are_called_so(facade: Facade, store: ServerStore) -> None:
    facade.answer("PATCH", "/collections/photos_roots", {"metadata": {"segsearch": "{"}})
    with pytest.raises(StoreDamaged, match="photos holds no settings"):
        store.recipe()


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:6333",
        "http://localhost:6333/",
        "http://localhost:6333/a/b",
        "http://localhost:6333/a b",
        "http://localhost:99999/a",
        "http://localhost:port/a",
        "http:///a",
        "http://user:key@localhost/a",
        "http://localhost/a?x=1",
        "ftp://localhost/a",
    ],
)
def test_addresses_of_no_index_are_refused(location: str) -> None:
    with pytest.raises(StoreError, match=r"write http\(s\)://host:port/name"):
        connect(location)
