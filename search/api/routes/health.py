"""`/healthz`, `/readyz` and `/metrics`: for whoever keeps the server running."""

from __future__ import annotations

from typing import Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from indexer.errors import IndexNotFound
from search.api.problems import errors
from search.api.state import Shared, role_of

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """That the server answers; `empty` until there is an index."""

    status: Literal["ok", "empty"]


@router.get("/healthz", responses=errors("not-allowed"))
async def healthz() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get("/readyz", responses=errors("not-allowed", "unavailable"))
async def readyz(state: Shared) -> Health:
    """Say that the index answers, or that there is none yet."""

    def ask() -> None:
        state.library.opened().searcher.index.is_current()

    try:  # not on the threads of searches, which may all be busy
        await anyio.to_thread.run_sync(ask, limiter=state.asking_health)
    except IndexNotFound:
        return Health(status="empty")
    return Health(status="ok")


@router.get(
    "/metrics",
    dependencies=[Depends(role_of)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **errors("key-needed", "not-allowed")},
)
async def metrics(state: Shared) -> Response:
    """Return figures for Prometheus."""
    return Response(generate_latest(state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
