"""What an index run finds and does, in figures."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Survey:
    """What a run would find, from names, sizes and times alone.

    Attributes:
        files: files found.
        new: of those, not recorded yet.
        changed: recorded with another size or mtime, or with other detections.
        retry: recorded as failed, worth another try; folders that cannot be listed count here.
        unchanged: indexed, with the same size and mtime.
        known_failures: unchanged files that failed before and would fail again.
        gone: recorded files that are no longer there.
        pending_bytes: size of all files that a run would read.
    """

    files: int = 0
    new: int = 0
    changed: int = 0
    retry: int = 0
    unchanged: int = 0
    known_failures: int = 0
    gone: int = 0
    pending_bytes: int = 0

    @property
    def pending(self) -> int:
        """How many files a run would take up."""
        return self.new + self.changed + self.retry


@dataclass(frozen=True)
class Report:
    """What a run has done so far.

    Attributes:
        files: files found.
        unchanged: of those, skipped because nothing about them changed.
        known_failures: unchanged files that had failed before and were not tried again.
        pending: files that the run has still to take up.
        images: pictures indexed.
        segments: segments of those.
        resumed: of the pictures indexed, those that a cluster had computed for an earlier run.
        copies: files whose picture was indexed already and still lies elsewhere too.
        renamed: files whose picture was indexed under a name that is gone.
        failed: files that could not be indexed in this run.
        gone: recorded files that are no longer there; known at the end of a complete run.
        pruned: of those, removed from the index.
        stored_bytes: about what the new records take on the disk.
        seconds: since the run began.
        stages: stage → seconds that it was busy, over all its threads.
        peak_memory_bytes: most memory that this process has had, ever.
        complete: whether everything there was to look at was looked at.
        current: the file that is being cut into segments, or None.
    """

    files: int = 0
    unchanged: int = 0
    known_failures: int = 0
    pending: int = 0
    images: int = 0
    segments: int = 0
    resumed: int = 0
    copies: int = 0
    renamed: int = 0
    failed: int = 0
    gone: int = 0
    pruned: int = 0
    stored_bytes: int = 0
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    complete: bool = False
    current: Path | None = None

    @property
    def done(self) -> int:
        """How many of the pending files the run has finished with."""
        return self.images + self.copies + self.renamed + self.failed


def begun(found: Survey) -> Report:
    """Return the report of a run that has only looked."""
    return Report(
        files=found.files,
        unchanged=found.unchanged,
        known_failures=found.known_failures,
        pending=found.pending,
        peak_memory_bytes=peak_memory_bytes(),
        complete=found.pending == 0,
    )


def peak_memory_bytes() -> int:
    """Return the most resident memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
