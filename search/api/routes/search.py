"""`/v1/search`: find segments, pictures and scenes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from search.api import answers, questions, schemas
from search.api.problems import BODY, errors
from search.api.state import Shared
from search.scenes import find_scene

router = APIRouter(prefix="/v1/search", tags=["search"])
_ERRORS = (
    "invalid-request",
    "no-index",
    "no-such-image",
    "no-such-segment",
    "upload-gone",
    "picture-gone",
    "models-unavailable",
    "unavailable",
    *BODY,
)
#: Stands for an upload that is not there yet.
_SOME_ID = "A" * 22


@router.post("", responses=errors(*_ERRORS))
def search(request: schemas.SearchRequest, state: Shared) -> schemas.SearchResponse:
    """Find what is like a text or examples, or pictures that show a scene."""
    return _answer(request, state, time.perf_counter())


@router.post(
    "/upload",
    responses=errors(*_ERRORS, "no-picture"),
)
def search_upload(
    file: Annotated[UploadFile, File(description="A picture: JPEG, PNG, WebP, …")],
    state: Shared,
    query: Annotated[
        str,
        Form(
            description="JSON, see `UploadSearch`: box, points, filters, …",
            max_length=100_000,
            examples=['{"box": [10, 10, 200, 180], "limit": 20}'],
        ),
    ] = "{}",
) -> schemas.SearchResponse:
    """Find what is like an uploaded picture, or like the object in it at a box or points.

    The picture is kept for a while: `upload_id` names it in further requests.
    """
    started = time.perf_counter()
    with _about_query():
        asked = schemas.UploadSearch.model_validate_json(query)
        asked.with_upload(_SOME_ID)  # decode nothing for what is refused anyway
    uploaded = state.uploads.add(file.file.read())
    return _answer(asked.with_upload(uploaded.id), state, started, uploaded.id)


@contextlib.contextmanager
def _about_query() -> Iterator[None]:
    """Say of what is wrong that it is in the form's `query`."""
    try:
        yield
    except ValidationError as error:
        told = [{**one, "loc": ("query", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(told) from error


def _answer(
    request: schemas.SearchRequest, state: Shared, started: float, upload_id: str | None = None
) -> schemas.SearchResponse:
    turn = state.pictures.searching if request.pictures else contextlib.nullcontext()
    with turn:
        return _found(request, state, started, upload_id)


def _found(
    request: schemas.SearchRequest, state: Shared, started: float, upload_id: str | None
) -> schemas.SearchResponse:
    opened = state.library.opened()
    look = questions.look(request, opened)
    if request.scene is not None:
        scenes = find_scene(opened.searcher, state.reader.scene(request.scene), look)
        return answers.of_scenes(scenes, look, opened.places, started)
    found = opened.searcher.answer(state.reader.query(request), look)
    return answers.of_hits(found, look, opened.places, started, upload_id)
