from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import IndexNotFound, RecipeMismatch
from indexer.index import Index
from indexer.recipe import Recipe
from indexer.records import (
    Failure,
    File,
    Image,
    Picture,
    Region,
    Rle,
    Segment,
    Status,
    image_id,
    segment_id,
)
from indexer.store.base import Filter, HasId, Match, Vector
from indexer.store.edge import EdgeStore

RECIPE = Recipe({"dim": 3, "model": "none"}, {"model": "none"}, {"profile": {}})
#: The upper left 2×2 pixels of a picture 4 wide and 3 high.
CORNER = Region(Rle((3, 4), "02106"), (0, 0, 2, 2), 4, 0.9, 0.8, point=(1.0, 1.0))


def unit(*numbers: float) -> Vector:
    vector = np.asarray(numbers, dtype=np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def records(name: str, *vectors: Vector, paths: tuple[str, ...]) -> tuple[Image, list[Segment]]:
    picture = Picture(
        name * 64, 4, 3, "PNG", 1, datetime(2024, 5, 1, 10, 30), "Canon R5", (48.2, 16.4)
    )
    image = image_id(picture.sha256)
    segments = [
        Segment(
            segment_id(image, "recipe", i),
            image,
            CORNER,
            None,
            paths,
            picture.taken_at,
            picture.gps,
            picture.format,
            picture.camera,
            vector,
        )
        for i, vector in enumerate(vectors)
    ]
    indexed = datetime(2026, 1, 2, tzinfo=UTC)
    return Image(image, picture, paths, len(segments), indexed, unit(1, 1, 1)), segments


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    store = EdgeStore(tmp_path / "index")
    store.create(RECIPE.to_plain(), RECIPE.dim)
    yield store
    store.close()


@pytest.fixture
def index(store: EdgeStore) -> Index:
    return Index(store, "here")


def test_there_must_be_an_index(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "nothing")
    with pytest.raises(IndexNotFound, match="no index at here"):
        Index(store, "here")
    store.close()


def test_an_index_of_another_format_is_refused(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "index")
    store.create({**RECIPE.to_plain(), "format": 99}, 3)
    with pytest.raises(RecipeMismatch, match="format 99"):
        Index(store, "here")
    store.close()


def test_records_come_back_as_they_were_written(index: Index) -> None:
    image, segments = records("a", unit(1, 0, 0), unit(0, 1, 0), paths=("r/x.png",))
    child = replace(
        segments[1], parent_id=segments[0].id, region=replace(CORNER, parent=0, depth=1)
    )
    index.write_image(image, [segments[0], child])
    (read,) = index.images([image.id], vectors=True)
    assert replace(read, vector=None).__dict__ == replace(image, vector=None).__dict__
    assert read.vector is not None
    assert read.vector.tolist() == pytest.approx([3**-0.5] * 3, abs=1e-6)
    first, second = index.segments([segments[0].id, child.id])
    assert first.__dict__ == replace(segments[0], vector=None).__dict__
    assert second.parent_id == segments[0].id
    assert second.region == replace(child.region, parent=None)


def test_files_and_failures(index: Index) -> None:
    good = File("root", "a.png", 10, 1_700_000_000_123_456_789, image_id=image_id("a" * 64))
    bad = File("root", "b.png", 0, 5, failure=Failure("empty", "the file is empty", False))
    index.write_file(good)
    index.write_file(bad)
    assert index.files("root", ["a.png", "b.png", "c.png"]) == {"a.png": good, "b.png": bad}
    assert list(index.failures()) == [bad]
    assert index.status() == Status(files=2, images=0, segments=0, failed=1)


def test_forgetting_what_will_be_tried_again(index: Index) -> None:
    for path, retryable in (("x/a.png", True), ("x/b.png", False), ("xy/a.png", True)):
        index.write_file(File("r", path, 0, 0, failure=Failure("vanished", "gone", retryable)))
    index.forget_retryable("r", "x")
    assert [file.path for file in index.failures()] == ["x/b.png", "xy/a.png"]
    index.forget_retryable("r", "")
    assert [file.path for file in index.failures()] == ["x/b.png"]


def test_search_ranks_segments(index: Index) -> None:
    image, segments = records("a", unit(1, 0, 0), unit(1, 1, 0), paths=("r/x.png",))
    index.write_image(image, segments)
    found = index.search(unit(0, 1, 0))
    assert [one.segment.id for one in found] == [segments[1].id, segments[0].id]
    assert [one.score for one in found] == pytest.approx([0.7071, 0.0], abs=1e-4)
    assert found[0].image.id == image.id


def test_vectors_that_are_known_are_not_read_again(index: Index) -> None:
    image, segments = records("a", unit(1, 0, 0), unit(1, 1, 0), paths=("r/x.png",))
    index.write_image(image, segments)
    found = index.nearest("segments", unit(0, 1, 0))
    assert found.ids == (segments[1].id, segments[0].id)
    known = {found.ids[0]: found.vectors[0]}
    pairs = index.segments_in_images(found.ids, vectors=known)
    assert [segment.id for segment, _ in pairs] == list(found.ids)
    assert pairs[0][0].vector is known[found.ids[0]]
    assert pairs[1][0].vector is None
    assert pairs[0][1] is pairs[1][1]


def test_nothing_of_an_image_shows_before_its_record(index: Index, store: EdgeStore) -> None:
    """The state that a kill between the two writes leaves."""
    image, segments = records("a", unit(1, 0, 0), paths=("r/x.png",))
    other, others = records("b", unit(0, 1, 0), paths=("r/y.png",))
    index.write_image(image, segments)
    index.write_image(other, others)
    store.delete("images", Filter((HasId((image.id,)),)))
    assert [one.image.id for one in index.search(unit(1, 0, 0), limit=1)] == [other.id]
    assert index.segments([segments[0].id]) == []
    assert index.segments_of(image.id) == []
    assert index.status().segments == 1
    assert [segment.id for segment, _ in index.all_segments()] == [others[0].id]
    assert index.count("segments") == 1
    assert index.facet("segments", "image_id") == {other.id: 1}


def labelled(label: str, image: str, *vectors: Vector) -> tuple[Image, list[Segment]]:
    picture, segments = records(image, *vectors, paths=(f"r/{image}.png",))
    region = replace(CORNER, label=label, label_score=0.5, label_source="detector")
    return picture, [replace(segment, region=region) for segment in segments]


def test_counts_leave_out_what_is_half_written(index: Index, store: EdgeStore) -> None:
    for name, label, number in (("a", "mug", 3), ("b", "mug", 2), ("c", "cup", 1)):
        index.write_image(*labelled(label, name, *[unit(1, 0, 0)] * number))
    mugs = Filter((Match("label", ("mug",)),))
    assert index.facet("segments", "label") == {"mug": 5, "cup": 1}
    assert list(index.facet("segments", "label")) == ["mug", "cup"]
    assert index.facet("images", "paths") == {"r/a.png": 1, "r/b.png": 1, "r/c.png": 1}
    assert (index.count("segments"), index.count("segments", mugs)) == (6, 5)
    assert index.count("images") == 3
    store.delete("images", Filter((HasId((image_id("a" * 64),)),)))
    assert index.facet("segments", "label") == {"mug": 2, "cup": 1}
    assert index.facet("segments", "label", mugs) == {"mug": 2}
    assert (index.count("segments"), index.count("segments", mugs)) == (3, 2)
    assert index.count("segments", exact=False) == 6
    without = Filter(must_not=(Match("label", ("cup",)),))
    assert index.count("segments", without) == 2


def test_all_segments_come_by_rising_id_with_their_images(index: Index) -> None:
    written: list[str] = []
    for name, number in (("a", 300), ("b", 1), ("c", 0)):
        image, segments = records(name, *[unit(1, 2, 3)] * number, paths=(f"r/{name}.png",))
        index.write_image(image, segments)
        written += [segment.id for segment in segments]
    found = list(index.all_segments(vectors=True))
    assert [segment.id for segment, _ in found] == sorted(written)
    assert all(segment.image_id == image.id for segment, image in found)
    vector = found[0][0].vector
    assert vector is not None
    assert vector.tolist() == pytest.approx(unit(1, 2, 3).tolist(), abs=1e-6)
    assert next(index.all_segments())[0].vector is None
    of_b = Filter((Match("image_id", (image_id("b" * 64),)),))
    assert [segment.id for segment, _ in index.all_segments(of_b)] == [written[-1]]


def test_labels_are_given_and_taken_away(index: Index) -> None:
    image, segments = labelled("mug", "a", unit(1, 0, 0), unit(0, 1, 0), unit(0, 0, 1))
    index.write_image(image, segments)
    first, second, third = (segment.id for segment in segments)
    index.label({first: ("cup", 0.25), second: None}, "vocabulary")

    def said() -> list[tuple[str | None, float | None, str | None]]:
        regions = [segment.region for segment in index.segments([first, second, third])]
        return [(each.label, each.label_score, each.label_source) for each in regions]

    kept = ("mug", 0.5, "detector")
    assert said() == [("cup", 0.25, "vocabulary"), (None, None, None), kept]
    assert index.facet("segments", "label") == {"cup": 1, "mug": 1}
    assert index.facet("segments", "label_source") == {"vocabulary": 1, "detector": 1}
    (found, *_) = index.search(unit(1, 0, 0), Filter((Match("label", ("cup",)),)))
    assert found.segment.id == first
    assert found.score == pytest.approx(1, abs=1e-6)
    index.label({}, "vocabulary")
    index.label({second: ("bowl", 1.0)}, "vocabulary")
    assert said() == [("cup", 0.25, "vocabulary"), ("bowl", 1.0, "vocabulary"), kept]


def test_many_invisible_segments_do_not_hide_a_visible_one(index: Index, store: EdgeStore) -> None:
    hidden, many = records("a", *[unit(1, 0, 0)] * 60, paths=("r/x.png",))
    shown, one = records("b", unit(1, 1, 0), paths=("r/y.png",))
    index.write_image(hidden, many)
    index.write_image(shown, one)
    store.delete("images", Filter((HasId((hidden.id,)),)))
    assert [found.segment.id for found in index.search(unit(1, 0, 0), limit=1)] == [one[0].id]


def test_writing_an_image_again_leaves_nothing_over(index: Index, store: EdgeStore) -> None:
    image, segments = records("a", unit(1, 0, 0), unit(0, 1, 0), paths=("r/x.png",))
    index.write_image(image, segments)
    index.write_image(replace(image, n_segments=1), segments[:1])
    assert store.count("segments") == 1
    index.write_image(replace(image, n_segments=0), [])
    assert store.count("segments") == 0
    assert index.status() == Status(files=0, images=1, segments=0, failed=0)


def test_an_image_lies_where_its_files_are(index: Index, store: EdgeStore) -> None:
    image, segments = records("a", unit(1, 0, 0), paths=("r/x.png",))
    index.write_image(image, segments)
    index.add_path(image, "r/copy.png")
    (read,) = index.images([image.id])
    assert read.paths == ("r/x.png", "r/copy.png")
    assert index.segments([segments[0].id])[0].paths == read.paths
    index.add_path(read, "r/copy.png")
    index.remove_path(image.id, "r/x.png")
    assert index.images([image.id])[0].paths == ("r/copy.png",)
    index.remove_path(image.id, "r/copy.png")
    assert index.images([image.id]) == []
    assert store.count("segments", Filter((Match("image_id", (image.id,)),))) == 0
    index.remove_path(image.id, "r/copy.png")


def test_roots_come_back(index: Index) -> None:
    first = index.add_root(Path("/photos"))
    assert index.add_root(Path("/photos")) == first
    second = index.add_root(Path("/bücher"))
    assert index.roots() == {first: Path("/photos"), second: Path("/bücher")}
