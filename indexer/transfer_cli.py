"""The command that copies an index to another place: `segsearch transfer`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console
from indexer.console import Format, FormatOption
from indexer.errors import Stopped
from indexer.progress import amount, duration
from indexer.stopping import stop_at_signal

if TYPE_CHECKING:
    from indexer.store.transfer import TransferProgress, TransferReport

_PLACE = "a folder, http(s)://host:port/name, or a folder that ends with .parquet"

SourceArgument = Annotated[
    str, typer.Argument(metavar="FROM", help=f"What is copied: {_PLACE}.", show_default=False)
]
TargetArgument = Annotated[
    str, typer.Argument(metavar="TO", help="Where it goes: likewise.", show_default=False)
]
Float16Option = Annotated[
    bool,
    typer.Option("--float16", help="Vectors of an archive in half the space, almost as exact."),
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace another index there; it serves until then.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]

_COLUMNS = {
    "from": "source",
    "to": "target",
    "images": "images",
    "segments": "segments",
    "files": "files",
    "roots": "roots",
    "took": "took",
    "size": "size",
    "verified": "verified",
    "least cosine": "cosine",
}


def transfer(
    source: SourceArgument,
    target: TargetArgument,
    *,
    float16: Float16Option = False,
    replace: ReplaceOption = False,
    quiet: QuietOption = False,
    output: FormatOption = Format.table,
) -> None:
    """Copy an index to another folder, to a server, or into Parquet files, and back.

    Nothing is embedded anew. The copy is compared with its source before it is there at all.
    Ctrl-C ends the transfer; the same command goes on from there.

    \b
    Examples:
      segsearch transfer ./idx ./idx.parquet
      segsearch transfer ./idx.parquet ./restored
      segsearch transfer ./idx http://localhost:6333/photos
      segsearch transfer http://localhost:6333/photos ./photos.parquet --float16
    """
    from indexer.store import transfer as transfers

    is_quiet = quiet or output is not Format.table
    line = _Line(quiet=is_quiet)
    with stop_at_signal(quiet=is_quiet) as stopped:
        try:
            report = transfers.transfer(
                source,
                target,
                replace=replace,
                float16=float16,
                on_progress=line,
                stopped=stopped.is_set,
            )
        except Stopped as end:
            line.end()
            if not is_quiet:
                console.say(f"stopped: {end.hint}")
            raise typer.Exit(console.EXIT_INTERRUPTED) from None
    line.end()
    _write(report, output)


class _Line:
    """The line on stderr that says how far it is."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._status = console.StatusLine()

    def __call__(self, progress: TransferProgress) -> None:
        if not self._quiet:
            self._status.show(lambda: describe(progress))

    def end(self) -> None:
        if not self._quiet:
            self._status.end()


def describe(progress: TransferProgress) -> str:
    """Return how far a transfer is, in a line."""
    if progress.stage == "building":
        return f"building search structures · {progress.done} %"
    parts = [progress.stage if progress.kind is None else f"{progress.stage} {progress.kind}"]
    parts.append(f"{progress.done} of {progress.total} records")
    new = progress.done - progress.found
    if progress.stage != "verifying" and new and progress.seconds:
        pace = new / progress.seconds
        parts.append(f"{pace:.0f} records/s")
        parts.append(f"{duration((progress.total - progress.done) / pace)} to go")
    return " · ".join(parts)


def _write(report: TransferReport, output: Format) -> None:
    row: dict[str, Any] = asdict(report)
    if output is not Format.table:
        plain = {"from": row.pop("source"), "to": row.pop("target"), **row}
        console.write(json.dumps(plain, indent=2 if output is Format.json else None))
        return
    row["took"] = duration(report.seconds)
    row["size"] = None if report.bytes is None else amount(report.bytes)
    row["cosine"] = None if report.least_cosine is None else f"{report.least_cosine:.7f}"
    console.write_rows([row], output, _COLUMNS)
