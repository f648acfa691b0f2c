"""Scores of hand-made vectors: every number here can be worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.records import Vector
from search.queries import Part
from search.relevance import LEAST_SAMPLE, Background, Measured, Scores, least_for


def rows(*vectors: tuple[float, ...]) -> Vector:
    return np.asarray(vectors, dtype=np.float32)


EAST = np.asarray([1, 0, 0], dtype=np.float32)
#: Half of it (1, 0), half (0, 1): (1, 0) scores 0.5 ± 0.5 there.
SAMPLE = rows(*[(1, 0), (0, 1)] * (LEAST_SAMPLE // 2))
#: Half of them (0, 1), half (0, −1).
WORDS = rows(*[(0, 1), (0, -1)] * (LEAST_SAMPLE // 2))
HITS = rows((0.8, 0.6), (0.6, 0.8))
X, Y = rows((1, 0), (0, 1))


def known(values: Scores | None) -> list[float]:
    assert values is not None
    return [float(value) for value in values]


def close(values: Scores | None, *expected: float) -> bool:
    return known(values) == pytest.approx(list(expected), abs=1e-4)


def nothing(measured: Measured) -> bool:
    return (measured.standard, measured.contrast, measured.relevance) == (None, None, None)


def test_a_picture_is_held_against_the_sample_from_both_sides() -> None:
    measured = Background(SAMPLE).measure([Part(X, "picture")], HITS)
    # the query's scores are 0.8 and 0.6, its scores over the sample 0.5 ± 0.5
    assert close(measured.standard, 0.6, 0.2)
    # both hits score 0.7 ± 0.1 over the sample
    assert close(measured.contrast, 1, -1)
    assert close(measured.relevance, 0.75 * 1 + 0.25 * 0.6, 0.75 * -1 + 0.25 * 0.2)


def test_a_text_competes_with_words() -> None:
    measured = Background(SAMPLE, WORDS).measure([Part(X, "text")], HITS)
    assert close(measured.standard, 0.6, 0.2)
    # the hits score 0 ± 0.6 and 0 ± 0.8 with the words
    assert close(measured.contrast, 0.8 / 0.6, 0.6 / 0.8)
    assert close(measured.relevance, 1 + 0.25 * 0.6, 0.75 * 0.75 + 0.25 * 0.2)
    pictures = Background(SAMPLE, WORDS).measure([Part(X, "picture")], HITS)
    assert close(pictures.contrast, 1, -1)


def test_a_segment_that_is_near_to_everything_has_no_contrast() -> None:
    """Both have the same cosine with the query, so that only their own side tells them apart."""
    words = np.tile(np.eye(3, dtype=np.float32), (10, 1))
    third = 3**-0.5
    hub, special = (third, third, third), (third, 0, -((2 / 3) ** 0.5))
    sample = np.tile(rows((1, 0, 0), (-1, 0, 0)), (15, 1))
    measured = Background(sample, words).measure([Part(EAST, "text")], rows(hub, special))
    standard, contrast, relevance = map(
        known, (measured.standard, measured.contrast, measured.relevance)
    )
    assert standard[0] == pytest.approx(standard[1], abs=1e-4)
    assert contrast[0] == pytest.approx(0, abs=0.2)  # 0 / 0, but for rounding
    assert contrast[1] > 1
    assert relevance[1] > relevance[0] + 0.75


def test_what_the_whole_index_looks_like_is_no_find() -> None:
    """A query that is as near to everything else has no standard score, whatever the cosine."""
    sample = np.tile(rows((0.8, 0.6), (0.8, -0.6)), (15, 1))
    measured = Background(sample).measure([Part(X, "picture")], rows((0.8, 0.6)))
    assert known(measured.standard)[0] == pytest.approx(0, abs=0.2)
    assert known(measured.relevance)[0] < 1


@pytest.mark.parametrize("count", [0, LEAST_SAMPLE - 1])
def test_a_small_index_tells_nothing(count: int) -> None:
    few = SAMPLE[:count]
    assert nothing(Background(few).measure([Part(X, "picture")], HITS))
    measured = Background(few, WORDS).measure([Part(X, "text")], HITS)
    assert measured.standard is None
    assert close(measured.contrast, 0.8 / 0.6, 0.6 / 0.8)
    assert close(measured.relevance, 0.8 / 0.6, 0.6 / 0.8)


def test_a_short_vocabulary_tells_nothing() -> None:
    measured = Background(SAMPLE, WORDS[: LEAST_SAMPLE - 1]).measure([Part(X, "text")], HITS)
    assert measured.contrast is None
    assert close(measured.relevance, 0.6, 0.2)


def test_a_hit_must_be_like_all_that_is_wanted() -> None:
    """The geometric mean, in which what is less than nothing counts as nothing."""
    background = Background(SAMPLE, WORDS)
    picture, text = Part(X, "picture"), Part(X, "text")
    measured = background.measure([picture, text], HITS)
    assert close(measured.standard, 0.6, 0.2)
    assert close(measured.contrast, (1 + 0.8 / 0.6) / 2, (-1 + 0.75) / 2)
    assert close(measured.relevance, (0.9 * 1.15) ** 0.5, 0)
    alone = background.measure([picture], HITS)
    assert close(alone.relevance, 0.9, -0.7)  # a single part is left as it is


def test_half_of_what_is_not_wanted_is_taken_off() -> None:
    wanted, unwanted = Part(X, "picture"), Part(Y, "picture", wanted=False)
    measured = Background(SAMPLE).measure([wanted, unwanted], HITS)
    # (0, 1) is to the second hit what (1, 0) is to the first: relevance −0.7 and 0.9
    assert close(measured.relevance, 0.9, -0.7 - 0.9 / 2)
    assert close(measured.standard, 0.6, 0.2)
    assert close(measured.contrast, 1, -1)


def test_one_part_that_nothing_is_known_about_leaves_all_unknown() -> None:
    few = Background(SAMPLE[:2], WORDS)
    measured = few.measure([Part(X, "text"), Part(X, "picture")], HITS)
    assert nothing(measured)


def test_the_best_of_many_must_be_better() -> None:
    """√(2 ln n) is 4 for 2981 segments, 5.2568 for a million."""
    assert least_for(10**6) - least_for(2981) == pytest.approx(1.2565, abs=1e-3)
    assert least_for(0) == least_for(1) == least_for(2) < least_for(3)
    assert 2 < least_for(1000) < 4
