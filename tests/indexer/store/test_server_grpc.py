"""The server engine over gRPC, on a real socket: faults, refusals, keys, sizes.

That it does what every engine does is in the contract suite.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import grpc
import pytest

from indexer.errors import IndexNotFound, StoreError, StoreFull, StoreUnavailable
from indexer.store.base import Filter, HasId, Point
from indexer.store.server import ServerStore, connect
from tests.indexer.store.facade import Facade
from tests.indexer.store.grpc_facade import GrpcFacade, GrpcFault
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, uid, vec

Code = grpc.StatusCode
X = vec(1, 0, 0)


@pytest.fixture
def server(facade: Facade) -> Iterator[GrpcFacade]:
    with GrpcFacade(facade) as server:
        yield server


@pytest.fixture
def store(server: GrpcFacade) -> Iterator[ServerStore]:
    with closing(server.connecting(connect)(f"{server.facade.url}/photos")) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
        server.seen.clear()
        yield store


def test_nothing_goes_over_rest(server: GrpcFacade, store: ServerStore) -> None:
    assert store.search("segments", X)[0].id == uid(1)
    assert [name for name, _, _ in server.seen] == ["Query"]
    assert server.facade.seen == []


@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.INTERNAL, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED]
)
def test_passing_faults_go_unnoticed(
    server: GrpcFacade, store: ServerStore, code: grpc.StatusCode
) -> None:
    server.faults.extend([GrpcFault(code, on="Count")] * 2)
    assert store.count("segments") == len(SEGMENTS)
    assert len(server.calls("Count")) == 3


def test_a_write_whose_answer_is_lost_is_repeated(server: GrpcFacade, store: ServerStore) -> None:
    server.faults.append(GrpcFault(Code.UNAVAILABLE, done=True, on="Upsert"))
    store.upsert("files", [Point(uid(1), {"n": 1})])
    server.faults.append(GrpcFault(Code.UNAVAILABLE, done=True, on="Delete"))
    store.delete("segments", Filter(must=(HasId((uid(1),)),)))
    assert (len(server.calls("Upsert")), len(server.calls("Delete"))) == (2, 2)
    assert (store.count("files"), store.count("segments")) == (1, len(SEGMENTS) - 1)


def test_a_lasting_fault_is_reported(server: GrpcFacade, store: ServerStore) -> None:
    server.faults.extend([GrpcFault(Code.UNAVAILABLE, "going down", on="Count")] * 9)
    with pytest.raises(StoreUnavailable, match=r"photos \(UNAVAILABLE: going down\).*GRPC_PORT"):
        store.count("segments")
    assert len(server.calls("Count")) == 4
    server.faults.clear()


@pytest.mark.parametrize(
    ("fault", "kind", "match"),
    [
        (GrpcFault(Code.UNAUTHENTICATED, "no key"), StoreError, "no key.*QDRANT_API_KEY"),
        (GrpcFault(Code.PERMISSION_DENIED), StoreError, "injected.*QDRANT_API_KEY"),
        (GrpcFault(Code.NOT_FOUND, "no collection"), IndexNotFound, "no collection"),
        (GrpcFault(Code.INVALID_ARGUMENT, "bad vector"), StoreError, "bad vector"),
        (GrpcFault(Code.UNIMPLEMENTED), StoreError, "not a Qdrant server.*QDRANT_GRPC_PORT"),
        (GrpcFault(Code.RESOURCE_EXHAUSTED, "larger than max"), StoreError, "larger than max"),
        (GrpcFault(Code.INTERNAL, "No space left on device"), StoreFull, "disk of the server"),
    ],
)
def test_refusals_are_passed_on_and_not_repeated(
    server: GrpcFacade, store: ServerStore, fault: GrpcFault, kind: type[StoreError], match: str
) -> None:
    server.faults.append(replace(fault, on="Count"))
    with pytest.raises(StoreError, match=match) as caught:
        store.count("segments")
    assert type(caught.value) is kind
    assert len(server.calls("Count")) == 1


def test_a_lasting_overload_is_reported(server: GrpcFacade, store: ServerStore) -> None:
    server.faults.extend([GrpcFault(Code.RESOURCE_EXHAUSTED, "too many", on="Count")] * 9)
    with pytest.raises(StoreUnavailable, match=r"overloaded: too many.*try again later"):
        store.count("segments")
    server.faults.clear()


def test_an_index_deleted_by_somebody_else_is_missed(
    server: GrpcFacade, store: ServerStore
) -> None:
    with server.facade.lock:
        for each in server.facade.engine.get_collections().collections:
            server.facade.engine.delete_collection(each.name)
    with pytest.raises(IndexNotFound):
        store.count("segments")


def test_the_api_key_is_sent(
    server: GrpcFacade, store: ServerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with closing(server.connecting(connect)(f"{server.facade.url}/photos")) as other:
        assert other.count("segments") == len(SEGMENTS)
    assert [metadata["api-key"] for _, metadata, _ in server.seen] == ["secret"] * 3


def test_large_messages_arrive(server: GrpcFacade, store: ServerStore) -> None:
    points = [Point(uid(n), {"mask": "x" * 2**20}, X) for n in range(40)]
    store.upsert("segments", points)
    assert [len(each.points) for each in server.calls("Upsert")] == [29, 11]
    assert len(store.get("segments", [point.id for point in points])) == 40


def test_a_server_that_is_not_there_is_reported(
    facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("QDRANT_GRPC_PORT", str(unused.getsockname()[1]))
    start = time.monotonic()
    with (
        closing(connect(f"{facade.url}/photos")) as store,
        pytest.raises(StoreUnavailable, match="docker compose up -d qdrant, and QDRANT_GRPC_PORT"),
    ):
        store.recipe()
    assert time.monotonic() - start < 10


def test_the_port_of_rest_is_not_that_of_grpc(
    facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_GRPC_PORT", facade.url.rpartition(":")[2])
    with (
        closing(connect(f"{facade.url}/photos", timeout_s=2)) as store,
        pytest.raises(StoreUnavailable, match="QDRANT_GRPC_PORT"),
    ):
        store.recipe()


@pytest.mark.parametrize("port", ["grpc", "-1", "0", "65536", "6334.0"])
def test_what_is_no_port_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_GRPC_PORT", port)
    with pytest.raises(StoreError, match=r"QDRANT_GRPC_PORT is .* no port"):
        connect("http://127.0.0.1:6333/photos")
