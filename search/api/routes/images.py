"""`/v1/images`: the pictures of the index."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from indexer.errors import PictureError
from search.api import answers, questions, schemas
from search.api.library import gone
from search.api.pictures import Size
from search.api.problems import Refused, errors
from search.api.responses import picture
from search.api.state import Shared
from search.reading import read_content

router = APIRouter(prefix="/v1/images", tags=["images"])
_ERRORS = ("no-such-image", "no-index", "invalid-request", "unavailable")
_MEDIA_TYPES = {"MPO": "image/jpeg"}
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "HEIF": "heic"}


class ImageList(schemas.ImageFilters):
    """Which images, and which page of them."""

    after: UUID | None = None
    limit: Annotated[int, Query(ge=1, le=200)] = 50


@router.get("", responses=errors("invalid-request", "no-index", "unavailable"))
def list_images(asked: Annotated[ImageList, Query()], state: Shared) -> schemas.ImagePage:
    """List the images that fulfil the filters, by rising id."""
    opened = state.library.opened()
    where = questions.filters(asked, opened.places)
    after = None if asked.after is None else str(asked.after)
    found, following = opened.searcher.image_page(where, asked.limit, after)
    images = [answers.image(image, opened.places) for image in found]
    return schemas.ImagePage(images=images, next=following)


@router.get("/{image_id}", responses=errors(*_ERRORS))
def get_image(image_id: UUID, state: Shared) -> schemas.Image:
    """Return an image."""
    return answers.image(state.library.image(image_id).image, state.library.opened().places)


@router.get(
    "/{image_id}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **errors(*_ERRORS, "picture-gone")},
)
def get_thumbnail(image_id: UUID, request: Request, state: Shared, size: Size = 320) -> Response:
    """Return an image as a JPEG whose longer side has at most `size` pixels, as EXIF orients it."""
    hit = state.library.image(image_id)
    return picture(
        request, "image/jpeg", (image_id, size), lambda: state.pictures.thumbnail(hit, size)
    )


@router.get(
    "/{image_id}/file",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, **errors(*_ERRORS, "picture-gone", "files-off")},
)
def get_file(image_id: UUID, request: Request, state: Shared) -> Response:
    """Return the original file, if its bytes are still those that were indexed."""
    if not state.settings.files:
        raise Refused("files-off", "this server keeps original files to itself", "use /thumbnail")
    hit = state.library.readable(state.library.image(image_id))
    kind = hit.image.picture.format

    def read() -> bytes:
        try:
            return read_content(hit).data
        except PictureError as error:
            raise gone(error) from error

    media_type = _MEDIA_TYPES.get(kind, f"image/{kind.lower()}")
    filename = f"{image_id}.{_SUFFIXES.get(kind, kind.lower())}"
    return picture(request, media_type, (image_id, "file"), read, filename)


@router.get("/{image_id}/segments", responses=errors(*_ERRORS))
def get_segments(image_id: UUID, state: Shared) -> schemas.ImageSegments:
    """Return all segments of an image, parents before their parts."""
    hit, opened = state.library.image(image_id), state.library.opened()
    found = opened.searcher.index.segments_of(hit.image.id)
    return schemas.ImageSegments(
        image=answers.image(hit.image, opened.places),
        segments=[answers.segment(segment) for segment in found],
    )
