"""`/v1/segment`: SAM 2 cuts out what a prompt points at, live."""

from __future__ import annotations

import time

from fastapi import APIRouter

from search.api import answers, questions, schemas
from search.api.problems import BODY, errors
from search.api.state import Shared

router = APIRouter(prefix="/v1/segment", tags=["segment"])


@router.post(
    "",
    responses=errors(
        "invalid-request",
        "no-index",
        "no-such-image",
        "picture-gone",
        "upload-gone",
        "models-unavailable",
        "unavailable",
        *BODY,
    ),
)
def segment(request: schemas.SegmentRequest, state: Shared) -> schemas.SegmentResponse:
    """Cut an object out of an indexed or uploaded picture.

    The first request for a picture computes its embedding, the others only decode a mask.
    """
    started = time.perf_counter()
    name, pixels = state.reader.picture(request.image_id, request.upload_id)
    prompt = questions.prompt(request)
    found = state.pictures.prompted(name, pixels, prompt, candidates=request.candidates)
    size = (found[0].mask.shape[0], found[0].mask.shape[1])
    regions = [region for each in found if (region := each.region(prompt)) is not None]
    return answers.of_regions(regions, size, started)
