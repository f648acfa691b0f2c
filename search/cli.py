"""The `search` commands, and `segsearch`, which has all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from indexer import cli as indexer_cli
from indexer import console, malloc, models_cli
from indexer.console import DeviceOption, Format, FormatOption, IndexOption
from indexer.errors import PictureError, QueryError
from indexer.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.records import Box
    from indexer.segmentation.segmenter import Prompt
    from search.filters import Filters
    from search.hits import Hit

XY = tuple[float, float]
#: Most hits at once: beyond that, exporting is the better tool.
MAX_HITS = 1_000_000
By = Literal["segment", "image"]

_COLUMNS = {
    "score": "score",
    "path": "path",
    "box": "box",
    "area": "area_fraction",
    "iou": "predicted_iou",
    "stability": "stability_score",
    "segment": "segment_id",
}
_IMAGE_COLUMNS = {"score": "score", "path": "path", "segments": "n_segments", "image": "image_id"}


def _numbers(text: str, names: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names.split(",")) or not all(map(math.isfinite, numbers)):
        raise typer.BadParameter(f"{text!r} is not of the form {names}, in pixels")
    return numbers


def _point(text: str) -> XY:
    x, y = _numbers(text, "x,y")
    return x, y


def _box(text: str) -> Box:
    x0, y0, x1, y1 = (round(number) for number in _numbers(text, "x0,y0,x1,y1"))
    return x0, y0, x1, y1


LimitOption = Annotated[
    int, typer.Option("-k", "--limit", min=1, max=MAX_HITS, help="Number of hits at most.")
]
OffsetOption = Annotated[
    int, typer.Option(min=0, max=MAX_HITS, help="Hits to leave out at the top.")
]
SaveOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Write each hit as its picture with the mask, and index.html."
    ),
]
ByOption = Annotated[By, typer.Option(help="Rank objects, or whole pictures.")]
BoxOption = Annotated[
    str | None,
    typer.Option(metavar="X0,Y0,X1,Y1", help="The object lies in this box (pixels)."),
]
PointOption = Annotated[
    list[str] | None, typer.Option(metavar="X,Y", help="A pixel on the object; repeatable.")
]
NotPointOption = Annotated[
    list[str] | None, typer.Option(metavar="X,Y", help="A pixel beside it; repeatable.")
]
PathOption = Annotated[
    str | None,
    typer.Option(metavar="PREFIX", help="Only pictures in this folder, or whose path begins so."),
]
MinAreaOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Least share of the picture covered.")
]
MaxAreaOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Largest share of the picture covered.")
]
SinceOption = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day the picture was taken.")
]
UntilOption = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day the picture was taken.")
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Only what a detector called this; repeatable."),
]
MinLabelScoreOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="How sure the detector was at least.")
]

search = typer.Typer(
    help="Find objects in an index.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=console.EPILOG,
)


@search.command()
def text(
    words: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    index_: IndexOption,
    limit: LimitOption = 20,
    offset: OffsetOption = 0,
    by: ByOption = "segment",
    path: PathOption = None,
    min_area: MinAreaOption = None,
    max_area: MaxAreaOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    label: LabelOption = None,
    min_label_score: MinLabelScoreOption = None,
    output: FormatOption = Format.table,
    save: SaveOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Find what a text describes.

    \b
    Examples:
      search text "red mug" --index ./idx
      search text "red mug" --index ./idx -k 5 --format json
      search text "kitchen" --index ./idx --by image
      search text "red mug" --index ./idx --min-area 0.01 --save ./out
      search text "red" --index ./idx --label mug --min-label-score 0.5
    """
    from search.engine import Searcher

    filters = _filters(path, (min_area, max_area), (since, until), (label, min_label_score), by)
    with Searcher(index_, device) as searcher:
        hits = searcher.text(words, limit=limit, offset=offset, filters=filters, by=by)
    _show(hits, output, save, words, by)


