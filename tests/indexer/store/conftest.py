from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from indexer.store.base import KINDS, Filter, HasId, Store
from indexer.store.edge import EdgeStore
from indexer.store.hosted import HostedStore
from indexer.store.server import ServerStore, connect
from tests.indexer.store.facade import Facade
from tests.indexer.store.samples import DIM, RECIPE

QDRANT_URL = os.environ.get("QDRANT_URL")
ENGINES = ["edge", "hosted", "memory", "rest"] + (["server"] if QDRANT_URL else [])


@contextmanager
def _engine(name: str, folder: Path) -> Iterator[Store]:
    match name:
        case "edge":
            yield EdgeStore(folder)
        case "hosted":
            yield HostedStore(folder)
        case "memory":
            yield ServerStore(QdrantClient(":memory:"), "test")
        case "rest":
            with Facade() as facade:
                yield connect(f"{facade.url}/test")
        case _:
            index = f"test-{uuid.uuid4()}"
            yield connect(f"{QDRANT_URL}/{index}")
            key = os.environ.get("QDRANT_API_KEY")
            client = QdrantClient(url=QDRANT_URL, headers={"api-key": key} if key else None)
            for kind in KINDS:
                client.delete_collection(f"{index}_{kind}")
            client.close()


@pytest.fixture(params=ENGINES)
def nothing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each engine in turn, before `create`."""
    with _engine(request.param, tmp_path / "index") as store:
        yield store
        store.close()


@pytest.fixture(scope="module", params=ENGINES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """Each engine in turn, with one index for all tests of a module."""
    with _engine(request.param, tmp_path_factory.mktemp("store") / "index") as store:
        store.create(RECIPE, DIM)
        yield store
        store.close()


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
