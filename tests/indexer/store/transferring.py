"""An index of all four kinds for the tests of transfers and archives, and how to look at one."""

from __future__ import annotations

import json
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from indexer.store import open_store
from indexer.store.base import KINDS, Kind, Payload, Point, Store, Vector
from indexer.store.points import label_payload
from indexer.store.schema import FORMAT
from indexer.store.storage import Storage

DIM = 8
STORAGE = Storage(quantization="none", hnsw_m=8)
RECIPE: dict[str, Any] = {
    "format": FORMAT,
    "vector_space": {"dim": DIM, "model": "klein 😀", "crop": [1.5, None]},
    "segmentation": {"model": "tiny", "masks": {"points_per_side": 4}},
    "provenance": {"profile": "demo"},
}
ROOT = str(uuid.uuid5(uuid.NAMESPACE_URL, "root"))


def uid(*parts: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, repr(parts)))


def records(images: int, each: int = 4) -> dict[Kind, list[Point]]:
    """Return the records of a library with this many images, `each` segments in each."""
    made: dict[Kind, list[Point]] = {kind: [] for kind in KINDS}
    made["roots"].append(Point(ROOT, {"path": "/fotos/Ägypten", "whole": True}))
    rng = np.random.default_rng(1)
    for number in range(images):
        path = f"{ROOT}/Höhe {number}\t😀.jpg"
        made["images"].append(Point(uid(number), _image(number, path, each), _vector(rng)))
        for ordinal in range(each):
            payload = _segment(number, ordinal, path)
            made["segments"].append(Point(uid(number, ordinal), payload, _vector(rng)))
        made["files"].append(Point(uid("file", number), _file(number)))
    return made


def build(location: str, made: dict[Kind, list[Point]], storage: Storage = STORAGE) -> None:
    """Make the index at `location` with these records."""
    with closing(open_store(location, create_ok=True)) as store:
        store.create(RECIPE, DIM, storage)
        for kind, points in made.items():
            store.upsert(kind, points)


def content(location: str) -> dict[Kind, list[Point]]:
    """Return all there is, by kind and id."""
    with closing(open_store(location, create_ok=False)) as store:
        assert store.recipe() == RECIPE
        store.check()
        return {kind: _all(store, kind) for kind in KINDS}


def assert_same(
    found: dict[Kind, list[Point]], made: dict[Kind, list[Point]], vectors_to: float = 1e-6
) -> None:
    """Compare ids and payloads exactly, vectors to what normalising them again changes."""
    for kind in KINDS:
        wanted = sorted(made[kind], key=lambda point: point.id)
        assert list(map(_text, found[kind])) == list(map(_text, wanted))
        for ours, theirs in zip(wanted, found[kind], strict=True):
            assert (ours.vector is None) == (theirs.vector is None)
            if ours.vector is not None and theirs.vector is not None:
                assert float(np.abs(ours.vector - theirs.vector).max()) < vectors_to


def is_there(location: str | Path) -> bool:
    """Return whether there is an index for others to see."""
    return (Path(location) / "segsearch.json").exists()


def _all(store: Store, kind: Kind) -> list[Point]:
    found, after = [], None
    while True:
        page = store.scroll(kind, limit=100, after=after, vectors=True)
        found += page.points
        if page.next is None:
            return found
        after = page.next


def _text(point: Point) -> str:
    return json.dumps([point.id, point.payload], sort_keys=True)


def _vector(rng: np.random.Generator) -> Vector:
    vector = rng.standard_normal(DIM).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _image(number: int, path: str, each: int) -> Payload:
    return {
        "sha256": f"{number:064x}",
        "width": 640,
        "height": 480,
        "format": "JPEG",
        "frames": 1,
        "taken_at": None if number % 2 else "2024-05-01T10:00:00Z",
        "camera": None,
        "gps": {"lat": 48.5, "lon": -2.25} if number % 3 else None,
        "paths": [path, path + ".copy"],
        "n_segments": each,
        "indexed_at": datetime(2025, 1, 1, 12, 0, number % 60, 123456, tzinfo=UTC).isoformat(),
    }


def _segment(number: int, ordinal: int, path: str) -> Payload:
    return {
        "image_id": uid(number),
        "box": [ordinal, 2, ordinal + 30, 44],
        "area_px": 1000 + 100 * number + ordinal,
        "area_fraction": 1.0 if ordinal else 0.125,
        "predicted_iou": 0.9,
        "stability_score": None if ordinal else 0.95,
        "rle": {"size": [480, 640], "counts": "Z\\`0\"'" + "e" * ordinal},
        "point": [1.5, 2.0] if ordinal else None,
        "parent_id": uid(number, 0) if ordinal else None,
        "depth": ordinal,
        "width": 640,
        "height": 480,
        "paths": [path, path + ".copy"],
        "format": "JPEG",
        "camera": None,
        "taken_at": None if number % 2 else "2024-05-01T10:00:00Z",
        "gps": None,
        **(label_payload(("mug", 0.75), "detector") if ordinal == 2 else {}),
    }


def _file(number: int) -> Payload:
    failed = number % 5 == 0
    return {
        "root": ROOT,
        "path": f"Höhe {number}\t😀.jpg",
        "size": 12345,
        "mtime_ns": 1_700_000_000_123_456_789,
        "image_id": None if failed else uid(number),
        "failed": failed,
        "reason": "corrupt" if failed else None,
        "message": "cut short" if failed else None,
        "retryable": False if failed else None,
        "detections": None,
    }
