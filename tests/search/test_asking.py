"""Vectors made by hand, asked of an index of hand-made segments."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import QueryError
from indexer.index import Index
from indexer.records import Vector
from search import Filters, Ranking
from search.asking import Asker, By, Look
from search.hits import Answer
from search.queries import Part
from search.ranking import UNCUT
from search.relevance import least_for
from tests.search.handmade import Made, add, at, empty_index

#: Words that lie all around.
WORDS = np.stack([at(each) for each in range(0, 360, 10)])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """36 segments in two pictures, side by side: the i-th at 10·i degrees, odd ones in one."""
    folder = tmp_path_factory.mktemp("asking")
    with empty_index(folder / "index") as index:
        for odd in (0, 1):
            angles = range(10 * odd, 360, 20)
            boxes = [(i, 0, i + 1, 10) for i in range(18)]
            segments = [Made(box, at(turn)) for box, turn in zip(boxes, angles, strict=True)]
            add(
                index,
                folder,
                "odd.png" if odd else "even.png",
                vector=at(90 * odd),
                segments=segments,
            )
        yield index


def angles(found: Answer) -> list[int]:
    """Which segments were found, by their angles."""
    return [
        20 * hit.segment.region.box[0] + 10 * (hit.path.name == "odd.png")
        for hit in found
        if hit.segment is not None
    ]


def asked(index: Index, parts: list[Part], words: Vector | None = None, **look: object) -> Answer:
    return Asker(index).answer(parts, Look(**{"ranking": UNCUT, **look}), words)  # type: ignore[arg-type]


def test_one_vector(index: Index) -> None:
    found = asked(index, [Part(at(92), "picture")], limit=4)
    assert angles(found) == [90, 100, 80, 110]
    assert [hit.score for hit in found] == pytest.approx(
        [math.cos(math.radians(each)) for each in (2, 8, 12, 18)], abs=1e-5
    )
    # the sample is all 36 directions, whose cosines with anything are 0 ± √½
    half = 0.5**0.5
    for hit in found:
        assert hit.standard_score == pytest.approx(hit.score / half, abs=1e-4)
        assert hit.contrast == pytest.approx(hit.score / half, abs=1e-4)
        assert hit.relevance == pytest.approx(hit.score / half, abs=1e-4)


def test_hits_are_like_all_that_is_wanted(index: Index) -> None:
    found = asked(index, [Part(at(0), "picture"), Part(at(60), "text")], WORDS, limit=3)
    assert angles(found)[0] == 30
    best = found[0]
    assert best.score == pytest.approx(math.cos(math.radians(30)), abs=1e-5)
    assert best.relevance == pytest.approx(best.score / 0.5**0.5, abs=1e-4)
    assert set(angles(found)[1:]) == {20, 40}


def test_what_is_not_wanted_moves_hits_away(index: Index) -> None:
    wanted, unwanted = Part(at(0), "picture"), Part(at(40), "text", wanted=False)
    alone = asked(index, [wanted], limit=3)
    assert set(angles(alone)) == {0, 10, 350}
    away = asked(index, [wanted, unwanted], WORDS, limit=3)
    # cos x − ½ cos(x − 40°) is greatest at −27.5°
    assert angles(away) == [330, 340, 320]
    expected = math.cos(math.radians(30)) - math.cos(math.radians(70)) / 2
    assert away[0].score == pytest.approx(expected, abs=1e-5)


def test_segments_that_are_left_out(index: Index) -> None:
    first, second = (hit.segment for hit in asked(index, [Part(at(0), "picture")], limit=2))
    assert first is not None
    assert second is not None
    look = Look(limit=1, ranking=UNCUT)
    (hit,) = Asker(index).answer([Part(at(0), "picture")], look, None, (first.id,))
    assert hit.segment is not None
    assert hit.segment.id == second.id


@pytest.mark.parametrize(
    ("filters", "count"), [(Filters(), 36), (Filters(glob="odd.*"), 18), (Filters(max_depth=0), 36)]
)
def test_the_cut_depends_on_how_many_segments_are_searched(
    index: Index, filters: Filters, count: int
) -> None:
    found = asked(index, [Part(at(0), "picture")], filters=filters, ranking=Ranking())
    assert found.least == least_for(count)
    assert (len(found), found.nearest is None) == (0, False)  # the best has a relevance of √2


def test_what_is_searched_is_counted_with_its_filters(index: Index) -> None:
    (root,) = index.roots().values()
    filters = Filters(path=root / "odd")
    found = asked(index, [Part(at(0), "picture")], filters=filters, ranking=Ranking())
    assert found.least == least_for(18)


def test_neither_pictures_nor_several_parts_are_cut_unless_told(index: Index) -> None:
    one, other = Part(at(0), "picture"), Part(at(20), "text")
    images = asked(index, [one], by="image", ranking=Ranking())
    assert ([hit.path.name for hit in images], images.least) == (["even.png", "odd.png"], None)
    several = asked(index, [one, other], WORDS, ranking=Ranking(), limit=5)
    assert (angles(several)[0], several.least) == (10, None)
    cut = asked(index, [one, other], WORDS, ranking=Ranking(2))
    assert (len(cut), cut.least) == (0, 2)
    assert cut.nearest is not None


def test_pages_of_several_parts(index: Index) -> None:
    parts = [Part(at(0), "picture"), Part(at(20), "text")]
    whole = asked(index, parts, WORDS, limit=36)
    pages = [asked(index, parts, WORDS, limit=5, offset=i) for i in range(0, 36, 5)]
    assert [hit.to_plain() for page in pages for hit in page] == [hit.to_plain() for hit in whole]
    assert len(whole) == 36


def test_an_empty_index(tmp_path: Path) -> None:
    with empty_index(tmp_path / "index") as index:
        for by in ("segment", "image"):
            found = asked(index, [Part(at(0), "picture")], by=by, ranking=Ranking())
            assert (len(found), found.nearest) == (0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "both"}, "'both' is neither segment nor image"),
        ({"limit": -1}, "no page of -1 hits after 0"),
        ({"offset": -1}, "no page of 20 hits after -1"),
        ({"by": "image", "filters": Filters(min_depth=1)}, "whole pictures have no depth"),
    ],
)
def test_looks_that_make_no_sense(change: dict[str, By], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Look(**change)  # type: ignore[arg-type]


def test_an_old_sample_serves_while_one_caller_renews_it(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, look = Asker(index), Look(ranking=UNCUT)
    parts = [Part(at(90), "picture")]
    first = asker.answer(parts, look, None)
    monkeypatch.setattr("search.asking._FRESH_S", -1.0)
    renewing, go_on = threading.Event(), threading.Event()
    really = asker._vectors

    def slowly(by: By) -> list[Vector | None]:
        renewing.set()
        assert go_on.wait(10)
        return really(by)

    monkeypatch.setattr(asker, "_vectors", slowly)
    with ThreadPoolExecutor(1) as pool:
        renewed = pool.submit(asker.answer, parts, look, None)
        assert renewing.wait(10)
        meanwhile = asker.answer(parts, look, None)  # waits for nobody
        go_on.set()
        assert angles(meanwhile) == angles(first) == angles(renewed.result())
