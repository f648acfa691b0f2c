"""What an index run shows of itself on stderr, while it lasts and at its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from indexer import console
from indexer.report import Report, Survey

#: An estimate is made from this many pictures and seconds, for the first ones take longer, or
#: after `_LONG` seconds from those there are.
_FIRST_PICTURES, _FIRST_SECONDS = 5, 10.0
#: Runs that take less longer than this are not worth an estimate, seconds.
_LONG = 60.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Progress:
    """Writes what a run has done so far to stderr, not too often.

    Times to go come from the pace since the first picture, so that loading models does not count.
    """

    def __init__(self, *, quiet: bool, free_bytes: Callable[[], int | None] = lambda: None) -> None:
        """Start with nothing done.

        Args:
            quiet: write nothing at all.
            free_bytes: returns the free space where the index is, or None where it is unknown.
        """
        self._quiet = quiet
        self._free_bytes = free_bytes
        self._status = console.StatusLine()
        self._first: Report | None = None
        self._total = 0
        self._estimated = False

    def __call__(self, report: Report) -> None:
        """Write a line if the last one is long enough ago."""
        if self._quiet:
            return
        self._total = max(self._total, report.pending)
        if self._first is None and report.current is not None:
            self._first = report
        self._estimate(report)
        if report.pending:
            self._status.show(lambda: self._line(report))

    def end(self) -> None:
        """Leave the line of progress, so that what follows has its own."""
        if not self._quiet and self._total:
            self._status.end()

    def _line(self, report: Report) -> str:
        parts = [f"{self._total - report.pending} of {self._total} files"]
        pace = self._seconds_each(report)
        if pace is not None:
            segments = report.segments / max(report.seconds - self._begun(), 1e-9)
            parts += [f"{1 / pace:.2f} images/s", f"{segments:.1f} segments/s"]
        parts.append(f"{report.failed} failed")
        if pace is not None:
            parts.append(f"{duration(pace * report.pending)} to go")
        if report.current is not None:
            parts.append(console.readable(report.current.name))
        return " · ".join(parts)

    def _begun(self) -> float:
        return 0.0 if self._first is None else self._first.seconds

    def _seconds_each(self, report: Report) -> float | None:
        """Return the seconds for a picture so far, or None where there is none yet."""
        return (report.seconds - self._begun()) / report.images if report.images else None

    def _estimate(self, report: Report) -> None:
        """Say once, after the first pictures, what a long run will take."""
        pace = self._seconds_each(report)
        if self._estimated or pace is None:
            return
        seconds = report.seconds - self._begun()
        enough = report.images >= _FIRST_PICTURES and seconds >= _FIRST_SECONDS
        if not enough and seconds < _LONG:
            return
        self._estimated = True
        if pace * report.pending < _LONG:
            return
        each = report.stored_bytes / report.images
        size = each * report.pending
        self.end()
        console.say(
            f"about {duration(pace * report.pending)} and {amount(size)} of disk for the "
            f"{report.pending} files to go ({duration(pace)} and {amount(each)} for each so far)"
        )
        free = self._free_bytes()
        if free is not None and size > free:
            console.say(f"warning: only {amount(free)} of disk are free where the index is")


def summary(report: Report, where: str) -> list[str]:
    """Return what is said at the end: how long the stages took, what can be done, the result."""
    lines = []
    if report.images:
        stages = ", ".join(
            f"{stage} {duration(seconds)}" for stage, seconds in report.stages.items()
        )
        lines.append(f"busy: {stages}; memory: {amount(report.peak_memory_bytes)} at most")
    if unusable := report.failed + report.known_failures:
        lines.append(f"{unusable} not usable, see: segsearch status --index {where} --failed")
    if left := report.gone - report.pruned:
        lines.append(f"{left} gone, remove them from the index with --prune")
    counts = {
        "unchanged": report.unchanged,
        "copies": report.copies,
        "renamed": report.renamed,
        "pruned": report.pruned,
    }
    shown = [f"{count} {what}" for what, count in counts.items() if count or what == "unchanged"]
    shown.append(f"{report.failed} failed")
    lines.append(
        f"files: {report.files} ({', '.join(shown)}); indexed {report.images} "
        f"with {report.segments} segments in {duration(report.seconds)}"
    )
    return lines


def preview(found: Survey) -> str:
    """Return what a run would do, in a line."""
    return (
        f"files: {found.files} ({found.new} new, {found.changed} changed, {found.retry} to be "
        f"tried again, {found.unchanged} unchanged, {found.known_failures} known to fail, "
        f"{found.gone} gone); {amount(found.pending_bytes)} to read"
    )


def duration(seconds: float) -> str:
    """Return a time as a person says it: `0.4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def amount(size: float) -> str:
    """Return a number of bytes as a person says it, in decimal units: `1.3 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def free_bytes(location: str) -> int | None:
    """Return the free space where an index folder is or will be; None for one on a server."""
    from indexer.store import is_server

    if is_server(location):
        return None
    path = Path(location).expanduser().absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    return shutil.disk_usage(there).free
