"""Better search structures for a shard, built on a copy of it by a process of its own.

Edge holds Python's lock while it builds, which would stop every search of its process; and two
processes cannot have one shard. So the shard is copied, ``python -m indexer.store.edge_build``
builds on the copy, and the copy takes the shard's place when it has caught up with what was
written meanwhile. Killed at any point, the old shard is there, whole.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from indexer.errors import StoreError, StoreFull
from indexer.store import layout
from indexer.store.base import KINDS, Kind
from indexer.store.edge_shard import Shard
from indexer.store.processes import cpu_seconds
from indexer.store.storage import Progress, Stage, Storage

#: What the copy may grow to while it is built, over the shard; the old parts go last.
_GROWTH = 2.0
#: Disk space that stays free, bytes.
_SPARE_BYTES = 64 * 2**20
#: CPU seconds that HNSW takes, m 16 and ef_construct 100, for n log2(n) vectors of 512 numbers.
#: Measured with int8 on two cores; only the progress shown depends on it.
_SECONDS = 45e-6
_DIM = 512
#: How much of the build is told at most before it is done.
_ALMOST = 0.99
_NICE = 10
_PR_SET_PDEATHSIG = 1


class Build:
    """One build."""

    def __init__(self, shard: Shard, kind: Kind, dim: int, storage: Storage, points: int) -> None:
        """Prepare to build what `storage` says for these `points` vectors of `dim` numbers."""
        self._shard = shard
        self._kind = kind
        self._dim = dim
        self._storage = storage
        self._points = points
        self._folder = shard.new_folder()
        self._size = layout.disk_usage(shard.folder)
        self._stage: Stage = "waiting"
        self._pid: int | None = None

    def run(self) -> None:
        """Build, and let the result take the shard's place.

        Raises:
            StoreFull: there is no room for it.
            StoreError: the process that builds failed.
        """
        self._check_room()
        journal = self._folder.with_suffix(".journal")
        try:
            self._stage = "copying"
            with self._shard.copied(self._folder, journal):
                self._stage = "building"
                self._build()
                self._stage = "catching up"
                self._shard.replace(self._folder, journal)
        except BaseException:
            if self._shard.folder != self._folder:  # it may have taken the shard's place already
                shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            journal.unlink(missing_ok=True)

    def progress(self) -> Progress:
        """Return how far it has come; of the building, an estimate from the CPU time used."""
        match self._stage:
            case "copying":
                return Progress(
                    "copying", min(1.0, layout.disk_usage(self._folder) / max(1, self._size))
                )
            case "building":
                return Progress("building", self._built())
            case stage:
                return Progress(stage, None)

    def _check_room(self) -> None:
        needed = round((1 + _GROWTH) * self._size) + _SPARE_BYTES
        free = shutil.disk_usage(self._shard.folder).free
        if free < needed:
            raise StoreFull(
                f"building search structures for {self._kind} takes {needed / 1e9:.1f} GB beside "
                f"the index {self._shard.folder.parent.parent}, {free / 1e9:.1f} GB are free",
                "free some space, then run: segsearch optimize",
            )

    def _build(self) -> None:
        told = [str(self._folder), self._kind, str(self._dim), json.dumps(self._storage.to_plain())]
        command = [sys.executable, "-P", "-m", "indexer.store.edge_build", *told]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:  # noqa: S603 - our own
            self._pid = child.pid
            try:
                status = child.wait()
            except BaseException:
                child.kill()
                raise
        if status == 0:
            return
        if shutil.disk_usage(self._folder).free < _SPARE_BYTES or status == -signal.SIGBUS:
            raise StoreFull(
                f"the disk became full while search structures were built in {self._folder}",
                "free some space, then run: segsearch optimize",
            )
        raise StoreError(
            f"building search structures for {self._kind} ended with status {status}",
            f"{layout.LOG_FILE} in the index folder may say why; the index is as it was",
        )

    def _built(self) -> float | None:
        if self._pid is None or (spent := cpu_seconds(self._pid)) is None:
            return None
        points = max(2, self._points)
        size = points * math.log2(points) * self._dim / _DIM
        return min(_ALMOST, spent / (_SECONDS * size))


def _forget_quantization(config: Path) -> None:
    """Have Edge take ours: it takes none for "as before"."""
    known = json.loads(config.read_text("utf-8"))
    known["quantization_config"] = None
    config.write_text(json.dumps(known), "utf-8")


def main() -> None:
    """Build in the folder named on the command line, after its kind, dimension and storage."""
    import qdrant_edge as qe

    from indexer.store.edge_models import config_of

    folder, name, dim, plain = sys.argv[1:]
    kind = next(kind for kind in KINDS if kind == name)
    os.nice(_NICE)  # searches go first
    if sys.platform == "linux":  # nobody would use what is built when the host has ended
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    storage = Storage.from_plain(json.loads(plain))
    _forget_quantization(Path(folder) / "edge_config.json")
    shard = qe.EdgeShard.load(folder, config_of(kind, int(dim), storage))
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    main()
