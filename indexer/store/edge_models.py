"""Between our records and Qdrant Edge's; with the other `edge_*` the only user of that package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import qdrant_edge as qe

from indexer.store import checksums
from indexer.store.base import (
    VECTOR_KINDS,
    AnyOf,
    Condition,
    Filter,
    HasId,
    Inspected,
    Kind,
    Match,
    Near,
    Point,
    Prefix,
    Range,
    Vector,
)
from indexer.store.schema import INDEXES, IndexType
from indexer.store.storage import Storage

#: Vectors that a part of a shard has before it gets a graph, KB; below, to compare all is quick.
INDEXED_FROM_KB = 10_000
#: Share of a quantised vector's numbers that are kept in range; the rest are cut.
_QUANTILE = 0.99
#: Below this size, KB, what a filter leaves is compared one by one.
_FULL_SCAN_KB = 10_000

#: Candidates of a search with a filter, at most, and the share that a filter leaves for ACORN.
_FILTERED_EF, _FEW_LEFT = 128, 0.25

_NOTHING = qe.HasIdCondition(set())

_IndexParams = (
    qe.KeywordIndexParams
    | qe.UuidIndexParams
    | qe.IntegerIndexParams
    | qe.FloatIndexParams
    | qe.BoolIndexParams
    | qe.DatetimeIndexParams
    | qe.GeoIndexParams
)

# Mapped from the disk: to read them into memory takes a quarter of a minute for a million segments.
_COLD = qe.Memory.Cold
_INDEX_PARAMS: dict[IndexType, _IndexParams] = {
    "keyword": qe.KeywordIndexParams(prefix=True, memory=_COLD),
    "uuid": qe.UuidIndexParams(memory=_COLD),
    "integer": qe.IntegerIndexParams(memory=_COLD),
    "float": qe.FloatIndexParams(memory=_COLD),
    "bool": qe.BoolIndexParams(memory=_COLD),
    "datetime": qe.DatetimeIndexParams(memory=_COLD),
    "geo": qe.GeoIndexParams(memory=_COLD),
}


def config_of(kind: Kind, dim: int, storage: Storage) -> qe.EdgeConfig:
    """Return how Edge keeps the records of a kind."""
    # not pinned: Edge would read it from the disk anew each time that an index is opened
    first = qe.Memory.Cached if storage.memory == "ram" else qe.Memory.Cold
    full = qe.Memory.Cached if storage.quantization == "none" else qe.Memory.Cold
    # A shard must have some vector, even where no point will ever have one.
    vectors = qe.EdgeVectorParams(
        size=dim if kind in VECTOR_KINDS else 1,
        distance=qe.Distance.Cosine,
        memory=full if storage.memory == "ram" else qe.Memory.Cold,
    )
    graph = qe.HnswIndexConfig(
        m=storage.hnsw_m,
        ef_construct=storage.hnsw_ef_construct,
        full_scan_threshold=_FULL_SCAN_KB,
        # links for each payload index would take longer to build than all the others
        payload_m=0,
        memory=first,
    )
    return qe.EdgeConfig(
        vectors=vectors,
        hnsw_config=graph,
        quantization_config=_quantization(storage, first) if kind in VECTOR_KINDS else None,
        optimizers=qe.EdgeOptimizersConfig(indexing_threshold=INDEXED_FROM_KB),
        wal_enabled=True,
    )


def create_shard(path: str, kind: Kind, dim: int, storage: Storage) -> qe.EdgeShard:
    """Make an empty shard with its payload indexes."""
    shard = qe.EdgeShard.create(path, config_of(kind, dim, storage))
    for name, index in INDEXES[kind].items():
        shard.update(qe.UpdateOperation.create_field_index(name, _INDEX_PARAMS[index]))
    shard.flush()
    return shard


def search_params(storage: Storage, *, filtered: bool) -> qe.SearchParams:
    """Return how a search goes about it.

    Where a filter leaves few, their links do not hang together, and Qdrant's ACORN looks at the
    links of those that are left out as well: it finds more with fewer candidates, each of which
    takes longer.
    """
    rescoring = qe.QuantizationSearchParams(rescore=True, oversampling=storage.oversampling)
    return qe.SearchParams(
        hnsw_ef=min(storage.hnsw_ef, _FILTERED_EF) if filtered else storage.hnsw_ef,
        quantization=rescoring,
        acorn=qe.AcornSearchParams(enable=filtered, max_selectivity=_FEW_LEFT),
    )


def _quantization(
    storage: Storage, memory: qe.Memory
) -> qe.ScalarQuantizationConfig | qe.TurboQuantQuantizationConfig | None:
    match storage.quantization:
        case "int8":
            return qe.ScalarQuantizationConfig(
                qe.ScalarType.Int8, quantile=_QUANTILE, memory=memory
            )
        case "turbo4":
            return qe.TurboQuantQuantizationConfig(bits=qe.TurboQuantBitSize.Bits4, memory=memory)
        case _:
            return None


def point_from(record: qe.Record) -> Point:
    """Return a record of Edge as ours."""
    return Point(str(record.id), checksums.unsealed(record.payload or {}), _vector(record.vector))


def inspected_from(records: Sequence[qe.Record]) -> Inspected:
    """Return records of Edge, read with their vectors, as ours, if they are true to their seals."""
    sound, broken, bare = [], {}, 0
    for record in records:
        seal = checksums.is_sound(record.payload or {}, _vector(record.vector))
        if seal is False:
            broken[str(record.id)] = "it is not what was written"
            continue
        bare += seal is None
        sound.append(point_from(record))
    return Inspected(sound, broken, bare)


def _vector(stored: object) -> Vector | None:
    if not isinstance(stored, list):  # of a point without one: an empty mapping
        return None
    import numpy as np  # here, as what asks for no vectors starts sooner without it

    return np.asarray(stored, np.float32)


def filter_from(where: Filter) -> qe.Filter:
    """Return our filter as Edge's."""
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
