"""The records of an embedded index: four Qdrant Edge shards; the only user of that package."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, cast

import qdrant_edge as qe

from indexer.errors import SegsearchError, StoreDamaged, StoreError, StoreFull, StoreUnavailable
from indexer.store import answers, settings
from indexer.store.base import (
    EVERYTHING,
    KINDS,
    VECTOR_KINDS,
    AnyOf,
    Condition,
    Filter,
    HasId,
    Kind,
    Match,
    Near,
    Page,
    Payload,
    Point,
    Prefix,
    Range,
    Ranked,
    ScoredPoint,
    Vector,
)
from indexer.store.schema import INDEXES, IndexType
from indexer.store.settings import Settings

_NOTHING = qe.HasIdCondition(set())

_INDEX_PARAMS: dict[IndexType, qe.PayloadSchemaType | qe.KeywordIndexParams] = {
    "keyword": qe.KeywordIndexParams(prefix=True),
    "uuid": qe.PayloadSchemaType.Uuid,
    "integer": qe.PayloadSchemaType.Integer,
    "float": qe.PayloadSchemaType.Float,
    "bool": qe.PayloadSchemaType.Bool,
    "datetime": qe.PayloadSchemaType.Datetime,
    "geo": qe.PayloadSchemaType.Geo,
}


class EdgeShards:
    """The reading and writing part of a `Store`, on shards in one folder inside the index folder.

    A shard is opened when it is first used: that takes as long as everything else that a run with
    nothing new asks for, and such a run needs two of the four.

    Attributes:
        settings: the recipe and dimension that the records were made with.
    """

    def __init__(self, data: Path, settings: Settings) -> None:
        """Use the folder `data`; `create` and `load` give objects that can be used."""
        self.settings = settings
        self._data = data
        self._dim = settings.dim
        self._shards: dict[Kind, qe.EdgeShard] = {}
        self._loading = threading.Lock()

    @classmethod
    def create(cls, data: Path, settings: Settings) -> Self:
        """Make empty shards in the new folder `data`."""
        made = cls(data, settings)
        try:
            with translated(data.parent):
                for kind in KINDS:
                    made._shards[kind] = _create_shard(data / kind, kind, settings.dim)
        except BaseException:
            made.close()
            raise
        return made

    @classmethod
    def load(cls, data: Path, settings: Settings) -> Self:
        """Open the shards in `data`: the roots', which nobody else may have open, the rest later.

        Raises:
            StoreUnavailable: another process has them open.
            StoreDamaged: their files cannot be read. Of a shard that is opened later, its first
                use raises that.
        """
        loaded = cls(data, settings)
        loaded._loaded("roots")
        return loaded

    def open(self) -> None:
        """Open the shards that no call has used yet. Raises `StoreDamaged`."""
        for kind in KINDS:
            self._loaded(kind)

    def upsert(self, kind: Kind, points: Sequence[Point]) -> None:
        """See `Store.upsert`."""
        answers.check_points(kind, points, self._dim)
        if not points:
            return
        with self._shard(kind) as shard:
            stored = [
                qe.Point(p.id, {} if p.vector is None else p.vector.tolist(), p.payload)
                for p in points
            ]
            shard.update(qe.UpdateOperation.upsert_points(stored))

    def delete(self, kind: Kind, where: Filter) -> None:
        """See `Store.delete`."""
        answers.check_not_everything(where)
        with self._shard(kind) as shard:
            shard.update(qe.UpdateOperation.delete_points_by_filter(_filter(where)))

    def set_payload(self, kind: Kind, payload: Payload, where: Filter) -> None:
        """See `Store.set_payload`."""
        with self._shard(kind) as shard:
            shard.update(qe.UpdateOperation.set_payload_by_filter(_filter(where), payload))

    def update_payloads(self, kind: Kind, payloads: Mapping[str, Payload]) -> None:
        """See `Store.update_payloads`."""
        answers.check_ids(list(payloads))
        with self._shard(kind) as shard:
            for each, payload in payloads.items():
                only = _filter(Filter((HasId((each,)),)))  # by its id, an absent one is an error
                shard.update(qe.UpdateOperation.set_payload_by_filter(only, payload))

    def get(self, kind: Kind, ids: Sequence[str], *, vectors: bool = False) -> list[Point]:
        """See `Store.get`."""
        answers.check_ids(ids)
        with self._shard(kind) as shard:
            found = {str(r.id): r for r in shard.retrieve(list(ids), True, vectors)}
        return [_point(found[wanted]) for wanted in ids if wanted in found]

    def get_in_images(
        self, ids: Sequence[str], *, vectors: bool = False
    ) -> list[tuple[Point, Point]]:
        """See `Store.get_in_images`."""
        return answers.in_images(self, ids, vectors=vectors)

    def search(
        self,
        kind: Kind,
        vector: Vector,
        *,
        where: Filter = EVERYTHING,
        limit: int = 20,
        offset: int = 0,
    ) -> list[ScoredPoint]:
        """See `Store.search`."""
        found = self._query(kind, vector, where, limit, offset, payloads=True)
        return [ScoredPoint(id_, score, hit.payload or {}) for id_, score, hit in found]

    def nearest(
        self, kind: Kind, vector: Vector, *, where: Filter = EVERYTHING, limit: int = 20
    ) -> Ranked:
        """See `Store.nearest`."""
        found = self._query(kind, vector, where, limit, payloads=False)
        return answers.ranked(found, lambda hit: hit.vector, self._dim)

    def scroll(
        self,
        kind: Kind,
        *,
        where: Filter = EVERYTHING,
        limit: int = 256,
        after: str | None = None,
        vectors: bool = False,
    ) -> Page:
        """See `Store.scroll`."""
        with self._shard(kind) as shard:
            records, following = shard.scroll(
                qe.ScrollRequest(
                    offset=after,
                    limit=limit,
                    filter=_filter(where),
                    with_payload=True,
                    with_vector=vectors,
                )
            )
        return Page([_point(r) for r in records], None if following is None else str(following))

    def count(self, kind: Kind, where: Filter = EVERYTHING) -> int:
        """See `Store.count`."""
        with self._shard(kind) as shard:
            return shard.count(qe.CountRequest(exact=True, filter=_filter(where)))

    def facet(
        self, kind: Kind, key: str, *, where: Filter = EVERYTHING, limit: int = 100
    ) -> dict[str, int]:
        """See `Store.facet`."""
        answers.check_facet(kind, key)
        with self._shard(kind) as shard:
            # Exact all the same, as no point is in two segments of a shard between two calls; asked
            # for exact counts, Edge looks through all points that the filter lets through for each
            # value by itself.
            request = qe.FacetRequest(key, limit=limit, exact=False, filter=_filter(where))
            hits = shard.facet(request).hits
        return {str(hit.value): hit.count for hit in hits}

    def optimise(self) -> None:
        """See `Store.optimise`; no thread of the process runs meanwhile."""
        for kind in KINDS:
            with self._shard(kind) as shard:
                shard.optimize()

    def flush(self) -> None:
        """See `Store.flush`."""
        for kind in tuple(self._shards):  # what was never opened has nothing to write out
            with self._shard(kind) as shard:
                shard.flush()

    def close(self) -> None:
        """Write everything out and let go of the files; no call may be in progress."""
        with translated(self._data.parent):
            while self._shards:
                _, shard = self._shards.popitem()
                shard.flush()
                shard.close()

    def _query(
        self,
        kind: Kind,
        vector: Vector,
        where: Filter,
        limit: int,
        offset: int = 0,
        *,
        payloads: bool,
    ) -> list[answers.Scored[qe.ScoredPoint]]:
        """Rank points, with either their payloads or their vectors."""
        answers.check_query(kind, vector, self._dim)

        def fetch(number: int) -> list[answers.Scored[qe.ScoredPoint]]:
            request = qe.QueryRequest(
                limit=number,
                query=qe.Query.Nearest(vector.tolist()),
                filter=_filter(where),
                with_payload=payloads,
                with_vector=not payloads,
            )
            return [(str(hit.id), hit.score, hit) for hit in shard.query(request)]

        with self._shard(kind) as shard:
            return answers.best(fetch, limit, offset)

    @contextmanager
    def _shard(self, kind: Kind) -> Iterator[qe.EdgeShard]:
        with translated(self._data.parent):
            yield self._loaded(kind)

    def _loaded(self, kind: Kind) -> qe.EdgeShard:
        with self._loading, translated(self._data.parent, otherwise=StoreDamaged):
            if kind not in self._shards:
                self._shards[kind] = qe.EdgeShard.load(str(self._data / kind))
            return self._shards[kind]


def _create_shard(path: Path, kind: Kind, dim: int) -> qe.EdgeShard:
    # A shard must have some vector, even where no point will ever have one.
    vectors = qe.EdgeVectorParams(
        size=dim if kind in VECTOR_KINDS else 1, distance=qe.Distance.Cosine
    )
    config = qe.EdgeConfig(vectors=vectors, wal_enabled=True)
    shard = qe.EdgeShard.create(str(path), config)
    for name, index in INDEXES[kind].items():
        shard.update(qe.UpdateOperation.create_field_index(name, _INDEX_PARAMS[index]))
    shard.flush()
    return shard


def _point(record: qe.Record) -> Point:
    return Point(str(record.id), record.payload or {}, _vector(record.vector))


def _vector(stored: object) -> Vector | None:
    if not isinstance(stored, list):  # of a point without one: an empty mapping
        return None
    import numpy as np  # here, as what asks for no vectors starts sooner without it

    return np.asarray(stored, np.float32)


def _filter(where: Filter) -> qe.Filter:
    return qe.Filter(
        must=[_condition(condition) for condition in where.must],
        must_not=[_condition(condition) for condition in where.must_not],
    )


def _condition(condition: Condition) -> qe.ConditionType:
    match condition:
        case Match(field, values):
            return _match(field, values)
        case Prefix(field, value):
            return qe.FieldCondition(field, match=qe.MatchPrefix(value))
        case Range(field, gte, lte):
            return qe.FieldCondition(field, range=_range(gte, lte))
        case Near(field, latitude, longitude, radius_m):
            place = qe.GeoRadius(qe.GeoPoint(longitude, latitude), radius_m)
            return qe.FieldCondition(field, geo_radius=place)
        case HasId(ids):
            return qe.HasIdCondition(set(ids))
        case AnyOf(conditions):
            return qe.Filter(should=[_condition(each) for each in conditions] or [_NOTHING])


def _range(gte: float | str | None, lte: float | str | None) -> qe.RangeType:
    if isinstance(gte, str) or isinstance(lte, str):
        return qe.RangeDateTime(gte=cast("str | None", gte), lte=cast("str | None", lte))
    return qe.RangeFloat(gte=gte, lte=lte)


def _match(field: str, values: Sequence[str | int | bool]) -> qe.Filter:
    words = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    matches = [_match_flag(value) for value in values if isinstance(value, bool)]
    if words:
        matches.append(qe.MatchAny(words))
    if numbers:
        matches.append(qe.MatchAny(numbers))
    return qe.Filter(should=[qe.FieldCondition(field, match=m) for m in matches] or [_NOTHING])


def _match_flag(value: bool) -> qe.MatchType:
    import numpy as np

    # Edge takes Python's bool for a number, numpy's for what it is.
    return qe.MatchValue(cast("bool", np.bool_(value)))


@contextmanager
def translated(folder: Path, *, otherwise: type[StoreError] = StoreError) -> Iterator[None]:
    """Turn what goes wrong inside into errors of ours, `otherwise` where nothing is more apt."""
    try:
        yield
    except SegsearchError:
        raise
    except Exception as error:
        raise _error(folder, str(error), otherwise) from error
    except BaseException as error:
        # What Edge raises when it panics; the class is not exported, so it is known by its name.
        if type(error).__name__ != "PanicException":
            raise
        raise StoreDamaged(
            f"the index {folder} cannot be read: {error}", settings.START_AFRESH
        ) from error


def _error(folder: Path, message: str, otherwise: type[StoreError]) -> StoreError:
    what = f"the index {folder}: {message}"
    if "WouldBlock" in message:
        return StoreUnavailable(
            f"another process has the index {folder} open", "end that process, or wait for it"
        )
    if "No space left" in message:
        return StoreFull(f"the disk is full under {what}", "free some space and go on")
    if "ermission denied" in message:
        return StoreError(what, "make the folder readable and writable")
    return otherwise(what, settings.START_AFRESH if otherwise is StoreDamaged else "")
