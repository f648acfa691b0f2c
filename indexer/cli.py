"""The commands that fill an index and look after it: `index`, `segsearch status`, `forget`."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console, malloc
from indexer.console import DeviceOption, Format, FormatOption, IndexOption
from indexer.distributed import Cluster
from indexer.errors import SegsearchError
from indexer.progress import Progress, free_bytes, preview, summary
from indexer.stopping import stop_at_signal
from indexer.work import BATCH_SIZE

if TYPE_CHECKING:
    from indexer.indexer import Indexer
    from indexer.report import Report


class Engine(StrEnum):
    """What computes."""

    local = "local"
    ray = "ray"


PathsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Folders, pictures, s3://bucket/prefix; without any, the index's own.",
        show_default=False,
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        help="A packaged profile, or the path of a YAML file.",
        show_default="the index's own; balanced for a new one",
    ),
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="Index at most this many new pictures.")
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Skip files and folders that match; repeatable."),
]
BoxesOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="COCO JSON of a detector: cut out what is in its boxes."),
]
GridOption = Annotated[
    bool, typer.Option("--grid/--no-grid", help="Cut out everything, or only what is in boxes.")
]
PrecisionOption = Annotated[
    str, typer.Option(metavar="auto|float32|bfloat16|float16", help="How the models compute.")
]
MergeOption = Annotated[
    bool, typer.Option("--merge/--no-merge", help="Merge near-identical masks.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Threads that read and decode.", show_default="the cores, at most 4"),
]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Crops that CLIP takes at once.")]
PointsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Points that SAM 2 takes at once.", show_default="as the profile says"
    ),
]
PruneOption = Annotated[
    bool, typer.Option("--prune", help="Remove from the index what is gone from the folders.")
]
RebuildOption = Annotated[
    bool,
    typer.Option("--rebuild", help="Index everything anew; the old index serves until it is done."),
]
EngineOption = Annotated[Engine, typer.Option(help="Compute in this process, or with Ray on many.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster of this machine: auto, host:6379.", show_default="Ray is started here"
    ),
]
GpusOption = Annotated[
    int | None, typer.Option("--num-gpus", min=1, help="GPUs that Ray uses.", show_default="none")
]
WorkOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Where Ray's machines leave results: shared, or s3://bucket/prefix.",
        show_default="in the index",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what there is to do; nothing is written.")
]
WatchOption = Annotated[
    bool, typer.Option("--watch", help="Go on: index what changes, until stopped.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


@dataclass(frozen=True)
class _Task:
    """What the user asked `index` to do."""

    where: str
    paths: list[str]
    exclude: list[str]
    limit: int | None
    prune: bool
    rebuild: bool
    quiet: bool
    output: Format

    @property
    def is_quiet(self) -> bool:
        """Whether nothing but data and errors is written."""
        return self.quiet or self.output is not Format.table


@dataclass(frozen=True)
class _How:
    """What the user said about the models; named as the arguments of `Indexer`."""

    profile: str | None
    device: str
    merge: bool
    boxes: Path | None
    grid: bool
    precision: str
    workers: int | None
    batch_size: int
    points_per_batch: int | None
    cluster: Cluster | None


def index(
    paths: PathsArgument = None,
    *,
    index_: IndexOption,
    profile: ProfileOption = None,
    limit: LimitOption = None,
    exclude: ExcludeOption = None,
    boxes: BoxesOption = None,
    grid: GridOption = True,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    merge: MergeOption = True,
    workers: WorkersOption = None,
    batch_size: BatchSizeOption = BATCH_SIZE,
    points_per_batch: PointsOption = None,
    prune: PruneOption = False,
    rebuild: RebuildOption = False,
    engine: EngineOption = Engine.local,
    address: AddressOption = None,
    num_gpus: GpusOption = None,
    work: WorkOption = None,
    dry_run: DryRunOption = False,
    watch: WatchOption = False,
    quiet: QuietOption = False,
    output: FormatOption = Format.table,
) -> None:
    """Find the objects in pictures and put them into an index.

    What has not changed is skipped. Ctrl-C ends the run; the same command goes on from there.

    \b
    Examples:
      index ./photos
      index ./photos ./scans --index ./idx --exclude thumbs --prune
      index ./photos --profile demo --limit 10
      index ./photos --dry-run
      index --rebuild
      index ./photos --index ./labelled --boxes detections.json
      index s3://bucket/photos --engine ray --address auto --num-gpus 8 --work s3://bucket/work
    """
    task = _Task(index_, paths or [], exclude or [], limit, prune, rebuild, quiet, output)
    cluster = None
    if engine is Engine.ray:
        _refuse_for_ray(watch=watch, workers=workers, device=device)
        cluster = Cluster(address, num_gpus, work)
    elif (address, num_gpus, work) != (None, None, None):
        raise typer.BadParameter("--address, --num-gpus and --work need --engine ray")
    sizes = (workers, batch_size, points_per_batch)
    how = _How(profile, device, merge, boxes, grid, precision, *sizes, cluster)
    _do(task, how, dry_run=dry_run, watch=watch)


def _refuse_for_ray(*, watch: bool, workers: int | None, device: str) -> None:
    if watch:
        raise typer.BadParameter("--watch does not go with --engine ray: index again instead")
    if workers is not None:
        raise typer.BadParameter("--workers does not go with --engine ray: Ray uses all cores")
    if device != "auto":
        raise typer.BadParameter("--device does not go with --engine ray: use --num-gpus, or not")


def forget(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Folders or pictures.")],
    *,
    index_: IndexOption,
) -> None:
    """Remove folders or pictures from an index; the files themselves are left alone.

    \b
    Examples:
      segsearch forget ./old-photos
    """
    from indexer.indexer import Indexer

    console.say(f"forgotten: {Indexer(index_).forget(list(paths))} files")


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
                _write_figures(row, output)
    finally:
        opened.close()


def _failures(opened: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    from indexer.library import full_path
    from indexer.roots import locate

    roots = opened.roots()
    for file in opened.failures():
        path = console.readable(locate(full_path(file.root, file.path), roots))
        yield {"path": path, **asdict(file.failure)}


def _do(task: _Task, how: _How, *, dry_run: bool, watch: bool) -> None:
    from indexer.store import expect

    if watch and task.limit is not None:
        raise typer.BadParameter("--watch indexes all there is: leave --limit out")
    expect(task.where)
    from indexer.indexer import Indexer

    with Indexer(task.where, **vars(how)) as indexer:
        if dry_run:
            _dry_run(indexer, task)
        else:
            _index(indexer, task, watch=watch)


def _dry_run(indexer: Indexer, task: _Task) -> None:
    found = indexer.survey(task.paths, exclude=task.exclude, rebuild=task.rebuild)
    if task.output is not Format.table:
        _write_figures(asdict(found), task.output)
    elif not task.quiet:
        console.say(preview(found))


def _index(indexer: Indexer, task: _Task, *, watch: bool) -> None:
    malloc.keep_freed_memory()
    with stop_at_signal(quiet=task.is_quiet) as stopped:
        report = _pass(indexer, task, stopped)
        if watch and not stopped.is_set():
            _watch(indexer, task, stopped)
            return
    if not report.complete and stopped.is_set():
        raise typer.Exit(console.EXIT_INTERRUPTED)
    if report.failed:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _pass(
    indexer: Indexer, task: _Task, stopped: threading.Event, *, again: bool = False
) -> Report:
    """Index once, and say what was done; of a pass that goes on, only if it was anything."""
    if task.is_quiet:
        from indexer.models import quiet_downloads

        quiet_downloads()
    progress = Progress(quiet=task.is_quiet, free_bytes=lambda: free_bytes(task.where))
    with contextlib.redirect_stdout(sys.stderr):  # Ray prints there that it tries again
        report = indexer.index(
            task.paths,
            exclude=task.exclude,
            limit=task.limit,
            prune=task.prune,
            rebuild=task.rebuild,
            on_progress=progress,
            stopped=stopped.is_set,
        )
    progress.end()
    if again and report.done == report.failed and not report.pruned:
        return report
    if task.output is not Format.table:
        plain = asdict(report)
        del plain["current"]
        _write_figures(plain, task.output)
    elif not task.quiet:
        for line in summary(report, task.where):
            console.say(line)
        if stopped.is_set() and not report.complete:
            console.say("stopped: run the same command again to go on")
    return report


def _watch(indexer: Indexer, task: _Task, stopped: threading.Event) -> None:
    from indexer.library import S3Path
    from indexer.store import is_server
    from indexer.watch import changes

    task = replace(task, rebuild=False)
    ignored = None if is_server(task.where) else Path(task.where).expanduser().resolve()
    folders = indexer.folders(task.paths)
    for folder in folders:
        if isinstance(folder, S3Path):
            raise SegsearchError(f"{folder} cannot be watched", "run index again from time to time")
    if not task.is_quiet:
        console.say(f"watching {', '.join(map(console.short_path, folders))}; Ctrl-C ends it")
    for _ in changes(folders, ignored, stopped):
        try:
            _pass(indexer, task, stopped, again=True)
        except SegsearchError as error:  # such as a drive that is away for a while
            console.say(f"error: {error}")


def _write_figures(figures: dict[str, Any], output: Format) -> None:
    console.write(json.dumps(figures, indent=2 if output is Format.json else None))
    console.write_out()  # whoever watches wants it now


def main() -> None:
    """Run the `index` command."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=console.EPILOG)(index)
    console.run(app)
