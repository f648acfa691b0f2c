"""Hits by hand: boxes in a picture of 40 × 40 pixels, with relevance and vector as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

from indexer.records import Box, Image, Picture, Region, Segment, Vector
from indexer.segmentation import masks
from search.hits import Hit

SIDE = 40


@cache
def region(box: Box, hole: Box | None = None) -> Region:
    """A region that fills a box, but for a hole."""
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    if hole is not None:
        mask[hole[1] : hole[3], hole[0] : hole[2]] = False
    return Region(masks.encode(mask), box, int(mask.sum()), 0.9, 0.9)


def hit(
    name: str,
    box: Box | None = (0, 0, 4, 4),
    *,
    image: str = "image",
    relevance: float | None = None,
    score: float = 0.0,
    vector: Vector | None = None,
) -> Hit:
    """A hit whose segment has this name as its id; without a box, a whole picture."""
    picture = Picture("0" * 64, SIDE, SIDE, "PNG")
    indexed = datetime(2026, 1, 2, tzinfo=UTC)
    whole = Image(image, picture, (f"r/{image}.png",), 1, indexed, vector)
    segment = None if box is None else Segment(name, image, region(box), None, vector=vector)
    return Hit(score, whole, segment, (Path(f"/r/{image}.png"),), relevance=relevance)


def ids(hits: Sequence[Hit]) -> list[str]:
    """The names of the hits."""
    return [hit.image.id if hit.segment is None else hit.segment.id for hit in hits]
