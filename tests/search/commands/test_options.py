"""Bags of options: what typer sees of them, and what the command gets."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from search import Filters, Place, Ranking
from search.commands.options import (
    ByOptions,
    DeviceOptions,
    FilterOptions,
    OutputOptions,
    RankingOptions,
    with_bags,
)

runner = CliRunner()


@dataclass(frozen=True)
class Size:
    """A bag of this test."""

    width: Annotated[int, typer.Option("-w", "--width", min=1, help="How wide.")] = 3
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Its tags.")] = None


@dataclass(frozen=True)
class Mode:
    """Another one, with a field that is named like a parameter of the command."""

    mode: Annotated[str, typer.Option(help="Which mode.")] = "plain"


def app(command: Callable[..., None]) -> typer.Typer:
    made = typer.Typer(rich_markup_mode=None)
    made.command()(command)
    return made


@with_bags
def draw(
    name: Annotated[str, typer.Argument(help="Whose.")],
    *,
    loud: Annotated[bool, typer.Option("--loud", help="Not quietly.")] = False,
    size: Size,
    mode: Mode,
) -> None:
    """Draw something."""
    typer.echo(json.dumps([name, loud, asdict(size), asdict(mode)]))


def drawn(*arguments: str) -> list[Any]:
    done = runner.invoke(app(draw), list(arguments))
    assert done.exit_code == 0, done.output
    values: list[Any] = json.loads(done.output)
    return values


def test_without_options_a_bag_has_its_defaults() -> None:
    assert drawn("x") == ["x", False, {"width": 3, "tags": None}, {"mode": "plain"}]


def test_values_arrive_in_their_bags() -> None:
    given = drawn("--mode", "fine", "x", "-w", "5", "--tag", "a", "--tag", "b", "--loud")
    assert given == ["x", True, {"width": 5, "tags": ["a", "b"]}, {"mode": "fine"}]


def test_help_shows_all_options_in_their_order() -> None:
    shown = runner.invoke(app(draw), ["--help"]).output
    places = [shown.index(word) for word in ("--loud", "-w, --width", "--tag", "--mode")]
    assert places == sorted(places)
    assert "How wide." in shown
    assert "[default: 3; x>=1]" in shown
    assert "--size" not in shown
    assert draw.__name__ == "draw"
    assert draw.__doc__ == "Draw something."


@pytest.mark.parametrize("arguments", [["x", "-w", "0"], ["x", "--size", "3"], ["x", "-w", "a"]])
def test_what_typer_refuses(arguments: list[str]) -> None:
    assert runner.invoke(app(draw), arguments).exit_code == 2


def asked(*arguments: str) -> tuple[Filters, Ranking]:
    """What the options of a search become."""
    got: list[tuple[Filters, Ranking]] = []

    @with_bags
    def find(
        *,
        by: ByOptions,
        arranged: RankingOptions,
        narrow: FilterOptions,
        output: OutputOptions,
        device: DeviceOptions,
    ) -> None:
        assert (by, output, device) == (ByOptions(), OutputOptions(), DeviceOptions())
        got.append((narrow.filters(), arranged.ranking()))

    done = runner.invoke(app(find), list(arguments))
    assert done.exit_code == 0, done.output
    (one,) = got
    return one


def test_no_options_are_the_defaults_of_the_python_api() -> None:
    assert asked() == (Filters(), Ranking())


def test_every_filter() -> None:
    written = """
        --path a --glob *.png --min-area 0.1 --max-area 0.9 --min-depth 1 --max-depth 2
        --since 2024-05-01 --until 2024-06-01 --near 48.2,-16.4,25
        --image-format jpg --image-format PNG --camera Canon --label mug --label cup
        --min-label-score 0.5 --min-size 100 --max-size 200
    """
    filters, _ = asked(*shlex.split(written))
    assert filters == Filters(
        path="a",
        glob="*.png",
        min_area=0.1,
        max_area=0.9,
        min_depth=1,
        max_depth=2,
        since=date(2024, 5, 1),
        until=date(2024, 6, 1),
        near=Place(48.2, -16.4, 25),
        format=["jpg", "PNG"],
        camera=["Canon"],
        label=["mug", "cup"],
        min_label_score=0.5,
        min_size=100,
        max_size=200,
    )


def test_every_way_to_arrange() -> None:
    _, ranking = asked("--min-relevance", "2", "--nested", "--per-image", "3", "--diversity", "0.5")
    assert ranking == Ranking(2, nested=True, per_image=3, diversity=0.5)
    assert asked("--all")[1] == Ranking(None)
    assert asked("--min-relevance", "0")[1] == Ranking(0)
