"""`search serve` under load: 16 clients on 100,000 segments, alone and beside an index run.

The queries are texts that were not asked before, segments, and texts with filters, 40 hits each;
the load comes from another process of the same machine. The peer is the server that tutorials
have: FastAPI, CLIP for the one text at hand, and qdrant-client's local engine, whose 40 nearest it
returns with their payloads. It knows no relevance, leaves nested hits in, and is asked texts only.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.report import parser, percentiles, show
from benchmarks.search_latency import fill
from indexer import Indexer
from indexer.demo.scenes import draw_scene
from search.client import Client

_CLIENTS = 16
_LIMIT = 40
_COLOURS = ("red", "blue", "green", "yellow", "purple", "orange", "black", "white")
_THINGS = ("star", "mug", "fish", "key", "heart", "boat", "leaf", "house", "bottle", "umbrella")
#: New pictures for the run beside the load: more than it can index meanwhile.
_PICTURES = 400
_OK = 200


@dataclass
class Load:
    """What the clients have seen.

    Attributes:
        times: of each answer, milliseconds.
        errors: answers that were none.
    """

    times: list[float] = field(default_factory=list)
    errors: int = 0


def main() -> None:
    """Build the index, serve it, put load on it, print the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--segments", type=int, default=100_000)
    arguments.add_argument("--seconds", type=float, default=60.0)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.segments, options.seconds)
    show(figures, options.format)


def measure(folder: Path, segments: int, seconds: float) -> dict[str, float]:
    """Return the figures of all three."""
    pictures, where = folder / "pictures", str(folder / "index")
    pictures.mkdir()
    (pictures / "first.jpg").write_bytes(draw_scene(0).jpeg)
    with Indexer(where, "demo") as indexer:
        indexer.index([pictures])
    fill(where, segments)
    figures: dict[str, float] = {"segments": float(segments), "clients": float(_CLIENTS)}
    ours = (Path(sys.executable).with_name("search"), "serve", pictures, "--index", where)
    with served(*ours, "--port", "0", "--no-access-log") as url, Client(url) as client:
        ids = [
            segment.id
            for image in client.images(limit=20).images
            for segment in client.segments_of(image.id).segments
        ]
        figures |= _figures("alone", under_load(url, seconds, ids), seconds)
        for seed in range(1, _PICTURES):
            (pictures / f"{seed}.jpg").write_bytes(draw_scene(seed).jpeg)
        client.start_index()
        while not client.index_run().progress.images:
            time.sleep(0.1)
        figures |= _figures("indexing", under_load(url, seconds, ids), seconds)
        run = client.index_run()
        figures["indexing_until_the_end"] = float(run.state == "running")
        figures["indexing_images"] = float(run.progress.images)
        client.stop_index()
    with served(sys.executable, "-m", "benchmarks.serve_peer", where) as url:
        figures |= _figures("peer", under_load(url, seconds, []), seconds)
    return figures


@contextmanager
def served(*command: str | Path) -> Iterator[str]:
    """Run a server that says on stderr where it is serving; yield that."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"serving at (\S+)", line):
                threading.Thread(target=process.stderr.read, daemon=True).start()
                yield found[1]
                return
        raise RuntimeError(f"{command} did not start")
    finally:
        process.terminate()
        process.wait()


def under_load(url: str, seconds: float, ids: Sequence[str]) -> Load:
    """Ask from a process of its own, from as many clients as there are."""
    _ask_until(url, time.monotonic() + 2, ids, 999, Load())  # what the first requests load
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_load, (url, seconds, ids))


def _load(url: str, seconds: float, ids: Sequence[str]) -> Load:
    load, until = Load(), time.monotonic() + seconds
    clients = [
        threading.Thread(target=_ask_until, args=(url, until, ids, number, load))
        for number in range(_CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return load


def _ask_until(url: str, until: float, ids: Sequence[str], client: int, load: Load) -> None:
    place = urlsplit(url)
    link = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    number = 0
    while time.monotonic() < until:
        body = json.dumps(_query(client, number, ids))
        started = time.perf_counter()
        try:
            link.request("POST", "/v1/search", body, {"content-type": "application/json"})
            answer = link.getresponse()
            good = answer.status == _OK and bool(json.loads(answer.read()))
        except (OSError, http.client.HTTPException):
            good = False
            link.close()
        load.times.append(1000 * (time.perf_counter() - started))
        load.errors += not good
        number += 1
    link.close()


def _query(client: int, number: int, ids: Sequence[str]) -> dict[str, object]:
    """Return a query; of ten, six are texts, two are segments, two are texts with filters."""
    place = client * 7919 + number
    colour, thing = _COLOURS[place % len(_COLOURS)], _THINGS[place // 8 % len(_THINGS)]
    query: dict[str, object] = {"text": f"{colour} {thing} {client} {number}", "limit": _LIMIT}
    kind = number % 10
    if ids and kind in (3, 7):
        return {"positives": [{"segment_id": ids[place % len(ids)]}], "limit": _LIMIT}
    if ids and kind in (1, 5):
        query["filters"] = {"min_area": 0.005} if kind == 1 else {"format": ["png"]}
    return query


def _figures(name: str, load: Load, seconds: float) -> dict[str, float]:
    return {
        **percentiles(name, load.times),
        f"{name}_requests_per_s": len(load.times) / seconds,
        f"{name}_errors": float(load.errors),
    }


if __name__ == "__main__":
    main()
