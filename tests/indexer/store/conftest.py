from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from indexer.store import discard, draft_location
from indexer.store.base import KINDS, Filter, HasId, Store
from indexer.store.edge import EdgeStore
from indexer.store.hosted import HostedStore
from indexer.store.server import ServerStore, connect
from tests.indexer.store.facade import Facade
from tests.indexer.store.grpc_facade import GrpcFacade
from tests.indexer.store.samples import DIM, FILES, RECIPE, SEGMENTS

QDRANT_URL = os.environ.get("QDRANT_URL")
ENGINES = ["edge", "hosted", "memory", "rest", "grpc"] + (["server"] if QDRANT_URL else [])


@dataclass(frozen=True)
class Engine:
    """One engine, and how to open an index with it.

    Attributes:
        location: of an index that is not there yet.
        open: opens the index at a location; for the caller to close.
        discard: as `indexer.store.discard`.
    """

    location: str
    open: Callable[[str], Store]
    discard: Callable[[str], None]


class _Memory(QdrantClient):
    """qdrant-client's in-memory engine, for several stores, each of which will close it."""

    def __init__(self) -> None:
        super().__init__(":memory:")

    def query_points(self, *args: Any, **options: Any) -> models.QueryResponse:  # noqa: ANN401
        """Answer without what this engine has no use for, and would warn of."""
        return super().query_points(*args, **{**options, "search_params": None})

    def close(self, grpc_grace: float | None = None, **_: object) -> None:
        """Keep what the other stores still need."""

    def store(self, location: str) -> ServerStore:
        return ServerStore(self, location.rpartition("/")[2], place=location)


@contextmanager
def _engine(name: str, folder: Path) -> Iterator[Engine]:
    match name:
        case "edge":
            yield Engine(str(folder), lambda location: EdgeStore(Path(location)), discard)
        case "hosted":
            yield Engine(str(folder), lambda location: HostedStore(Path(location)), discard)
        case "memory":
            store = _Memory().store
            yield Engine("http://memory/test", store, lambda location: store(location).discard())
        case "rest":
            with Facade() as facade:
                yield Engine(f"{facade.url}/test", connect, discard)
        case "grpc":
            with Facade() as facade, GrpcFacade(facade) as grpc:
                yield Engine(
                    f"{facade.url}/test", grpc.connecting(connect), grpc.connecting(discard)
                )
        case _:
            location = f"{QDRANT_URL}/test-{uuid.uuid4()}"
            yield Engine(location, connect, discard)
            discard(draft_location(location))
            discard(location)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Each engine in turn."""
    with _engine(request.param, tmp_path / "index") as engine:
        yield engine


@pytest.fixture
def nothing(engine: Engine) -> Iterator[Store]:
    """Each engine in turn, before `create`."""
    with closing(engine.open(engine.location)) as store:
        yield store


@pytest.fixture(scope="module", params=ENGINES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """Each engine in turn, with one index for all tests of a module."""
    with (
        _engine(request.param, tmp_path_factory.mktemp("store") / "index") as engine,
        closing(engine.open(engine.location)) as store,
    ):
        store.create(RECIPE, DIM)
        yield store


@pytest.fixture
def empty(shared: Store) -> Store:
    """Each engine in turn, with an index without records."""
    for kind in KINDS:
        shared.delete(kind, Filter(must_not=(HasId(()),)))
    return shared


@pytest.fixture
def facade() -> Iterator[Facade]:
    with Facade() as facade:
        yield facade


@pytest.fixture
def store(empty: Store) -> Store:
    """Each engine in turn, with the sample records."""
    empty.upsert("segments", SEGMENTS)
    empty.upsert("files", FILES)
    return empty
