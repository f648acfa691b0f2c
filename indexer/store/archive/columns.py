"""Records as rows of Parquet, and back.

Of every row `payload` is the authority: the stored record as JSON, whatever it holds, so that it
comes back exactly, fields of other versions of segsearch included. The other columns are made from
it, so that other programs can ask for them; what is absent, or of another type, is null there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from indexer.store.archive.manifest import Dtype, Head
from indexer.store.base import VECTOR_KINDS, Kind, Payload, Point

_Read = Callable[[Payload], object]
#: Name → type and how it is read from the payload.
_Columns = dict[str, tuple[pa.DataType, _Read]]

_BITS = {pa.int32(): 31, pa.int64(): 63}


def schema(kind: Kind, head: Head) -> pa.Schema:
    """Return the columns of a kind."""
    fields = [pa.field("id", pa.string(), nullable=False)]
    fields += [pa.field(name, type_) for name, (type_, _) in _COLUMNS[kind].items()]
    fields.append(pa.field("payload", pa.string(), nullable=False))
    if kind in VECTOR_KINDS:
        fields.append(pa.field("vector", pa.list_(_number_type(head.dtype), head.dim)))
    return pa.schema(fields)


def table(kind: Kind, points: Sequence[Point], head: Head) -> pa.Table:
    """Return the points as rows, in their order."""
    columns = [pa.array([point.id for point in points], pa.string())]
    for type_, read in _COLUMNS[kind].values():
        columns.append(pa.array([read(point.payload) for point in points], type_))
    columns.append(pa.array([text(point.payload) for point in points], pa.string()))
    if kind in VECTOR_KINDS:
        columns.append(_vector_column(points, head))
    return pa.Table.from_arrays(columns, schema=schema(kind, head))


def needed(kind: Kind, *, vectors: bool) -> list[str]:
    """Return the columns that points are made from."""
    return ["id", "payload", *(["vector"] if vectors and kind in VECTOR_KINDS else [])]


def points_from(rows: pa.RecordBatch) -> list[Point]:
    """Return the points that `table` made the rows from. Raises `ValueError`."""
    ids, payloads = rows.column("id").to_pylist(), rows.column("payload").to_pylist()
    vectors: list[Any] = [None] * len(ids)
    if "vector" in rows.schema.names:
        vectors = _vectors(rows.column("vector"))
    return [
        Point(id_, json.loads(payload), vector)
        for id_, payload, vector in zip(ids, payloads, vectors, strict=True)
    ]


def text(payload: Payload) -> str:
    """Return a payload as JSON, the same for equal ones."""
    return json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _number_type(dtype: Dtype) -> pa.DataType:
    return pa.float16() if dtype == "float16" else pa.float32()


def _vector_column(points: Sequence[Point], head: Head) -> pa.Array:
    rows = np.zeros((len(points), head.dim), np.dtype(head.dtype))
    for row, point in zip(rows, points, strict=True):
        if point.vector is not None:
            row[:] = point.vector
    return pa.FixedSizeListArray.from_arrays(
        pa.array(rows.reshape(-1)),
        type=pa.list_(_number_type(head.dtype), head.dim),
        mask=pa.array([point.vector is None for point in points], pa.bool_()),
    )


def _vectors(column: pa.FixedSizeListArray) -> list[Any]:
    """Return each row's vector, float32 and of length 1 again; None where there is none."""
    rows = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    if rows.dtype == np.float16:
        rows = rows.astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = iter(rows)
    return [next(found) if valid else None for valid in column.is_valid().to_pylist()]


def _at(payload: Payload, path: Sequence[str | int]) -> Any:  # noqa: ANN401 - JSON
    value: Any = payload
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _text(*path: str | int) -> tuple[pa.DataType, _Read]:
    def read(payload: Payload) -> object:
        value = _at(payload, path)
        return value if isinstance(value, str) else None

    return pa.string(), read


def _integer(type_: pa.DataType, *path: str | int) -> tuple[pa.DataType, _Read]:
    most = 2 ** _BITS[type_]

    def read(payload: Payload) -> object:
        value = _at(payload, path)
        fits = isinstance(value, int) and not isinstance(value, bool) and -most <= value < most
        return value if fits else None

    return type_, read


def _number(*path: str | int) -> tuple[pa.DataType, _Read]:
    def read(payload: Payload) -> object:
        value = _at(payload, path)
        try:
            return float(value) if isinstance(value, int | float) else None
        except OverflowError:
            return None

    return pa.float64(), read


def _flag(*path: str | int) -> tuple[pa.DataType, _Read]:
    def read(payload: Payload) -> object:
        value = _at(payload, path)
        return value if isinstance(value, bool) else None

    return pa.bool_(), read


def _time(key: str, *, zone: bool) -> tuple[pa.DataType, _Read]:
    def read(payload: Payload) -> object:
        value = _at(payload, (key,))
        try:
            time = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            return None
        return None if time is None else time.replace(tzinfo=UTC if zone else None)

    return pa.timestamp("us", tz="UTC" if zone else None), read


def _texts(key: str) -> tuple[pa.DataType, _Read]:
    def read(payload: Payload) -> object:
        value = _at(payload, (key,))
        fits = isinstance(value, list) and all(isinstance(each, str) for each in value)
        return value if fits else None

    return pa.list_(pa.string()), read


_INT, _LONG = pa.int32(), pa.int64()
_PLACE: _Columns = {
    "width": _integer(_INT, "width"),
    "height": _integer(_INT, "height"),
    "format": _text("format"),
    "camera": _text("camera"),
    "taken_at": _time("taken_at", zone=False),
    "latitude": _number("gps", "lat"),
    "longitude": _number("gps", "lon"),
    "paths": _texts("paths"),
}
_COLUMNS: dict[Kind, _Columns] = {
    "images": {
        "sha256": _text("sha256"),
        **_PLACE,
        "frames": _integer(_INT, "frames"),
        "n_segments": _integer(_INT, "n_segments"),
        "indexed_at": _time("indexed_at", zone=True),
    },
    "segments": {
        "image_id": _text("image_id"),
        **{name: _integer(_INT, "box", at) for at, name in enumerate(("x0", "y0", "x1", "y1"))},
        "area_px": _integer(_LONG, "area_px"),
        "area_fraction": _number("area_fraction"),
        "predicted_iou": _number("predicted_iou"),
        "stability_score": _number("stability_score"),
        "point_x": _number("point", 0),
        "point_y": _number("point", 1),
        "parent_id": _text("parent_id"),
        "depth": _integer(_INT, "depth"),
        "label": _text("label"),
        "label_score": _number("label_score"),
        "label_source": _text("label_source"),
        "rle_counts": _text("rle", "counts"),
        **_PLACE,
    },
    "files": {
        "root": _text("root"),
        "path": _text("path"),
        "size": _integer(_LONG, "size"),
        "mtime_ns": _integer(_LONG, "mtime_ns"),
        "image_id": _text("image_id"),
        "failed": _flag("failed"),
        "reason": _text("reason"),
        "message": _text("message"),
        "retryable": _flag("retryable"),
        "detections": _text("detections"),
    },
    "roots": {"path": _text("path"), "whole": _flag("whole")},
}
