"""How long text, image and boxed queries take on an index of 10,000 segments (demo profile).

Models are loaded before anything is timed. The peers, for the ranking alone and on the same
vectors in the same run: numpy's exact matrix product (what no store can beat at this size) and
qdrant-client's in-memory engine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from benchmarks.report import milliseconds, parser, percentiles, show
from indexer import Indexer
from indexer.demo.scenes import SIZE, draw_scene
from indexer.index import Index
from indexer.records import Image, Picture, Region, Segment, Vector, image_id, segment_id
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt
from indexer.store import open_store
from indexer.store.base import Store
from indexer.store.server import ServerStore
from search import Searcher

_SEGMENTS_PER_IMAGE = 40
_LIMIT = 20
_WORDS = ("red star", "blue circle", "a mug on a table", "yellow fish", "green key", "window")


def main() -> None:
    """Build the index, time the queries, print the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--segments", type=int, default=10_000)
    arguments.add_argument("--queries", type=int, default=200)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.segments, options.queries)
    show(figures, options.format)


def measure(folder: Path, segments: int, queries: int) -> dict[str, float]:
    """Return the figures for an index of that many segments."""
    where = str(folder / "index")
    (folder / "scene.jpg").write_bytes(draw_scene(0).jpeg)
    with Indexer(where, "demo") as indexer:
        indexer.index([folder / "scene.jpg"])
    vectors = _fill(where, segments)
    picture = draw_scene(1).pixels
    rng = np.random.default_rng(1)
    figures: dict[str, float] = {"segments": float(segments)}
    with Searcher(where) as searcher:
        words = [f"{_WORDS[i % len(_WORDS)]} {i}" for i in range(queries)]
        boxes = [_box(rng) for _ in range(max(1, queries // 4))]
        calls: dict[str, list[Callable[[], object]]] = {
            "text": [partial(searcher.text, word, limit=_LIMIT) for word in words],
            "image": [partial(searcher.image, picture, limit=_LIMIT)] * queries,
            "boxed": [
                partial(searcher.image, picture, Prompt(box=box), limit=_LIMIT) for box in boxes
            ],
        }
        for name, timed in calls.items():
            timed[0]()  # loads the models
            figures |= percentiles(name, milliseconds(timed))
        asked = [searcher.embedder().text(word) for word in words]
    return figures | _rankings(where, vectors, asked)


def _rankings(where: str, vectors: Vector, asked: list[Vector]) -> dict[str, float]:
    """Time the ranking alone: the embedded store, and its peers."""
    figures: dict[str, float] = {}
    embedded = open_store(where, create_ok=False)
    memory = ServerStore(QdrantClient(":memory:"), "peer")
    _copy(embedded, memory)
    for name, store in (("embedded_store", embedded), ("qdrant_local_peer", memory)):
        calls = [partial(store.search, "segments", vector, limit=_LIMIT) for vector in asked]
        figures |= percentiles(name, milliseconds(calls))
        store.close()
    exact = [partial(_nearest, vectors, vector) for vector in asked]
    return figures | percentiles("numpy_peer", milliseconds(exact))


def _nearest(vectors: Vector, vector: Vector) -> NDArray[np.intp]:
    scores = vectors @ vector
    best = np.argpartition(-scores, _LIMIT)[:_LIMIT]
    return best[np.argsort(-scores[best])]


def _copy(source: Store, target: Store) -> None:
    recipe = source.recipe()
    assert recipe is not None
    target.create(recipe, int(recipe["vector_space"]["dim"]))
    after = None
    while True:
        page = source.scroll("segments", after=after, limit=1000, vectors=True)
        target.upsert("segments", page.points)
        after = page.next
        if after is None:
            return


def _fill(where: str, count: int) -> Vector:
    """Write synthetic images with random unit vectors and rectangular masks."""
    rng = np.random.default_rng(0)
    store = open_store(where, create_ok=False)
    index = Index(store, where)
    vectors = rng.standard_normal((count, index.recipe.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in range(0, count, _SEGMENTS_PER_IMAGE):
        rows = vectors[start : start + _SEGMENTS_PER_IMAGE]
        index.write_image(*_records(index, f"{start:064x}", rows, rng))
    index.optimise()
    index.close()
    return vectors


def _records(
    index: Index, sha256: str, vectors: Vector, rng: np.random.Generator
) -> tuple[Image, list[Segment]]:
    width, height = SIZE
    image = image_id(sha256)
    segments = [
        Segment(
            segment_id(image, index.recipe.segmentation_id, ordinal),
            image,
            _region(rng),
            None,
            vector=vector,
        )
        for ordinal, vector in enumerate(vectors)
    ]
    picture = Picture(sha256, width, height, "PNG")
    root = next(iter(index.roots()))
    now = datetime.now(UTC)
    return Image(image, picture, (f"{root}/{sha256}",), len(segments), now, vectors[0]), segments


def _region(rng: np.random.Generator) -> Region:
    x0, y0, x1, y1 = box = _box(rng)
    mask: NDArray[np.bool_] = np.zeros(SIZE[::-1], dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return Region(masks.encode(mask), box, int(mask.sum()), 0.9, 0.9)


def _box(rng: np.random.Generator) -> tuple[int, int, int, int]:
    x0, y0 = (int(rng.integers(0, side - 64)) for side in SIZE)
    return x0, y0, x0 + int(rng.integers(16, 64)), y0 + int(rng.integers(16, 64))


if __name__ == "__main__":
    main()
