"""An index run as a process of its own: ``python -m search.api.index_run``, started by `runs`.

It reads what to do as one line of JSON from stdin, and writes how far it is as lines of JSON to
stdout: {"progress": {...}}, and last {"done": true} or {"error": "..."}. SIGTERM, and the end of
stdin, which means that the server is gone, end it at a clean point.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from indexer import malloc
from indexer.errors import SegsearchError
from indexer.indexer import Indexer
from indexer.library import storable
from indexer.report import Report
from indexer.stopping import stop_at_signal

Tell = Callable[[dict[str, Any]], None]
#: Searches go first.
_NICENESS = 10
_PAUSE_S = 0.2


class _Teller:
    """Tells the server how far the run is, not too often."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._last = 0.0
        self._first: Report | None = None

    def __call__(self, report: Report) -> None:
        if self._first is None and report.current is not None:
            self._first = report
        now = time.monotonic()
        if now - self._last >= _PAUSE_S or report.complete:
            self._last = now
            self._tell({"progress": self._plain(report)})

    def _plain(self, report: Report) -> dict[str, Any]:
        to_go = None
        if self._first is not None and report.images > self._first.images:
            each = (report.seconds - self._first.seconds) / (report.images - self._first.images)
            to_go = round(each * report.pending, 1)
        return {
            "files": report.files,
            "unchanged": report.unchanged,
            "pending": report.pending,
            "done": report.done,
            "images": report.images,
            "segments": report.segments,
            "failed": report.failed,
            "pruned": report.pruned,
            "seconds": round(report.seconds, 2),
            "seconds_to_go": to_go,
            "current": None if report.current is None else storable(report.current.name),
        }


def _to_server() -> Tell:
    """Return what writes a line for the server; whatever else is printed goes to stderr."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(what: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the server is gone, and the run will be soon
            stream.write(json.dumps(what) + "\n")
            stream.flush()

    return tell


def main() -> None:
    """Do what stdin says."""
    os.nice(_NICENESS)
    malloc.keep_freed_memory()
    tell, task = _to_server(), json.loads(sys.stdin.readline())
    with stop_at_signal(quiet=True) as stopped:
        threading.Thread(target=_stop_with_server, daemon=True).start()
        try:
            with Indexer(task["index"], task["profile"], task["device"]) as indexer:
                report = indexer.index(
                    task["folders"],
                    prune=task["prune"],
                    rebuild=task["rebuild"],
                    on_progress=_Teller(tell),
                    stopped=stopped.is_set,
                )
        except SegsearchError as error:
            tell({"error": error.message, "hint": error.hint})
            return
    tell({"done": True, "complete": report.complete})


def _stop_with_server() -> None:
    """Ask the run to stop when the server has ended, however it did."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
