"""Whether two sets of records are the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from indexer.store.base import KINDS, Kind, Payload, Point, Vector
from indexer.store.transfer_ends import Records

#: Records of each kind that are compared, if there are as many.
SAMPLE = 1000
#: Records that are compared in one go, from a random id on.
_STRETCH = 25
_PAGE = 1000
#: Cosine of a vector and its copy, at least; float16 gives 1 − 1e-7.
LEAST_COSINE = 1 - 1e-4


class Differs(Exception):
    """Two sets of records are not the same; the text says where."""


@dataclass(frozen=True)
class Checked:
    """What was found the same.

    Attributes:
        records: how many.
        least_cosine: of a vector of one and of the other; None without vectors.
    """

    records: int = 0
    least_cosine: float | None = None

    def __add__(self, other: Checked) -> Checked:
        """Return what both are about."""
        cosines = [c for c in (self.least_cosine, other.least_cosine) if c is not None]
        return Checked(self.records + other.records, min(cosines, default=None))


def same_counts(ours: Mapping[Kind, int], theirs: Mapping[Kind, int]) -> None:
    """Raise `Differs` unless there are as many of each kind."""
    for kind in KINDS:
        if ours[kind] != theirs[kind]:
            raise Differs(f"there are {theirs[kind]} {kind}, not {ours[kind]}")


def same_records(ours: Records, theirs: Records) -> Iterator[Checked]:
    """Compare all records, and tell now and then how many. Raises `Differs`."""
    for kind in KINDS:
        mine, yours = (_points(each, kind, None) for each in (ours, theirs))
        with closing(mine), closing(yours):
            pairs = itertools.zip_longest(mine, yours)
            while checked := _compared(kind, itertools.islice(pairs, _PAGE)):
                yield checked


def same_sample(ours: Records, theirs: Records) -> Iterator[Checked]:
    """Compare `SAMPLE` records of each kind, the same for each run. Raises `Differs`.

    They come in stretches that begin at random ids, so that what is missing or too much shows.
    """
    counts = ours.counts()
    for kind in KINDS:
        few = counts[kind] <= SAMPLE
        random, seen = np.random.default_rng(0), set[str]()
        while len(seen) < min(SAMPLE, counts[kind]):
            start = None if few else str(UUID(bytes=random.bytes(16)))
            mine, yours = (_points(each, kind, start) for each in (ours, theirs))
            with closing(mine), closing(yours):
                length = counts[kind] + 1 if few else _STRETCH
                pairs = list(itertools.islice(itertools.zip_longest(mine, yours), length))
            new = [pair for pair in pairs if pair[0] is None or pair[0].id not in seen]
            checked = _compared(kind, new)
            seen.update(point.id for point, _ in new if point is not None)
            if checked is not None:
                yield checked


def common_beginning(kind: Kind, ours: Records, theirs: Records) -> Iterator[str]:
    """Yield the ids of their records of a kind, which are to be the first of ours.

    Vectors are not looked at. Raises `Differs` at the first one that is not ours.
    """
    mine, yours = (_points(each, kind, None, vectors=False) for each in (ours, theirs))
    with closing(mine), closing(yours):
        for your in yours:
            _compare(kind, next(mine, None), your)
            yield your.id


def _points(
    records: Records, kind: Kind, after: str | None, *, vectors: bool = True
) -> Generator[Point, None, None]:
    limit = _PAGE if after is None else _STRETCH
    for page in records.pages(kind, after=after, limit=limit, vectors=vectors):
        yield from page


def _compared(kind: Kind, pairs: Iterable[tuple[Point | None, Point | None]]) -> Checked | None:
    """Return what these pairs are about, or None if there are none."""
    count, least = 0, None
    for ours, theirs in pairs:
        count += 1
        cosine = _compare(kind, ours, theirs)
        if cosine is not None:
            least = cosine if least is None else min(least, cosine)
    return Checked(count, least) if count else None


def _compare(kind: Kind, ours: Point | None, theirs: Point | None) -> float | None:
    """Return the cosine of their vectors, if they have any. Raises `Differs`."""
    if ours is None or theirs is None or ours.id != theirs.id:
        there = min(each.id for each in (ours, theirs) if each is not None)
        which = "missing" if ours is not None and ours.id == there else "too much"
        raise Differs(f"of the {kind}, {there} is {which}")
    if _text(ours.payload) != _text(theirs.payload):
        raise Differs(f"of the {kind}, {ours.id} has another payload")
    if (ours.vector is None) != (theirs.vector is None):
        raise Differs(f"of the {kind}, {ours.id} has a vector on one side only")
    if ours.vector is None or theirs.vector is None:
        return None
    cosine = _cosine(ours.vector, theirs.vector)
    if not cosine >= LEAST_COSINE:
        raise Differs(
            f"of the {kind}, the vector of {ours.id} has cosine {cosine:.6f} with its own"
        )
    return cosine


def _cosine(ours: Vector, theirs: Vector) -> float:
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _text(payload: Payload) -> str:
    return json.dumps(payload, sort_keys=True)
