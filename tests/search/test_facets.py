"""What is in an index, and how many of each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from indexer.errors import QueryError
from indexer.index import Index
from indexer.records import Picture
from indexer.store.base import Filter, Match
from search.facets import facet, kind_of
from tests.search.handmade import Made, add, at, empty_index


def taken(at_: datetime | None, format_: str = "JPEG", camera: str | None = None) -> Picture:
    return Picture("0" * 64, 20, 10, format_, taken_at=at_, camera=camera)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    root = Path("/photos")
    mug = Made((0, 0, 9, 9), at(0), "mug", "vocabulary")
    part = Made((0, 0, 3, 3), at(1), "handle", "vocabulary", inside=0)
    plain = Made((5, 0, 9, 9), at(2))
    with empty_index(tmp_path_factory.mktemp("facets") / "index") as index:
        for names, picture, segments in (
            (("a.jpg", "a/b.jpg", "a/c.jpg"), taken(datetime(2023, 12, 31, 23, 59, 59)), [mug]),
            (("a/d.jpg",), taken(datetime(2024, 1, 1), camera="Canon R5"), [mug, part]),
            (("e.png",), taken(datetime(2024, 7, 1), "PNG"), [plain]),
            (("f.png",), taken(datetime(1, 1, 1), "PNG", "Kodak"), []),
            (("g.png",), taken(datetime(9999, 12, 31), "PNG"), []),
            (("h.png",), taken(None, "PNG"), [mug]),
        ):
            add(index, root, *names, vector=at(0), segments=segments, picture=picture)
        yield index


def test_labels_their_sources_and_depths(index: Index) -> None:
    labels = facet(index, "label")
    assert (labels.of, labels.counts, labels.without) == ("segments", {"mug": 3, "handle": 1}, 1)
    assert list(labels.counts) == ["mug", "handle"]
    sources = facet(index, "source")
    assert (sources.counts, sources.without) == ({"vocabulary": 4}, 1)
    depths = facet(index, "depth")
    assert (depths.counts, depths.without) == ({"0": 4, "1": 1}, 0)


def test_formats_and_cameras(index: Index) -> None:
    formats = facet(index, "format")
    assert (formats.of, list(formats.counts.items())) == ("images", [("PNG", 4), ("JPEG", 2)])
    cameras = facet(index, "camera")
    assert (cameras.counts, cameras.without) == ({"Canon R5": 1, "Kodak": 1}, 4)


def test_years_from_the_first_to_the_last_day(index: Index) -> None:
    years = facet(index, "year")
    expected = [("2024", 2), ("0001", 1), ("2023", 1), ("9999", 1)]
    assert (list(years.counts.items()), years.without) == (expected, 1)


def test_folders_count_files(index: Index) -> None:
    folders = facet(index, "folder")
    expected = [("/photos", 5), ("/photos/a", 3)]
    assert (folders.of, list(folders.counts.items()), folders.without) == ("files", expected, 0)


def test_only_what_a_filter_lets_through(index: Index) -> None:
    jpeg = Filter((Match("format", ("JPEG",)),))
    assert facet(index, "label", jpeg).counts == {"mug": 2, "handle": 1}
    assert facet(index, "year", jpeg).counts == {"2023": 1, "2024": 1}
    assert facet(index, "folder", jpeg).counts == {"/photos/a": 3, "/photos": 1}
    nothing = facet(index, "label", Filter((Match("format", ("GIF",)),)))
    assert (nothing.counts, nothing.without, nothing.to_plain()) == ({}, 0, [])


def test_rows(index: Index) -> None:
    assert facet(index, "label").to_plain() == [
        {"by": "label", "value": "mug", "of": "segments", "count": 3},
        {"by": "label", "value": "handle", "of": "segments", "count": 1},
        {"by": "label", "value": None, "of": "segments", "count": 1},
    ]


def test_what_is_half_written_does_not_count(index: Index) -> None:
    store, jpeg = index._store, Filter((Match("format", ("JPEG",)),))
    points = store.scroll("images", where=jpeg, vectors=True).points
    store.delete("images", jpeg)
    try:
        assert facet(index, "label").counts == {"mug": 1}
        assert facet(index, "folder").counts == {"/photos": 4}
    finally:
        store.upsert("images", points)


def test_what_cannot_be_counted() -> None:
    assert (kind_of("label"), kind_of("year")) == ("segments", "images")
    with pytest.raises(QueryError, match=r"nothing can be counted by 'colour'.*one of: label"):
        kind_of("colour")
