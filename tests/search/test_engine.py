from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import IndexNotFound, QueryError, RecipeMismatch, SegsearchError
from indexer.records import Rle, Vector
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt
from indexer.store import open_store
from indexer.store.edge import EdgeStore
from search import Filters, Picture, Query, Ranking, Searcher, Stored, Text
from search.hits import Hit
from search.ranking import UNCUT
from search.reading import read_picture
from search.relevance import least_for
from tests.pictures import scene


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def test_a_text_ranks_segments_by_relevance(searcher: Searcher) -> None:
    hits = searcher.text("red star", limit=7, ranking=UNCUT)
    assert len(hits) == 7
    order = [hit.relevance for hit in hits if hit.relevance is not None]
    assert order == sorted(order, reverse=True)
    assert len(order) == 7
    store = open_store(searcher.where, create_ok=False)
    vector = searcher.embedder().text("red star")
    for hit in hits:
        assert hit.segment is not None
        (point,) = store.get("segments", [hit.segment.id], vectors=True)
        assert point.vector is not None
        assert float(point.vector @ vector) == pytest.approx(hit.score, abs=1e-5)
    store.close()


def test_an_indexed_picture_finds_itself(searcher: Searcher, library_folder: Path) -> None:
    hit, *_ = searcher.image(scene(1), by="image", ranking=UNCUT)
    assert hit.path == library_folder / "2024" / "plain.png"
    assert hit.score == pytest.approx(1.0, abs=1e-4)
    assert hit.segment is None


def test_a_stored_region_cut_out_by_hand_has_the_stored_vector(searcher: Searcher) -> None:
    stored = searcher.text("anything", limit=1, ranking=UNCUT)[0]
    assert stored.segment is not None
    vector = searcher.image_vector(read_picture(stored), stored.segment.region)
    again = searcher.ranked(vector, limit=1, ranking=UNCUT)[0]
    assert again.segment is not None
    assert again.segment.id == stored.segment.id
    assert again.score == pytest.approx(1.0, abs=1e-4)


def test_a_prompt_changes_the_query(searcher: Searcher) -> None:
    whole = searcher.image(scene(1), limit=3, ranking=UNCUT)
    boxed = searcher.image(scene(1), Prompt(box=(5, 5, 40, 40)), limit=3, ranking=UNCUT)
    pointed = searcher.image(scene(1), Prompt(points=((20, 20),)), limit=3, ranking=UNCUT)
    assert len({tuple(hit.score for hit in hits) for hits in (whole, boxed, pointed)}) == 3


def test_a_segment_finds_others_and_not_itself(searcher: Searcher) -> None:
    first, second = (
        h.segment.id for h in searcher.text("a", limit=2, ranking=UNCUT) if h.segment is not None
    )
    found = searcher.segment(first, limit=1000, ranking=UNCUT)
    ids = [hit.segment.id for hit in found if hit.segment is not None]
    assert first not in ids
    assert second in ids
    unlike = searcher.segment(first, negatives=(second,), limit=1000, ranking=UNCUT)
    assert second not in [hit.segment.id for hit in unlike if hit.segment is not None]


def test_pages_follow_each_other(searcher: Searcher) -> None:
    whole = searcher.text("blue", limit=6, ranking=UNCUT)
    pages = [searcher.text("blue", limit=2, offset=start, ranking=UNCUT) for start in (0, 2, 4)]
    assert [h.to_plain() for page in pages for h in page] == [h.to_plain() for h in whole]


def test_a_hit_as_plain_data(searcher: Searcher) -> None:
    for hit in searcher.text("blue", limit=1000, ranking=UNCUT):
        plain = json.loads(json.dumps(hit.to_plain()))
        rle = Rle((plain["rle"]["size"][0], plain["rle"]["size"][1]), plain["rle"]["counts"])
        assert rle.size == (plain["height"], plain["width"])
        assert masks.area(rle) == plain["area_px"]
        assert list(masks.tight_box(rle)) == plain["box"]
        assert plain["segment_id"] != plain["image_id"]
        assert plain["path"] in plain["paths"]
        assert Path(plain["path"]).is_file()


