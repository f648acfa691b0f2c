"""The figures of retrieval on rankings small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.retrieval import average_precision, precision_at

SCORES = np.array([0.1, 0.9, 0.5, 0.7, 0.3])
#: Best first, these are: wrong, right, right, wrong, right.
RELEVANT = np.array([True, False, True, True, False])


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 1 / 2), (3, 2 / 3), (5, 3 / 5)])
def test_precision_counts_the_right_ones_among_the_first(k: int, expected: float) -> None:
    assert precision_at(SCORES, RELEVANT, k) == pytest.approx(expected)


def test_missing_answers_count_as_wrong() -> None:
    assert precision_at(SCORES, RELEVANT, 10) == pytest.approx(3 / 10)


def test_average_precision_is_the_mean_over_the_relevant() -> None:
    assert average_precision(SCORES, RELEVANT) == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)


def test_a_perfect_ranking_has_average_precision_one() -> None:
    assert average_precision(np.array([3.0, 1.0, 2.0]), np.array([True, False, True])) == 1


def test_of_equal_scores_the_earlier_comes_first() -> None:
    scores, relevant = np.zeros(3), np.array([False, True, False])
    assert precision_at(scores, relevant, 1) == 0
    assert average_precision(scores, relevant) == pytest.approx(1 / 2)


def test_average_precision_needs_something_relevant() -> None:
    with pytest.raises(ValueError, match="nothing is relevant"):
        average_precision(SCORES, np.zeros(5, dtype=np.bool_))
