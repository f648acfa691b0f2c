from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from search.api.app import create_app
from search.api.settings import Settings
from search.client import Client


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: where it answers.
        app: what answers.
        log: lines of the access log.
    """

    url: str
    app: FastAPI
    log: list[str] = field(default_factory=list)


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Serve from a thread of this process, on a port of its own."""
    app = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", app)
    finally:
        app.state.segsearch.ending.set()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def served(where: str, library_folder: Path) -> Iterator[Served]:
    """The library of five pictures, served without keys."""
    with serving(Settings(where, folders=(library_folder,))) as served:
        yield served


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[Client]:
    with Client(served.url) as client:
        yield client
