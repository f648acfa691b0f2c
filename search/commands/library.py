"""The commands about the whole library: `segsearch label`, `facets` and `duplicates`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from indexer import console
from indexer.console import DeviceOption, Format, FormatOption, IndexOption
from indexer.progress import amount
from search.commands.options import CountFilterOptions, with_bags

if TYPE_CHECKING:
    from indexer.index import Index
    from indexer.store.base import Filter
    from search.duplicates import Group
    from search.labelling import Named

#: As in `search.duplicates`, which --help does not load.
Of = Literal["images", "segments"]


class By(StrEnum):
    """What `facets` can count; as in `search.facets`."""

    label = "label"
    source = "source"
    depth = "depth"
    format_ = "format"
    camera = "camera"
    year = "year"
    folder = "folder"


VocabularyOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Words or phrases, one a line; `mug: cup, beaker` has synonyms.",
        show_default="the words of the index's profile",
    ),
]
MinScoreOption = Annotated[
    float, typer.Option(min=0, max=1, help="How sure a label is at least; below, there is none.")
]
ClearOption = Annotated[
    bool, typer.Option("--clear", help="Take away all labels that came from a vocabulary.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only count what would get which label.")
]
ByOption = Annotated[list[By] | None, typer.Option(help="What to count; repeatable.")]
LimitOption = Annotated[
    int | None, typer.Option("-k", "--limit", min=1, help="Most values of each.")
]
OfOption = Annotated[Of, typer.Option(help="Compare whole pictures, or objects.")]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Least cosine with the first of a group; 1 for equal ones only.",
        show_default="0.95 for images, 0.97 for segments",
    ),
]
SaveOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write index.html with the groups to look at.")
]


def label(
    *,
    index_: IndexOption,
    vocabulary: VocabularyOption = None,
    min_score: MinScoreOption = 0.4,
    clear: ClearOption = False,
    dry_run: DryRunOption = False,
    device: DeviceOption = "auto",
    output: FormatOption = Format.table,
) -> None:
    """Give segments names from a list of words, by their vectors; no picture is read.

    Labels of an earlier list are replaced; those of a detector stay. What fits no word well
    enough stays without a label: try --dry-run with several --min-score.

    \b
    Examples:
      segsearch label --vocabulary words.txt --index ./idx
      segsearch label --vocabulary words.txt --index ./idx --min-score 0.6 --dry-run
      segsearch label --clear --index ./idx
    """
    if clear:
        if vocabulary is not None:
            raise typer.BadParameter("--clear takes labels away, --vocabulary gives new ones")
        _clear(index_, output, write=not dry_run)
        return
    named = _label(index_, device, vocabulary, min_score, write=not dry_run)
    rows: list[dict[str, Any]] = [{"label": k, "segments": n} for k, n in named.counts.items()]
    rows.append({"label": None, "segments": named.unlabelled})
    _write_counts(rows, output, {"segments": "segments", "label": "label"}, "label")
    console.say(_said(named, dry_run=dry_run))


@with_bags
def facets(
    *,
    index_: IndexOption,
    by: ByOption = None,
    limit: LimitOption = None,
    narrow: CountFilterOptions,
    output: FormatOption = Format.table,
) -> None:
    """Say what is in an index, and how many of each: labels, formats, cameras, years, folders.

    Without --by, labels. Labels, their sources and depths are of segments, the others of
    pictures. The row without a value counts what has none.

    \b
    Examples:
      segsearch facets --index ./idx
      segsearch facets --index ./idx --by label -k 20
      segsearch facets --index ./idx --by year --by camera --format json
      segsearch facets --index ./idx --by label --max-depth 0 --min-area 0.01
    """
    from search.facets import facet, kind_of

    found = []
    with _opened(index_) as index:
        for each in dict.fromkeys(by or [By.label]):
            where = _where(index, narrow, kind_of(each.value))
            found.append(facet(index, each.value, where))
    rows = [row for one in found for row in _top(one.to_plain(), limit)]
    columns = {"count": "count", "of": "of", "by": "by", "value": "value"}
    _write_counts(rows, output, columns, "value")


@with_bags
def duplicates(
    *,
    index_: IndexOption,
    of: OfOption = "images",
    threshold: ThresholdOption = None,
    narrow: CountFilterOptions,
    save: SaveOption = None,
    output: FormatOption = Format.table,
) -> None:
    """Find pictures, or objects, that are there more than once; nothing is deleted.

    The first of a group is the one to keep: most pixels, then most bytes, then path. The default
    thresholds were chosen with the demo models; other models need their own.

    \b
    Examples:
      segsearch duplicates --index ./idx
      segsearch duplicates --index ./idx --threshold 0.98 --save ./out
      segsearch duplicates --index ./idx --of segments --min-area 0.01 --format jsonl
    """
    from search import duplicates as search_duplicates

    with _opened(index_) as index, _progress(of) as progress:
        where = _where(index, narrow, of)
        found = search_duplicates.duplicates(index, of, threshold, where=where, progress=progress)
        groups = sorted(found, key=lambda g: (-g.spare_bytes, -len(g.members)))
    rows = [{"group": i, **group.to_plain()} for i, group in enumerate(groups, start=1)]
    if output is Format.table:
        _write_groups(rows, of)
    else:
        console.write_rows(rows, output, {})
    console.say(_summary(groups, of))
    if save is not None:
        from search.duplicates_sheet import save_groups

        save_groups(groups, save)
        console.say(f"open {save / 'index.html'}")


@contextmanager
def _opened(where: str) -> Iterator[Index]:
    from indexer.index import Index
    from indexer.store import open_store

    with closing(Index(open_store(where, create_ok=False), where)) as index:
        yield index


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what says on stderr how many are done."""
    status = console.StatusLine()
    try:
        yield lambda done, total: status.show(lambda: f"{done} of {total} {what}")
    finally:
        status.end()


