"""What endpoints share: the index, pictures, uploads, runs, who may do what."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader

from search.api.keys import Role, Sessions
from search.api.library import Library
from search.api.observing import Metrics
from search.api.pictures import Pictures
from search.api.problems import Refused
from search.api.questions import Reader
from search.api.runs import Run, Runs
from search.api.settings import Settings
from search.api.uploads import Uploads

#: The cookie of a page that has logged in.
COOKIE = "segsearch_session"
KEY_HEADER = "X-API-Key"
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

    @classmethod
    def of(cls, settings: Settings) -> State:
        """Make one of each; nothing is opened yet."""
        metrics, library = Metrics(), Library(settings.index, settings.device)
        pictures, uploads = Pictures(library), Uploads(settings.limits)

        def on_change(run: Run) -> None:
            metrics.indexing.set(not run.is_over)
            metrics.pending.set(run.progress.get("pending", 0))
            library.renew()  # the run may have made the index, or replaced it

        reader, runs = Reader(library, pictures, uploads), Runs(settings, on_change)
        return cls(settings, metrics, library, pictures, uploads, reader, runs, Sessions())


def state_of(request: Request) -> State:
    """Return what the application was made with."""
    return cast("State", request.app.state.segsearch)


Shared = Annotated[State, Depends(state_of)]


def role_of(
    state: Shared,
    key: Annotated[str | None, Security(_KEY)] = None,
    session: Annotated[str | None, Security(_SESSION)] = None,
) -> Role:
    """Return the caller's role; without keys, everybody on this machine is an admin.

    Raises:
        Refused: there is no key, or not one that is known.
    """
    keys = state.settings.keys
    if not keys:
        return "admin"
    role = keys.role_of(key) if key else state.sessions.role_of(session) if session else None
    if role is None:
        raise Refused(
            "key-needed",
            "the key is not known" if key else "there is no key with this request",
            f"send a key in the header {KEY_HEADER}",
            {"www-authenticate": "ApiKey"},
        )
    return role


Caller = Annotated[Role, Depends(role_of)]


def admin(role: Caller) -> None:
    """Let only admins through.

    Raises:
        Refused: the caller may only read.
    """
    if role != "admin":
        raise Refused("not-allowed", "this key may only read", "use an admin key")
