from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from indexer.errors import QueryError
from indexer.store.base import AnyOf, Filter, Match, Prefix, Range
from search import Filters


def test_no_conditions() -> None:
    assert Filters().to_store({}) == Filter()


def test_days_are_whole() -> None:
    given = Filters(since=date(2024, 5, 1), until=date(2024, 5, 31)).to_store({})
    whole = Range("taken_at", gte="2024-05-01T00:00:00Z", lte="2024-05-31T23:59:59.999999Z")
    assert given == Filter((whole,))


def test_an_area_without_an_end() -> None:
    assert Filters(min_area=0.1).to_store({}) == Filter((Range("area_fraction", gte=0.1),))


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), float("inf")])
def test_an_area_is_a_share(share: float) -> None:
    with pytest.raises(QueryError, match="give a share from 0 to 1"):
        Filters(max_area=share).to_store({})


@pytest.mark.parametrize(
    ("label", "stored"),
    [("mug", ("mug",)), (["mug", "Tasse"], ("mug", "Tasse")), (("a,b",), ("a,b",))],
)
def test_any_of_some_labels(label: str | list[str], stored: tuple[str, ...]) -> None:
    assert Filters(label=label).to_store({}) == Filter((Match("label", stored),))


def test_no_label_at_all() -> None:
    with pytest.raises(QueryError, match="the list of labels is empty"):
        Filters(label=[]).to_store({})


def test_how_sure_the_detector_was() -> None:
    given = Filters(label="mug", min_label_score=0.5, min_area=0.1).to_store({})
    area, score = Range("area_fraction", gte=0.1), Range("label_score", gte=0.5)
    assert given == Filter((area, Match("label", ("mug",)), score))


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan")])
def test_a_score_is_a_share(score: float) -> None:
    with pytest.raises(QueryError, match="give one from 0 to 1"):
        Filters(min_label_score=score).to_store({})


@pytest.mark.parametrize(
    ("filters", "what"),
    [
        (Filters(min_area=0.0), "area"),
        (Filters(max_area=1.0), "area"),
        (Filters(label="mug"), "label"),
        (Filters(min_label_score=0.0), "label"),
    ],
)
def test_whole_pictures_have_neither_area_nor_label(filters: Filters, what: str) -> None:
    with pytest.raises(QueryError, match=f"whole pictures have no {what} to filter by"):
        filters.check_for_images()
    Filters("2024", since=date(2024, 5, 1)).check_for_images()


def test_a_link_is_meant_as_it_is_named_and_where_it_leads(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    (tmp_path / "way in").symlink_to(inside)
    roots = {"root": inside}

    def prefixes(path: Path) -> list[str]:
        (condition,) = Filters(path=path).to_store(roots).must
        assert isinstance(condition, AnyOf)
        return [one.value for one in condition.conditions if isinstance(one, Prefix)]

    assert prefixes(inside / "link") == ["root/link/"]
    assert prefixes(tmp_path / "way in" / "x.png") == ["root/x.png"]
    with pytest.raises(QueryError, match="outside lies outside the library"):
        prefixes(outside)
