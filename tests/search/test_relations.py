from __future__ import annotations

from typing import get_args

import pytest

from indexer.errors import QueryError
from indexer.records import Box
from search.relations import Count, How, Relation, are_one, singular
from tests.search.handmade_hits import region

#: In a picture of 40 × 40: a thing in the middle, and things around it.
MIDDLE = (15, 15, 25, 25)
LEFT, RIGHT, ABOVE, BELOW = (2, 15, 10, 25), (30, 15, 38, 25), (15, 2, 25, 10), (15, 30, 25, 38)
WITHIN, CORNER = (18, 18, 22, 22), (0, 0, 2, 2)


def holding(thing: Box, other: Box) -> set[str]:
    """All that is true of two boxes."""
    found = set()
    for how in get_args(How):
        if Relation("a", how, "b").holds(region(thing), region(other)):
            found.add(how)
    return found


@pytest.mark.parametrize(
    ("thing", "other", "expected"),
    [
        (LEFT, MIDDLE, {"left-of", "near"}),
        (RIGHT, MIDDLE, {"right-of", "near"}),
        (ABOVE, MIDDLE, {"above", "near"}),
        (BELOW, MIDDLE, {"below", "near"}),
        (MIDDLE, LEFT, {"right-of", "near"}),
        (MIDDLE, BELOW, {"above", "near"}),
        (WITHIN, MIDDLE, {"inside", "near"}),
        (MIDDLE, WITHIN, {"near"}),
        (MIDDLE, MIDDLE, {"near"}),
        (CORNER, MIDDLE, {"left-of", "above"}),
        (LEFT, BELOW, {"left-of", "above", "near"}),  # 7.07 pixels apart, and 10 and 10 long
        ((0, 0, 2, 40), (38, 0, 40, 40), {"left-of"}),
    ],
)
def test_how_two_things_lie(thing: Box, other: Box, expected: set[str]) -> None:
    assert holding(thing, other) == expected


def test_things_side_by_side_may_overlap_by_a_quarter_of_the_narrower_one() -> None:
    wide = (10, 0, 30, 10)
    assert "left-of" in holding((4, 0, 12, 10), wide)  # 2 of 8
    assert "left-of" not in holding((5, 0, 13, 10), wide)  # 3 of 8
    assert "right-of" in holding((28, 0, 36, 10), wide)
    assert "right-of" not in holding((27, 0, 35, 10), wide)


def test_near_depends_on_how_large_things_are() -> None:
    small, large = (0, 0, 4, 4), (0, 0, 12, 12)
    # 0.75 · 4 = 3, and 0.75 · (12 + 4) / 2 = 6
    assert "near" in holding(small, (7, 0, 11, 4))
    assert "near" not in holding(small, (8, 0, 12, 4))
    assert "near" in holding(large, (18, 0, 22, 4))
    assert "near" not in holding(large, (19, 0, 23, 4))


def test_what_was_cut_out_of_a_thing_is_inside_of_it() -> None:
    frame = region((10, 10, 30, 30), hole=WITHIN)
    assert Relation("spot", "inside", "plate").holds(region(WITHIN), frame)
    assert not Relation("plate", "inside", "spot").holds(frame, region(WITHIN))
    assert not Relation("spot", "inside", "plate").holds(region(CORNER), frame)


def test_most_of_a_thing_must_be_inside() -> None:
    around = region((10, 0, 40, 30))
    inside = Relation("a", "inside", "b")
    assert inside.holds(region((8, 0, 18, 10)), around)  # 80 %
    assert not inside.holds(region((7, 0, 17, 10)), around)  # 70 %


def test_two_segments_of_the_same_thing() -> None:
    whole = region((0, 0, 10, 10))
    assert are_one(whole, whole)
    assert are_one(whole, region((0, 0, 10, 5)))  # IoU 1/2
    assert not are_one(whole, region((0, 0, 10, 4)))
    assert not are_one(whole, region((0, 20, 10, 30)))
    assert not are_one(whole, region((10, 0, 20, 10)))  # boxes that touch


def test_a_relation_as_it_is_written() -> None:
    assert Relation.parse("dog left-of frisbee") == Relation("dog", "left-of", "frisbee")
    written = "  a red mug  INSIDE  the blue box "
    assert Relation.parse(written) == Relation("a red mug", "inside", "the blue box")
    for how in get_args(How):
        assert Relation.parse(f"a {how} b").how == how


@pytest.mark.parametrize(
    "text", ["", "dog", "left-of frisbee", "dog left-of", "dog behind frisbee", "dogabovecat"]
)
def test_what_is_no_relation(text: str) -> None:
    with pytest.raises(QueryError, match=r"is no relation .*left-of, right-of, above, below"):
        Relation.parse(text)


def test_nothing_lies_to_itself() -> None:
    with pytest.raises(QueryError, match="'dog' cannot lie near itself"):
        Relation.parse("dog near dog")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mug", Count("mug", 1)),
        (" red mugs ", Count("red mugs", 1)),
        ("at least 3 mugs", Count("mug", 3)),
        ("At Least Two red boxes", Count("red box", 2)),
        ("at least one mug", Count("mug", 1)),
        ("at least 1 glass", Count("glass", 1)),
        ("at least 100 ants", Count("ant", 100)),
    ],
)
def test_how_many(text: str, expected: Count) -> None:
    assert Count.parse(text) == expected


@pytest.mark.parametrize("number", [0, 101, 10**9])
def test_how_many_are_too_many(number: int) -> None:
    with pytest.raises(QueryError, match=rf"at least {number} of a thing.*ask for 1 to 100"):
        Count.parse(f"at least {number} mugs")


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("mugs", "mug"),
        ("berries", "berry"),
        ("ties", "tie"),
        ("watches", "watch"),
        ("dishes", "dish"),
        ("boxes", "box"),
        ("glasses", "glass"),
        ("houses", "house"),
        ("red shoes", "red shoe"),
        ("glass", "glass"),
        ("bus", "bus"),
        ("tennis", "tennis"),
        ("sheep", "sheep"),
    ],
)
def test_singulars(plural: str, one: str) -> None:
    assert singular(plural) == one


@pytest.mark.parametrize("text", ["at least zero mugs", "at least 2 mugs left-of star"])
def test_numbers_that_are_not_understood(text: str) -> None:
    with pytest.raises(QueryError, match="is not understood"):
        Count.parse(text)


@pytest.mark.parametrize(
    ("plural", "one"), [("red leaves", "red leaf"), ("buses", "bus"), ("glass", "glass")]
)
def test_irregular_plurals(plural: str, one: str) -> None:
    assert singular(plural) == one
