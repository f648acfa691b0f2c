from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from indexer.errors import QueryError
from indexer.index import Index
from indexer.records import Picture
from indexer.store.base import AnyOf, Filter, Match, Near, Prefix, Range
from search import Filters, Place
from search.asking import Asker, By, Look
from search.queries import Part
from search.ranking import UNCUT
from tests.search.handmade import Made, add, at, empty_index

VIENNA = Place(48.2, 16.4, 25)


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
        (Filters(min_depth=0), "depth"),
        (Filters(max_depth=3), "depth"),
    ],
)
def test_whole_pictures_have_neither_area_nor_depth_nor_label(filters: Filters, what: str) -> None:
    with pytest.raises(QueryError, match=f"whole pictures have no {what} to filter by"):
        filters.check_for_images()
    of_pictures = Filters(
        "2024", "*.png", since=date(2024, 5, 1), near=VIENNA, format="PNG", camera="X", min_size=1
    )
    of_pictures.check_for_images()


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


@pytest.mark.parametrize(
    ("filters", "conditions"),
    [
        (Filters(min_depth=1), [Range("depth", gte=1)]),
        (Filters(min_depth=0, max_depth=0), [Range("depth", gte=0, lte=0)]),
        (Filters(near=VIENNA), [Near("gps", 48.2, 16.4, 25_000)]),
        (Filters(format="jpg"), [Match("format", ("JPEG",))]),
        (Filters(format=("png", "TIF", "heic")), [Match("format", ("PNG", "TIFF", "HEIF"))]),
        (Filters(camera="Canon"), [AnyOf((Prefix("camera", "Canon"),))]),
        (Filters(camera=["A", "B"]), [AnyOf((Prefix("camera", "A"), Prefix("camera", "B")))]),
        (Filters(min_size=10), [Range("width", gte=10), Range("height", gte=10)]),
        (Filters(max_size=20), [Range("width", lte=20), Range("height", lte=20)]),
        (
            Filters(min_size=10, max_size=10),
            [Range("width", gte=10, lte=10), Range("height", gte=10, lte=10)],
        ),
        (Filters(until=date(1999, 1, 1)), [Range("taken_at", lte="1999-01-01T23:59:59.999999Z")]),
    ],
)
def test_what_the_store_is_asked(filters: Filters, conditions: list[object]) -> None:
    assert list(filters.to_store({}).must) == conditions
    assert filters.paths_to_store({}) == Filter()


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters(min_area=0.5, max_area=0.4), r"area range from 0\.5 to 0\.4 is empty"),
        (Filters(min_depth=2, max_depth=1), "depth range from 2 to 1 is empty"),
        (Filters(min_size=2, max_size=1), "size range from 2 to 1 is empty"),
        (
            Filters(since=date(2024, 1, 2), until=date(2024, 1, 1)),
            "date range from 2024-01-02 to 2024-01-01 is empty",
        ),
        (Filters(min_depth=-1), "no depth is -1"),
        (Filters(max_depth=math.nan), "no depth is nan"),  # type: ignore[arg-type]
        (Filters(min_size=-5), "no width is -5"),
        (Filters(max_size=math.inf), "no width is inf"),  # type: ignore[arg-type]
        (Filters(format=[]), "the list of formats is empty"),
        (Filters(camera=()), "the list of cameras is empty"),
    ],
)
def test_filters_that_let_nothing_through(filters: Filters, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        filters.to_store({})


@pytest.mark.parametrize(
    "place", [(91, 0, 1), (0, -181, 1), (0, 0, 0), (0, 0, float("inf")), (float("nan"), 0, 1)]
)
def test_places_that_are_none(place: tuple[float, float, float]) -> None:
    with pytest.raises(QueryError, match="km are no place"):
        Place(*place)


def test_a_pattern_is_a_prefix_for_the_store(tmp_path: Path) -> None:
    roots = {"root": tmp_path}
    (folder,) = Filters(glob=f"{tmp_path}/a/*.png").to_store(roots).must
    assert folder == AnyOf((Prefix("paths", "root/a/"),))
    (begun,) = Filters(glob=f"{tmp_path}/a?/*.png").paths_to_store(roots).must
    assert begun == AnyOf((Prefix("paths", "root/a"),))
    assert Filters(glob="*.png").to_store(roots) == Filter()
    with pytest.raises(QueryError, match="elsewhere lies outside the library"):
        Filters(glob="/elsewhere/*.png").to_store(roots)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Three pictures that differ in everything that can be filtered by."""
    folder = tmp_path_factory.mktemp("filters")
    zero = "0" * 64
    new = datetime(2024, 5, 1, 12)
    pictures = {
        "vienna.jpg": Picture(zero, 40, 30, "JPEG", 1, new, "Canon R5", (48.2, 16.37)),
        "linz.jpg": Picture(zero, 30, 20, "JPEG", 1, datetime(1999, 1, 1), "Kodak", (48.3, 14.29)),
        "nowhere.png": Picture(zero, 20, 10, "PNG"),
    }
    with empty_index(folder / "index") as index:
        for i, (name, picture) in enumerate(pictures.items()):
            whole = Made((0, 0, 10, 10), at(10 * i), "mug", "vocabulary")
            part = Made((0, 0, 2, 2), at(10 * i + 5), inside=0)
            add(index, folder, name, vector=at(10 * i), segments=[whole, part], picture=picture)
        yield index


@pytest.mark.parametrize("by", ["segment", "image"])
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(format="jpg"), {"vienna.jpg", "linz.jpg"}),
        (Filters(format=("PNG", "GIF")), {"nowhere.png"}),
        (Filters(camera="Canon"), {"vienna.jpg"}),
        (Filters(camera=("Ko", "Canon R5")), {"vienna.jpg", "linz.jpg"}),
        (Filters(camera="R5"), set()),
        (Filters(near=VIENNA), {"vienna.jpg"}),
        (Filters(near=Place(48.2, 16.4, 200)), {"vienna.jpg", "linz.jpg"}),
        (Filters(min_size=20), {"vienna.jpg", "linz.jpg"}),
        (Filters(max_size=30), {"linz.jpg", "nowhere.png"}),
        (Filters(min_size=20, max_size=30), {"linz.jpg"}),
        (Filters(since=date(2000, 1, 1)), {"vienna.jpg"}),
        (Filters(glob="*n*.jpg", max_size=30), {"linz.jpg"}),
    ],
)
def test_what_an_index_finds(index: Index, by: By, filters: Filters, found: set[str]) -> None:
    assert {name for name, _ in _found(index, filters, by)} == found


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(max_depth=0), {("linz.jpg", 100), ("vienna.jpg", 100), ("nowhere.png", 100)}),
        (Filters(min_depth=1, format="PNG"), {("nowhere.png", 4)}),
        (Filters(min_area=0.1), {("linz.jpg", 100), ("nowhere.png", 100)}),
        (Filters(max_area=0.004), {("vienna.jpg", 4)}),
        (Filters(label="mug", camera="Kodak"), {("linz.jpg", 100)}),
        (Filters(min_label_score=0.51), set()),
    ],
)
def test_which_segments_an_index_finds(
    index: Index, filters: Filters, found: set[tuple[str, int]]
) -> None:
    assert _found(index, filters, "segment") == found


def _found(index: Index, filters: Filters, by: By) -> set[tuple[str, int]]:
    look = Look(filters=filters, by=by, ranking=UNCUT)
    return {
        (hit.path.name, 0 if hit.segment is None else hit.segment.region.area_px)
        for hit in Asker(index).answer([Part(at(0), "picture")], look, None)
    }
