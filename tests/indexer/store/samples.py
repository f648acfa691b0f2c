"""Records for the store's tests, small enough to check by eye."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.store.base import Condition, Filter, Point, ScoredPoint, Vector

DIM = 3
RECIPE = {"vector_space": {"clip": "demo", "höhe": 224}, "segmentation": None, "list": [1, 2.5]}


def uid(number: int) -> str:
    """Return a short, recognisable id."""
    return f"00000000-0000-0000-0000-{number:012d}"


def vec(*numbers: float) -> Vector:
    return np.asarray(numbers, np.float32)


def segment(number: int, vector: Vector | None, **payload: Any) -> Point:  # noqa: ANN401
    return Point(uid(number), payload, vector)


#: Cosines with (1, 0, 0): 1, 0.8, 0.6, 0, 0.
def numbers(hits: list[ScoredPoint] | list[Point]) -> list[int]:
    """Return the short form of the ids."""
    return [int(hit.id[-4:]) for hit in hits]


def only(*conditions: Condition) -> Filter:
    """Return what holds where all of the conditions do."""
    return Filter(must=conditions)


SEGMENTS = [
    segment(
        1,
        vec(1, 0, 0),
        image_id=uid(101),
        paths=["r1/holidays/crete/a.jpg", "r2/copy of a.jpg"],
        taken_at="2024-05-01T10:00:00",
        area_fraction=0.5,
        depth=0,
    ),
    segment(
        2,
        vec(0.8, 0.6, 0),
        image_id=uid(101),
        paths=["r1/holidays/crete/a.jpg", "r2/copy of a.jpg"],
        taken_at="2024-05-01T10:00:00",
        area_fraction=0.25,
        depth=1,
    ),
    segment(
        3,
        vec(0.6, 0.8, 0),
        image_id=uid(102),
        paths=["r1/holidays/Ägypten/😀 b.png"],
        taken_at="2025-01-31T23:59:59",
        area_fraction=0.125,
        depth=0,
    ),
    segment(
        4,
        vec(0, 1, 0),
        image_id=uid(103),
        paths=["r1/work/c.jpg"],
        taken_at=None,
        area_fraction=1.0,
        depth=2,
    ),
    segment(5, vec(0, 0, 1), image_id=uid(103), paths=["r1/work/c.jpg"], depth=1),
]

FILES = [
    Point(
        uid(11),
        {"root": uid(90), "path": "a.jpg", "failed": False, "mtime_ns": 1_700_000_000_123_456_789},
    ),
    Point(uid(12), {"root": uid(90), "path": "b.jpg", "failed": True, "reason": "truncated"}),
    Point(uid(13), {"root": uid(91), "path": "a.jpg", "failed": False, "reason": None}),
]
