from __future__ import annotations

import numpy as np
import pytest

from indexer.errors import QueryError
from indexer.records import Vector
from search.queries import Picture, Query, Sense, Stored, Text, parts
from tests.search.handmade import at


def given(sense: Sense, *degrees: float) -> list[tuple[Sense, Vector]]:
    return [(sense, at(each)) for each in degrees]


def angle(vector: Vector) -> float:
    return float(np.degrees(np.arctan2(vector[1], vector[0])))


def test_examples_of_one_sense_are_averaged() -> None:
    (part,) = parts(given("picture", 0, 60), [])
    assert (part.sense, part.wanted) == ("picture", True)
    assert angle(part.vector) == pytest.approx(30, abs=1e-3)
    assert float(np.linalg.norm(part.vector)) == pytest.approx(1, abs=1e-6)
    assert part.vector.dtype == np.float32


def test_what_hits_should_not_be_like_pushes_away() -> None:
    """Qdrant's `average_vector`: twice the mean of the positives, less that of the negatives."""
    (part,) = parts(given("text", 0), given("text", 90))
    assert part.vector.tolist() == pytest.approx([2 / 5**0.5, -1 / 5**0.5], abs=1e-6)
    assert part.wanted
    (several,) = parts(given("text", 30, -30), given("text", 80, 100))
    mean, against = 2 * 0.75**0.5, np.sin(np.radians(80))
    expected = np.degrees(np.arctan2(-against, mean))
    assert angle(several.vector) == pytest.approx(expected, abs=1e-3)


def test_texts_and_pictures_are_never_mixed() -> None:
    positives = [*given("picture", 10), *given("text", 20), *given("picture", 30)]
    found = parts(positives, [])
    assert [(part.sense, part.wanted) for part in found] == [("text", True), ("picture", True)]
    assert [angle(part.vector) for part in found] == pytest.approx([20, 20], abs=1e-3)


def test_a_negative_of_another_sense_stands_for_itself_and_comes_last() -> None:
    found = parts(given("picture", 0), given("text", 70, 90))
    assert [(part.sense, part.wanted) for part in found] == [("picture", True), ("text", False)]
    assert [angle(part.vector) for part in found] == pytest.approx([0, 80], abs=1e-3)


@pytest.mark.parametrize(
    ("positives", "negatives"), [((0, 180), ()), ((0, 120, 240), ()), ((60, -60), (0,))]
)
def test_examples_that_cancel_each_other_out(
    positives: tuple[float, ...], negatives: tuple[float, ...]
) -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        parts(given("text", *positives), given("text", *negatives))


def test_a_query_needs_something_to_look_for() -> None:
    with pytest.raises(QueryError, match="at least one positive example"):
        Query((), (Text("mug"),))
    for empty in ("", " \n"):
        with pytest.raises(QueryError, match="the text is empty"):
            Text(empty)


def test_the_segments_of_a_query_are_known() -> None:
    pixels = np.zeros((1, 1, 3), dtype=np.uint8)
    query = Query((Stored("a"), Text("mug"), Picture(pixels)), (Stored("b"),))
    assert query.stored_ids() == ("a", "b")
