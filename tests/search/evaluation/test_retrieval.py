"""Queries over made-up vectors: what is right, what is wrong, and what does not count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.records import Vector
from search.evaluation.galleries import Objects, Searched, each_itself
from search.evaluation.retrieval import Retrieval


def objects(*numbered: tuple[str, str, int]) -> Objects:
    """Return objects of a kind, a size and a picture each."""
    kinds, sizes, pictures = ([one[i] for one in numbered] for i in range(3))
    return Objects(np.array(kinds), np.array(kinds), np.array(sizes), np.array(pictures))


def unit(*angles: float) -> Vector:
    """Return vectors at these angles in degrees; the nearer to 0, the more they are like a star."""
    turns = np.radians(angles)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def text(words: str) -> Vector:
    return np.asarray(unit(0 if words == "star" else 90)[0])


#: Two stars and a mug in two pictures.
THREE = objects(("star", "small", 0), ("mug", "large", 0), ("star", "large", 1))


def searched(
    vectors: Vector,
    pictures: list[int],
    shows: list[tuple[int, int]],
    undecided: dict[str, list[int]] | None = None,
) -> Searched:
    return Searched(
        vectors,
        np.array(pictures),
        np.array(shows, dtype=np.intp).reshape(-1, 2),
        {name: np.array(rows) for name, rows in (undecided or {}).items()},
    )


def test_text_over_objects_themselves() -> None:
    perfect = Retrieval(each_itself(unit(0, 90, 10), THREE), THREE).text(text)
    assert (perfect.precisions.tolist(), perfect.firsts.tolist()) == ([1, 1], [1, 1])
    mixed = Retrieval(each_itself(unit(0, 20, 70), THREE), THREE).text(text)
    # mug: the second star comes before it; star: the mug comes between both
    assert mixed.precisions.tolist() == pytest.approx([1 / 2, (1 + 2 / 3) / 2])
    assert mixed.firsts.tolist() == [2, 1]


def test_an_object_counts_once_and_lost_ones_count_nothing() -> None:
    segments = searched(unit(0, 5, 10, 15), [0, 0, 1, 1], [(0, 0), (1, 0), (3, 0)])
    found = Retrieval(segments, THREE).text(text)
    # star: three segments of the first, the second is lost; a segment of nothing lies between
    assert found.precisions.tolist() == [0, 1 / 2]
    assert found.firsts.tolist() == [0, 1]


def test_every_wrong_segment_counts() -> None:
    segments = searched(unit(0, 5, 10, 90), [0, 0, 0, 1], [(2, 0), (0, 1), (1, 1)])
    found = Retrieval(segments, THREE).text(text)
    # star: two segments of the mug before the only star found; mug: three wrong ones before it
    assert found.firsts.tolist() == [3, 3]
    assert found.precisions.tolist() == pytest.approx([1 / 3, 1 / 3 / 2])


def test_undecided_segments_are_no_answers() -> None:
    segments = searched(unit(0, 5, 10), [0, 0, 1], [(1, 0), (2, 2)], {"star": [0]})
    found = Retrieval(segments, THREE).text(text)
    assert found.precisions.tolist() == [0, 1]


def test_text_by_size_of_the_answers() -> None:
    retrieval = Retrieval(each_itself(unit(0, 20, 70), THREE), THREE)
    small, large = retrieval.text(text, "small"), retrieval.text(text, "large")
    assert small.precisions.tolist() == [1]  # no small mug is asked for
    # the large star comes after the mug; the small one is no wrong answer to "star"
    assert large.precisions.tolist() == [1 / 2, 1 / 2]
    assert not len(retrieval.text(text, "medium").precisions)


def test_segments_ask_in_other_pictures() -> None:
    vectors = unit(0, 5, 10)
    outcome, asked = Retrieval(each_itself(vectors, THREE), THREE).segments(vectors)
    assert asked.tolist() == [0, 2]  # there is no other mug
    # from picture 0 only the second star is in sight; from picture 1 the mug is nearer
    assert outcome.precisions.tolist() == [1, 1 / 2]


def test_nothing_was_found() -> None:
    retrieval = Retrieval(searched(unit(), [], []), THREE)
    assert retrieval.text(text).precisions.tolist() == [0, 0]
    outcome, _ = retrieval.segments(unit(0, 1, 2))
    assert (outcome.precisions.tolist(), outcome.firsts.tolist()) == ([0, 0], [0, 0])


def test_chance_decides_among_equals() -> None:
    """Objects with one picture's vector: neither the right nor the wrong ones come first."""
    kinds = ["star", "mug"] * 200
    many = objects(*[(kind, "small", number // 2) for number, kind in enumerate(kinds)])
    same = np.repeat(unit(0), 400, axis=0)
    (_, star) = Retrieval(each_itself(same, many), many).text(text).precisions
    assert star == pytest.approx(0.5, abs=0.06)


@given(st.integers(0, 2**32 - 1))
def test_against_ranking_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["star", "mug", "key"], 8).tolist()
    some = objects(*[(kind, "small", int(rng.integers(3))) for kind in kinds])
    shows = [(row, int(rng.integers(8))) for row in range(20) if rng.random() < 0.6]
    vectors = unit(*rng.uniform(0, 360, 20))
    pictures = [int(some.pictures[dict(shows)[r]]) if r in dict(shows) else 1 for r in range(20)]
    queries = unit(*rng.uniform(0, 360, 8))
    outcome, asked = Retrieval(searched(vectors, pictures, shows), some).segments(queries)
    for number, precision in zip(asked.tolist(), outcome.precisions, strict=True):
        own = some.pictures[number]
        right = {n for n in range(8) if kinds[n] == kinds[number] and some.pictures[n] != own}
        seen, hits, place = set[int](), 0, 0
        total = 0.0
        for row in np.argsort(-(vectors @ queries[number])).tolist():
            shown = dict(shows).get(row)
            if pictures[row] == own or shown in seen:
                continue
            place += 1
            if shown in right:
                seen.add(shown)
                hits += 1
                total += hits / place
        assert precision == pytest.approx(total / len(right), abs=1e-6)
