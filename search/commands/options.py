"""Options that many commands share, as bags: a command takes a bag, typer sees its options.

::

    @app.command()
    @with_bags
    def text(words: str, *, narrow: FilterOptions, output: OutputOptions) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from indexer.console import DeviceOption, Format, FormatOption
from search.commands import parsing
from search.export.kinds import Kind

if TYPE_CHECKING:
    from indexer.records import Box
    from indexer.segmentation.segmenter import Prompt
    from search.filters import Filters
    from search.ranking import Ranking

#: Most hits at once: beyond that, exporting is the better tool.
MAX_HITS = 1_000_000
_DAY = ["%Y-%m-%d"]
_PLACE = "LAT,LON,KM"


def with_bags(command: Callable[..., None]) -> Callable[..., None]:
    """Let typer see the fields of a command's bags as options, and hand them over as bags."""
    hints = get_type_hints(command, include_extras=True)
    given = inspect.signature(command).parameters
    bags = {name: hints[name] for name in given if is_dataclass(hints[name])}
    flat: list[inspect.Parameter] = []
    for name, parameter in given.items():
        if name in bags:
            flat += _parameters(bags[name])
        else:
            flat.append(parameter.replace(annotation=hints[name]))

    @functools.wraps(command)
    def called(**values: Any) -> None:  # noqa: ANN401
        for name, bag in bags.items():
            values[name] = bag(**{field.name: values.pop(field.name) for field in fields(bag)})
        command(**values)

    called.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in flat}
    return called


@dataclass(frozen=True)
class CountFilterOptions:
    """What is counted or compared; see `search.filters.Filters`."""

    path: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX", help="Only pictures in this folder, or whose path so begins."
        ),
    ] = None
    min_area: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least share of the picture covered.")
    ] = None
    max_area: Annotated[
        float | None, typer.Option(min=0, max=1, help="Largest share of the picture covered.")
    ] = None
    min_depth: Annotated[
        int | None, typer.Option(min=0, help="Only parts: with so many segments around them.")
    ] = None
    max_depth: Annotated[
        int | None, typer.Option(min=0, help="0: only what no other segment contains.")
    ] = None
    since: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="First day the picture was taken.")
    ] = None
    until: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Last day the picture was taken.")
    ] = None
    near: Annotated[
        str | None, typer.Option(metavar=_PLACE, help="Taken within KM kilometres of there.")
    ] = None
    file_format: Annotated[
        list[str] | None,
        typer.Option("--image-format", metavar="NAME", help="Only JPEG, PNG, …; repeatable."),
    ] = None
    camera: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="How maker and model begin; repeatable."),
    ] = None
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only what is called so; repeatable.")
    ] = None
    min_label_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="How sure the label is at least.")
    ] = None
    min_size: Annotated[
        int | None, typer.Option(min=1, help="Least length of the picture's shorter side, pixels.")
    ] = None
    max_size: Annotated[
        int | None, typer.Option(min=1, help="Most length of its longer side, pixels.")
    ] = None

    def filters(self) -> Filters:
        """Return them as the Python API takes them.

        Raises:
            QueryError: the place makes no sense.
        """
        from search.filters import Filters

        return Filters(
            path=self.path,
            min_area=self.min_area,
            max_area=self.max_area,
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            since=None if self.since is None else self.since.date(),
            until=None if self.until is None else self.until.date(),
            near=None if self.near is None else _place(self.near),
            format=self.file_format or None,
            camera=self.camera or None,
            label=self.label or None,
            min_label_score=self.min_label_score,
            min_size=self.min_size,
            max_size=self.max_size,
        )


@dataclass(frozen=True)
class FilterOptions(CountFilterOptions):
    """What hits are narrowed to; see `search.filters.Filters`."""

    glob: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN", help="Only pictures whose path matches: '*.png', 'a/**/b*'."
        ),
    ] = None

    def filters(self) -> Filters:
        """Return them as the Python API takes them; see `CountFilterOptions.filters`."""
        return replace(super().filters(), glob=self.glob)


