"""What all engines do alike before they ask their vendor, and after it answered."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, cast
from uuid import UUID

from indexer.errors import StoreDamaged, StoreError, StoreUnavailable
from indexer.store import settings
from indexer.store.base import (
    EVERYTHING,
    KINDS,
    VECTOR_KINDS,
    Filter,
    Inspected,
    Kind,
    Point,
    Ranked,
    Vector,
)
from indexer.store.schema import INDEXES

#: Scores are rounded to this many decimals: engines sum float32 in different orders, and equal
#: vectors must score equal to be ordered by id.
_DECIMALS = 6
#: How far the norm of a stored vector may be from 1, as `indexer.records` has it.
_NORM_TOLERANCE = 1e-3


T = TypeVar("T")
#: Id and cosine of a point, and what else was asked for.
Scored = tuple[str, float, T]


class Reader(Protocol):
    """What is needed of one unchanging set of records to answer for it."""

    def get(self, kind: Kind, ids: Sequence[str], *, vectors: bool = False) -> list[Point]:
        """See `Store.get`."""

    def ids(
        self, kind: Kind, *, limit: int = 1024, after: str | None = None
    ) -> tuple[list[str], str | None]:
        """See `Store.ids`."""

    def inspect(self, kind: Kind, ids: Sequence[str]) -> Inspected:
        """See `Store.inspect`."""

    def count(self, kind: Kind, where: Filter = EVERYTHING) -> int:
        """See `Store.count`."""


def check_ids(ids: Sequence[str]) -> None:
    """Raise `StoreError` unless all of them are UUIDs."""
    for each in ids:
        try:
            UUID(each)
        except ValueError as error:
            raise StoreError(f"not the id of a record: {each!r}") from error


def check_points(kind: Kind, points: Sequence[Point], dim: int) -> None:
    """Raise `StoreError` unless ids are UUIDs and vectors fit: kind, shape (dim,), length 1."""
    check_ids([point.id for point in points])
    vectors = [(point.id, point.vector) for point in points if point.vector is not None]
    for point, vector in vectors:
        if kind not in VECTOR_KINDS:
            raise StoreError(f"{kind} have no vectors, but {point} has one")
        if vector.shape != (dim,):
            raise StoreError(f"vector of {point} has shape {vector.shape}, the index ({dim},)")
    for (point, _), norm in zip(vectors, _norms([v for _, v in vectors]), strict=True):
        if not abs(norm - 1) <= _NORM_TOLERANCE:
            raise StoreError(f"vector of {point} has norm {norm:.4f}, not 1")


def check_not_everything(where: Filter) -> None:
    """Raise `StoreError` for the empty filter: no caller means to delete everything."""
    if where == EVERYTHING:
        raise StoreError("refused to delete every record", "give a condition")


def check_query(kind: Kind, vector: Vector, dim: int) -> None:
    """Raise `StoreError` unless `vector` can be compared with the vectors of this kind."""
    if kind not in VECTOR_KINDS:
        raise StoreError(f"{kind} have no vectors to search")
    import numpy as np

    if vector.shape != (dim,) or not np.isfinite(vector).all():
        raise StoreError(f"a query needs {dim} finite numbers, not shape {vector.shape}")


def check_facet(kind: Kind, key: str) -> None:
    """Raise `StoreError` unless the values of this field are indexed to be counted."""
    if INDEXES[kind].get(key) not in ("keyword", "integer"):
        raise StoreError(f"{key} of {kind} is not indexed, so its values cannot be counted")


def best(fetch: Callable[[int], list[Scored[T]]], limit: int, offset: int = 0) -> list[Scored[T]]:
    """Return the hits from `offset` to `offset + limit`, by falling score, equal scores by id.

    Args:
        fetch: returns the given number of hits with the highest scores, or all there are.
        limit: at least 0.
        offset: at least 0.

    Engines cut through hits of equal score as they please, so one hit more than needed is
    fetched, and more as long as the last one still scores like the last one needed.
    """
    if limit < 0 or offset < 0:
        raise StoreError(f"limit {limit} and offset {offset} must not be negative")
    wanted = offset + limit
    asked = wanted + 1
    while limit:
        hits = [(id_, round(score, _DECIMALS), rest) for id_, score, rest in fetch(asked)]
        hits.sort(key=lambda hit: (-hit[1], hit[0]))
        if len(hits) < asked or hits[wanted - 1][1] > hits[-1][1]:
            return hits[offset:wanted]
        asked *= 2
    return []


def ranked(hits: Sequence[Scored[T]], vector_of: Callable[[T], object], dim: int) -> Ranked:
    """Return hits as one answer; `vector_of` returns the vector of one, a list of dim floats."""
    import numpy as np

    # one by one, as to have all these floats at once takes three times as long
    pack = struct.Struct(f"{dim}f").pack
    rows = b"".join([pack(*cast("list[float]", vector_of(hit))) for _, _, hit in hits])
    vectors = np.frombuffer(rows, np.float32).reshape(-1, dim)
    return Ranked(tuple(id_ for id_, _, _ in hits), tuple(score for _, score, _ in hits), vectors)


def in_images(store: Reader, ids: Sequence[str], *, vectors: bool) -> list[tuple[Point, Point]]:
    """Do what `Store.get_in_images` does."""
    segments = store.get("segments", ids, vectors=vectors)
    wanted = dict.fromkeys(str(segment.payload["image_id"]) for segment in segments)
    found = {image.id: image for image in store.get("images", list(wanted))} if wanted else {}
    return [
        (segment, found[segment.payload["image_id"]])
        for segment in segments
        if segment.payload["image_id"] in found
    ]


def inspected(
    read: Callable[[Sequence[str]], Inspected], kind: Kind, ids: Sequence[str], dim: int
) -> Inspected:
    """Do what `Store.inspect` does: find out which records cannot be read, one by one if need be.

    Args:
        read: returns those of some records that are there; raises `StoreError` if it can't.
        kind: of the records.
        ids: of the records.
        dim: of the vectors.
    """
    check_ids(ids)
    try:
        found = read(ids)
    except StoreUnavailable:
        raise
    except StoreError as error:
        if len(ids) == 1:
            return Inspected([], {ids[0]: f"it cannot be read: {error.message}"})
        middle = len(ids) // 2
        halves = (ids[:middle], ids[middle:])
        first, second = (inspected(read, kind, half, dim) for half in halves)
        return first + second
    broken = dict(found.broken)
    for point in found.sound:
        what = _vector_fault(kind, point, dim)
        if what is not None:
            broken[point.id] = what
    there = {point.id: point for point in found.sound if point.id not in broken}
    broken |= {id_: "it is missing" for id_ in ids if id_ not in there and id_ not in broken}
    return Inspected([there[id_] for id_ in ids if id_ in there], broken, found.unsealed)


def verify(store: Reader) -> None:
    """Raise `StoreDamaged` unless all records can be read, are as written, and count right."""
    for kind in KINDS:
        before = store.count(kind, EVERYTHING)
        there, after = 0, None
        while True:
            ids, after = store.ids(kind, after=after)
            for id_, what in store.inspect(kind, ids).broken.items():
                raise StoreDamaged(f"{kind}: {id_}: {what}", settings.REPAIR)
            there += len(ids)
            if after is None:
                break
        # Others may write meanwhile, so the number found may lie between the two counts.
        counts = sorted((before, store.count(kind, EVERYTHING)))
        if not counts[0] <= there <= counts[1]:
            raise StoreDamaged(
                f"{kind}: {counts[1]} are counted, {there} can be read", settings.REPAIR
            )


def _vector_fault(kind: Kind, point: Point, dim: int) -> str | None:
    """Return what is wrong with the vector of a record that was just read."""
    if kind not in VECTOR_KINDS:
        return None
    if point.vector is None:
        return "it has no vector"
    if point.vector.shape != (dim,):
        return f"its vector has shape {point.vector.shape}, not ({dim},)"
    norm = _norms([point.vector])[0]
    return None if abs(norm - 1) <= _NORM_TOLERANCE else f"its vector has norm {norm:.4f}, not 1"


def _norms(vectors: Sequence[Vector]) -> list[float]:
    import numpy as np

    return [float(norm) for norm in np.linalg.norm(np.stack(vectors), axis=1)] if vectors else []
