"""The API on a real socket, from a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from search.api.app import create_app
from search.api.settings import Settings
from search.commands.serve import patient


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: where it answers.
        app: what answers.
    """

    url: str
    app: FastAPI


@contextmanager
def serving(settings: Settings, patience_s: float = 15) -> Iterator[Served]:
    """Serve from a thread of this process, on a port of its own."""
    app = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=0,
            http=patient(patience_s),
            log_config=None,
            access_log=False,
            lifespan="on",
        )
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
        app.state.segsearch.end()
        server.should_exit = True
        thread.join()