@dataclass(frozen=True)
class PageOptions:
    """How relevant hits are, and how many; see `search.ranking.Ranking`."""

    limit: Annotated[
        int, typer.Option("-k", "--limit", min=1, max=MAX_HITS, help="Number of hits at most.")
    ] = 20
    offset: Annotated[
        int, typer.Option(min=0, max=MAX_HITS, help="Hits to leave out at the top.")
    ] = 0
    all_: Annotated[bool, typer.Option("--all", help="Show the nearest, however irrelevant.")] = (
        False
    )
    least: Annotated[
        float | None,
        typer.Option(
            "--min-relevance",
            help="What the best hit must have.",
            show_default="by the number of segments",
        ),
    ] = None
    nested: Annotated[
        bool, typer.Option("--nested", help="Keep hits inside, or around, better hits.")
    ] = False

    def ranking(self) -> Ranking:
        """Return them as the Python API takes them."""
        from search.ranking import Ranking

        if self.all_ and self.least is not None:
            raise typer.BadParameter("--all shows everything: leave --min-relevance out")
        if self.all_:
            return Ranking(None, self.nested)
        return Ranking("auto" if self.least is None else self.least, self.nested)


@dataclass(frozen=True)
class RankingOptions(PageOptions):
    """How hits are arranged; see `search.ranking.Ranking`."""

    per_image: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Most hits of one picture.")
    ] = None
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="How much hits should differ from each other.")
    ] = 0.0

    def ranking(self) -> Ranking:
        """Return them as the Python API takes them."""
        return replace(super().ranking(), per_image=self.per_image, diversity=self.diversity)


@dataclass(frozen=True)
class PromptOptions:
    """Where the object lies in a picture; see `indexer.segmentation.segmenter.Prompt`."""

    box: Annotated[
        str | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="The object lies in this box (pixels)."),
    ] = None
    point: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A pixel on the object; repeatable.")
    ] = None
    not_point: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A pixel beside it; repeatable.")
    ] = None
    mask_prompt: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE",
            help="Roughly where it is, of the picture's size: bright on dark, or opaque.",
        ),
    ] = None

    def prompt(self) -> Prompt | None:
        """Return the prompt, or None where nothing is said; reads the rough mask.

        Raises:
            QueryError: it does not say what to cut out, or the mask cannot be read.
            typer.BadParameter: a point or the box is not of its form.
        """
        if not any((self.box, self.point, self.not_point, self.mask_prompt)):
            return None
        on, beside, around = self.places()
        from indexer.segmentation.segmenter import Prompt

        mask = None if self.mask_prompt is None else parsing.mask(self.mask_prompt)
        return Prompt(on, beside, around, mask=mask)

    def places(self) -> tuple[tuple[parsing.XY, ...], tuple[parsing.XY, ...], Box | None]:
        """Return the points on the object, those beside it, and the box.

        Raises:
            typer.BadParameter: one is not of its form.
        """
        on, beside = map(parsing.point, self.point or []), map(parsing.point, self.not_point or [])
        return tuple(on), tuple(beside), None if self.box is None else parsing.box(self.box)


@dataclass(frozen=True)
class OutputOptions:
    """Where hits go."""

    output: FormatOption = Format.table
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the hits as pictures, and a contact sheet."),
    ] = None
    kinds: Annotated[
        list[Kind] | None,
        typer.Option(
            "--as", help="What to write there; repeatable.", show_default="overlay, sheet"
        ),
    ] = None


@dataclass(frozen=True)
class ByOptions:
    """What is ranked."""

    by: Annotated[
        Literal["segment", "image"], typer.Option(help="Rank segments, or whole pictures.")
    ] = "segment"


@dataclass(frozen=True)
class DeviceOptions:
    """Where models run."""

    device: DeviceOption = "auto"


@functools.cache
def _parameters(bag: type) -> tuple[inspect.Parameter, ...]:
    hints = get_type_hints(bag, include_extras=True)
    return tuple(
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(bag)
    )


def _place(text: str) -> Any:  # noqa: ANN401 - a `Place`, whose module --help does not load
    from search.filters import Place

    try:
        latitude, longitude, radius_km = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not of the form {_PLACE}") from None
    return Place(latitude, longitude, radius_km)