@search.command()
def image(
    picture: Annotated[Path, typer.Argument(help="The query picture.")],
    *,
    index_: IndexOption,
    box: BoxOption = None,
    point: PointOption = None,
    not_point: NotPointOption = None,
    limit: LimitOption = 20,
    offset: OffsetOption = 0,
    by: ByOption = "segment",
    path: PathOption = None,
    min_area: MinAreaOption = None,
    max_area: MaxAreaOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    label: LabelOption = None,
    min_label_score: MinLabelScoreOption = None,
    output: FormatOption = Format.table,
    save: SaveOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Find what looks like a picture, or like one object in it.

    \b
    Examples:
      search image q.jpg --index ./idx
      search image q.jpg --index ./idx --box 100,80,300,260
      search image q.jpg --index ./idx --point 120,200 --not-point 300,40
      search image q.jpg --index ./idx --by image -k 5
    """
    from search.engine import Searcher

    prompt = _prompt(box, point or [], not_point or [])
    filters = _filters(path, (min_area, max_area), (since, until), (label, min_label_score), by)
    pixels = _read(picture)
    with Searcher(index_, device) as searcher:
        hits = searcher.image(pixels, prompt, limit=limit, offset=offset, filters=filters, by=by)
    _show(hits, output, save, picture.name, by)


@search.command()
def segment(
    segment_ids: Annotated[list[str], typer.Argument(metavar="SEGMENT_ID...")],
    *,
    index_: IndexOption,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="SEGMENT_ID", help="A segment to be unlike; repeatable."),
    ] = None,
    limit: LimitOption = 20,
    offset: OffsetOption = 0,
    path: PathOption = None,
    min_area: MinAreaOption = None,
    max_area: MaxAreaOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    label: LabelOption = None,
    min_label_score: MinLabelScoreOption = None,
    output: FormatOption = Format.table,
    save: SaveOption = None,
) -> None:
    """Find what looks like segments of the index, as other searches have shown them.

    \b
    Examples:
      search segment SEGMENT_ID --index ./idx
      search segment SEGMENT_ID --index ./idx --not OTHER_SEGMENT_ID
    """
    from search.engine import Searcher

    filters = _filters(
        path, (min_area, max_area), (since, until), (label, min_label_score), "segment"
    )
    with Searcher(index_) as searcher:
        hits = searcher.segment(
            *segment_ids,
            negatives=tuple(unlike or ()),
            limit=limit,
            offset=offset,
            filters=filters,
        )
    _show(hits, output, save, f"like {segment_ids[0]}", "segment")


def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("segsearch-demo"),
    *,
    photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Use these pictures, not drawn ones.")
    ] = None,
) -> None:
    """Draw pictures, index them with the demo models, search them, and show the hits.

    \b
    Examples:
      segsearch demo
      segsearch demo ./out --photos ./photos
    """
    from search.demo import run_demo

    malloc.keep_freed_memory()

    def show(title: str, hits: Sequence[Hit]) -> None:
        console.write(f"\nMost like {title}:")
        _write_hits(hits, Format.table, "segment")

    sheets = run_demo(folder, photos, Progress(quiet=False), show)
    console.write("")
    for sheet in sheets:
        console.write(f"open {sheet}")
    console.say(
        "The demo models only know drawn shapes. To find what is in photographs, use real ones: "
        "index FOLDER --profile balanced"
    )


def _filters(
    path: str | None,
    areas: tuple[float | None, float | None],
    days: tuple[datetime | None, datetime | None],
    labels: tuple[list[str] | None, float | None],
    by: By,
) -> Filters:
    """Return the filters; areas and days are the least and the most, labels names and score."""
    from search.filters import Filters

    first, last = (None if day is None else day.date() for day in days)
    names, score = labels
    filters = Filters(path, *areas, first, last, names or None, score)
    if by == "image":
        filters.check_for_images()  # before any model is loaded
    return filters


def _prompt(box: str | None, points: list[str], not_points: list[str]) -> Prompt | None:
    if box is None and not points and not not_points:
        return None
    corners = None if box is None else _box(box)
    on, beside = tuple(map(_point, points)), tuple(map(_point, not_points))
    from indexer.segmentation.segmenter import Prompt

    return Prompt(on, beside, corners)


def _read(picture: Path) -> NDArray[np.uint8]:
    from indexer import library

    if not picture.exists():
        raise QueryError(f"there is no picture {picture}", "check the spelling")
    try:
        return library.decode(library.read(picture)).pixels
    except PictureError as error:
        raise QueryError(f"{picture} cannot be used: {error.message}") from error


def _show(hits: list[Hit], output: Format, save: Path | None, title: str, by: By) -> None:
    _write_hits(hits, output, by)
    if save is not None:
        from search.render import save_hits

        for drawn in save_hits(hits, save, title):
            if drawn.file is None:
                console.say(f"not drawn: {console.readable(drawn.hit.path)}: {drawn.why}")
        console.say(f"open {save / 'index.html'}")


def _write_hits(hits: Sequence[Hit], output: Format, by: By) -> None:
    rows = [hit.to_plain() for hit in hits]
    if output is Format.table:
        for row, hit in zip(rows, hits, strict=True):
            row["path"] = console.short_path(hit.path)
    console.write_rows(rows, output, _COLUMNS if by == "segment" else _IMAGE_COLUMNS)


def segsearch() -> typer.Typer:
    """Return the command line with all commands."""
    app = typer.Typer(
        help="Find objects, not just photos.",
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog=console.EPILOG,
    )
    app.command()(indexer_cli.index)
    app.command()(indexer_cli.status)
    app.command()(indexer_cli.forget)
    app.add_typer(models_cli.models, name="models")
    app.command()(demo)
    app.add_typer(search, name="search")
    return app


def search_main() -> None:
    """Run the `search` command."""
    console.run(search)


def main() -> None:
    """Run the `segsearch` command."""
    console.run(segsearch())
