"""One suite for every engine: the same inputs give the same ids, order and scores.

What conditions select is in `test_conditions`.
"""

from __future__ import annotations

import numpy as np
import pytest

from indexer.errors import IndexNotFound, StoreError
from indexer.store.base import (
    EVERYTHING,
    KINDS,
    AnyOf,
    Filter,
    HasId,
    Kind,
    Match,
    Payload,
    Point,
    Prefix,
    Store,
)
from indexer.store.storage import Storage
from tests.indexer.store.samples import (
    DIM,
    FILES,
    RECIPE,
    SEGMENTS,
    numbers,
    only,
    segment,
    uid,
    vec,
)

X = vec(1, 0, 0)


# Creation and recipe


def test_there_is_no_recipe_before_creation(nothing: Store) -> None:
    assert nothing.recipe() is None


def test_records_need_an_index(nothing: Store) -> None:
    with pytest.raises(IndexNotFound, match="no index"):
        nothing.count("segments")


def test_the_recipe_comes_back(empty: Store) -> None:
    assert empty.recipe() == RECIPE


def test_creating_twice_is_refused_and_harms_nothing(store: Store) -> None:
    with pytest.raises(StoreError, match="already"):
        store.create({"other": 1}, 7)
    assert store.recipe() == RECIPE
    assert store.count("segments") == len(SEGMENTS)


def test_a_closed_store_says_so(nothing: Store) -> None:
    nothing.create(RECIPE, DIM)
    nothing.close()
    with pytest.raises(StoreError, match="closed"):
        nothing.count("segments")
    with pytest.raises(StoreError, match="closed"):
        nothing.recipe()


# Writing and reading single records


def test_records_come_back_as_written(store: Store) -> None:
    samples: list[tuple[Kind, list[Point]]] = [("segments", SEGMENTS), ("files", FILES)]
    for kind, written in samples:
        found = store.get(kind, [point.id for point in written])
        assert [point.payload for point in found] == [point.payload for point in written]
        assert all(point.vector is None for point in found)


def test_vectors_come_back_as_written(store: Store) -> None:
    found = store.get("segments", [point.id for point in SEGMENTS], vectors=True)
    for point, written in zip(found, SEGMENTS, strict=True):
        assert point.vector is not None
        assert written.vector is not None
        assert point.vector.dtype == np.float32
        np.testing.assert_allclose(point.vector, written.vector, atol=1e-6)


def test_get_keeps_the_order_asked_and_leaves_absent_ones_out(store: Store) -> None:
    assert numbers(store.get("segments", [uid(4), uid(99), uid(1)])) == [4, 1]
    assert store.get("segments", []) == []


def test_nanoseconds_are_kept_exactly(store: Store) -> None:
    assert store.get("files", [uid(11)])[0].payload["mtime_ns"] == 1_700_000_000_123_456_789


def test_none_and_nested_values_are_kept(empty: Store) -> None:
    payload: Payload = {
        "none": None,
        "nested": {"a": [1, None, "ü"]},
        "empty": [],
        "😀": "\u0000 \n",
    }
    empty.upsert("roots", [Point(uid(1), payload)])
    assert empty.get("roots", [uid(1)])[0].payload == payload


def test_upsert_replaces_the_whole_record(store: Store) -> None:
    store.upsert("segments", [segment(1, vec(0, 0, 1), depth=7)])
    found = store.get("segments", [uid(1)], vectors=True)[0]
    assert found.payload == {"depth": 7}
    np.testing.assert_allclose(found.vector, vec(0, 0, 1))  # type: ignore[arg-type]
    assert store.count("segments") == len(SEGMENTS)


def test_upserting_nothing_is_fine(store: Store) -> None:
    store.upsert("segments", [])
    assert store.count("segments") == len(SEGMENTS)