def test_every_copy_is_named(searcher: Searcher, library_folder: Path) -> None:
    (hit,) = (
        h for h in searcher.text("x", by="image", limit=10, ranking=UNCUT) if h.path.name == "a.png"
    )
    assert hit.paths == (library_folder / "a.png", library_folder / "copy of a.png")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("2024", {"plain.png", "may.jpg"}),
        ("2024/", {"plain.png", "may.jpg"}),
        ("2024/may", {"may.jpg"}),
        ("202", {"plain.png", "may.jpg", "june.jpg"}),
        ("copy of a.png", {"a.png"}),
    ],
)
def test_path_filters(
    searcher: Searcher, library_folder: Path, path: str, expected: set[str]
) -> None:
    filters = Filters(path=f"{library_folder}/{path}")
    assert set(names(searcher.text("x", filters=filters, limit=1000, ranking=UNCUT))) == expected
    assert set(names(searcher.text("x", filters=filters, by="image", ranking=UNCUT))) == expected


def test_the_whole_library_and_its_parent_filter_nothing(
    searcher: Searcher, library_folder: Path
) -> None:
    everything = searcher.text("x", limit=1000, ranking=UNCUT)
    for path in (library_folder, library_folder.parent):
        assert len(
            searcher.text("x", filters=Filters(path=path), limit=1000, ranking=UNCUT)
        ) == len(everything)
    with pytest.raises(QueryError, match="lies outside the library"):
        searcher.text("x", filters=Filters(path="/nowhere/at/all"), ranking=UNCUT)


def test_area_filters(searcher: Searcher) -> None:
    everything = searcher.text("x", limit=1000, ranking=UNCUT)
    shares = sorted(h.segment.region.area_fraction for h in everything if h.segment is not None)
    low, high = shares[len(shares) // 4], shares[len(shares) // 2]
    hits = searcher.text(
        "x", filters=Filters(min_area=low, max_area=high), limit=1000, ranking=UNCUT
    )
    found = sorted(h.segment.region.area_fraction for h in hits if h.segment is not None)
    assert found == [share for share in shares if low <= share <= high]
    with pytest.raises(QueryError, match=r"range from 0\.9 to 0\.1 is empty"):
        searcher.text("x", filters=Filters(min_area=0.9, max_area=0.1), ranking=UNCUT)
    with pytest.raises(QueryError, match="an area of nan is none"):
        searcher.text("x", filters=Filters(min_area=float("nan")), ranking=UNCUT)
    with pytest.raises(QueryError, match="no area"):
        searcher.text("x", filters=Filters(min_area=0.1), by="image", ranking=UNCUT)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (date(2024, 5, 1), None, {"may.jpg", "june.jpg"}),
        (date(2024, 5, 2), None, {"june.jpg"}),
        (None, date(2024, 5, 1), {"may.jpg"}),
        (date(2024, 6, 2), date(2024, 6, 2), {"june.jpg"}),
        (date(2025, 1, 1), None, set()),
    ],
)
def test_date_filters(
    searcher: Searcher, since: date | None, until: date | None, expected: set[str]
) -> None:
    filters = Filters(since=since, until=until)
    assert set(names(searcher.text("x", filters=filters, limit=1000, ranking=UNCUT))) == expected


def some(searcher: Searcher, count: int) -> list[Hit]:
    """Some segments of the index, with their vectors."""
    return list(islice(searcher.everything(vectors=True), count))


def id_of(hit: Hit) -> str:
    assert hit.segment is not None
    return hit.segment.id


def vector_of(hit: Hit) -> Vector:
    assert hit.segment is not None
    assert hit.segment.vector is not None
    return hit.segment.vector


