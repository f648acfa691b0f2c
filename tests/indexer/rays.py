"""A Ray of two CPUs in this process, for tests, and what is in an index."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from indexer.store import open_store
from indexer.store.base import KINDS

Stored = dict[str, tuple[dict[str, Any], Any]]


@contextmanager
def local_ray() -> Iterator[None]:
    """Start Ray as a user of the Python API may have done, and end it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=200 * 2**20,
    )
    yield
    ray.shutdown()


def stored(where: Path) -> dict[str, Stored]:
    """Return kind → id → (payload but for when it was indexed, vector) of an index."""
    with closing(open_store(str(where), create_ok=False)) as store:
        found: dict[str, Stored] = {}
        for kind in KINDS:
            points = store.scroll(kind, limit=10_000, vectors=True).points
            found[kind] = {
                p.id: ({k: v for k, v in p.payload.items() if k != "indexed_at"}, p.vector)
                for p in points
            }
    return found


def assert_same(one: Path, other: Path) -> None:
    """Compare all that two indexes hold: ids and payloads alike, vectors but for rounding."""
    left, right = stored(one), stored(other)
    for kind in KINDS:
        assert left[kind].keys() == right[kind].keys(), kind
        for id_, (payload, vector) in left[kind].items():
            assert payload == right[kind][id_][0]
            if vector is not None:
                assert np.abs(vector - right[kind][id_][1]).max() < 1e-4


def shards(where: Path) -> list[Path]:
    """Return the shards that have not been written into an index yet."""
    return sorted(where.glob("work-*/*.parquet"))


def kill_actors() -> int:
    """Kill the processes of our actors; return how many that were."""
    actors = [
        process
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _is_our_actor(process)
    ]
    for process in actors:
        os.kill(int(process.name), signal.SIGKILL)
    return len(actors)


def _is_our_actor(process: Path) -> bool:
    try:
        return b"MapWorker" in (process / "cmdline").read_bytes() and _is_ours(process)
    except OSError:  # it has ended meanwhile
        return False


def _is_ours(process: Path) -> bool:
    while process.name not in ("0", "1"):
        if int(process.name) == os.getpid():
            return True
        parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        process = process.with_name(parent)
    return False
