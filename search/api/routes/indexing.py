"""`/v1/index`: index the configured folders in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from search.api import schemas
from search.api.keys import Role
from search.api.problems import BODY, Refused, errors
from search.api.runs import Run
from search.api.state import Caller, Shared, State, admin

router = APIRouter(prefix="/v1/index", tags=["index"])
stream = APIRouter(prefix="/v1/index", tags=["index"])
#: How often it is looked whether there is something to tell, and after how long something is told
#: anyway, so that nobody on the way takes the connection for dead; seconds.
_LOOK_S, _SILENCE_S = 0.2, 15.0
_MOST_STREAMS = 32


@router.post(
    "",
    status_code=202,
    dependencies=[Depends(admin)],
    responses=errors("invalid-request", "not-allowed", "already-running", *BODY),
)
def start(state: Shared, request: schemas.IndexRequest | None = None) -> schemas.IndexRun:
    """Start an index run; admins only."""
    asked = request or schemas.IndexRequest()
    return plain(state.runs.start(prune=asked.prune, rebuild=asked.rebuild), "admin")


@router.get("")
def current(state: Shared, role: Caller) -> schemas.IndexRun:
    """Return the run that is going on, or the last one."""
    return plain(state.runs.current, role)


@router.delete("", dependencies=[Depends(admin)], responses=errors("not-allowed", "not-running"))
def stop(state: Shared) -> schemas.IndexRun:
    """Stop the run at a clean point; the next one goes on from there. Admins only."""
    return plain(state.runs.stop(), "admin")


@stream.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}},
        **errors("key-needed", "not-allowed", "busy"),
    },
)
async def events(state: Shared, role: Caller) -> StreamingResponse:
    """Follow the run as server-sent events, each an `IndexRun`, until it has ended."""
    if len(state.streams) >= _MOST_STREAMS:
        raise Refused("busy", "too many are following the run", "ask GET /v1/index instead")
    return StreamingResponse(_told(state, role), media_type="text/event-stream")


def plain(run: Run, role: Role) -> schemas.IndexRun:
    """Return a run; what went wrong may name places on this machine, and is for admins."""
    return schemas.IndexRun(
        state=run.state,
        started_at=run.started_at,
        ended_at=run.ended_at,
        message=run.message if role == "admin" else None,
        progress=schemas.Progress.model_validate(run.progress),
    )


async def _told(state: State, role: Role) -> AsyncIterator[str]:
    stream = object()
    state.streams.add(stream)
    try:
        version, silent = -1, 0.0
        while True:
            run = state.runs.current
            if run.version != version:
                version, silent = run.version, 0.0
                yield f"data: {plain(run, role).model_dump_json()}\n\n"
            elif silent >= _SILENCE_S:
                silent = 0.0
                yield ": still here\n\n"
            if run.is_over or state.ending.is_set():
                return
            await asyncio.sleep(_LOOK_S)
            silent += _LOOK_S
    finally:
        state.streams.discard(stream)
