"""How long queries take on an index of 100,000 segments (demo profile), with and without filters.

Models are loaded before anything is timed. The peers, for the ranking alone and on the same
vectors in the same run: numpy's exact matrix product (what no store can beat at this size) and
qdrant-client's in-memory engine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
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
from search import Filters, Place, Searcher

_SEGMENTS_PER_IMAGE = 40
_LIMIT = 20
_WORDS = ("red star", "blue circle", "a mug on a table", "yellow fish", "green key", "window")


def main() -> None:
    """Build the index, time the queries, print the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--segments", type=int, default=100_000)
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
    vectors = fill(where, segments)
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
        calls |= {
            f"text_{name}": [partial(searcher.text, w, limit=_LIMIT, filters=one) for w in words]
            for name, one in _filters(folder).items()
        }
        for name, timed in calls.items():
            timed[0]()  # loads the models
            figures |= percentiles(name, milliseconds(timed))
        slowest = max(figures[f"text_{name}_p50_ms"] for name in _filters(folder))
        figures["slowest_filter_over_unfiltered"] = slowest / figures["text_p50_ms"]
        asked = [searcher.embedder().text(word) for word in words]
    return figures | _rankings(where, vectors, asked)


def _filters(folder: Path) -> dict[str, Filters]:
    """Return filters of every kind; the comments say what share of the segments they leave."""
    return {
        "by_folder": Filters(path=folder / "year-3/"),  # a tenth
        "by_folder_of_few": Filters(path=folder / "year-7/day-17/"),  # a thousandth
        "by_common_glob": Filters(glob="*7.png"),  # a tenth
        "by_rare_glob": Filters(glob=f"{folder}/year-?/**/*123.png"),  # a thousandth
        "by_area": Filters(min_area=0.005),  # two fifths
        "by_date": Filters(since=date(2023, 1, 1), until=date(2023, 1, 31)),  # a hundredth
        "by_place": Filters(near=Place(3.0, 3.0, 50.0)),  # a tenth
        "by_camera": Filters(camera="Maker 4"),  # a tenth
        "by_label": Filters(label=["word 1", "word 2"]),  # a fiftieth
        "by_many": Filters(
            path=folder / "year-3/", min_area=0.002, format="png", max_depth=0, min_size=200
        ),
    }


def _rankings(where: str, vectors: Vector, asked: list[Vector]) -> dict[str, float]:
    """Time the ranking alone: the embedded store, and its peers."""
    figures: dict[str, float] = {}
    embedded = open_store(where, create_ok=False)
    memory = ServerStore(QdrantClient(":memory:"), "peer")
    copy(embedded, memory)
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


def copy(source: Store, target: Store) -> None:
    """Copy the segments of a store into a new index on another."""
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


def fill(where: str, count: int) -> Vector:
    """Write synthetic images with random unit vectors and rectangular masks."""
    rng = np.random.default_rng(0)
    store = open_store(where, create_ok=False)
    index = Index(store, where)
    vectors = rng.standard_normal((count, index.recipe.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, start in enumerate(range(0, count, _SEGMENTS_PER_IMAGE)):
        rows = vectors[start : start + _SEGMENTS_PER_IMAGE]
        root = next(iter(index.roots()))
        drawn = regions(rng, len(rows))
        index.write_image(*records(index.recipe.segmentation_id, root, number, rows, drawn))
    index.optimise()
    index.close()
    return vectors


def records(
    segmentation_id: str, root: str, number: int, vectors: Vector, drawn: Sequence[Region]
) -> tuple[Image, list[Segment]]:
    """Return the records of a synthetic image with a segment for each of the vectors."""
    width, height = SIZE
    sha256 = f"{number:064x}"
    image = image_id(sha256)
    picture = Picture(
        sha256,
        width,
        height,
        "PNG",
        taken_at=datetime(2020, 1, 1) + timedelta(days=number % 3000),
        camera=f"Maker {number % 10}",
        gps=(float(number % 10), float(number % 10)),
    )
    path = f"{root}/year-{number % 10}/day-{number % 1000}/{number}.png"
    segments = [
        Segment(
            segment_id(image, segmentation_id, ordinal),
            image,
            region,
            None,
            (path,),
            picture.taken_at,
            picture.gps,
            picture.format,
            picture.camera,
            vector,
        )
        for ordinal, (vector, region) in enumerate(zip(vectors, drawn, strict=False))
    ]
    now = datetime.now(UTC)
    return Image(image, picture, (path,), len(segments), now, vectors[0]), segments


def regions(rng: np.random.Generator, count: int) -> list[Region]:
    """Return regions that are rectangles somewhere in a scene, with labels."""
    return [_region(rng) for _ in range(count)]


def _region(rng: np.random.Generator) -> Region:
    x0, y0, x1, y1 = box = _box(rng)
    mask: NDArray[np.bool_] = np.zeros(SIZE[::-1], dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    label = f"word {rng.integers(100)}"
    return Region(masks.encode(mask), box, int(mask.sum()), 0.9, 0.9, label=label, label_score=0.5)


def _box(rng: np.random.Generator) -> tuple[int, int, int, int]:
    x0, y0 = (int(rng.integers(0, side - 64)) for side in SIZE)
    return x0, y0, x0 + int(rng.integers(16, 64)), y0 + int(rng.integers(16, 64))


if __name__ == "__main__":
    main()
