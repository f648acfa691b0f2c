"""Whatever is written as a query is understood or refused with a `QueryError`, and soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import date
from typing import Any, get_args

import hypothesis.strategies as st
import pytest
import typer
from hypothesis import HealthCheck, assume, example, given, settings

from indexer.errors import QueryError
from search import Searcher
from search.commands import parsing
from search.filters import Filters, Place
from search.globs import Glob
from search.queries import Text
from search.ranking import Ranking
from search.relations import Count, How, Relation, singular
from search.scenes import Scene

#: Longest that one query may take here, seconds of this process; most take a hundredth.
MOST_S = 5.0
few = settings(max_examples=120, derandomize=True, database=None, deadline=None)
on_index = settings(
    few, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
any_text = st.text(st.characters(), max_size=40)
pieces = st.sampled_from(
    [*get_args(How), "at least", "AT LEAST 3", "three", "٣", "9" * 5000, "0", "-1", "dog", "mugs",
     "İ", "ß", "ss", " ", "  ", "\n", "\t", "\0", "\u202e", "\x1b[31m", "\ud800", "\udcff", "'",
     '"', "<|endoftext|>", "&#x110000;", "AND", "NOT", "x" * 3000, " " * 3000]
)  # fmt: skip
sentences = st.lists(pieces | any_text, max_size=8).map(" ".join) | any_text
wild = st.lists(
    st.sampled_from(["*", "**", "**/", "?", "[", "]", "[!", "[a-z]", "[z-a]", "[]", "/", "..", ".",
                     "~", "~nobody", "\\", "a", "b", "\0", "\n", "\ud800", "\udcff", "(", "{", "$"])
    | any_text,
    max_size=30,
).map("".join)  # fmt: skip
numbers = (
    st.floats()
    | st.integers()
    | st.sampled_from([10**30, -(10**30), 2**31, 2**63, 2**64, 1e308, 5e-324, -0.0])
)
wholes = st.integers() | st.sampled_from([10**30, 2**31, 2**32, 2**63, 2**64, -(2**63)])


@contextmanager
def understood_or_refused() -> Iterator[None]:
    """Allow one kind of error, and little time."""
    began = time.process_time()
    with suppress(QueryError):
        yield
    assert time.process_time() - began < MOST_S


@pytest.mark.parametrize(
    "read", [Count.parse, Relation.parse, Text, singular, lambda text: Scene.parse([text])]
)
@few
@given(sentences)
@example("at least " + "9" * 100_000 + " dogs")
@example("a" + " " * 100_000 + "b left-of")
@example("a near " * 5000 + "\n")
@example("\ud800 near \udcff")
def test_words(read: Callable[[str], object], text: str) -> None:
    with understood_or_refused():
        read(text)


@few
@given(st.lists(sentences, max_size=4), st.lists(sentences, max_size=4))
def test_scenes(parts: list[str], relations: list[str]) -> None:
    with understood_or_refused():
        scene = Scene.parse(parts, relations)
        assert scene.things
        assert {one.thing for one in scene.relations} <= scene.things.keys()


names = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), min_size=1)


@few
@given(names, st.sampled_from(get_args(How)), names, st.integers(2, 100))
def test_what_is_written_out_is_read_again(thing: str, how: How, other: str, number: int) -> None:
    assume(thing.casefold() != other.casefold())
    relation = Relation.parse(f" {thing}  {how}\t{other} ")
    assert relation == Relation(thing, how, other)
    assert Relation.parse(f"{relation.thing} {relation.how} {relation.other}") == relation
    count = Count.parse(f"at least {number} {thing}s")
    assert count == Count(singular(f"{thing}s"), number)
    assert Count.parse(f"at least {count.number} {count.thing}").number == number


@pytest.mark.parametrize("read", [parsing.point, parsing.box, parsing.colour])
@few
@given(st.text("0123456789,.-+eE#naifx٣ ", max_size=40) | any_text)
@example("nan,inf")
@example("1e400,0,0,0")
def test_points_boxes_and_colours(read: Callable[[str], object], text: str) -> None:
    with suppress(typer.BadParameter):
        read(text)


@few
@given(wild, st.text("/ab.\n", max_size=60))
@example("/" + "*a" * 40 + "b", "/" + "a" * 300)
@example("*a" * 40 + "b", "a" * 300)
@example("/" + "[" * 4000, "/x")
@example("*" * 4000, "/x")
@example("/**/" * 900 + "x", "/" + "a/" * 200)
@example("[a-" * 1000, "x")
@example("/x" * 30_000, "x")
def test_patterns(pattern: str, path: str) -> None:
    with understood_or_refused():
        Glob(pattern).matcher()("/" + path)


words = st.none() | sentences | st.lists(sentences, max_size=3)
places = st.builds(lambda *given: given, numbers, numbers, numbers)
anything: dict[str, st.SearchStrategy[Any]] = {
    "path": wild,
    "glob": wild,
    **dict.fromkeys(("min_area", "max_area", "min_label_score"), numbers),
    **dict.fromkeys(("min_depth", "max_depth", "min_size", "max_size"), wholes),
    **dict.fromkeys(("since", "until"), st.dates(date.min, date.max)),
    "near": places,
    **dict.fromkeys(("format", "camera", "label"), words),
}
filters = st.fixed_dictionaries({}, optional=anything).filter(
    lambda given: not any(str(given.get(name, "")).startswith("s3:") for name in ("path", "glob"))
)


def test_every_filter_is_tried() -> None:
    assert set(anything) == {field.name for field in fields(Filters)}


def made(given: dict[str, Any]) -> Filters:
    near = given.get("near")
    return Filters(**{**given, "near": None if near is None else Place(*near)})


@on_index
@given(filters)
@example({"near": (0.0, 0.0, 1e308)})
@example({"min_depth": 10**30})
@example({"path": "~nobody/x"})
@example({"label": "\udcff"})
@example({"since": date.min, "until": date.max})
def test_filters(searcher: Searcher, given: dict[str, Any]) -> None:
    for each in ({name: value} for name, value in given.items()):
        with understood_or_refused():
            list(searcher.everything(made(each)))
    with understood_or_refused():
        searcher.image_page(made(given).of_images(), 5)
    with understood_or_refused():
        searcher.facet("year", made(given))


@on_index
@given(sentences, filters)
@example("\udcff", {})
def test_whole_queries(searcher: Searcher, text: str, given: dict[str, Any]) -> None:
    with understood_or_refused():
        searcher.text(text, limit=5, ranking=Ranking(None))
    with understood_or_refused():
        searcher.scene(Scene.parse([text], []), limit=5, filters=made(given))


pages = st.fixed_dictionaries({}, optional={"limit": wholes, "offset": wholes})
rankings = st.fixed_dictionaries(
    {}, optional={"least": numbers, "per_image": wholes, "diversity": numbers}
)


@on_index
@given(pages, rankings)
@example({"limit": 10**30, "offset": 10**30}, {"least": None})
@example({"limit": 10**30}, {"least": None, "per_image": 10**30})
@example({}, {"least": float("nan")})
@example({}, {"least": float("-inf"), "diversity": 1.0})
def test_pages(searcher: Searcher, page: dict[str, Any], ranking: dict[str, Any]) -> None:
    with understood_or_refused():
        searcher.text("red", **page, ranking=Ranking(**ranking))