def test_several_segments_are_averaged_and_others_taken_off(searcher: Searcher) -> None:
    first, second, third = some(searcher, 3)
    mean = (vector_of(first) + vector_of(second)) / 2
    wanted = 2 * mean - vector_of(third)
    by_hand = searcher.ranked(wanted / np.linalg.norm(wanted), limit=1000, ranking=UNCUT)
    query = Query((Stored(id_of(first)), Stored(id_of(second))), (Stored(id_of(third)),))
    found = searcher.find(query, limit=1000, ranking=UNCUT)
    left_out = {id_of(each) for each in (first, second, third)}
    scores = {id_of(hit): hit.score for hit in by_hand if id_of(hit) not in left_out}
    assert len(found) == len(by_hand) - 3
    assert {id_of(hit): hit.score for hit in found} == pytest.approx(scores, abs=1e-5)
    (part,) = searcher.parts(query)
    assert (part.sense, part.wanted) == ("picture", True)


def test_a_text_and_a_picture_are_both_meant(searcher: Searcher) -> None:
    """The score is the mean of the two; no vector is the mean of a text and a picture."""
    (first,) = some(searcher, 1)
    query = Query((Text("red star"), Stored(id_of(first))), (Text("blue"), Picture(scene(1))))
    text, picture = searcher.parts(query)
    assert [(part.sense, part.wanted) for part in (text, picture)] == [
        ("text", True),
        ("picture", True),
    ]
    embedder = searcher.embedder()
    wanted = 2 * embedder.text("red star") - embedder.text("blue")
    assert text.vector == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)
    found = searcher.find(query, limit=1000, ranking=UNCUT)
    assert id_of(first) not in map(id_of, found)
    (again,) = searcher.segments(id_of(found[0]), vectors=True)
    scores = [float(vector_of(again) @ part.vector) for part in (text, picture)]
    assert found[0].score == pytest.approx(sum(scores) / 2, abs=1e-5)
    relevances = [hit.relevance for hit in found if hit.relevance is not None]
    assert relevances == sorted(relevances, reverse=True)
    assert len(relevances) == len(found)


def test_a_text_to_be_unlike_beside_a_picture(searcher: Searcher) -> None:
    like = Picture(scene(1), Prompt(box=(5, 5, 40, 40)))
    alone = searcher.find(Query((like,)), limit=1000, ranking=UNCUT)
    wanted, unwanted = searcher.parts(Query((like,), (Text("star"),)))
    assert [(part.sense, part.wanted) for part in (wanted, unwanted)] == [
        ("picture", True),
        ("text", False),
    ]
    found = searcher.find(Query((like,), (Text("star"),)), limit=1000, ranking=UNCUT)
    before = {id_of(hit): hit.relevance for hit in alone}
    for hit in found:
        old = before[id_of(hit)]
        assert old is not None
        assert hit.relevance is not None
        assert hit.relevance <= old
    assert [hit.relevance for hit in found] != [hit.relevance for hit in alone]


def test_segments_by_their_ids(searcher: Searcher, library_folder: Path) -> None:
    first, second = some(searcher, 2)
    found = searcher.segments(id_of(second), id_of(first), id_of(second))
    assert [id_of(hit) for hit in found] == [id_of(second), id_of(first), id_of(second)]
    assert [hit.paths for hit in found] == [second.paths, first.paths, second.paths]
    assert all(hit.path.is_relative_to(library_folder) for hit in found)
    assert [(hit.score, hit.relevance) for hit in found] == [(0.0, None)] * 3
    assert found[0].segment is not None
    assert found[0].segment.vector is None
    (again,) = searcher.segments(id_of(first), vectors=True)
    assert vector_of(again).tolist() == vector_of(first).tolist()
    assert searcher.segments() == []
    for unknown in ("123", "00000000-0000-0000-0000-000000000000", id_of(first).upper()):
        with pytest.raises(QueryError, match=f"there is no segment {unknown}"):
            searcher.segments(id_of(first), unknown)


