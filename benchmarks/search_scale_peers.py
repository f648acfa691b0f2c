"""The peers of `benchmarks.search_scale`, each in a process of its own: FAISS, LanceDB, Qdrant's.

``python -m benchmarks.search_scale_peers NAME FOLDER`` reads `vectors.npy`, `queries.npy` and
`nearest.npy` there. With `--build` it builds; without, it opens what was built, searches with more
and more effort until it finds as much as `--recall` says, or as much as it can, and prints one flat
JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.mixture import recall
from benchmarks.report import percentiles
from indexer.records import Vector
from indexer.store.layout import disk_usage

_K = 10
_M, _EF_CONSTRUCT = 16, 100

#: Answers one query with row numbers.
Search = Callable[[Vector], NDArray[np.int64]]


def main() -> None:
    """Build and measure one peer."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", choices=("faiss_hnsw", "lancedb", "qdrant_local"))
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--recall", type=float, default=0.99)
    arguments.add_argument("--build", action="store_true", help="print the seconds it takes")
    options = arguments.parse_args()
    vectors = np.load(options.folder / "vectors.npy", mmap_mode="r")
    queries = np.load(options.folder / "queries.npy")
    nearest = np.load(options.folder / "nearest.npy")
    build, opened = {
        "faiss_hnsw": (_build_faiss, _faiss),
        "lancedb": (_build_lancedb, _lancedb),
        "qdrant_local": (_build_qdrant, _qdrant),
    }[options.name]
    if options.build:
        started = time.perf_counter()
        build(vectors, options.folder)
        print(time.perf_counter() - started)
        return
    if options.name == "lancedb":
        read_all(options.folder / "lancedb")
    started = time.perf_counter()
    efforts = opened(options.folder)
    figures = {"open_s": time.perf_counter() - started}
    for effort, search in efforts:
        figures |= _measured(search, queries, nearest) | {"effort": effort}
        if figures["recall"] >= options.recall:
            break
    figures |= {"rss_anon_mb": rss_anon_mb("self")}
    print(json.dumps({f"{options.name}_{name}": value for name, value in figures.items()}))


def read_all(place: Path) -> None:
    """Read the files below a folder, so that the system has them in its cache."""
    for path in (path for path in place.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            while file.read(2**24):
                pass


def rss_anon_mb(process: int | str) -> float:
    """Return the anonymous memory of a process, MB: what the system cannot take back."""
    for line in Path(f"/proc/{process}/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("this system does not tell anonymous memory")


def _measured(search: Search, queries: Vector, nearest: NDArray[np.int64]) -> dict[str, float]:
    for query in queries[:50]:
        search(query)
    found, times = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(search(query))
        times.append((time.perf_counter() - started) * 1000)
    figures = percentiles("search", times)
    return figures | {"recall": recall(np.stack(found), nearest[:, :_K])}


def _build_faiss(vectors: Vector, folder: Path) -> None:
    import faiss

    index: Any = faiss.IndexHNSWFlat(vectors.shape[1], _M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = _EF_CONSTRUCT
    for start in range(0, len(vectors), 50_000):
        index.add(np.ascontiguousarray(vectors[start : start + 50_000]))
    faiss.write_index(index, str(folder / "faiss.index"))


def _faiss(folder: Path) -> Iterator[tuple[float, Search]]:
    import faiss

    index: Any = faiss.read_index(str(folder / "faiss.index"))

    def search(query: Vector) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = index.search(query[None], _K)[1][0]
        return rows

    def efforts() -> Iterator[tuple[float, Search]]:
        for ef in (32, 64, 96, 128, 192, 256, 384, 512):
            index.hnsw.efSearch = ef
            yield float(ef), search

    return efforts()


def _build_lancedb(vectors: Vector, folder: Path) -> None:
    import lancedb
    import pyarrow as pa
    from lancedb.index import HnswSq

    dim = vectors.shape[1]
    schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])

    def batches() -> Iterator[Any]:
        for start in range(0, len(vectors), 20_000):
            block = np.ascontiguousarray(vectors[start : start + 20_000])
            numbers = pa.array(np.arange(start, start + len(block)))
            lists = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), dim)
            yield pa.RecordBatch.from_arrays([numbers, lists], schema=schema)

    table = lancedb.connect(str(folder / "lancedb")).create_table(
        "segments", batches(), schema=schema
    )
    # The index that its documentation names for low latency, with as many links and candidates.
    config = HnswSq(distance_type="cosine", m=_M, ef_construction=_EF_CONSTRUCT)
    table.create_index("vector", config=config)


def _lancedb(folder: Path) -> Iterator[tuple[float, Search]]:
    import lancedb

    table = lancedb.connect(str(folder / "lancedb")).open_table("segments")

    def efforts() -> Iterator[tuple[float, Search]]:
        for probes, ef in ((1, 64), (2, 128), (4, 128), (8, 128), (16, 128), (32, 256)):

            def search(query: Vector, probes: int = probes, ef: int = ef) -> NDArray[np.int64]:
                asked: Any = table.search(query)
                asked = asked.distance_type("cosine").nprobes(probes).ef(ef)
                found = asked.refine_factor(2).select(["row", "_distance"]).limit(_K).to_arrow()
                return np.asarray(found["row"], np.int64)

            yield float(probes), search

    return efforts()


def _build_qdrant(vectors: Vector, folder: Path) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(folder / "qdrant"))
    size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    client.create_collection("segments", vectors_config=size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not made for so many points, and says so
        for start in range(0, len(vectors), 1_000):
            rows = range(start, min(start + 1_000, len(vectors)))
            points = [models.PointStruct(id=row, vector=vectors[row].tolist()) for row in rows]
            client.upsert("segments", points)
    client.close()


def _qdrant(folder: Path) -> Iterator[tuple[float, Search]]:
    from qdrant_client import QdrantClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = QdrantClient(path=str(folder / "qdrant"))

    def search(query: Vector) -> NDArray[np.int64]:
        answer = client.query_points("segments", query=query.tolist(), limit=_K)
        return np.array([hit.id for hit in answer.points], np.int64)

    return iter([(0.0, search)])


def peer_disk_mb(name: str, folder: Path) -> float:
    """Return what a peer has written into the folder, MB."""
    place = (
        folder / {"faiss_hnsw": "faiss.index", "lancedb": "lancedb", "qdrant_local": "qdrant"}[name]
    )
    return (place.stat().st_size if place.is_file() else disk_usage(place)) / 1e6


if __name__ == "__main__":
    main()