def test_a_segment_may_lack_a_vector(store: Store) -> None:
    store.upsert("segments", [segment(6, None, depth=0)])
    assert store.get("segments", [uid(6)], vectors=True)[0].vector is None
    assert numbers(store.search("segments", X)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        (segment(6, vec(1, 0)), r"shape \(2,\)"),
        (segment(6, vec(1, 1, 0)), "norm 1.4142"),
        (segment(6, vec(0, 0, 0)), "norm 0.0000"),
        (segment(6, vec(float("nan"), 0, 0)), "norm nan"),
        (Point("six", {}), "not the id"),
    ],
)
def test_misfits_are_refused_whole(store: Store, point: Point, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        store.upsert("segments", [segment(7, X), point])
    assert store.count("segments") == len(SEGMENTS)


def test_files_take_no_vectors(store: Store) -> None:
    with pytest.raises(StoreError, match="no vectors"):
        store.upsert("files", [Point(uid(1), {}, X)])
    with pytest.raises(StoreError, match="no vectors"):
        store.search("files", X)


# Search


def test_search_ranks_by_cosine_and_equals_by_id(store: Store) -> None:
    hits = store.search("segments", X)
    assert numbers(hits) == [1, 2, 3, 4, 5]
    assert [hit.score for hit in hits] == pytest.approx([1, 0.8, 0.6, 0, 0], abs=1e-4)
    assert hits[0].payload == SEGMENTS[0].payload


def test_search_does_not_mind_the_querys_length(store: Store) -> None:
    assert store.search("segments", 7 * X) == store.search("segments", X)


def test_search_pages(store: Store) -> None:
    assert numbers(store.search("segments", X, limit=2)) == [1, 2]
    assert numbers(store.search("segments", X, limit=2, offset=2)) == [3, 4]
    assert numbers(store.search("segments", X, limit=2, offset=4)) == [5]
    assert store.search("segments", X, limit=2, offset=5) == []
    assert store.search("segments", X, limit=0) == []


def test_pages_of_equal_scores_neither_repeat_nor_lose(empty: Store) -> None:
    empty.upsert("segments", [segment(number, X) for number in range(40, 0, -1)])
    pages = [numbers(empty.search("segments", X, limit=7, offset=o)) for o in range(0, 42, 7)]
    assert [number for page in pages for number in page] == list(range(1, 41))


def test_a_query_must_fit(store: Store) -> None:
    with pytest.raises(StoreError, match=r"not shape \(2,\)"):
        store.search("segments", vec(1, 0))
    with pytest.raises(StoreError, match="finite"):
        store.search("segments", vec(float("nan"), 0, 0))
    with pytest.raises(StoreError, match="negative"):
        store.search("segments", X, limit=-1)


def test_an_empty_index_has_no_answers(empty: Store) -> None:
    assert empty.search("segments", X) == []
    assert empty.scroll("segments").points == []
    assert empty.scroll("segments").next is None
    assert empty.count("segments") == 0
    assert empty.facet("segments", "paths") == {}


@pytest.mark.parametrize("limit", [0, 1, 3, 20])
def test_the_nearest_are_those_that_search_finds_with_their_vectors(
    store: Store, limit: int
) -> None:
    found = store.nearest("segments", X, limit=limit)
    hits = store.search("segments", X, limit=limit)
    assert list(zip(found.ids, found.scores, strict=True)) == [(hit.id, hit.score) for hit in hits]
    stored = [point.vector for point in store.get("segments", found.ids, vectors=True)]
    assert found.vectors.shape == (len(hits), DIM)
    assert found.vectors.dtype == np.float32
    assert found.vectors.tolist() == [vector.tolist() for vector in stored if vector is not None]


def test_the_nearest_of_those_that_a_filter_leaves(store: Store) -> None:
    found = store.nearest("segments", X, where=only(HasId((uid(3), uid(2)))))
    assert found.ids == (uid(2), uid(3))
    assert found.vectors[0] == pytest.approx([0.8, 0.6, 0])
    some = found.of([1])
    assert (some.ids, some.scores) == ((uid(3),), found.scores[1:])
    assert some.vectors.tolist() == [found.vectors[1].tolist()]
    with pytest.raises(StoreError, match="no vectors"):
        store.nearest("files", X)


def test_segments_with_the_images_they_lie_in(empty: Store) -> None:
    empty.upsert("images", [Point(uid(n), {"n": n}, X) for n in (11, 12)])
    of = {1: 11, 2: 12, 3: 11, 4: 13}  # there is no image 13
    empty.upsert("segments", [segment(n, X, image_id=uid(image)) for n, image in of.items()])
    asked = [uid(number) for number in (3, 9, 4, 2, 1)]
    pairs = empty.get_in_images(asked)
    assert numbers([one for one, _ in pairs]) == [3, 2, 1]
    assert numbers([image for _, image in pairs]) == [11, 12, 11]
    assert pairs[0][1].payload == {"n": 11}
    assert pairs[0][1] is pairs[2][1]
    assert pairs[0][0].payload == {"image_id": uid(11)}
    assert all(one.vector is image.vector is None for one, image in pairs)
    ((one, image),) = empty.get_in_images([uid(2)], vectors=True)
    assert one.vector is not None
    assert one.vector.tolist() == X.tolist()
    assert image.vector is None
    assert empty.get_in_images([]) == empty.get_in_images([uid(4)]) == []
    with pytest.raises(StoreError, match="not the id"):
        empty.get_in_images(["x"])


def test_optimise_keeps_the_answers(store: Store) -> None:
    before = store.search("segments", X)
    store.optimise()
    assert store.search("segments", X) == before
    assert store.count("segments", only(Prefix("paths", "r1/holidays/"))) == 3


def test_storage_is_that_of_creation_and_can_be_changed(store: Store) -> None:
    assert store.storage() == Storage()
    before = store.search("segments", X)
    other = Storage(quantization="turbo4", memory="mmap", hnsw_ef=64)
    store.optimise(other)
    assert store.storage() == other
    assert store.search("segments", X) == before
    assert store.optimising() is None


def test_storage_needs_an_index(nothing: Store) -> None:
    with pytest.raises(IndexNotFound, match="no index"):
        nothing.storage()


# Many records


def test_scrolling_reaches_everything_once(empty: Store) -> None:
    empty.upsert("files", [Point(uid(number), {"n": number}) for number in range(25, 0, -1)])
    found, after = [], None
    while True:
        page = empty.scroll("files", limit=10, after=after)
        found.append(numbers(page.points))
        after = page.next
        if after is None:
            break
    assert found == [list(range(1, 11)), list(range(11, 21)), list(range(21, 26))]


def test_scrolling_ends_without_an_empty_page(empty: Store) -> None:
    empty.upsert("files", [Point(uid(number), {}) for number in range(1, 11)])
    assert empty.scroll("files", limit=10).next is None


def test_scrolling_gives_vectors_when_asked(store: Store) -> None:
    assert store.scroll("segments", limit=1).points[0].vector is None
    vector = store.scroll("segments", limit=1, vectors=True).points[0].vector
    np.testing.assert_allclose(vector, X)  # type: ignore[arg-type]


def test_facet_counts_most_first_equals_by_value(store: Store) -> None:
    assert list(store.facet("segments", "paths").items()) == [
        ("r1/holidays/crete/a.jpg", 2),
        ("r1/work/c.jpg", 2),
        ("r2/copy of a.jpg", 2),
        ("r1/holidays/Ägypten/😀 b.png", 1),
    ]


def test_facet_of_integers_gives_text(store: Store) -> None:
    assert store.facet("segments", "depth") == {"0": 2, "1": 2, "2": 1}


def test_facet_filters_and_limits(store: Store) -> None:
    where = only(Match("image_id", (uid(101), uid(102))))
    assert store.facet("segments", "image_id", where=where) == {uid(101): 2, uid(102): 1}
    assert store.facet("segments", "image_id", limit=1) == {uid(101): 2}


def test_facet_needs_an_index_of_the_field(store: Store) -> None:
    with pytest.raises(StoreError, match="not indexed"):
        store.facet("files", "mtime_ns")


def test_set_payload_changes_some_fields_of_some_records(store: Store) -> None:
    moved = ["r1/elsewhere/ä.jpg"]
    store.set_payload("segments", {"paths": moved, "new": 1}, only(Match("depth", (0,))))
    changed = store.get("segments", [uid(1)])[0].payload
    assert changed == {**SEGMENTS[0].payload, "paths": moved, "new": 1}
    assert store.get("segments", [uid(2)])[0].payload == SEGMENTS[1].payload
    assert store.count("segments", only(Prefix("paths", "r1/elsewhere/"))) == 2
    assert store.count("segments", only(Prefix("paths", "r2/"))) == 1


def test_setting_none_removes_the_field(store: Store) -> None:
    store.set_payload("segments", {"taken_at": None}, only(HasId((uid(1),))))
    assert "taken_at" not in store.get("segments", [uid(1)])[0].payload


def test_update_payloads_changes_each_record_its_own_way(store: Store) -> None:
    store.update_payloads(
        "segments", {uid(1): {"depth": 7, "new": "a"}, uid(2): {"depth": None}, uid(99): {"x": 1}}
    )
    first, second, third = store.get("segments", [uid(1), uid(2), uid(3)], vectors=True)
    assert first.payload == {**SEGMENTS[0].payload, "depth": 7, "new": "a"}
    assert first.vector == pytest.approx([1, 0, 0])
    assert "depth" not in second.payload
    assert third.payload == SEGMENTS[2].payload
    assert store.count("segments", only(Match("depth", (7,)))) == 1
    assert store.count("segments") == len(SEGMENTS)
    store.update_payloads("segments", {})


def test_set_payload_of_everything(store: Store) -> None:
    store.set_payload("segments", {"depth": 9}, EVERYTHING)
    assert store.facet("segments", "depth") == {"9": 5}


def test_delete_by_filter(store: Store) -> None:
    store.delete("segments", only(Match("image_id", (uid(101),))))
    assert numbers(store.scroll("segments").points) == [3, 4, 5]
    assert numbers(store.search("segments", X)) == [3, 4, 5]
    store.delete("segments", only(HasId((uid(3),))))
    store.delete("segments", Filter(must_not=(Match("depth", (1,)),)))
    assert numbers(store.scroll("segments").points) == [5]


def test_deleting_everything_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="refused"):
        store.delete("segments", EVERYTHING)
    store.delete("segments", only(AnyOf(())))
    assert store.count("segments") == len(SEGMENTS)


def test_kinds_are_apart(store: Store) -> None:
    store.upsert("images", [Point(uid(1), {"format": "PNG"}, vec(0, 1, 0))])
    store.delete("segments", only(HasId((uid(1),))))
    assert {kind: store.count(kind) for kind in KINDS} == {
        "images": 1,
        "segments": 4,
        "files": 3,
        "roots": 0,
    }


def test_a_sound_store_flushes_and_passes_its_check(store: Store) -> None:
    store.flush()
    store.check()
    size = store.size_bytes()
    assert size is None or size > DIM