def test_everything(searcher: Searcher, library_folder: Path) -> None:
    every = list(searcher.everything())
    assert len(every) == searcher.index.status().segments
    assert len({id_of(hit) for hit in every}) == len(every)
    for filters in (
        Filters(glob="*.jpg"),
        Filters(glob=f"{library_folder}/**/*m*"),
        Filters(glob="copy*"),
        Filters(path=library_folder / "2024", max_depth=0),
    ):
        found = {id_of(hit) for hit in searcher.everything(filters)}
        asked = searcher.text("x", filters=filters, limit=1000, ranking=UNCUT)
        assert found == {id_of(hit) for hit in asked}
        assert 0 < len(found) < len(every)
    with pytest.raises(QueryError, match="lies outside the library"):
        next(searcher.everything(Filters(path="/nowhere")))


def test_the_cut_is_told(searcher: Searcher) -> None:
    found = searcher.text("x", ranking=Ranking(99))
    assert (len(found), found.least) == (0, 99)
    assert found.nearest is not None
    best = max(hit.relevance or 0 for hit in searcher.text("x", ranking=UNCUT))
    assert found.nearest.relevance == best
    count = searcher.index.status().segments
    assert searcher.text("x").least == least_for(count)
    assert searcher.text("x", by="image").least is None


def test_questions_that_make_no_sense(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="the text is empty"):
        searcher.text("  ", ranking=UNCUT)
    with pytest.raises(QueryError, match="no segment 123"):
        searcher.segment("123", ranking=UNCUT)
    with pytest.raises(QueryError, match="no segment 123"):
        searcher.find(Query((Text("x"),), (Stored("123"),)))
    with pytest.raises(QueryError, match="nothing to look for was given"):
        searcher.segment()
    with pytest.raises(QueryError, match="500,500 lies outside the picture of 96×72"):
        searcher.image(scene(1), Prompt(points=((500, 500),)), ranking=UNCUT)
    with pytest.raises(SegsearchError, match="must be RGB"):
        searcher.image(scene(1).convert("L"), ranking=UNCUT)
    with pytest.raises(SegsearchError, match="has no pixels"):
        searcher.image(np.zeros((0, 5, 3), dtype=np.uint8), ranking=UNCUT)
    with pytest.raises(QueryError, match="'both' is neither"):
        searcher.text("x", by="both", ranking=UNCUT)  # type: ignore[arg-type]


def test_an_index_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFound, match="no index"):
        Searcher(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_changed_weights_are_refused(where: str, tmp_path: Path) -> None:
    store = open_store(where, create_ok=False)
    recipe = store.recipe()
    store.close()
    assert recipe is not None
    recipe["vector_space"]["weights"] = "0" * 64
    other = EdgeStore(tmp_path / "index")
    other.create(recipe, 128)
    other.close()
    refused = pytest.raises(RecipeMismatch, match="weights: the index has '0000")
    with Searcher(tmp_path / "index") as searcher, refused:
        searcher.text("x", ranking=UNCUT)


def test_many_threads_may_begin_at_once(where: str, searcher: Searcher) -> None:
    """None of them has loaded a model yet."""
    expected = (
        searcher.text("red", ranking=UNCUT),
        searcher.image(scene(1), Prompt(box=(5, 5, 40, 40)), ranking=UNCUT),
    )
    with Searcher(where) as fresh, ThreadPoolExecutor(6) as pool:
        texts = [pool.submit(fresh.text, "red", ranking=UNCUT) for _ in range(3)]
        box = Prompt(box=(5, 5, 40, 40))
        boxed = [pool.submit(fresh.image, scene(1), box, ranking=UNCUT) for _ in range(3)]
        for answers, hits in ((texts, expected[0]), (boxed, expected[1])):
            for answer in answers:
                found = answer.result()
                assert [id_of(hit) for hit in found] == [id_of(hit) for hit in hits]
                scores = [hit.score for hit in hits]  # several at once sum in another order
                assert [hit.score for hit in found] == pytest.approx(scores, abs=1e-5)
