"""How an embedded index of a million segments is searched: time, memory, disk, recall.

The vectors are synthetic (`benchmarks.mixture`), the records are whole: payloads, payload
indexes, the host process. Queries go through the host, as every command's do. The peers get the
same vectors in the same run, without payloads and in a process of their own: FAISS-HNSW and
LanceDB, both with as much effort as finds what ours does, and qdrant-client's local mode with a
few of the vectors. All files are in the system's cache when they are opened.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.mixture import Mixture, exact, mixture, recall
from benchmarks.report import milliseconds, parser, percentiles, show
from benchmarks.search_latency import records, regions
from benchmarks.search_scale_peers import peer_disk_mb, read_all, rss_anon_mb
from indexer.records import Vector, image_id, segment_id
from indexer.store import open_store, wire
from indexer.store.base import EVERYTHING, Filter, Match, Prefix, Range, Store
from indexer.store.points import segment_point
from indexer.store.storage import DEFAULT_STORAGE, Storage

_K = 10
_BATCH = 1_000
_PER_IMAGE = 40
_SEGMENTATION = "synthetic"
_ROOT = "00000000-0000-0000-0000-000000000001"
_CHOICES = {
    f"{quantization}_{memory}": Storage(quantization=quantization, memory=memory)
    for quantization in ("none", "int8", "turbo4")
    for memory in ("ram", "mmap")
}


def main() -> None:
    """Build, measure, print."""
    arguments = parser(__doc__)
    arguments.add_argument("--segments", type=int, default=1_000_000)
    arguments.add_argument("--queries", type=int, default=1_000)
    arguments.add_argument("--choices", type=int, default=100_000, help="for storage choices")
    arguments.add_argument(
        "--local", type=int, default=50_000, help="for qdrant-client's local mode"
    )
    arguments.add_argument("--no-peers", action="store_true")
    arguments.add_argument(
        "--keep",
        type=Path,
        help="keep what is built in this folder; a run with it again only searches",
    )
    options = arguments.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        drawn = _drawn(place, options.segments, options.queries)
        figures = {"segments": float(options.segments), "synthetic": 1.0}
        figures |= {"clusters_of_ten_nearest": drawn.clusters_of_nearest}
        figures |= _ours(place / "index", drawn)
        if not options.no_peers:
            for name in ("faiss_hnsw", "lancedb"):
                figures |= _peer(name, place, figures["recall"])
            figures |= _peer("qdrant_local", _few(place, drawn, options.local), 1.0)
        if options.choices:
            figures |= _choices(place, options.choices, options.queries)
    show(figures | _ratios(figures), options.format)


def _drawn(place: Path, count: int, queries: int) -> Mixture:
    drawn = mixture(place, count, queries, clusters=max(1, count // 50))
    np.save(place / "queries.npy", drawn.queries)
    np.save(place / "nearest.npy", drawn.nearest)
    return drawn


def _ours(where: Path, drawn: Mixture) -> dict[str, float]:
    figures = _once(where.parent / "ours.json", partial(_build, where, drawn))
    _say("searching")
    return figures | _searched(where, drawn, _ids(len(drawn.vectors)))


def _build(where: Path, drawn: Mixture) -> dict[str, float]:
    _say("writing")
    seconds = _fill(where, drawn.vectors, DEFAULT_STORAGE)
    _say("building")
    started = time.perf_counter()
    with contextlib.closing(open_store(str(where), create_ok=False)) as store:
        store.optimise()
        store.flush()
    built = time.perf_counter() - started
    _host_ended(where)
    return {
        "upserts_per_s": len(drawn.vectors) / seconds,
        "optimise_s": built,
        "build_s": seconds + built,
    }


def _once(kept: Path, build: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Build, unless an earlier run with the same `--keep` did; return what it took."""
    if not kept.exists():
        figures = build()
        kept.write_text(json.dumps(figures), "utf-8")
    found: dict[str, float] = json.loads(kept.read_text("utf-8"))
    return found


def _searched(where: Path, drawn: Mixture, ids: Sequence[str]) -> dict[str, float]:
    rows = {id_: row for row, id_ in enumerate(ids)}
    read_all(where)
    started = time.perf_counter()
    with contextlib.closing(open_store(str(where), create_ok=False)) as store:
        store.nearest("segments", drawn.queries[0], limit=_K)
        figures = {"open_s": time.perf_counter() - started}
        figures |= _timed(store, drawn, "search")
        figures["recall"] = _recall(store, drawn, rows)
        for name, where_ in _filters().items():
            figures |= _timed(store, drawn, f"search_{name}", where_)
        for name, rows_left in _left_by_filters(len(ids)).items():
            best = exact(drawn.vectors[rows_left], drawn.queries, _K)
            left = replace(drawn, nearest=rows_left[best])
            figures[f"recall_{name}"] = _recall(store, left, rows, _filters()[name])
        contact = wire.find(where)
        assert contact is not None
        figures["rss_anon_mb"] = rss_anon_mb(contact.pid)
        figures["disk_mb"] = (store.size_bytes() or 0) / 1e6
    return figures


def _timed(
    store: Store,
    drawn: Mixture,
    name: str,
    where: Filter = EVERYTHING,
) -> dict[str, float]:
    calls = [
        partial(store.search, "segments", query, where=where, limit=_K) for query in drawn.queries
    ]
    milliseconds(calls[:50])
    return percentiles(name, milliseconds(calls))


