"""Which payload fields each kind of record has, and which of them are indexed for filters.

This is the one place that names payload fields; engines create indexes from `INDEXES`, and
`indexer.records` writes and reads the same names.
"""

from __future__ import annotations

from typing import Literal

from indexer.store.base import Kind

IndexType = Literal["keyword", "uuid", "integer", "float", "bool", "datetime", "geo"]

#: Version of the stored layout; raised when an older index can no longer be read as it is.
FORMAT = 3

#: A record among the roots of a draft that a transfer fills: indexing must not go on with it.
TRANSFER_MARK = "00000000-0000-0000-0000-000000000000"

#: Fields that change after their record was written (a picture is renamed, its segments labelled),
#: or differ between runs that otherwise agree.
CHANGEABLE = frozenset({"paths", "label", "label_score", "label_source", "indexed_at"})

INDEXES: dict[Kind, dict[str, IndexType]] = {
    "images": {
        "paths": "keyword",
        "format": "keyword",
        "camera": "keyword",
        "taken_at": "datetime",
        "gps": "geo",
        "width": "integer",
        "height": "integer",
        "n_segments": "integer",
    },
    "segments": {
        "image_id": "keyword",
        "paths": "keyword",
        "format": "keyword",
        "camera": "keyword",
        "taken_at": "datetime",
        "gps": "geo",
        "width": "integer",
        "height": "integer",
        "area_fraction": "float",
        "predicted_iou": "float",
        "stability_score": "float",
        "depth": "integer",
        "label": "keyword",
        "label_score": "float",
        "label_source": "keyword",
    },
    "files": {
        "root": "keyword",
        "path": "keyword",
        "image_id": "keyword",
        "failed": "bool",
        "retryable": "bool",
        "reason": "keyword",
    },
    "roots": {},
}