def _where(index: Index, narrow: CountFilterOptions, kind: str) -> Filter:
    """Return the filter for segments or images."""
    filters = narrow.filters()
    if kind == "images":
        filters.check_for_images()
    return filters.to_store(index.roots())


def _clear(where: str, output: Format, *, write: bool) -> None:
    from indexer.opening import only_writer
    from search.labelling import clear_labels

    with _opened(where) as index, only_writer(where), _progress("labels") as progress:
        number = clear_labels(index, write=write, progress=progress)
    console.write_rows([{"cleared": number}], output, {"cleared": "cleared"})


def _label(
    where: str, device: str, vocabulary: Path | None, min_score: float, *, write: bool
) -> Named:
    from indexer.opening import only_writer
    from search.engine import Searcher
    from search.labelling import label_segments, profile_vocabulary, read_vocabulary

    with (
        Searcher(where, device) as searcher,
        only_writer(where),
        _progress("segments") as progress,
    ):
        words = read_vocabulary(vocabulary or profile_vocabulary(searcher.index))
        return label_segments(
            searcher.index,
            searcher.models.embedder(),
            words,
            min_score=min_score,
            write=write,
            progress=progress,
        )


def _said(named: Named, *, dry_run: bool) -> str:
    labelled = sum(named.counts.values())
    parts = [f"{labelled} of {labelled + named.unlabelled} segments have a label of the list"]
    if named.detected:
        parts.append(f"{named.detected} keep that of a detector")
    parts.append(f"{named.changed} would change" if dry_run else f"{named.changed} changed")
    return "; ".join(parts)


def _top(rows: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """Return the first rows, and the one without a value."""
    with_value = [row for row in rows if row["value"] is not None]
    return with_value[:limit] + [row for row in rows if row["value"] is None]


def _write_counts(
    rows: list[dict[str, Any]], output: Format, columns: dict[str, str], value: str
) -> None:
    if output is Format.table:
        rows = [{**row, value: _shown(row[value])} for row in rows]
    console.write_rows(rows, output, columns)


def _shown(value: str | None) -> str:
    return "(none)" if value is None else console.readable(value)


def _write_groups(rows: list[dict[str, Any]], of: Of) -> None:
    """Write a line for each file, or segment, of each group."""
    lines = []
    for row in rows:
        for i, one in enumerate(row["files"] if of == "images" else row["segments"]):
            here = {"group": row["group"], "kind": row["kind"], **one}
            here["path"] = console.short_path(Path(one["path"]))
            if of == "images":
                here["what"] = "keep" if i == 0 else "spare" if one["there"] else "gone"
                here["size"] = f"{one['width']}×{one['height']}"
                here["disk"] = "" if one["bytes"] is None else amount(one["bytes"])
            lines.append(here)
    shared = ["group", "kind", "score"]
    own = ["what", "size", "disk"] if of == "images" else ["box", "segment_id"]
    keys = [*shared, *own[:-1], "path", own[-1]] if of == "segments" else [*shared, *own, "path"]
    console.write_rows(lines, Format.table, {key.removesuffix("_id"): key for key in keys})


def _summary(groups: list[Group], of: Of) -> str:
    if not groups:
        return "nothing is there twice; a lower --threshold finds what is less alike"
    many = f"{len(groups)} group{'' if len(groups) == 1 else 's'}"
    if of == "segments":
        return f"{many} of {sum(len(group.members) for group in groups)} segments"
    spare = sum(len(group.spare) for group in groups)
    files = f"{spare} file{'' if spare == 1 else 's'}"
    size = amount(sum(group.spare_bytes for group in groups))
    return f"{many}; {files} could go, {size}; look at them before you delete any"
