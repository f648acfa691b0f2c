"""From hits and records to what the API gives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

from indexer import records
from indexer.store.points import time_text
from search.api import schemas
from search.api.places import Places
from search.asking import Look
from search.hits import Answer, Hit
from search.scenes import SceneAnswer, SceneHit

T = TypeVar("T")


def of_hits(
    answer: Answer, look: Look, places: Places, started: float, upload_id: str | None = None
) -> schemas.SearchResponse:
    """Return a page of hits.

    Args:
        answer: to a look at one hit more than the page has.
        look: that look.
        places: the names of the roots.
        started: when the request was taken up, seconds of `time.perf_counter`.
        upload_id: of the picture that came with the request.
    """
    hits, following = _page(answer.hits, look)
    return schemas.SearchResponse(
        kind="segments" if look.by == "segment" else "images",
        hits=[hit(each, places) for each in hits],
        next_offset=following,
        least=answer.least,
        nearest=None if answer.nearest is None else hit(answer.nearest, places),
        upload_id=upload_id,
        took_ms=_ms_since(started),
    )


def of_scenes(
    answer: SceneAnswer, look: Look, places: Places, started: float
) -> schemas.SearchResponse:
    """Return a page of scenes; see `of_hits`."""
    scenes, following = _page(answer.hits, look)
    return schemas.SearchResponse(
        kind="scenes",
        scenes=[_scene(each, places) for each in scenes],
        next_offset=following,
        absent=list(answer.absent),
        took_ms=_ms_since(started),
    )


def of_regions(
    regions: Sequence[records.Region], size: tuple[int, int], started: float
) -> schemas.SegmentResponse:
    """Return what was cut out of a picture of so many rows and columns."""
    return schemas.SegmentResponse(
        width=size[1],
        height=size[0],
        regions=[region(each) for each in regions],
        took_ms=_ms_since(started),
    )


def hit(given: Hit, places: Places) -> schemas.Hit:
    """Return a hit."""
    return schemas.Hit.model_construct(
        image=image(given.image, places),
        segment=None if given.segment is None else segment(given.segment),
        score=given.score,
        standard_score=given.standard_score,
        contrast=given.contrast,
        relevance=given.relevance,
    )


def image(given: records.Image, places: Places) -> schemas.Image:
    """Return an image."""
    picture, paths = given.picture, [places.shown(path) for path in given.paths]
    return schemas.Image.model_construct(
        id=given.id,
        path=paths[0],
        paths=paths,
        width=picture.width,
        height=picture.height,
        format=picture.format,
        taken_at=time_text(picture.taken_at),
        camera=picture.camera,
        gps=picture.gps,
        n_segments=given.n_segments,
    )


def segment(given: records.Segment) -> schemas.Segment:
    """Return a segment."""
    return schemas.Segment.model_construct(
        id=given.id,
        image_id=given.image_id,
        parent_id=given.parent_id,
        depth=given.region.depth,
        label=given.region.label,
        label_score=given.region.label_score,
        label_source=given.region.label_source,
        **dict(region(given.region)),
    )


def region(given: records.Region) -> schemas.Region:
    """Return a region."""
    return schemas.Region.model_construct(
        box=given.box,
        area_px=given.area_px,
        area_fraction=given.area_fraction,
        predicted_iou=given.predicted_iou,
        stability_score=given.stability_score,
        point=given.point,
        rle=schemas.Rle.model_construct(size=given.rle.size, counts=given.rle.counts),
    )


def _scene(given: SceneHit, places: Places) -> schemas.SceneHit:
    return schemas.SceneHit.model_construct(
        image=image(given.hits[0].image, places),
        relevance=given.relevance,
        things={name: [hit(each, places) for each in hits] for name, hits in given.things.items()},
    )


def _page(found: Sequence[T], look: Look) -> tuple[Sequence[T], int | None]:
    """Return the hits of the page, and where the next one begins if there is one."""
    limit = look.limit - 1
    following = look.offset + limit
    more = len(found) > limit and following <= schemas.MOST_OFFSET
    return found[:limit], following if more else None


def _ms_since(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 2)
