from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import IndexNotFound, QueryError, RecipeMismatch, SegsearchError
from indexer.records import Rle
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt
from indexer.store import open_store
from indexer.store.edge import EdgeStore
from search import Filters, Searcher
from search.hits import Hit
from search.render import read_picture
from tests.pictures import scene


def names(hits: list[Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def test_a_text_ranks_segments_by_cosine(searcher: Searcher) -> None:
    hits = searcher.text("red star", limit=7)
    assert len(hits) == 7
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    store = open_store(searcher.where, create_ok=False)
    vector = searcher.embedder().text("red star")
    for hit in hits:
        assert hit.segment is not None
        (point,) = store.get("segments", [hit.segment.id], vectors=True)
        assert point.vector is not None
        assert float(point.vector @ vector) == pytest.approx(hit.score, abs=1e-5)
    store.close()


def test_an_indexed_picture_finds_itself(searcher: Searcher, library_folder: Path) -> None:
    hit, *_ = searcher.image(scene(1), by="image")
    assert hit.path == library_folder / "2024" / "plain.png"
    assert hit.score == pytest.approx(1.0, abs=1e-4)
    assert hit.segment is None


def test_a_stored_region_cut_out_by_hand_has_the_stored_vector(searcher: Searcher) -> None:
    stored = searcher.text("anything", limit=1)[0]
    assert stored.segment is not None
    vector = searcher.image_vector(read_picture(stored), stored.segment.region)
    again = searcher.ranked(vector, limit=1)[0]
    assert again.segment is not None
    assert again.segment.id == stored.segment.id
    assert again.score == pytest.approx(1.0, abs=1e-4)


def test_a_prompt_changes_the_query(searcher: Searcher) -> None:
    whole = searcher.image(scene(1), limit=3)
    boxed = searcher.image(scene(1), Prompt(box=(5, 5, 40, 40)), limit=3)
    pointed = searcher.image(scene(1), Prompt(points=((20, 20),)), limit=3)
    assert len({tuple(hit.score for hit in hits) for hits in (whole, boxed, pointed)}) == 3


def test_a_segment_finds_others_and_not_itself(searcher: Searcher) -> None:
    first, second = (h.segment.id for h in searcher.text("a", limit=2) if h.segment is not None)
    found = searcher.segment(first, limit=1000)
    ids = [hit.segment.id for hit in found if hit.segment is not None]
    assert first not in ids
    assert second in ids
    unlike = searcher.segment(first, negatives=(second,), limit=1000)
    assert second not in [hit.segment.id for hit in unlike if hit.segment is not None]


def test_pages_follow_each_other(searcher: Searcher) -> None:
    whole = searcher.text("blue", limit=6)
    pages = [searcher.text("blue", limit=2, offset=start) for start in (0, 2, 4)]
    assert [h.to_plain() for page in pages for h in page] == [h.to_plain() for h in whole]


def test_a_hit_as_plain_data(searcher: Searcher) -> None:
    for hit in searcher.text("blue", limit=1000):
        plain = json.loads(json.dumps(hit.to_plain()))
        rle = Rle((plain["rle"]["size"][0], plain["rle"]["size"][1]), plain["rle"]["counts"])
        assert rle.size == (plain["height"], plain["width"])
        assert masks.area(rle) == plain["area_px"]
        assert list(masks.tight_box(rle)) == plain["box"]
        assert plain["segment_id"] != plain["image_id"]
        assert plain["path"] in plain["paths"]
        assert Path(plain["path"]).is_file()


def test_every_copy_is_named(searcher: Searcher, library_folder: Path) -> None:
    (hit,) = (h for h in searcher.text("x", by="image", limit=10) if h.path.name == "a.png")
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
    assert set(names(searcher.text("x", filters=filters, limit=1000))) == expected
    assert set(names(searcher.text("x", filters=filters, by="image"))) == expected


def test_the_whole_library_and_its_parent_filter_nothing(
    searcher: Searcher, library_folder: Path
) -> None:
    everything = searcher.text("x", limit=1000)
    for path in (library_folder, library_folder.parent):
        assert len(searcher.text("x", filters=Filters(path=path), limit=1000)) == len(everything)
    with pytest.raises(QueryError, match="lies outside the library"):
        searcher.text("x", filters=Filters(path="/nowhere/at/all"))


def test_area_filters(searcher: Searcher) -> None:
    everything = searcher.text("x", limit=1000)
    shares = sorted(h.segment.region.area_fraction for h in everything if h.segment is not None)
    low, high = shares[len(shares) // 4], shares[len(shares) // 2]
    hits = searcher.text("x", filters=Filters(min_area=low, max_area=high), limit=1000)
    found = sorted(h.segment.region.area_fraction for h in hits if h.segment is not None)
    assert found == [share for share in shares if low <= share <= high]
    with pytest.raises(QueryError, match=r"range from 0\.9 to 0\.1 is empty"):
        searcher.text("x", filters=Filters(min_area=0.9, max_area=0.1))
    with pytest.raises(QueryError, match="an area of nan is none"):
        searcher.text("x", filters=Filters(min_area=float("nan")))
    with pytest.raises(QueryError, match="no area"):
        searcher.text("x", filters=Filters(min_area=0.1), by="image")


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
    assert set(names(searcher.text("x", filters=filters, limit=1000))) == expected


def test_questions_that_make_no_sense(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="the text is empty"):
        searcher.text("  ")
    with pytest.raises(QueryError, match="no segment 123"):
        searcher.segment("123")
    with pytest.raises(QueryError, match="no segment was given"):
        searcher.segment()
    with pytest.raises(QueryError, match="500,500 lies outside the picture of 96×72"):
        searcher.image(scene(1), Prompt(points=((500, 500),)))
    with pytest.raises(SegsearchError, match="must be RGB"):
        searcher.image(scene(1).convert("L"))
    with pytest.raises(SegsearchError, match="has no pixels"):
        searcher.image(np.zeros((0, 5, 3), dtype=np.uint8))
    with pytest.raises(QueryError, match="'both' is neither"):
        searcher.text("x", by="both")  # type: ignore[arg-type]


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
        searcher.text("x")


def test_many_threads_may_begin_at_once(where: str, searcher: Searcher) -> None:
    """None of them has loaded a model yet."""
    expected = searcher.text("red"), searcher.image(scene(1), Prompt(box=(5, 5, 40, 40)))
    with Searcher(where) as fresh, ThreadPoolExecutor(6) as pool:
        texts = [pool.submit(fresh.text, "red") for _ in range(3)]
        boxed = [pool.submit(fresh.image, scene(1), Prompt(box=(5, 5, 40, 40))) for _ in range(3)]
        for answers, hits in ((texts, expected[0]), (boxed, expected[1])):
            for answer in answers:
                assert [h.to_plain() for h in answer.result()] == [h.to_plain() for h in hits]
