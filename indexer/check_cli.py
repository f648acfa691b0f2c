"""The command `segsearch check`: whether an index holds what was put into it, and its repair."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console, malloc
from indexer.cli import BoxesOption, GridOption, QuietOption
from indexer.console import DeviceOption, Format, FormatOption, IndexOption
from indexer.errors import Stopped
from indexer.progress import Progress

if TYPE_CHECKING:
    from indexer.checking import DamagedImage, Findings
    from indexer.indexer import Indexer
    from indexer.repairing import Repaired


def check(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER",
            help="The library's folders, should the index have forgotten them.",
            show_default=False,
        ),
    ] = None,
    *,
    index_: IndexOption,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make anew what is damaged, from the pictures.")
    ] = False,
    boxes: BoxesOption = None,
    grid: GridOption = True,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    output: FormatOption = Format.table,
) -> None:
    """Read an index closely, and list the images that are damaged.

    Ends with 0 if all is sound or repaired, else with 3. Searches go on meanwhile.

    \b
    Examples:
      segsearch check --index ./idx
      segsearch check --index ./idx --repair
      segsearch check --format json
    """
    from indexer.indexer import Indexer
    from indexer.stopping import stop_at_signal

    silent = quiet or output is not Format.table
    with (
        stop_at_signal(quiet=silent) as stopped,
        Indexer(index_, device=device, boxes=boxes, grid=grid) as indexer,
    ):
        looked = _repair if repair else _look
        try:
            findings, repaired = looked(indexer, folders or [], stopped, silent=silent)
        except Stopped:
            raise typer.Exit(console.EXIT_INTERRUPTED) from None
    _tell(findings, repaired, output, quiet=quiet)
    _exit(findings, repaired, interrupted=stopped.is_set())


def _look(
    indexer: Indexer, _folders: list[str], stopped: threading.Event, *, silent: bool
) -> tuple[Findings, Repaired | None]:
    return indexer.check(on_check=_shown(silent=silent), stopped=stopped.is_set)


def _repair(
    indexer: Indexer, folders: list[str], stopped: threading.Event, *, silent: bool
) -> tuple[Findings, Repaired | None]:
    malloc.keep_freed_memory()
    progress = Progress(quiet=silent)
    done = indexer.check(
        repair=True,
        folders=folders,
        on_check=_shown(silent=silent),
        on_progress=progress,
        stopped=stopped.is_set,
    )
    progress.end()
    return done


def _shown(*, silent: bool) -> Callable[[int, int], None]:
    line = console.StatusLine()

    def show(done: int, total: int) -> None:
        if not silent:
            line.show(lambda: f"read {done} of {total} records")
        if done == total and not silent:
            line.end()

    return show


def _exit(findings: Findings, repaired: Repaired | None, *, interrupted: bool) -> None:
    if interrupted and (repaired is None or not repaired.report.complete):
        raise typer.Exit(console.EXIT_INTERRUPTED)
    if repaired is None:
        if not findings.is_sound:
            raise typer.Exit(console.EXIT_SOME_FAILED)
    elif repaired.gone or repaired.report.failed:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _tell(findings: Findings, repaired: Repaired | None, output: Format, *, quiet: bool) -> None:
    roots = findings.roots
    rows = [_row(image, roots) for image in findings.damaged]
    if output is not Format.table:
        figures: dict[str, Any] = asdict(findings) | {
            "sound": findings.is_sound,
            "damaged": rows,
            "lost_files": [_readable(place, roots) for place in findings.lost_files],
            "roots": {id_: console.readable(path) for id_, path in roots.items()},
            "repaired": None if repaired is None else _figures(repaired, roots),
        }
        console.write(json.dumps(figures, indent=2 if output is Format.json else None))
        return
    for row in rows:
        where = ", ".join(console.short_path(Path(path)) for path in row["paths"])
        console.write(console.one_line(f"{where or row['id']}: {row['what']}"))
    if quiet:
        return
    for text in _lines(findings, repaired):
        console.say(text)
    if repaired is not None:
        for text in _lines_of_repair(repaired, roots):
            console.say(text)


def _lines(findings: Findings, repaired: Repaired | None) -> list[str]:
    roots = findings.roots
    lines = [f"{kind} cannot be read: {why}" for kind, why in findings.unreadable.items()]
    lines += [f"the record of {_readable(place, roots)} is lost" for place in findings.lost_files]
    if findings.damaged_files > len(findings.lost_files):
        lines.append(f"{findings.damaged_files} records of files are damaged")
    lines += [f"the record of library folder {root} is lost" for root in findings.lost_roots]
    lines += findings.structures
    if findings.leftover:
        lines.append(f"{findings.leftover} segments are left over from a run that broke off")
    if findings.unsealed:
        lines.append(
            f"{findings.unsealed} records have no checksum: they were only looked at, not compared"
        )
    if findings.is_sound:
        end = "all is sound"
    else:
        end = f"{len(findings.damaged)} are damaged"
        end += "; segsearch check --repair makes them anew" if repaired is None else ""
    lines.append(f"{findings.images} images with {findings.segments} segments are sound; {end}")
    return lines


def _lines_of_repair(repaired: Repaired, roots: Mapping[str, Path]) -> list[str]:
    report = repaired.report
    lines = [
        f"{_readable(place, roots)} is gone, so its image could not be made anew"
        for image in repaired.gone
        for place in image.places or (image.id,)
    ]
    if not report.complete:
        return [*lines, "stopped: the index is as it was; the same command begins again"]
    again = f"{report.images} indexed again"
    failed = f", {report.failed} failed (segsearch status --failed)" if report.failed else ""
    return [*lines, f"repaired: {repaired.kept} images kept, {again}{failed}"]


def _figures(repaired: Repaired, roots: Mapping[str, Path]) -> dict[str, Any]:
    return {
        "complete": repaired.report.complete,
        "kept": repaired.kept,
        "indexed": repaired.report.images,
        "failed": repaired.report.failed,
        "gone": [_row(image, roots) for image in repaired.gone],
        "seconds": repaired.report.seconds,
    }


def _row(image: DamagedImage, roots: Mapping[str, Path]) -> dict[str, Any]:
    paths = [_readable(place, roots) for place in image.places]
    return {"id": image.id, "what": image.what, "paths": paths}


def _readable(place: str, roots: Mapping[str, Path]) -> str:
    """Return a stored place as a path, or as it is stored where its folder is unknown."""
    from indexer.library import split_path
    from indexer.roots import locate

    known = "/" in place and split_path(place)[0] in roots
    return console.readable(locate(place, dict(roots))) if known else place
