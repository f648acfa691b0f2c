"""What endpoints share: the index, pictures, uploads, runs, who may do what."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated, cast

import anyio
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader

from search.api.keys import COOKIE, KEY_HEADER, Role, Sessions
from search.api.library import Library
from search.api.observing import Metrics
from search.api.pictures import Pictures
from search.api.problems import Refused
from search.api.questions import Reader
from search.api.runs import Run, Runs
from search.api.settings import Settings
from search.api.uploads import Uploads

_KEY = APIKeyHeader(name=KEY_HEADER, auto_error=False, description="A read or admin key.")
_SESSION = APIKeyCookie(name=COOKIE, auto_error=False, description="See POST /v1/session.")


@dataclass(frozen=True, eq=False)
class State:
    """One of each.

    Attributes:
        settings: how the API is served.
        metrics: what is counted.
        library: the index.
        pictures: what was made of pictures.
        uploads: uploaded pictures.
        reader: reads requests.
        runs: index runs.
        sessions: pages that have logged in.
        streams: who follows the index run now.
        ending: set when the server is to end, so that nobody follows any longer.
        asking_health: threads that ask how the index is.
    """

    settings: Settings
    metrics: Metrics
    library: Library
    pictures: Pictures
    uploads: Uploads
    reader: Reader
    runs: Runs
    sessions: Sessions
    streams: set[object] = field(default_factory=set)
    ending: threading.Event = field(default_factory=threading.Event)
    asking_health: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(2))

    @classmethod
    def of(cls, settings: Settings) -> State:
        """Make one of each; nothing is opened yet."""
        metrics = Metrics()
        library = Library(settings.index, settings.device, links=settings.links)
        pictures, uploads = Pictures(library), Uploads(settings.limits)

        def on_change(run: Run) -> None:
            metrics.indexing.set(not run.is_over)
            metrics.pending.set(run.progress.get("pending", 0))
            if run.is_over or not library.is_open:
                library.renew()  # the run may have made the index, or replaced it
            if run.is_over:
                threading.Thread(target=library.warm, daemon=True).start()

        reader, runs = Reader(library, pictures, uploads), Runs(settings, on_change)
        return cls(settings, metrics, library, pictures, uploads, reader, runs, Sessions())

    def end(self) -> None:
        """Let go of what would keep the server from ending; called by a signal's handler."""
        self.ending.set()
        self.runs.end_soon()


async def state_of(request: Request) -> State:
    """Return what the application was made with."""
    return cast("State", request.app.state.segsearch)


Shared = Annotated[State, Depends(state_of)]


async def role_of(
    request: Request,
    _key: Annotated[str | None, Security(_KEY)] = None,
    _session: Annotated[str | None, Security(_SESSION)] = None,
) -> Role:
    """Return the caller's role, which `guards.Authenticate` has found out."""
    return cast("Role", request.scope["role"])


Caller = Annotated[Role, Depends(role_of)]


async def admin(role: Caller) -> None:
    """Let only admins through.

    Raises:
        Refused: the caller may only read.
    """
    if role != "admin":
        raise Refused("not-allowed", "this key may only read", "use an admin key")
