"""What conditions select: the same in every engine."""

from __future__ import annotations

import pytest

from indexer.errors import StoreError
from indexer.store.base import (
    AnyOf,
    Condition,
    Filter,
    HasId,
    Match,
    Near,
    Prefix,
    Range,
    Store,
)
from tests.indexer.store.samples import numbers, only, segment, uid, vec

X = vec(1, 0, 0)

CONDITIONS: list[tuple[Condition, list[int]]] = [
    (Match("image_id", (uid(101),)), [1, 2]),
    (Match("image_id", (uid(101), uid(102))), [1, 2, 3]),
    (Match("paths", ("r2/copy of a.jpg",)), [1, 2]),
    (Match("paths", ("r1/holidays/Ägypten/😀 b.png",)), [3]),
    (Match("depth", (0,)), [1, 3]),
    (Match("depth", (1, 2)), [2, 4, 5]),
    (Match("depth", ()), []),
    (Match("depth", ("0", 2)), [4]),
    (Prefix("paths", "r1/holidays/"), [1, 2, 3]),
    (Prefix("paths", "r2/"), [1, 2]),
    (Prefix("paths", "r1/holidays/Ägypten/😀"), [3]),
    (Prefix("paths", "r1/Holidays"), []),
    (Range("area_fraction", gte=0.25), [1, 2, 4]),
    (Range("area_fraction", lte=0.25), [2, 3]),
    (Range("area_fraction", gte=0.25, lte=0.5), [1, 2]),
    (Range("depth", gte=1), [2, 4, 5]),
    (Range("taken_at", gte="2025-01-01T00:00:00"), [3]),
    (Range("taken_at", lte="2024-12-31"), [1, 2]),
    (Range("taken_at", gte="2024-05-01T10:00:00", lte="2025-01-31T23:59:59"), [1, 2, 3]),
    (HasId((uid(5), uid(1), uid(99))), [1, 5]),
    (HasId(()), []),
    (AnyOf((Match("depth", (2,)), Prefix("paths", "r2/"))), [1, 2, 4]),
    (AnyOf((AnyOf((HasId((uid(5),)),)), HasId((uid(4),)))), [4, 5]),
    (AnyOf(()), []),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
def test_conditions(store: Store, condition: Condition, expected: list[int]) -> None:
    others = [number for number in (1, 2, 3, 4, 5) if number not in expected]
    where, unless = only(condition), Filter(must_not=(condition,))
    assert numbers(store.scroll("segments", where=where).points) == expected
    assert numbers(store.scroll("segments", where=unless).points) == others
    assert numbers(store.search("segments", X, where=where)) == expected
    assert store.count("segments", where) == len(expected)


def test_flags_match(store: Store) -> None:
    assert store.count("files", only(Match("failed", (True,)))) == 1
    assert store.count("files", only(Match("failed", (False,)))) == 2
    assert store.count("files", only(Match("failed", (True, False)))) == 3


def test_all_conditions_must_hold(store: Store) -> None:
    where = Filter(
        must=(Prefix("paths", "r1/"), Range("depth", lte=1)),
        must_not=(HasId((uid(1),)), Match("depth", (0,))),
    )
    assert numbers(store.scroll("segments", where=where).points) == [2, 5]


def test_something_that_is_no_date_is_refused(store: Store) -> None:
    with pytest.raises(StoreError):
        store.count("segments", only(Range("taken_at", gte="yesterday")))


def test_places_within_a_radius(empty: Store) -> None:
    vienna, bratislava = {"lat": 48.2082, "lon": 16.3738}, {"lat": 48.1486, "lon": 17.1077}
    empty.upsert(
        "segments",
        [segment(1, X, gps=vienna), segment(2, X, gps=bratislava), segment(3, X, gps=None)],
    )
    for radius_m, expected in ((1_000, [1]), (54_000, [1]), (56_000, [1, 2])):  # 55 km apart
        where = only(Near("gps", 48.2082, 16.3738, radius_m))
        assert numbers(empty.scroll("segments", where=where).points) == expected
        assert numbers(empty.search("segments", X, where=where)) == expected
