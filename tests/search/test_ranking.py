"""How hits are arranged, on hits made by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from indexer.errors import QueryError
from indexer.records import Box
from search.hits import Hit
from search.ranking import POOL, UNCUT, Arranged, Candidate, Ranking, arrange
from search.relevance import SPAN
from tests.search.handmade import at
from tests.search.handmade_hits import hit, ids

#: What the best hit must have here.
LEAST = 3.0
CUT = Ranking(LEAST)
WHOLE, PART, BESIDE = (0, 0, 10, 10), (2, 2, 6, 6), (20, 20, 24, 24)


def page(hits: Sequence[Hit], ranking: Ranking, limit: int = 20, offset: int = 0) -> Arranged:
    """Arrange hits that come by falling cosine; those of the image "unseen" are not to be seen."""
    candidates = [
        Candidate(str(i), one.score, relevance=one.relevance) for i, one in enumerate(hits)
    ]

    def look_up(some: Sequence[Candidate]) -> list[Hit | None]:
        there = [hits[int(one.id)] for one in some]
        return [None if one.image.id == "unseen" else one for one in there]

    return arrange(lambda count: candidates[:count], look_up, ranking, limit, offset)


def arranged(
    hits: Sequence[Hit], ranking: Ranking = UNCUT, limit: int = 1000, offset: int = 0
) -> list[str]:
    return ids(page(hits, ranking, limit, offset).hits)


def named(**relevances: float | None) -> list[Hit]:
    """Hits by falling cosine, each in an image of its own."""
    return [hit(name, image=name, relevance=value) for name, value in relevances.items()]


def test_relevance_decides_the_order_and_equal_hits_stay_as_they_were() -> None:
    assert arranged(named(a=1, b=3, c=2, d=3)) == ["b", "d", "c", "a"]
    assert arranged(named(a=None, b=None, c=None)) == ["a", "b", "c"]


def test_where_the_best_is_not_relevant_enough_nothing_is_found() -> None:
    hits = named(a=1.0, b=LEAST - 0.01, c=2.0)
    found = page(hits, CUT)
    assert found.hits == []
    assert found.nearest is not None
    assert ids([found.nearest]) == ["b"]
    uncut = page(hits, UNCUT)
    assert (ids(uncut.hits), uncut.nearest) == (["b", "c", "a"], None)


def test_once_something_is_there_less_certain_sights_are_shown_too() -> None:
    hits = named(a=LEAST - SPAN - 0.01, b=LEAST - SPAN, c=LEAST)
    assert arranged(hits, CUT) == ["c", "b"]
    assert arranged(hits, Ranking(4)) == []
    assert arranged(hits, Ranking(0)) == ["c", "b", "a"]
    assert arranged(hits, Ranking(None)) == ["c", "b", "a"]


def test_hits_of_unknown_relevance_are_not_cut() -> None:
    assert arranged(named(a=None, b=None), CUT) == ["a", "b"]


def test_nothing_in_nothing_out() -> None:
    found = page([], CUT)
    assert (found.hits, found.nearest) == ([], None)


def test_what_is_not_to_be_seen_neither_counts_nor_is_the_nearest() -> None:
    hits = [hit(str(i), image="unseen", relevance=9) for i in range(40)]
    assert page([*hits, *named(a=1)], CUT).hits == []
    nearest = page([*hits, *named(a=1)], CUT).nearest
    assert nearest is not None
    assert ids([nearest]) == ["a"]
    assert arranged([*hits, *named(a=4, b=5)], CUT) == ["b", "a"]
    assert arranged(hits, CUT) == []
    many = [hit(str(i), image="unseen", relevance=9) for i in range(POOL)]
    found = page([*many, *named(a=LEAST - 0.5, b=LEAST - 0.4)], CUT)
    assert (found.hits, ids([found.nearest]) if found.nearest else None) == ([], ["b"])
    assert page(named(a=LEAST), CUT, sys.maxsize, 1).hits == []


def test_what_is_not_relevant_is_not_looked_up() -> None:
    looked: list[str] = []

    def look_up(some: Sequence[Candidate]) -> list[Hit]:
        looked.extend(one.id for one in some)
        return [hit(one.id, image=one.id, relevance=one.relevance) for one in some]

    candidates = [Candidate(str(i), 0.0, relevance=5.0 if i < 50 else 0.0) for i in range(100)]
    arrange(lambda count: candidates[:count], look_up, CUT, 100, 0)
    assert set(looked) == set(map(str, range(50)))


@pytest.mark.parametrize(
    ("relevance", "limit", "expected"),
    [
        (5.0, 20, 25),  # a quarter more than wanted, as some may be nested
        (5.0, 1, 4),
        (5.0, 60, 75),
        (5.0, 1000, POOL),
        (LEAST - 0.1, 20, 4),  # nothing is there, only the best of it is looked for
    ],
)
def test_hardly_more_is_looked_up_than_is_shown(
    relevance: float, limit: int, expected: int
) -> None:
    looked: set[str] = set()

    def look_up(some: Sequence[Candidate]) -> list[Hit]:
        looked.update(one.id for one in some)
        return [hit(one.id, image=one.id, relevance=one.relevance) for one in some]

    candidates = [Candidate(str(i), 0.0, relevance=relevance) for i in range(POOL)]
    arrange(lambda count: candidates[:count], look_up, CUT, limit, 0)
    assert len(looked) == expected


@pytest.mark.parametrize(("better", "worse"), [(WHOLE, PART), (PART, WHOLE), (WHOLE, WHOLE)])
def test_a_thing_and_its_part_are_one_hit(better: Box, worse: Box) -> None:
    hits = [hit("1", better), hit("2", worse), hit("3", BESIDE)]
    assert arranged(hits, Ranking(None)) == ["1", "3"]
    assert arranged(hits, Ranking(None, nested=True)) == ["1", "2", "3"]


def test_what_is_nine_tenths_inside_is_nested() -> None:
    just, hardly = (1, 0, 11, 10), (2, 0, 12, 10)  # 90 and 80 of their 100 pixels are in WHOLE
    assert arranged([hit("1", WHOLE), hit("2", just)], Ranking(None)) == ["1"]
    assert arranged([hit("1", WHOLE), hit("2", hardly)], Ranking(None)) == ["1", "2"]


def test_places_in_different_pictures_are_not_nested() -> None:
    hits = [hit("1", WHOLE, image="a"), hit("2", PART, image="b"), hit("3", None, image="c")]
    assert arranged(hits, Ranking(None)) == ["1", "2", "c"]


def test_what_is_not_shown_hides_nothing() -> None:
    """The part is not relevant; so the whole, which comes later, has nothing to be nested in."""
    hits = [hit("best", BESIDE, relevance=LEAST), hit("part", PART, relevance=0)]
    hits += [hit(f"{i}", image=f"{i}", relevance=0) for i in range(POOL - 3)]
    hits += [hit("last", image="last", relevance=LEAST), hit("whole", WHOLE, relevance=LEAST)]
    assert arranged(hits, CUT) == ["best", "last", "whole"]


def test_only_some_hits_of_each_image() -> None:
    boxes = [(x, 0, x + 2, 2) for x in range(0, 20, 4)]
    hits = [hit(f"{image}{i}", box, image=image) for i, box in enumerate(boxes) for image in "ab"]
    assert arranged(hits, Ranking(None, per_image=2)) == ["a0", "b0", "a1", "b1"]
    assert arranged(hits, Ranking(None, per_image=1)) == ["a0", "b0"]


def test_diversity_pushes_near_copies_back() -> None:
    angles = {"a": 0.0, "a'": 1.0, "a''": 2.0, "b": 80.0}
    relevances = {"a": 5.0, "a'": 4.9, "a''": 4.8, "b": 4.0}
    hits = [
        hit(name, image=name, relevance=relevances[name], vector=at(angle))
        for name, angle in angles.items()
    ]
    assert arranged(hits, Ranking(LEAST, diversity=0)) == ["a", "a'", "a''", "b"]
    # after a, a' is worth 0.1 · 0.9 − 0.9 · 1, and b 0.1 · 0 − 0.9 · 0.17
    assert arranged(hits, Ranking(LEAST, diversity=0.9)) == ["a", "b", "a'", "a''"]
    # hardly any: 0.99 · 0.9 − 0.01 · 1 against −0.01 · 0.17
    assert arranged(hits, Ranking(LEAST, diversity=0.01)) == ["a", "a'", "a''", "b"]


def test_diversity_without_relevance_goes_by_scores() -> None:
    hits = [
        hit(name, image=name, score=score, vector=at(angle))
        for name, score, angle in (("a", 0.9, 0), ("a'", 0.8, 1), ("b", 0.3, 90))
    ]
    assert arranged(hits, Ranking(None, diversity=0.9)) == ["a", "b", "a'"]
    same = [hit(str(i), image=str(i), score=0.5, vector=at(0)) for i in range(3)]
    assert arranged(same, Ranking(None, diversity=1)) == ["0", "1", "2"]


def test_diversity_also_asks_beyond_the_page() -> None:
    """The second hit comes from far down, though only two are wanted."""
    copies = [hit(f"a{i}", image=f"a{i}", relevance=5, vector=at(0)) for i in range(POOL - 1)]
    hits = [*copies, hit("b", image="b", relevance=4.9, vector=at(90))]
    assert arranged(hits, Ranking(LEAST, diversity=0.9), limit=2) == ["a0", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"per_image": 0}, "0 hits of an image"), ({"per_image": -1}, "-1 hits of an image")]
    + [({"diversity": each}, f"a diversity of {each}") for each in (-0.1, 1.1, float("nan"))]
    + [({"least": each}, f"a relevance of {each}") for each in ("none", float("nan"))],
)
def test_settings_that_make_no_sense(change: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Ranking(**change)  # type: ignore[arg-type]


def test_a_cut_is_a_number_however_it_is_written() -> None:
    assert [Ranking(each).cut for each in (None, "auto", 0, 3, 2.5)] == [None, None, 0.0, 3.0, 2.5]
    assert arranged(named(a=2.9), Ranking(3)) == []


def asked(relevances: Sequence[float], ranking: Ranking, limit: int) -> list[int]:
    """How many hits were asked for, time after time."""
    candidates = [Candidate(str(i), 0.0, relevance=each) for i, each in enumerate(relevances)]
    counts: list[int] = []

    def ask(count: int) -> list[Candidate]:
        counts.append(count)
        return candidates[:count]

    def look_up(some: Sequence[Candidate]) -> list[Hit]:
        return [hit(one.id, image=one.id, relevance=one.relevance) for one in some]

    arrange(ask, look_up, ranking, limit, 0)
    return counts


def test_no_more_is_asked_for_than_is_needed() -> None:
    many = [5.0] * 1000
    assert asked(many, CUT, POOL) == [POOL]
    assert asked(many, CUT, POOL + 1) == [POOL, 2 * POOL]
    assert asked(many, UNCUT, 10_000) == [POOL, 2 * POOL, 4 * POOL, 8 * POOL, 16 * POOL]


def test_a_whole_block_without_anything_relevant_ends_the_search() -> None:
    one = [5.0] + [0.0] * 2000
    assert asked(one, CUT, 20) == [POOL]
    late = [5.0] + [0.0] * (POOL - 2) + [5.0] + [0.0] * 2000
    assert asked(late, CUT, 20) == [POOL, 2 * POOL]
    assert asked([0.0] * 2000, CUT, 20) == [POOL]


_BOXES: list[Box | None] = [WHOLE, PART, BESIDE, (0, 0, 5, 10), (30, 0, 40, 4), None]


@settings(max_examples=60)
@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(_BOXES),
            st.sampled_from("abcdefgh"),
            st.sampled_from([0.0, LEAST - SPAN, LEAST, 4.0]),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=40,
    ),
    copies=st.integers(1, 12),
    known=st.booleans(),
    ranking=st.builds(
        Ranking,
        least=st.sampled_from([None, LEAST]),
        nested=st.booleans(),
        per_image=st.sampled_from([None, 1, 3]),
        diversity=st.sampled_from([0.0, 0.5, 1.0]),
    ),
    size=st.integers(9, 130),
)
def test_pages_one_after_the_other_are_the_whole(
    drawn: list[tuple[Box | None, str, float, int]],
    *,
    copies: int,
    known: bool,
    ranking: Ranking,
    size: int,
) -> None:
    """Whatever the settings and the size of the pages, and with many equal hits."""
    hits = [
        hit(
            f"{copy}-{i}",
            box,
            image=f"{image}{copy % 3}",
            relevance=relevance if known else None,
            vector=at(10 * turn),
        )
        for copy in range(copies)
        for i, (box, image, relevance, turn) in enumerate(drawn)
    ]
    whole = page(hits, ranking, 10_000).hits
    pages = [page(hits, ranking, size, start).hits for start in range(0, len(hits), size)]
    assert list(map(id, whole)) == [id(one) for page in pages for one in page]
    assert all(len(page) <= size for page in pages)
    if ranking.per_image is not None:
        images = [one.image.id for one in whole]
        assert max(map(images.count, images), default=0) <= ranking.per_image


@pytest.mark.parametrize(("limit", "farthest"), [(20, 6400), (2000, 8000)])
def test_what_is_relevant_by_chance_far_away_is_not_looked_for(limit: int, farthest: int) -> None:
    """One candidate in ten is relevant, all the way down, and none of them is to be seen."""
    hidden = [None] * 100_000
    looked: list[int] = []

    def ask(count: int) -> list[Candidate]:
        looked.append(count)
        return [Candidate(str(i), 0.5, relevance=LEAST if i % 10 == 0 else 0) for i in range(count)]

    found = arrange(ask, lambda some: hidden[: len(some)], CUT, limit, 0)
    assert found.hits == []
    assert farthest <= max(looked) < 2 * farthest
