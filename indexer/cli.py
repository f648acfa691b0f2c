"""The commands that fill an index: `index` and `segsearch status`."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console, malloc
from indexer.console import DeviceOption, Format, FormatOption, IndexOption

if TYPE_CHECKING:
    from indexer.pipeline import Report

#: Seconds between two lines of progress, on a terminal and in a log.
_TERMINAL_PACE, _LOG_PACE = 0.2, 10.0


PathsArgument = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Folders or pictures.")
]
ProfileOption = Annotated[str, typer.Option(help="A packaged profile, or the path of a YAML file.")]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="Index at most this many new pictures.")
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Skip files and folders that match; repeatable."),
]
MergeOption = Annotated[
    bool, typer.Option("--merge/--no-merge", help="Merge near-identical masks.")
]


def index(
    paths: PathsArgument,
    *,
    index_: IndexOption,
    profile: ProfileOption = "balanced",
    limit: LimitOption = None,
    exclude: ExcludeOption = None,
    device: DeviceOption = "auto",
    merge: MergeOption = True,
    output: FormatOption = Format.table,
) -> None:
    """Find the objects in pictures and put them into an index.

    What has not changed since the last run is skipped. Ctrl-C ends the run after the picture at
    hand; the same command goes on from there.

    \b
    Examples:
      index ./photos
      index ./photos ./scans --index ./idx --exclude thumbs
      index ./photos --profile demo --limit 10
    """
    from indexer.indexer import Indexer

    malloc.keep_freed_memory()
    with _stop_at_signal() as stopped, Indexer(index_, profile, device, merge=merge) as indexer:
        report = indexer.index(
            paths,
            exclude=exclude or (),
            limit=limit,
            on_progress=Progress(quiet=output is not Format.table),
            stopped=lambda: bool(stopped),
        )
    _summarise(report, index_, output, interrupted=bool(stopped))
    if stopped:
        raise typer.Exit(console.EXIT_INTERRUPTED)
    if report.failed:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def status(
    *,
    index_: IndexOption,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the files that could not be indexed.")
    ] = False,
    output: FormatOption = Format.table,
) -> None:
    """Show what an index holds.

    \b
    Examples:
      segsearch status --index ./idx
      segsearch status --index ./idx --failed --format json
    """
    from indexer.index import Index
    from indexer.store import open_store

    opened = Index(open_store(index_, create_ok=False), index_)
    try:
        if failed:
            rows = list(_failures(opened))
            if output is Format.table:
                rows = [{**row, "path": console.short_path(Path(row["path"]))} for row in rows]
            console.write_rows(rows, output, {"path": "path", "reason": "reason", "why": "message"})
        else:
            row: dict[str, Any] = {"index": index_, **asdict(opened.status())}
            row["roots"] = [console.readable(path) for path in opened.roots().values()]
            row["clip"] = opened.recipe.vector_space["model"]
            row["sam2"] = opened.recipe.segmentation["model"]
            if output is Format.table:
                for key, value in row.items():
                    console.write(f"{key:<9} {', '.join(value) if key == 'roots' else value}")
            else:
                console.write(json.dumps(row, indent=2 if output is Format.json else None))
    finally:
        opened.close()


def _failures(opened: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    from indexer.library import full_path
    from indexer.roots import locate

    roots = opened.roots()
    for file in opened.failures():
        path = console.readable(locate(full_path(file.root, file.path), roots))
        yield {"path": path, **asdict(file.failure)}


class Progress:
    """Writes what a run has done so far to stderr, not too often."""

    def __init__(self, *, quiet: bool) -> None:
        """Write nothing at all if `quiet`."""
        self._terminal = sys.stderr.isatty()
        self._pace = _TERMINAL_PACE if self._terminal else _LOG_PACE
        self._quiet = quiet
        self._last = time.monotonic()

    def __call__(self, report: Report) -> None:
        """Write a line if the last one is long enough ago."""
        now = time.monotonic()
        if self._quiet or (now - self._last < self._pace and not report.complete):
            return
        self._last = now
        rate = report.images / report.seconds if report.seconds else 0.0
        line = (
            f"files: {report.files} ({report.failed} failed), indexed: {report.images} "
            f"({rate:.2f}/s), segments: {report.segments}"
        )
        if self._terminal:
            sys.stderr.write("\r\x1b[K" + line + ("\n" if report.complete else ""))
            sys.stderr.flush()
        elif not report.complete:
            console.say(line)


def _summarise(report: Report, where: str, output: Format, *, interrupted: bool) -> None:
    if output is not Format.table:
        plain = asdict(report)
        del plain["current"]
        console.write(json.dumps(plain, indent=2 if output is Format.json else None))
        return
    console.say(
        f"files: {report.files} ({report.unchanged} unchanged, {report.copies} copies, "
        f"{report.failed} failed); indexed {report.images} with {report.segments} segments "
        f"in {report.seconds:.1f} s"
    )
    if unusable := report.failed + report.known_failures:
        console.say(f"not usable: {unusable}, see segsearch status --index {where} --failed")
    if interrupted:
        console.say("stopped: run the same command again to go on")


@contextmanager
def _stop_at_signal() -> Iterator[list[int]]:
    """Collect the first Ctrl-C or SIGTERM instead of dying of it; the second one kills."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.default_int_handler)
        console.say("\nstopping after the picture at hand; once more to stop at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """Run the `index` command."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=console.EPILOG)(index)
    console.run(app)
