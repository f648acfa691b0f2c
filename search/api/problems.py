"""Errors as the API tells them: problem+json (RFC 9457) with stable codes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from indexer.errors import (
    IndexNotFound,
    ModelError,
    OutOfDeviceMemory,
    PictureError,
    QueryError,
    RecipeMismatch,
    SegsearchError,
    StoreError,
    UnknownId,
)
from search.api.schemas import Problem

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Code:
    """A kind of error: HTTP status, and what it is in words."""

    status: int
    title: str


#: All errors there are; `docs/api.md` lists them too.
CODES = {
    "invalid-request": Code(422, "The request makes no sense"),
    "key-needed": Code(401, "An API key is needed"),
    "not-allowed": Code(403, "This is not allowed"),
    "no-such-page": Code(404, "There is nothing here"),
    "no-such-image": Code(404, "There is no such image"),
    "no-such-segment": Code(404, "There is no such segment"),
    "upload-gone": Code(404, "The uploaded picture is not here any more"),
    "picture-gone": Code(404, "The picture's file is gone, or has changed"),
    "files-off": Code(403, "Original files are not handed out"),
    "wrong-method": Code(405, "This cannot be done here"),
    "too-slow": Code(408, "The request took too long to arrive"),
    "no-index": Code(409, "There is no index yet"),
    "already-running": Code(409, "An index run is going on"),
    "not-running": Code(409, "No index run is going on"),
    "too-large": Code(413, "This is too large"),
    "no-picture": Code(415, "This is not a picture that can be used"),
    "busy": Code(429, "Too many requests at once"),
    "internal": Code(500, "This is a bug"),
    "unavailable": Code(503, "The index cannot be asked now"),
    "models-unavailable": Code(503, "The models cannot be used"),
    "timed-out": Code(504, "This took too long"),
}
#: What may be wrong with any body.
BODY = ("too-large", "too-slow")
_MOST_CHARACTERS = 200
_METHODS = ("GET", "POST", "DELETE")
_BY_STATUS = {404: "no-such-page", 405: "wrong-method", 400: "invalid-request"}


class Refused(HTTPException):
    """A request that is refused, with one of `CODES`.

    FastAPI lets its kind through where it takes any other error in a body for malformed JSON.
    """

    def __init__(
        self, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Say why, and what to do next."""
        super().__init__(CODES[code].status, message, headers)
        self.code = code
        self.message = message
        self.hint = hint


def response(
    code: str,
    detail: str,
    hint: str,
    request_id: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an error as a response."""
    known = CODES[code]
    problem = Problem(
        type=f"urn:segsearch:problem:{code}",
        title=known.title,
        status=known.status,
        code=code,
        detail=detail,
        hint=hint,
        request_id=request_id,
        errors=[dict(error) for error in errors],
    )
    return JSONResponse(
        problem.model_dump(), known.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def errors(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` for the errors that an endpoint documents."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, title = CODES[code].status, CODES[code].title
        known = found.setdefault(status, {"model": Problem, "description": ""})
        known["description"] = "; ".join(filter(None, (known["description"], f"`{code}`: {title}")))
    return found


def install(app: FastAPI) -> None:
    """Let an application tell its errors so."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return response(
            error.code, error.message, error.hint, id_of(request), headers=error.headers
        )

    @app.exception_handler(SegsearchError)
    async def failed(request: Request, error: SegsearchError) -> JSONResponse:
        code, detail, hint = _of_ours(error, id_of(request))
        return response(code, detail, hint, id_of(request))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        told = [
            {"at": _plain(".".join(map(str, one["loc"]))), "what": _plain(one["msg"])}
            for one in error.errors()[:20]
        ]
        detail = "; ".join(f"{one['at']}: {one['what']}" for one in told[:3])
        return response(
            "invalid-request", detail, "see /docs for what fits", id_of(request), errors=told
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _BY_STATUS.get(error.status_code, "invalid-request")
        headers = dict(error.headers or {})
        if code == "wrong-method":
            headers["allow"] = ", ".join(_methods(request))
        return response(code, _plain(error.detail), "see /docs", id_of(request), headers=headers)


def id_of(request: Request) -> str:
    """Return the id under which a request stands in the log."""
    return str(request.scope.get("request_id", ""))


def _methods(request: Request) -> list[str]:
    """Return the methods of a path; Starlette names those of the first of its endpoints."""
    found: set[str] = set()
    for route in request.app.routes:
        for method in ("GET",) if isinstance(route, Mount) else _METHODS:
            match, _ = route.matches({**request.scope, "method": method})
            if match is Match.FULL:
                found.add(method)
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _of_ours(error: SegsearchError, request_id: str) -> tuple[str, str, str]:
    """Return code, detail and hint; what names places on this machine stays in the log."""
    match error:
        case UnknownId():
            return f"no-such-{error.kind}", error.message, error.hint
        case QueryError():
            return "invalid-request", error.message, error.hint
        case IndexNotFound():
            return (
                "no-index",
                "nothing has been indexed yet",
                "index pictures first: POST /v1/index",
            )
        case OutOfDeviceMemory():
            code, detail = "models-unavailable", "the device has too little memory for this"
        case ModelError() | RecipeMismatch():
            code, detail = "models-unavailable", "the index's models cannot be loaded"
        case PictureError():
            return "picture-gone", error.message, "index the library again"
        case StoreError():
            code, detail = "unavailable", "the index does not answer"
        case _:
            code, detail = "internal", "something went wrong"
    _LOG.error("%s: %s", request_id, error, exc_info=error if code == "internal" else None)
    return code, detail, "try again; the server's log says more under this request's id"


def _plain(text: object) -> str:
    """Return text that can be JSON and is not too long, whatever a client has sent."""
    return str(text)[:_MOST_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
