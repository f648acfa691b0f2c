"""`/v1/session`: a page logs in with a key, as a browser sends no headers for pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response

from search.api.keys import COOKIE, SESSION_S
from search.api.problems import errors
from search.api.state import Caller, Shared

router = APIRouter(prefix="/v1/session", tags=["session"])


@router.post("", status_code=204, responses=errors("key-needed"))
def log_in(request: Request, response: Response, state: Shared, role: Caller) -> None:
    """Exchange the key in the header for a cookie that only this server sees."""
    response.set_cookie(
        COOKIE,
        state.sessions.begin(role),
        max_age=int(SESSION_S),
        httponly=True,
        samesite="strict",
        secure=request.headers.get("origin", "").startswith("https:"),  # a proxy has the TLS
    )


@router.delete("", status_code=204)
def log_out(
    response: Response, state: Shared, session: Annotated[str | None, Cookie(alias=COOKIE)] = None
) -> None:
    """Forget the cookie."""
    if session is not None:
        state.sessions.end(session)
    response.delete_cookie(COOKIE)
