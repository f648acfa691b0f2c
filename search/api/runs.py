"""Index runs that the server starts: one at a time, each a process of its own.

A process, so that models, memory and Python's lock of a run never hold up a search, and nothing
that goes wrong in it reaches the server.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from search.api.problems import Refused
from search.api.settings import Settings

State = Literal["never", "running", "stopping", "done", "stopped", "failed"]
_LOG = logging.getLogger(__name__)
#: How long a run may take to end when the server does, seconds.
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Run:
    """An index run, or that there was none.

    Attributes:
        state: how it stands.
        started_at: when it began, UTC.
        ended_at: when it ended, UTC.
        message: what went wrong, or why it ended early.
        progress: as `search.api.schemas.Progress` has it.
        version: rises with every change.
    """

    state: State = "never"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    version: int = 0

    @property
    def is_over(self) -> bool:
        """Whether no process is at work."""
        return self.state not in ("running", "stopping")


class Runs:
    """Starts and stops index runs, and knows how they stand. Safe to use from many threads."""

    def __init__(self, settings: Settings, on_change: Callable[[Run], None]) -> None:
        """Start with none; `on_change` is called with every change, from any thread."""
        self._settings = settings
        self._on_change = on_change
        self._lock = threading.Lock()
        self._run = Run()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._is_ending = False

    @property
    def current(self) -> Run:
        """The run that is going on, or the last one."""
        return self._run

    def start(self, *, prune: bool, rebuild: bool) -> Run:
        """Start a run.

        Raises:
            Refused: one is going on.
        """
        with self._lock:
            if not self._run.is_over:
                raise Refused("already-running", "an index run is going on", "wait, or stop it")
            task = {
                "index": self._settings.index,
                "folders": [str(folder) for folder in self._settings.folders],
                "profile": self._settings.profile,
                "device": self._settings.device,
                "prune": prune,
                "rebuild": rebuild,
            }
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "search.api.index_run"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for the server, which tells it
            )
            with contextlib.suppress(BrokenPipeError):  # it has ended at once: `_follow` says so
                _write(self._process, json.dumps(task) + "\n")
            begun = Run("running", datetime.now(UTC), version=self._run.version)
            self._change(begun)
            self._reader = threading.Thread(target=self._follow, args=(self._process,), daemon=True)
            self._reader.start()
            return self._run

    def stop(self) -> Run:
        """Ask the run to stop at a clean point; it says how to go on by itself.

        Raises:
            Refused: none is going on.
        """
        with self._lock:
            if self._process is None or self._run.is_over:
                raise Refused(
                    "not-running", "no index run is going on", "start one: POST /v1/index"
                )
            if self._run.state == "running":  # a second signal would end it at once
                self._process.terminate()
                self._change(replace(self._run, state="stopping"))
            return self._run

    def end_soon(self) -> None:
        """Ask a run to end, once, whatever the other threads are doing; see `close`."""
        process, was_asked, self._is_ending = self._process, self._is_ending, True
        if process is not None and self._run.state == "running" and not was_asked:
            process.terminate()

    def close(self) -> None:
        """Wait until a run that was asked to end has ended."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        reader.join(_PATIENCE_S)
        if process.poll() is None:
            process.kill()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        """Read what a run says until it ends."""
        last: dict[str, Any] = {}
        assert process.stdout is not None  # noqa: S101 - it was asked for
        for line in process.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # cut short by the end of the process
                last = json.loads(line)
                if "progress" in last:
                    with self._lock:
                        self._change(replace(self._run, progress=last["progress"]))
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        with self._lock:
            self._change(replace(self._end(last, code), ended_at=datetime.now(UTC)))

    def _end(self, said: dict[str, Any], code: int) -> Run:
        """Return the run with how it ended."""
        if "error" in said:
            _LOG.error("the index run failed: %s (%s)", said["error"], said["hint"])
            return replace(self._run, state="failed", message=f"{said['error']}: {said['hint']}")
        if said.get("complete"):
            return replace(self._run, state="done")
        if "done" in said or self._run.state == "stopping":
            return replace(self._run, state="stopped", message="index again to go on")
        _LOG.error("the index run ended with exit status %d", code)
        message = f"the process ended with exit status {code}; see the server's log"
        return replace(self._run, state="failed", message=message)

    def _change(self, run: Run) -> None:
        self._run = replace(run, version=run.version + 1)
        self._on_change(self._run)


def _write(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    process.stdin.write(text)
    process.stdin.flush()
