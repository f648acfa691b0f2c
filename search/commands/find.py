"""The commands that find: `search text`, `image`, `segment`, `like` and `scene`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from indexer import console
from indexer.console import Format, IndexOption
from search.commands import parsing
from search.commands.options import (
    ByOptions,
    DeviceOptions,
    FilterOptions,
    OutputOptions,
    PageOptions,
    PromptOptions,
    RankingOptions,
    with_bags,
)

if TYPE_CHECKING:
    from indexer.recipe import Recipe
    from search.asking import Look
    from search.hits import Answer, Hit
    from search.queries import Example, Query
    from search.scenes import SceneAnswer

By = Literal["segment", "image"]

_COLUMNS = {
    "relevance": "relevance",
    "score": "score",
    "z": "standard_score",
    "path": "path",
    "box": "box",
    "area": "area_fraction",
    "label": "label",
    "segment": "segment_id",
}
_IMAGE_COLUMNS = {
    "score": "score",
    "z": "standard_score",
    "path": "path",
    "segments": "n_segments",
    "image": "image_id",
}
_SCENE_COLUMNS = {"relevance": "relevance", "path": "path", "things": "things"}


@dataclass(frozen=True)
class ExampleOptions:
    """Examples of any kind."""

    text: Annotated[
        list[str] | None, typer.Option(metavar="WORDS", help="Like these words; repeatable.")
    ] = None
    image: Annotated[
        list[Path] | None, typer.Option(metavar="PICTURE", help="Like this picture; repeatable.")
    ] = None
    segment: Annotated[
        list[str] | None, typer.Option(metavar="SEGMENT_ID", help="Like this segment; repeatable.")
    ] = None
    not_text: Annotated[
        list[str] | None, typer.Option(metavar="WORDS", help="Unlike these words; repeatable.")
    ] = None
    not_image: Annotated[
        list[Path] | None, typer.Option(metavar="PICTURE", help="Unlike this one; repeatable.")
    ] = None
    not_segment: Annotated[
        list[str] | None, typer.Option(metavar="SEGMENT_ID", help="Unlike this one; repeatable.")
    ] = None

    def positives(self) -> tuple[Example, ...]:
        """Return what hits should be like."""
        return _examples(self.text, self.image, self.segment)

    def negatives(self) -> tuple[Example, ...]:
        """Return what hits should not be like."""
        return _examples(self.not_text, self.not_image, self.not_segment)


@with_bags
def text(
    words: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    index_: IndexOption,
    by: ByOptions,
    arranged: RankingOptions,
    narrow: FilterOptions,
    output: OutputOptions,
    device: DeviceOptions,
) -> None:
    """Find what a text describes.

    \b
    Examples:
      search text "red mug" --index ./idx
      search text "red mug" --index ./idx -k 5 --per-image 1 --format json
      search text "kitchen" --index ./idx --by image
      search text "red mug" --index ./idx --min-area 0.01 --save ./out --as cutout --as sheet
      search text "red" --index ./idx --label mug --min-label-score 0.5
      search text "boat" --index ./idx --glob '*.jpg' --since 2024-05-01 --near 48.2,16.4,25
    """
    from search.queries import Query, Text

    query, look = Query((Text(words),)), _look(arranged, narrow, by.by)
    _find((index_, device.device), query, look, output, words)


@with_bags
def image(
    picture: Annotated[Path, typer.Argument(help="The query picture.")],
    *,
    index_: IndexOption,
    where: PromptOptions,
    with_text: Annotated[
        str | None, typer.Option("--text", metavar="WORDS", help="And like these words as well.")
    ] = None,
    by: ByOptions,
    arranged: RankingOptions,
    narrow: FilterOptions,
    output: OutputOptions,
    device: DeviceOptions,
) -> None:
    """Find what looks like a picture, or like one object in it.

    \b
    Examples:
      search image q.jpg --index ./idx
      search image q.jpg --index ./idx --box 100,80,300,260
      search image q.jpg --index ./idx --point 120,200 --not-point 300,40
      search image q.jpg --index ./idx --mask-prompt rough.png
      search image q.jpg --index ./idx --box 100,80,300,260 --text "in red"
      search image q.jpg --index ./idx --by image -k 5
    """
    from search.queries import Picture, Query, Text

    prompt = where.prompt()
    examples: list[Example] = [Picture(parsing.picture(picture), prompt)]
    if with_text is not None:
        examples.append(Text(with_text))
    query, look = Query(tuple(examples)), _look(arranged, narrow, by.by)
    _find((index_, device.device), query, look, output, picture.name)


@with_bags
def segment(
    segment_ids: Annotated[list[str], typer.Argument(metavar="SEGMENT_ID...")],
    *,
    index_: IndexOption,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="SEGMENT_ID", help="A segment to be unlike; repeatable."),
    ] = None,
    arranged: RankingOptions,
    narrow: FilterOptions,
    output: OutputOptions,
) -> None:
    """Find what looks like segments of the index, as other searches have shown them.

    \b
    Examples:
      search segment SEGMENT_ID --index ./idx
      search segment SEGMENT_ID --index ./idx --not OTHER_SEGMENT_ID
    """
    from search.queries import Query, Stored

    query = Query(tuple(map(Stored, segment_ids)), tuple(map(Stored, unlike or ())))
    _find((index_, "auto"), query, _look(arranged, narrow), output, f"like {segment_ids[0]}")


@with_bags
def like(
    *,
    examples: ExampleOptions,
    index_: IndexOption,
    by: ByOptions,
    arranged: RankingOptions,
    narrow: FilterOptions,
    output: OutputOptions,
    device: DeviceOptions,
) -> None:
    """Find what is like several examples of any kind at once, and unlike others.

    Pictures and segments are averaged, and so are texts; a hit has to be like both averages.

    \b
    Examples:
      search like --image q.jpg --text "red" --index ./idx
      search like --segment SEGMENT_ID --image q.jpg --not-text "a drawing" --index ./idx
    """
    from search.queries import Query

    query = Query(examples.positives(), examples.negatives())
    look = _look(arranged, narrow, by.by)
    _find((index_, device.device), query, look, output, "the examples")


@with_bags
def scene(
    parts: Annotated[list[str], typer.Argument(metavar="THING...", help="What all is there.")],
    *,
    relation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'A HOW B'",
            help="HOW is left-of, right-of, above, below, inside or near; or 'at least 3 mugs'.",
        ),
    ] = None,
    index_: IndexOption,
    arranged: PageOptions,
    narrow: FilterOptions,
    output: OutputOptions,
    device: DeviceOptions,
) -> None:
    """Find pictures that show several things, lying to each other as asked.

    \b
    Examples:
      search scene "dog" "frisbee" --relation "dog left-of frisbee" --index ./idx
      search scene "at least 3 mugs" "table" --index ./idx --format json
    """
    from search.engine import Searcher
    from search.scenes import Scene, find_scene

    wanted, look = Scene.parse(parts, relation or ()), _look(arranged, narrow)
    with Searcher(index_, device.device) as searcher:
        found = find_scene(searcher, wanted, look)
        _show_scenes(found, output, " and ".join(parts), searcher.index.recipe)


def write_hits(hits: Sequence[Hit], output: Format, by: By) -> None:
    """Print hits to stdout."""
    rows = [hit.to_plain() for hit in hits]
    if output is Format.table:
        for row, hit in zip(rows, hits, strict=True):
            row["path"] = console.short_path(hit.path)
    console.write_rows(rows, output, _COLUMNS if by == "segment" else _IMAGE_COLUMNS)


def _look(arranged: PageOptions, narrow: FilterOptions, by: By = "segment") -> Look:
    from search.asking import Look

    return Look(arranged.limit, arranged.offset, narrow.filters(), by, arranged.ranking())


def _find(
    index: tuple[str, str], query: Query, look: Look, output: OutputOptions, title: str
) -> None:
    """Search an index with models on a device, and show what is found."""
    from search.engine import Searcher

    with Searcher(*index) as searcher:
        found = searcher.answer(query, look)
    write_hits(found, output.output, look.by)
    _say_why_not(found)
    _save(found, output, title, searcher.index.recipe)


def _say_why_not(found: Answer) -> None:
    if found.hits:
        return
    if found.nearest is None:
        console.say("nothing found")
        return
    console.say(
        f"nothing like that here: the nearest has a relevance of {found.nearest.relevance:.2f}, "
        f"not {found.least:.2f}; --all shows it"
    )


def _show_scenes(found: SceneAnswer, output: OutputOptions, title: str, recipe: Recipe) -> None:
    rows = [one.to_plain() for one in found.hits]
    if output.output is Format.table:
        for row, one in zip(rows, found.hits, strict=True):
            row["path"] = console.short_path(one.hits[0].path)
            row["things"] = "; ".join(
                f"{name} {','.join(map(str, hit.to_plain()['box']))}"
                for name, hits in one.things.items()
                for hit in hits
            )
    console.write_rows(rows, output.output, _SCENE_COLUMNS)
    if found.absent:
        console.say(f"nothing like that here: {', '.join(found.absent)}")
    elif not found.hits:
        console.say("no picture shows all of it so")
    _save([hit for one in found.hits for hit in one.hits], output, title, recipe)


def _save(hits: Sequence[Hit], output: OutputOptions, title: str, recipe: Recipe) -> None:
    if output.save is None:
        if output.kinds:
            raise typer.BadParameter("--as says what is written: add --save FOLDER")
        return
    from search.export.export import SAVED, save
    from search.export.kinds import FILES, Kind, Missing

    kinds = tuple(output.kinds or SAVED)
    written = save(hits, output.save, title, kinds, recipe=recipe)
    missing = {one.hit.path: one.why for one in written if isinstance(one, Missing)}
    for path, why in missing.items():
        console.say(f"not drawn: {console.readable(path)}: {why}")
    shown = output.save / FILES[Kind.sheet] if Kind.sheet in kinds else output.save
    console.say(f"open {shown}")
    if missing:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _examples(
    texts: list[str] | None, images: list[Path] | None, segments: list[str] | None
) -> tuple[Example, ...]:
    from search.queries import Picture, Stored, Text

    return (
        *(Text(words) for words in texts or ()),
        *(Picture(parsing.picture(path)) for path in images or ()),
        *(Stored(each) for each in segments or ()),
    )
