"""`segsearch export`: what an index holds, or a query finds, as files for other tools."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console, malloc
from indexer.console import DeviceOption, Format, FormatOption, IndexOption
from indexer.errors import Stopped
from indexer.stopping import stop_at_signal
from search.commands import parsing
from search.commands.options import MAX_HITS, FilterOptions, RankingOptions, with_bags
from search.export import FILES, PICTURES, How, Kind, Missing, Written

if TYPE_CHECKING:
    import threading

    from search.engine import Searcher
    from search.filters import Filters
    from search.hits import Answer, Hit

#: Hits of a query where nobody says how many.
_HITS = 20
#: Most pictures that are named as missing.
_NAMED = 10
_COLUMNS = {"kind": "kind", "file": "file", "segments": "segments"}

FolderArgument = Annotated[
    Path, typer.Argument(help="Where the files go; made if it is not there.", show_default=False)
]
KindsOption = Annotated[
    list[Kind], typer.Option("--as", help="What to write; repeatable.", show_default=False)
]
TrimOption = Annotated[
    bool, typer.Option("--trim", help="Cut cut-outs to the object's box, not the whole frame.")
]
BackgroundOption = Annotated[
    str | None,
    typer.Option(
        metavar="#RRGGBB|blur|PICTURE",
        help="What is put behind objects, for --as background.",
        show_default="white",
    ),
]
MarginOption = Annotated[
    float | None,
    typer.Option(
        min=1, help="Side of a crop over the object's longer side.", show_default=str(How.margin)
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=4096, help="Scale crops to so many pixels.", show_default="as they are"
    ),
]


@dataclass(frozen=True)
class QueryOptions(RankingOptions):
    """What is looked for; nothing at all means everything there is."""

    text: Annotated[str | None, typer.Option(metavar="WORDS", help="Only what this describes.")] = (
        None
    )
    image: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Only what looks like this picture.")
    ] = None
    segment: Annotated[
        list[str] | None,
        typer.Option(metavar="SEGMENT_ID", help="Only what looks like this; repeatable."),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            "-k",
            "--limit",
            min=1,
            max=MAX_HITS,
            help="Number of segments at most.",
            show_default=f"{_HITS} for a query, else all",
        ),
    ] = None  # type: ignore[assignment] # what nobody says depends on the query

    @property
    def given(self) -> bool:
        """Whether there is a query."""
        return self.text is not None or self.image is not None or bool(self.segment)

    @property
    def title(self) -> str:
        """What is looked for, for people."""
        if self.text is not None:
            return self.text
        if self.image is not None:
            return f"Like {self.image.name}"
        return f"Like segment {self.segment[0]}" if self.segment else "All segments"

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            typer.BadParameter: there are several queries, or options for one and none.
        """
        if sum((self.text is not None, self.image is not None, bool(self.segment))) > 1:
            raise typer.BadParameter("give one of --text, --image and --segment")
        if not self.given and replace(self, segment=None, limit=None, offset=0) != QueryOptions():
            raise typer.BadParameter(
                "how relevant, nested, many a picture or diverse hits are is decided for a query: "
                "give --text, --image or --segment"
            )

    def everything(self, searcher: Searcher, filters: Filters, *, vectors: bool) -> Iterator[Hit]:
        """Iterate over all there is, or so many of these as the limit says, in any order."""
        end = None if self.limit is None else self.offset + self.limit
        return itertools.islice(searcher.everything(filters, vectors=vectors), self.offset, end)

    def answer(self, searcher: Searcher, filters: Filters) -> Answer:
        """Ask, if there is a query."""
        limit, ranking = self.limit or _HITS, self.ranking()
        if self.text is not None:
            return searcher.text(
                self.text, limit=limit, offset=self.offset, filters=filters, ranking=ranking
            )
        if self.image is not None:
            return searcher.image(
                parsing.picture(self.image),
                limit=limit,
                offset=self.offset,
                filters=filters,
                ranking=ranking,
            )
        return searcher.segment(
            *(self.segment or ()),
            limit=limit,
            offset=self.offset,
            filters=filters,
            ranking=ranking,
        )


class _Progress:
    """Counts the segments that go by, says so now and then, and ends it when asked to."""

    def __init__(self, stopped: threading.Event, done: str) -> None:
        self.count = 0
        self._stopped = stopped
        self._done = done
        self._status = console.StatusLine()
        self._begun = time.monotonic()

    def through(self, hits: Iterable[Hit]) -> Iterator[Hit]:
        """Hand on hits.

        Raises:
            Stopped: the user wants it to end.
        """
        for hit in hits:
            self.tick()
            yield hit
            self.count += 1

    def tick(self) -> None:
        """Say how many there were, if the last time is long enough ago.

        Raises:
            Stopped: the user wants it to end.
        """
        if self._stopped.is_set():
            raise Stopped("the export was stopped")
        self._status.show(self._line)

    def end(self) -> None:
        """Leave the line of progress to what follows."""
        self._status.end()

    def _line(self) -> str:
        pace = self.count / (time.monotonic() - self._begun)
        return f"{self.count} segments {self._done} · {pace:.0f} segments/s"


