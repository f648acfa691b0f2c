"""The page, its files, and the documentation of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)
_WEB = Path(__file__).parents[2] / "web"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
#: Files of ours change with the version; browsers ask whether they have.
_FRESH = {"cache-control": "no-cache"}


class _Fresh(StaticFiles):
    """Files that browsers ask about before they use what they have kept."""

    def file_response(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Starlette has it
        response = super().file_response(*args, **kwargs)
        response.headers.update(_FRESH)
        return response


@router.get("/")
def page() -> FileResponse:
    """Return the page."""
    return FileResponse(_WEB / "index.html", headers=_FRESH)


@router.get("/docs")
def docs() -> FileResponse:
    """Return the documentation of the API, which works offline."""
    return FileResponse(_WEB / "docs.html", headers=_FRESH)


def mount(app: FastAPI) -> None:
    """Let an application serve the page."""
    app.include_router(router)
    app.mount("/static", _Fresh(directory=_WEB))
    app.mount("/swagger", StaticFiles(directory=_SWAGGER))
