"""What a run has done so far, and telling whoever wants to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from indexer import library
from indexer.candidates import Candidate
from indexer.report import Report, peak_memory_bytes
from indexer.stages import Clock
from indexer.work import Work


class Tally:
    """Keeps the report of a run; safe to tell from many threads.

    Attributes:
        clock: how long the stages were busy in this process.
    """

    def __init__(self, work: Work, found: Report) -> None:
        """Begin with what the survey has found."""
        self.clock = Clock()
        self._work = work
        self._report = found
        self._current: Path | None = None
        self._elsewhere: dict[str, float] = {}
        self._telling = threading.Lock()

    def stopped(self) -> bool:
        """Ask whether to stop; asked all the time, it also keeps the progress going."""
        self.tell()
        return self._work.stopped()

    def begin(self, candidate: Candidate) -> None:
        """Say that a file is being cut."""
        found = candidate.found
        self._current = found.location if isinstance(found, library.Found) else None
        self.tell()

    def written(self, counts: Mapping[str, int]) -> None:
        """Count a file as dealt with, and what has come of it."""
        before = self._report
        grown = {name: getattr(before, name) + count for name, count in counts.items()}
        self._report = replace(before, **grown, pending=max(0, before.pending - 1))
        self.tell()

    def took(self, seconds: Mapping[str, float]) -> None:
        """Add how long stages were busy in other processes."""
        for stage, more in seconds.items():
            self._elsewhere[stage] = self._elsewhere.get(stage, 0.0) + more

    def tell(self) -> None:
        """Tell what has been done so far."""
        with self._telling:
            self._work.on_progress(self.now())

    def end(self, *, complete: bool) -> Report:
        """Tell and return what has been done."""
        self._report = replace(self._report, complete=complete)
        self.tell()
        return self.now()

    def now(self) -> Report:
        """Return what has been done so far."""
        here, elsewhere = self.clock.seconds(), dict(self._elsewhere)
        names = dict.fromkeys((*here, *elsewhere))
        return replace(
            self._report,
            seconds=time.monotonic() - self._work.started,
            stages={name: here.get(name, 0.0) + elsewhere.get(name, 0.0) for name in names},
            peak_memory_bytes=peak_memory_bytes(),
            current=self._current,
        )
