"""The application: endpoints, guards and what they share, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from indexer.errors import IndexNotFound
from search.api import problems
from search.api.guards import Authenticate, Head, Headers, Limit, SameSite
from search.api.keys import KEY_HEADER
from search.api.observing import Observe
from search.api.routes import (
    health,
    images,
    indexing,
    page,
    search,
    segment,
    segments,
    session,
    stats,
    uploads,
)
from search.api.settings import Settings
from search.api.state import State, role_of

#: Threads that answer: enough to fill batches for CLIP, few enough not to fight for the cores.
_THREADS = 16
_RESOURCES = (search, segment, uploads, images, segments, stats, indexing, session)
_ABOUT = """Find objects, not just photos: SAM 2 segments, CLIP vectors, Qdrant search.

Errors are `application/problem+json` with a stable `code`. Boxes and points are in pixels of the
picture as EXIF orients it. Ids are stable; paths begin with the name of a library folder."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application; models are loaded when it starts."""
    state = State.of(settings)
    app = FastAPI(
        title="segsearch",
        version=version("segsearch"),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        middleware=_middleware(settings, state),
    )
    app.state.segsearch = state
    problems.install(app)
    guarded = problems.errors("key-needed", "not-allowed", "busy", "timed-out")
    for resource in _RESOURCES:
        app.include_router(resource.router, dependencies=[Depends(role_of)], responses=guarded)
    # these are never too many, nor too late, see `guards.Limit`
    app.include_router(indexing.stream, dependencies=[Depends(role_of)])
    app.include_router(health.router)
    page.mount(app)
    _document(app)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.segsearch
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    with contextlib.suppress(IndexNotFound):  # then they are loaded when it is there
        await anyio.to_thread.run_sync(state.library.load_models)
    yield
    state.end()
    await anyio.to_thread.run_sync(state.runs.close)
    await anyio.to_thread.run_sync(state.uploads.close)
    state.library.close()


def _middleware(settings: Settings, state: State) -> list[Middleware]:
    """Return what stands before every request, the outermost first."""
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    names = {own, *settings.names, "localhost", "127.0.0.1", "[::1]"}
    if settings.host in ("0.0.0.0", "::") and not settings.names:  # noqa: S104 - there are keys
        names = {"*"}
    cors = [
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["content-type", KEY_HEADER, "x-request-id"],
            expose_headers=["x-request-id", "etag"],
            max_age=600,
        )
    ]
    return [
        Middleware(Observe, metrics=state.metrics),
        Middleware(Headers, shared=bool(settings.origins)),
        *(cors if settings.origins else []),
        Middleware(SameSite, names=names, origins=settings.origins),
        Middleware(Authenticate, keys=settings.keys, sessions=state.sessions),
        Middleware(Limit, limits=settings.limits),
        Middleware(Head),
    ]


def _document(app: FastAPI) -> None:
    """Let the OpenAPI document say that errors are problem+json."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            paths = made()["paths"].values()
            for operation in (one for path in paths for one in path.values()):
                _tell_problems(operation["responses"])
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_problems(responses: dict[str, Any]) -> None:
    """Correct what FastAPI says of an operation's errors."""
    for status in list(responses):
        content = responses[status].get("content", {})
        told = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        if told.endswith("/Problem"):
            responses[status]["content"] = {problems.MEDIA_TYPE: content["application/json"]}
        elif told.endswith("/HTTPValidationError"):
            del responses[status]  # it takes any parameter for one that may be wrong
