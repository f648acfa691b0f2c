"""A Parquet file with one row a segment, written as a stream of row groups.

=============================== ==================================================================
`segment_id`, `image_id`        string; UUIDs
`path`, `paths`                 string, list of string; absolute path of the first file that is
                                there, of all files, with the picture; a byte that is no text is a
                                character from U+F780 to U+F7FF, see `indexer.library.paths`
`score`, `standard_score`       double; what the query made of the hit, see `search.hits.Hit`; null
`contrast`, `relevance`         without a query
`x0`, `y0`, `x1`, `y1`          int32; half-open pixel box
`area_px`, `area_fraction`      int64, double; pixels in the mask, their share of the picture
`predicted_iou`                 double; SAM 2's estimate of the mask's quality
`stability_score`               double; likewise, null for prompted masks
`depth`, `parent_id`            int32, string; how many segments are around it; the smallest, if any
`label`, `label_score`          string, double; what it is called and how sure that is, or null
`label_source`                  string; who called it so, or null
`rle`                           struct of `size` (int32 height and width) and `counts` (string):
                                the mask, as pycocotools decodes it
`sha256`                        string; of the file's bytes
`width`, `height`               int32; pixels of the picture as EXIF orients it
`format`, `camera`              string; as the file says
`taken_at`                      timestamp in seconds without a zone: the camera's local time
`latitude`, `longitude`         double; degrees
`vector`                        fixed-size list of float, of length 1; null where it was not asked
                                for; the column is there if the index's recipe is given
=============================== ==================================================================

The metadata of the file has the recipe of the index as JSON under `segsearch`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from indexer.library.paths import storable
from indexer.recipe import Recipe
from search.export.files import replacing
from search.export.shots import segment_of
from search.hits import Hit

#: Rows of a group: with vectors of 768 floats, about 16 MB.
_GROUP = 4096
_RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
_COLUMNS: dict[str, pa.DataType] = {
    "segment_id": pa.string(),
    "image_id": pa.string(),
    "path": pa.string(),
    "paths": pa.list_(pa.string()),
    "score": pa.float64(),
    "standard_score": pa.float64(),
    "contrast": pa.float64(),
    "relevance": pa.float64(),
    "x0": pa.int32(),
    "y0": pa.int32(),
    "x1": pa.int32(),
    "y1": pa.int32(),
    "area_px": pa.int64(),
    "area_fraction": pa.float64(),
    "predicted_iou": pa.float64(),
    "stability_score": pa.float64(),
    "depth": pa.int32(),
    "parent_id": pa.string(),
    "label": pa.string(),
    "label_score": pa.float64(),
    "label_source": pa.string(),
    "rle": _RLE,
    "sha256": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "format": pa.string(),
    "camera": pa.string(),
    "taken_at": pa.timestamp("s"),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
}


@contextmanager
def parquet_file(
    file: Path, recipe: Recipe | None, *, ranked: bool
) -> Iterator[Callable[[Hit], None]]:
    """Yield what adds a hit; the file is there when the block has ended well.

    Args:
        file: to be written.
        recipe: of the index; without it, there are no vectors in the file.
        ranked: the hits are a query's, so that their scores mean something.
    """
    schema = _schema(recipe)
    waiting: list[Hit] = []
    with replacing(file) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:

        def add(hit: Hit) -> None:
            waiting.append(hit)
            if len(waiting) == _GROUP:
                writer.write_table(_table(waiting, schema, ranked=ranked))
                waiting.clear()

        yield add
        if waiting:
            writer.write_table(_table(waiting, schema, ranked=ranked))


def _schema(recipe: Recipe | None) -> pa.Schema:
    fields = list(_COLUMNS.items())
    if recipe is None:
        return pa.schema(fields)
    vector = ("vector", pa.list_(pa.float32(), recipe.dim))
    metadata = {"segsearch": json.dumps(recipe.to_plain())}
    return pa.schema([*fields, vector], metadata=metadata)


def _table(hits: Sequence[Hit], schema: pa.Schema, *, ranked: bool) -> pa.Table:
    rows = [_row(hit, ranked=ranked) for hit in hits]
    columns = [
        pa.array([row[name] for row in rows], type=type_) for name, type_ in _COLUMNS.items()
    ]
    if "vector" in schema.names:
        columns.append(_vectors(hits, schema.field("vector").type))
    return pa.Table.from_arrays(columns, schema=schema)


def _vectors(hits: Sequence[Hit], type_: pa.DataType) -> pa.Array:
    vectors = [None if hit.segment is None else hit.segment.vector for hit in hits]
    absent = np.zeros(type_.list_size, dtype=np.float32)
    values = np.concatenate([absent if vector is None else vector for vector in vectors])
    mask = pa.array([vector is None for vector in vectors], type=pa.bool_())
    return pa.FixedSizeListArray.from_arrays(pa.array(values), type=type_, mask=mask)


def _row(hit: Hit, *, ranked: bool) -> dict[str, Any]:
    segment = segment_of(hit)
    region = segment.region
    picture = hit.image.picture
    x0, y0, x1, y1 = region.box
    latitude, longitude = picture.gps or (None, None)
    return {
        "segment_id": segment.id,
        "image_id": hit.image.id,
        "path": storable(str(hit.path)),
        "paths": [storable(str(path)) for path in hit.paths],
        "score": hit.score if ranked else None,
        "standard_score": hit.standard_score,
        "contrast": hit.contrast,
        "relevance": hit.relevance,
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "area_px": region.area_px,
        "area_fraction": region.area_fraction,
        "predicted_iou": region.predicted_iou,
        "stability_score": region.stability_score,
        "depth": region.depth,
        "parent_id": segment.parent_id,
        "label": region.label,
        "label_score": region.label_score,
        "label_source": region.label_source,
        "rle": {"size": list(region.rle.size), "counts": region.rle.counts},
        "sha256": picture.sha256,
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "camera": picture.camera,
        "taken_at": picture.taken_at,
        "latitude": latitude,
        "longitude": longitude,
    }
