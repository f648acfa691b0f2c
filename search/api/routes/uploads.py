"""`/v1/uploads`: pictures to ask with, kept in memory for a while."""

from __future__ import annotations

from typing import Annotated

import PIL.Image
from fastapi import APIRouter, File, Path, Request, Response, UploadFile

from search.api import pictures, schemas
from search.api.problems import BODY, errors
from search.api.responses import picture
from search.api.state import Shared
from search.api.uploads import Uploaded

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
_SHOWN = 2048


@router.post("", status_code=201, responses=errors("invalid-request", "no-picture", *BODY))
def upload(
    file: Annotated[UploadFile, File(description="A picture: JPEG, PNG, WebP, …")], state: Shared
) -> schemas.Upload:
    """Upload a picture, to search with it or with objects in it."""
    return _plain(state.uploads.add(file.file.read()))


@router.get("/{upload_id}", responses=errors("upload-gone", "invalid-request"))
def get_upload(upload_id: Annotated[schemas.UploadId, Path()], state: Shared) -> schemas.Upload:
    """Return what is known of an uploaded picture."""
    return _plain(state.uploads.get(upload_id))


@router.get(
    "/{upload_id}/picture.jpg",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        **errors("upload-gone", "invalid-request"),
    },
)
def uploaded_picture(
    upload_id: Annotated[schemas.UploadId, Path()], request: Request, state: Shared
) -> Response:
    """Return an uploaded picture as a JPEG of at most 2048 pixels a side."""
    found = state.uploads.get(upload_id)

    def make() -> bytes:
        shown = pictures.scaled(PIL.Image.fromarray(found.pixels), _SHOWN)
        return pictures.jpeg(shown)

    return picture(request, "image/jpeg", (found.id,), make)


def _plain(given: Uploaded) -> schemas.Upload:
    height, width, _ = given.pixels.shape
    return schemas.Upload(id=given.id, width=width, height=height, expires_at=given.expires_at)