def _recall(
    store: Store, drawn: Mixture, rows: Mapping[str, int], where: Filter = EVERYTHING
) -> float:
    found: NDArray[np.int64] = np.array(
        [
            [rows[hit.id] for hit in store.search("segments", query, where=where, limit=_K)]
            for query in drawn.queries
        ]
    )
    return recall(found, drawn.nearest)


def _left_by_filters(count: int) -> dict[str, NDArray[np.int64]]:
    """Return which rows two of the filters leave; see `benchmarks.search_latency.records`."""
    images = np.arange(count) // _PER_IMAGE
    return {
        "by_camera": np.flatnonzero(images % 10 == 4),  # noqa: PLR2004
        "by_folder": np.flatnonzero((images % 10 == 7) & (images % 1000 == 17)),  # noqa: PLR2004
    }


def _filters() -> dict[str, Filter]:
    """Return filters; the comments say what share of the segments they leave."""
    return {
        "by_camera": Filter((Match("camera", ("Maker 4",)),)),  # a tenth
        "by_folder": Filter((Prefix("paths", f"{_ROOT}/year-7/day-17/"),)),  # a thousandth
        "by_area": Filter((Range("area_fraction", gte=0.005),)),  # two fifths
    }


def _ids(count: int) -> list[str]:
    """Return the ids of the synthetic segments, in the order of their vectors."""
    return [
        segment_id(image_id(f"{row // _PER_IMAGE:064x}"), _SEGMENTATION, row % _PER_IMAGE)
        for row in range(count)
    ]


def _fill(where: Path, vectors: Vector, storage: Storage) -> float:
    """Write the segments of synthetic images with these vectors; return the seconds it took."""
    drawn, seconds = regions(np.random.default_rng(0), 20 * _PER_IMAGE), 0.0
    with contextlib.closing(open_store(str(where), create_ok=True)) as store:
        store.create({"synthetic": True}, vectors.shape[1], storage)
        for start in range(0, len(vectors), _BATCH):
            block = np.ascontiguousarray(vectors[start : start + _BATCH])
            points = []
            for first in range(0, len(block), _PER_IMAGE):
                rows = block[first : first + _PER_IMAGE]
                number, some = (start + first) // _PER_IMAGE, drawn[first % len(drawn) :]
                segments = records(_SEGMENTATION, _ROOT, number, rows, some)[1]
                points += [segment_point(segment) for segment in segments]
            started = time.perf_counter()
            store.upsert("segments", points)
            seconds += time.perf_counter() - started
        store.flush()
    return seconds


def _choices(place: Path, count: int, queries: int) -> dict[str, float]:
    """Keep one index in every way there is, one after the other."""
    folder = place / "choices"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    drawn = mixture(folder, count, queries, clusters=max(1, count // 50))
    where, figures = folder / "index", {"choices_segments": float(count)}
    _fill(where, drawn.vectors, DEFAULT_STORAGE)
    ids = _ids(count)
    for name, storage in _CHOICES.items():
        _say(f"keeping vectors as {name}")
        with contextlib.closing(open_store(str(where), create_ok=False)) as store:
            started = time.perf_counter()
            store.optimise(storage)
            took = time.perf_counter() - started
        _host_ended(where)
        found = _searched(where, drawn, ids)
        wanted = ("open_s", "search_p50_ms", "search_p99_ms", "recall", "rss_anon_mb", "disk_mb")
        figures |= {f"{name}_optimise_s": took} | {f"{name}_{key}": found[key] for key in wanted}
    return figures


def _peer(name: str, folder: Path, wanted: float) -> dict[str, float]:
    """Build and measure a peer, each in a process of its own."""
    _say(f"building {name}")
    built = _once(
        folder / f"{name}.json",
        lambda: {f"{name}_build_s": float(_run_peer(name, folder, "--build"))},
    )
    _say(f"searching {name}")
    found: dict[str, float] = json.loads(_run_peer(name, folder, "--recall", str(wanted)))
    return built | found | {f"{name}_disk_mb": peer_disk_mb(name, folder)}


def _run_peer(name: str, folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "benchmarks.search_scale_peers", name, str(folder)]
    done = subprocess.run(  # noqa: S603 - our own module
        [*command, *options], stdout=subprocess.PIPE, check=True, text=True
    )
    return done.stdout.splitlines()[-1]


def _few(place: Path, drawn: Mixture, count: int) -> Path:
    """Return a folder with the first vectors, for a peer that is not made for more."""
    folder = place / "few"
    folder.mkdir(exist_ok=True)
    few = np.ascontiguousarray(drawn.vectors[:count])
    queries = drawn.queries[:100]
    np.save(folder / "vectors.npy", few)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "nearest.npy", exact(few, queries, _K))
    return folder


def _ratios(figures: Mapping[str, float]) -> dict[str, float]:
    ratios = {}
    for peer in ("faiss_hnsw", "lancedb"):
        for what in ("search_p50_ms", "rss_anon_mb", "disk_mb", "build_s"):
            if f"{peer}_{what}" in figures:
                ratios[f"{peer}_over_ours_{what}"] = figures[f"{peer}_{what}"] / figures[what]
    return ratios


def _host_ended(where: Path) -> None:
    while wire.find(where) is not None:
        time.sleep(0.1)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
