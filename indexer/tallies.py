"""Whether the search structures of a store agree with its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from indexer.errors import StoreError
from indexer.index import Index
from indexer.store.base import KINDS, VECTOR_KINDS, Filter, Kind, Match, Near, Point, Range
from indexer.store.schema import INDEXES

if TYPE_CHECKING:
    from indexer.store.base import Vector

#: Records of a kind that are searched for by their own vectors. Ids are digests, so that the first
#: ones are a sample without any bias.
_SAMPLE = 100
#: A graph does not find everything: of a million segments, fewer than one in a hundred is missed.
_MOST_MISSED = 0.05
_NEAREST = 10
#: Another record with the same vector is as good.
_SAME = 1 - 1e-4
#: No two places on Earth are further apart, metres.
_EVERYWHERE_M = 20_100_000.0

_Field = tuple[Kind, str]


@dataclass
class _Threshold:
    """A value of a field, and how many records have that or a higher one."""

    value: float | str
    count: int = 0


class Tallies:
    """Counts the values of records, to compare them with what the store's indexes say."""

    def __init__(self) -> None:
        """Begin with no record."""
        self._values: dict[_Field, Counter[str]] = {
            (kind, key): Counter()
            for kind in KINDS
            for key, type_ in INDEXES[kind].items()
            if type_ in ("keyword", "integer")
        }
        self._present: Counter[_Field] = Counter()
        self._thresholds: dict[_Field, _Threshold] = {}
        self._samples: dict[Kind, dict[str, Vector]] = {kind: {} for kind in VECTOR_KINDS}

    def add(self, kind: Kind, point: Point) -> None:
        """Count a record, read with its vector."""
        sample = self._samples.get(kind)
        if sample is not None and point.vector is not None and len(sample) < _SAMPLE:
            sample[point.id] = point.vector
        for key, type_ in INDEXES[kind].items():
            value = point.payload.get(key)
            if value is None or value == []:
                continue
            field = (kind, key)
            match type_:
                case "keyword" | "integer":
                    several = value if isinstance(value, list) else [value]
                    self._values[field].update(set(map(str, several)))
                case "bool":
                    self._present[field] += bool(value)
                case "geo":
                    self._present[field] += 1
                case _:
                    threshold = self._thresholds.setdefault(field, _Threshold(value))
                    threshold.count += _comparable(value) >= _comparable(threshold.value)

    def faults(self, index: Index) -> list[str]:
        """Return what the store's indexes say otherwise, and what searches do not find."""
        found = []
        for name, probe in self._probes(index):
            try:
                fault = probe()
            except StoreError as error:
                fault = error.message
            if fault is not None:
                found.append(f"{name}: {fault}")
        return found

    def _probes(self, index: Index) -> Iterator[tuple[str, Callable[[], str | None]]]:
        for kind in KINDS:
            for key in INDEXES[kind]:
                counted = (kind, key) in self._values
                probe = self._count_fault if counted else self._range_fault
                yield f"{kind} by {key}", partial(probe, index, kind, key)
        for kind in VECTOR_KINDS:
            yield f"{kind} by their vectors", partial(self._search_fault, index, kind)

    def _count_fault(self, index: Index, kind: Kind, key: str) -> str | None:
        told, counted = index.facet(kind, key), self._values[kind, key]
        wrong = {value for value in told.keys() | counted if told.get(value, 0) != counted[value]}
        return f"{len(wrong)} of {len(counted)} values are counted wrong" if wrong else None

    def _range_fault(self, index: Index, kind: Kind, key: str) -> str | None:
        field = (kind, key)
        threshold = self._thresholds.get(field)
        condition: Match | Near | Range
        match INDEXES[kind][key]:
            case "bool":
                condition, counted = Match(key, (True,)), self._present[field]
            case "geo":
                condition, counted = Near(key, 0, 0, _EVERYWHERE_M), self._present[field]
            case _ if threshold is not None:
                condition, counted = Range(key, gte=threshold.value), threshold.count
            case _:
                return None
        told = index.count(kind, Filter((condition,)))
        return None if told == counted else f"{told} are found where there are {counted}"

    def _search_fault(self, index: Index, kind: Kind) -> str | None:
        sample = self._samples[kind]
        missed = 0
        for id_, vector in sample.items():
            near = index.nearest(kind, vector, limit=_NEAREST)
            missed += id_ not in near.ids and not (near.scores and near.scores[0] >= _SAME)
        if missed <= _MOST_MISSED * len(sample):
            return None
        return f"{missed} of {len(sample)} are not found by their own"


def _comparable(value: float | str) -> float:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value
