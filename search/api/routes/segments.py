"""`/v1/segments`: the segments of the index, as data and as pictures."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, Request, Response

from indexer.records import Region
from search.api import answers, pictures, schemas
from search.api.pictures import Size
from search.api.problems import errors
from search.api.responses import ASK, picture
from search.api.state import Shared
from search.export.coco import coco_file
from search.hits import Hit
from search.pictures import cutout, draw, mask_picture

router = APIRouter(prefix="/v1/segments/{segment_id}", tags=["segments"])
_ERRORS = ("no-such-segment", "no-index", "invalid-request", "unavailable")


@router.get("", responses=errors(*_ERRORS))
def get_segment(segment_id: UUID, state: Shared) -> schemas.SegmentInImage:
    """Return a segment and the image it lies in."""
    hit, places = state.library.segment(segment_id), state.library.opened().places
    assert hit.segment is not None  # noqa: S101 - it is what was asked for
    return schemas.SegmentInImage(
        segment=answers.segment(hit.segment), image=answers.image(hit.image, places)
    )


@router.get(
    "/mask.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **errors(*_ERRORS)},
)
def get_mask(segment_id: UUID, request: Request, state: Shared) -> Response:
    """Return a segment's mask as a picture of the whole frame: 255 on it and 0 beside it."""
    region = _region(state.library.segment(segment_id))
    filename = f"{segment_id}-mask.png"
    return picture(
        request,
        "image/png",
        (segment_id, "mask", _digest(region)),
        lambda: pictures.png(mask_picture(region)),
        filename,
        keep=ASK,
    )


@router.get(
    "/cutout.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **errors(*_ERRORS, "picture-gone")},
)
def get_cutout(
    segment_id: UUID, request: Request, state: Shared, *, trim: bool = False
) -> Response:
    """Return a segment's pixels on nothing (alpha), in the whole frame or trimmed to its box."""
    hit = state.library.segment(segment_id)

    def make() -> bytes:
        return pictures.png(cutout(state.pictures.pixels(hit), _region(hit), trim=trim))

    names = (segment_id, "trimmed" if trim else "cutout", _digest(_region(hit)))
    return picture(request, "image/png", names, make, f"{segment_id}-cutout.png", keep=ASK)


@router.get(
    "/overlay.jpg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **errors(*_ERRORS, "picture-gone")},
)
def get_overlay(segment_id: UUID, request: Request, state: Shared, size: Size = 1280) -> Response:
    """Return the picture with the segment tinted and outlined."""
    hit = state.library.segment(segment_id)

    def make() -> bytes:
        drawn = draw(state.pictures.pixels(hit), [_region(hit)])
        return pictures.jpeg(pictures.scaled(drawn, size))

    names = (segment_id, "overlay", size, _digest(_region(hit)))
    return picture(request, "image/jpeg", names, make, keep=ASK)


@router.get(
    "/coco.json",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}}, **errors(*_ERRORS)},
)
def get_coco(segment_id: UUID, state: Shared) -> Response:
    """Return a segment as a COCO data set of one annotation, with its mask as compressed RLE."""
    hit = state.library.segment(segment_id)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "coco.json"
        with coco_file(file, f"segment {segment_id}", ranked=False) as add:
            add(hit)
        data = file.read_bytes()
    disposition = f'attachment; filename="{segment_id}-coco.json"'
    return Response(
        data, media_type="application/json", headers={"content-disposition": disposition}
    )


def _region(hit: Hit) -> Region:
    assert hit.segment is not None  # noqa: S101 - `Library.segment` returns segments
    return hit.segment.region


def _digest(region: Region) -> str:
    return f"{zlib.crc32(region.rle.counts.encode('ascii')):08x}"
