"""Between our records and qdrant-client's; with `server` the only user of that package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qdrant_client import models

from indexer.store.base import (
    AnyOf,
    Condition,
    Filter,
    HasId,
    Match,
    Near,
    Point,
    Prefix,
    Range,
    Vector,
)
from indexer.store.schema import IndexType
from indexer.store.storage import Storage

#: The share of all numbers that the range of int8 covers; the rest are its ends.
_QUANTILE = 0.99
_NOTHING = models.HasIdCondition(has_id=[])

#: How each type of payload index is asked for.
INDEX_PARAMS: dict[IndexType, models.PayloadSchemaType | models.KeywordIndexParams] = {
    "keyword": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, prefix=True),
    "uuid": models.PayloadSchemaType.UUID,
    "integer": models.PayloadSchemaType.INTEGER,
    "float": models.PayloadSchemaType.FLOAT,
    "bool": models.PayloadSchemaType.BOOL,
    "datetime": models.PayloadSchemaType.DATETIME,
    "geo": models.PayloadSchemaType.GEO,
}


def point_from(record: models.Record) -> Point:
    """Return a record of the server as ours."""
    return Point(str(record.id), record.payload or {}, _vector(record.vector))


def vector_params(dim: int, storage: Storage) -> models.VectorParams:
    """Return how a new collection keeps its vectors."""
    return models.VectorParams(
        size=dim,
        distance=models.Distance.COSINE,
        memory=_full_vectors(storage),
        hnsw_config=_graph(storage),
        quantization_config=_quantized(storage),
    )


def vector_changes(storage: Storage) -> models.VectorParamsDiff:
    """Return how a collection is to keep its vectors from now on."""
    return models.VectorParamsDiff(
        memory=_full_vectors(storage),
        hnsw_config=_graph(storage),
        quantization_config=_quantized(storage) or models.Disabled.DISABLED,
    )


def search_params(storage: Storage) -> models.SearchParams:
    """Return how a search goes through the vectors.

    The nearest are always compared in full, which changes nothing where nothing is quantized: the
    scores are right, too, where somebody else has changed the storage since it was looked at.
    """
    rescored = models.QuantizationSearchParams(rescore=True, oversampling=storage.oversampling)
    return models.SearchParams(hnsw_ef=storage.hnsw_ef, quantization=rescored)


def _full_vectors(storage: Storage) -> models.Memory:
    if storage.quantization == "none" and storage.memory == "ram":
        return models.Memory.CACHED  # they cannot be pinned
    return models.Memory.COLD


def _searched(storage: Storage) -> models.Memory:
    return models.Memory.PINNED if storage.memory == "ram" else models.Memory.COLD


def _graph(storage: Storage) -> models.HnswConfigDiff:
    return models.HnswConfigDiff(
        m=storage.hnsw_m, ef_construct=storage.hnsw_ef_construct, memory=_searched(storage)
    )


def _quantized(storage: Storage) -> models.ScalarQuantization | models.TurboQuantization | None:
    match storage.quantization:
        case "int8":
            scalar = models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=_QUANTILE, memory=_searched(storage)
            )
            return models.ScalarQuantization(scalar=scalar)
        case "turbo4":
            turbo = models.TurboQuantQuantizationConfig(
                bits=models.TurboQuantBitSize.BITS4, memory=_searched(storage)
            )
            return models.TurboQuantization(turbo=turbo)
        case _:
            return None


def filter_from(where: Filter) -> models.Filter:
    """Return our filter as the server's. Raises `ValueError` for what is not a date."""
    return models.Filter(
        must=[_condition(condition) for condition in where.must],
        must_not=[_condition(condition) for condition in where.must_not],
    )


def _vector(stored: object) -> Vector | None:
    return np.asarray(stored, np.float32) if isinstance(stored, list) else None


def _condition(condition: Condition) -> models.Condition:
    match condition:
        case Match(field, values):
            return _match(field, values)
        case Prefix(field, value):
            return models.FieldCondition(key=field, match=models.MatchPrefix(prefix=value))
        case Range(field, gte, lte):
            return models.FieldCondition(key=field, range=_range(gte, lte))
        case Near(field, latitude, longitude, radius_m):
            center = models.GeoPoint(lat=latitude, lon=longitude)
            place = models.GeoRadius(center=center, radius=radius_m)
            return models.FieldCondition(key=field, geo_radius=place)
        case HasId(ids):
            return models.HasIdCondition(has_id=list(ids))
        case AnyOf(conditions):
            return models.Filter(should=[_condition(each) for each in conditions] or [_NOTHING])


def _range(gte: float | str | None, lte: float | str | None) -> models.RangeInterface:
    if isinstance(gte, str) or isinstance(lte, str):
        return models.DatetimeRange.model_validate({"gte": gte, "lte": lte})
    return models.Range(gte=gte, lte=lte)


def _match(field: str, values: Sequence[str | int | bool]) -> models.Filter:
    words = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    flags = [value for value in values if isinstance(value, bool)]
    matches: list[models.Match] = [models.MatchValue(value=flag) for flag in flags]
    if words:
        matches.append(models.MatchAny(any=words))
    if numbers:
        matches.append(models.MatchAny(any=numbers))
    ways = [models.FieldCondition(key=field, match=match) for match in matches]
    return models.Filter(should=[*ways] or [_NOTHING])