@dataclass
class _Told:
    """Says which files were written, and which pictures are missing."""

    output: Format
    written: Counter[Kind] = field(default_factory=Counter)
    missing: set[str] = field(default_factory=set)
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, one: Written | Missing) -> None:
        if isinstance(one, Missing):
            self._add_missing(one)
            return
        self.written[one.kind] += 1
        table = self.output is Format.table
        file = console.short_path(one.file.absolute()) if table else str(one.file)
        id_ = one.hit.segment.id if one.hit and one.hit.segment and one.segments == 1 else None
        row = {"kind": one.kind, "file": file, "segments": one.segments, "segment_id": id_}
        if self.output is Format.jsonl:
            console.write_rows([row], self.output, _COLUMNS)
        else:
            self._rows.append(row)

    def end(self, folder: Path, found: str) -> None:
        """Say what was written, after what was found."""
        if self.output is not Format.jsonl:
            console.write_rows(self._rows, self.output, _COLUMNS)
        if len(self.missing) > _NAMED:
            console.say(f"not drawn: {len(self.missing) - _NAMED} more pictures")
        files = ", ".join(
            FILES.get(kind, f"{count} {kind}{'' if count == 1 else 's'}")
            for kind, count in self.written.items()
        )
        console.say(f"{found}: {files or 'nothing'} written to {console.readable(folder)}")

    def _add_missing(self, one: Missing) -> None:
        if one.hit.image.id in self.missing:
            return
        self.missing.add(one.hit.image.id)
        if len(self.missing) <= _NAMED:
            console.say(f"not drawn: {console.readable(one.hit.path)}: {one.why}")


@dataclass(frozen=True, eq=False)
class _Task:
    """What is to be written where."""

    folder: Path
    kinds: Sequence[Kind]
    how: How
    query: QueryOptions
    output: Format


@with_bags
def export(
    folder: FolderArgument,
    *,
    index_: IndexOption,
    kinds: KindsOption,
    query: QueryOptions,
    narrow: FilterOptions,
    trim: TrimOption = False,
    background: BackgroundOption = None,
    margin: MarginOption = None,
    size: SizeOption = None,
    output: FormatOption = Format.table,
    device: DeviceOption = "auto",
) -> None:
    """Write segments as files for other tools; SAM 2 is not asked again.

    Without --text, --image or --segment, everything that the filters let through. Files of the same
    name are replaced; Ctrl-C ends it between two pictures.

    \b
    Examples:
      segsearch export ./out --as coco --as parquet --index ./idx
      segsearch export ./mugs --as cutout --trim --text "red mug" -k 50 --index ./idx
      segsearch export ./crops --as crop --margin 1.2 --size 224 --segment SEGMENT_ID --index ./idx
      segsearch export ./like --as overlay --as sheet --image q.jpg --index ./idx
      segsearch export ./white --as background --background "#f4f4f4" --text mug --index ./idx
    """
    query.check()
    filters = narrow.filters()
    how = _how(kinds, background, trim=trim, margin=margin, size=size)
    task = _Task(folder, kinds, how, query, output)
    from search.engine import Searcher
    from search.export.files import make_folder

    make_folder(folder)  # before a model is loaded
    malloc.keep_freed_memory()
    with Searcher(index_, device) as searcher:
        _warn(searcher, task)
        _export(searcher, filters, task)


def _how(
    kinds: Sequence[Kind],
    background: str | None,
    *,
    trim: bool,
    margin: float | None,
    size: int | None,
) -> How:
    """Return how pictures are made; refuse options that nothing asks for."""
    given = (
        ("--trim", trim or None, Kind.cutout),
        ("--background", background, Kind.background),
        ("--margin", margin, Kind.crop),
        ("--size", size, Kind.crop),
    )
    for option, value, kind in given:
        if value is not None and kind not in kinds:
            raise typer.BadParameter(f"{option} is for --as {kind}: add that, or leave it out")
    return How(
        trim,
        How.background if background is None else parsing.background(background),
        How.margin if margin is None else margin,
        size,
    )


def _export(searcher: Searcher, filters: Filters, task: _Task) -> None:
    """Ask, write, and say what became of it."""
    from search.export.export import export as files_of
    from search.export.shots import by_picture

    query, told = task.query, _Told(task.output)
    answer = query.answer(searcher, filters) if query.given else None
    if answer is not None and answer.nearest is not None:
        console.say("nothing like that here; --all exports the nearest")
    with stop_at_signal(quiet=False) as stop:
        read, written = _Progress(stop, "read"), _Progress(stop, "written")
        hits: Iterable[Hit]
        if answer is None:
            vectors = Kind.parquet in task.kinds
            everything = query.everything(searcher, filters, vectors=vectors)
            hits = by_picture(read.through(everything), task.folder)
        else:
            hits = answer
        files = files_of(
            written.through(hits),
            task.folder,
            query.title,
            kinds=task.kinds,
            ranked=query.given,
            how=task.how,
            recipe=searcher.index.recipe,
        )
        with suppress(Stopped), closing(files):
            for one in files:
                told.add(one)
                written.tick()
        written.end()
    _end(task, told, written.count, stopped=stop.is_set())


def _end(task: _Task, told: _Told, count: int, *, stopped: bool) -> None:
    """Say what was written, and end as exit codes have it."""
    if stopped:
        absent = [name for kind, name in FILES.items() if kind in set(task.kinds) - {*told.written}]
        told.end(task.folder, f"stopped, without {', '.join(absent)}" if absent else "stopped")
        raise typer.Exit(console.EXIT_INTERRUPTED)
    told.end(task.folder, f"{count} segment{'' if count == 1 else 's'}")
    if told.missing:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _warn(searcher: Searcher, task: _Task) -> None:
    """Say so where the pictures that are written would themselves be indexed."""
    folder = task.folder.resolve()
    within = any(folder.is_relative_to(root) for root in searcher.index.folders().values())
    if within and not set(task.kinds).isdisjoint(PICTURES):
        console.say(
            f"warning: {console.readable(task.folder)} lies in the library: "
            "the next index run takes its pictures up"
        )
