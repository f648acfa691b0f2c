"""The figures of retrieval on rankings small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from search.evaluation.measures import average_precision, interval, outcome, places

#: Best first, these are: wrong, right, right, wrong, right.
RIGHT, WRONG = np.array([0.1, 0.5, 0.7]), np.array([0.3, 0.9])


def test_places_of_the_right_answers() -> None:
    assert places(RIGHT, WRONG).tolist() == [2, 3, 5]
    assert places(RIGHT, WRONG[:0]).tolist() == [1, 2, 3]
    assert places(RIGHT[:0], WRONG).tolist() == []


def test_of_equal_scores_the_wrong_ones_come_first() -> None:
    assert places(np.array([0.5]), np.array([0.5, 0.5, 0.4])).tolist() == [3]


def test_average_precision_is_the_mean_over_the_relevant() -> None:
    at = places(RIGHT, WRONG)
    assert average_precision(at, 3) == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)


def test_what_was_not_found_counts_nothing() -> None:
    assert average_precision(np.array([1, 2]), 4) == 1 / 2
    assert average_precision(np.array([], dtype=np.intp), 4) == 0


def test_average_precision_needs_something_relevant() -> None:
    with pytest.raises(ValueError, match="nothing is relevant"):
        average_precision(np.array([], dtype=np.intp), 0)


def test_figures_of_an_outcome() -> None:
    figures = outcome([(1.0, 1), (0.5, 2), (0.25, 6), (0.0, 0)]).figures()
    assert (figures["queries"], figures["map"]) == (4, 1.75 / 4)
    assert (figures["r1"], figures["r5"], figures["r10"]) == (1 / 4, 2 / 4, 3 / 4)


def test_no_queries_have_no_figures() -> None:
    figures = outcome([]).figures()
    assert figures.pop("queries") == 0
    assert set(figures.values()) == {None}


def test_some_of_the_queries() -> None:
    chosen = outcome([(1.0, 1), (0.5, 2)]).of(np.array([False, True]))
    assert chosen.figures()["map"] == 0.5


def test_the_interval_holds_the_mean_and_narrows() -> None:
    few, many = np.array([0.0, 1.0] * 5), np.array([0.0, 1.0] * 500)
    for values, wide, narrow in ((few, 0.7, 0.4), (many, 0.08, 0.04)):
        low, high = interval(values)
        assert low is not None
        assert high is not None
        assert low < 0.5 < high
        assert narrow < high - low < wide
    assert interval(few) == interval(few)
    assert interval(np.array([0.25])) == (0.25, 0.25)
    assert interval(np.array([])) == (None, None)
