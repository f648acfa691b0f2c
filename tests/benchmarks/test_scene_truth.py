"""Masks drawn as text, so that every overlap can be counted by eye."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.scene_truth import (
    Labels,
    best_object,
    correction,
    innermost,
    iou,
    overlaps,
    pieces,
    truth_of,
)
from indexer.demo.scenes import DrawnObject, Scene

Mask = NDArray[np.bool_]

#: Two objects; the second cuts the first in two.
OBJECTS = """
11.2..1
11.2..1
...2...
"""


def labels(text: str) -> Labels:
    rows = text.split()
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], dtype=np.int32)


def mask(text: str) -> Mask:
    return labels(text) > 0


def test_a_mask_that_covers_half_of_an_object_overlaps_it_by_half() -> None:
    found = mask(".......\n...1...\n...1...") | mask(".......\n....1..\n.......")
    assert overlaps([found], labels(OBJECTS)).tolist() == [[0, pytest.approx(2 / 4)]]


def test_overlaps_has_a_row_for_every_mask_and_a_column_for_every_thing() -> None:
    everything, nothing = np.ones((3, 7), np.bool_), np.zeros((3, 7), np.bool_)
    found = overlaps([everything, nothing], labels(OBJECTS))
    assert found == pytest.approx(np.array([[6 / 21, 3 / 21], [0, 0]]))
    assert overlaps([], labels(OBJECTS)).shape == (0, 2)
    assert overlaps([everything], np.zeros((3, 7), np.int32)).shape == (1, 0)


def test_pieces_are_connected_over_corners_and_of_one_thing_each() -> None:
    assert pieces(labels(OBJECTS)).tolist() == labels("11.3..2\n11.3..2\n...3...").tolist()
    assert pieces(labels("1.\n.1")).tolist() == [[1, 0], [0, 1]]
    assert pieces(labels("12")).tolist() == [[1, 2]]
    assert pieces(labels("..")).tolist() == [[0, 0]]


def test_a_mask_is_of_the_object_it_overlaps_most_from_a_half() -> None:
    ious = np.array([[0.6, 0.1], [0.1, 0.5], [0.49, 0.3]])
    assert best_object(ious).tolist() == [0, 1, -1]
    assert best_object(np.zeros((2, 0))).tolist() == [-1, -1]


def test_iou_of_two_masks() -> None:
    assert iou(mask("11.."), mask(".11.")) == pytest.approx(1 / 3)
    assert iou(mask("...."), mask("....")) == 1


def test_innermost_is_the_middle_and_the_edge_of_the_picture_is_an_edge() -> None:
    assert innermost(np.ones((5, 5), np.bool_)) == (2, 2)
    assert innermost(mask("1......\n1.111..\n..111..\n..111..")) == (3, 2)


def test_the_next_click_is_where_the_answer_is_most_wrong() -> None:
    true = mask("111....\n111....\n111....")
    assert correction(mask(".......\n.......\n......1"), true) == ((1, 1), True)
    assert correction(mask("111.111\n111.111\n11..111"), true) == ((5, 1), False)
    assert correction(true, true) is None


def scene() -> Scene:
    back, front = (
        DrawnObject(name, colour, "plain", "small", labels(OBJECTS) == label)
        for name, colour, label in (("star", "red", 1), ("mug", "blue", 2))
    )
    hidden = DrawnObject("kite", "red", "plain", "small", np.zeros((3, 7), np.bool_))
    free = labels(OBJECTS) == 0
    table = np.zeros((3, 7), np.bool_)
    table[2] = True
    pixels = np.zeros((3, 7, 3), np.uint8)
    return Scene(0, "held-out", pixels, (back, hidden, front), (free & ~table, free & table), b"")


def test_the_truth_of_a_scene_has_its_visible_objects() -> None:
    truth = truth_of(scene())
    assert truth.pairs == (("red", "star"), ("blue", "mug"))
    assert truth.shares == pytest.approx([6 / 21, 3 / 21])
    assert truth.objects.tolist() == labels(OBJECTS).tolist()
    assert truth.mask(1).tolist() == (labels(OBJECTS) == 2).tolist()


@pytest.mark.parametrize(
    "found",
    [
        "11....1\n11....1\n.......",  # an object in two pieces
        "11.....\n11.....\n.......",  # its larger piece
        "......1\n......1\n.......",  # its smaller piece
        "..1.11.\n..1.11.\n.......",  # a region of the background, in two pieces
        "....11.\n....11.\n.......",  # a piece of it
        ".......\n.......\n111.111",  # the other region
        "..1.11.\n..1.11.\n111.111",  # the background as a whole
    ],
)
def test_what_a_mask_may_rightly_be_of(found: str) -> None:
    truth = truth_of(scene())
    assert max(overlaps([mask(found)], things).max() for things in truth.things) == 1


def test_two_objects_together_are_no_thing() -> None:
    truth = truth_of(scene())
    both = mask("......1\n......1\n.......") | mask("...1...\n...1...\n...1...")
    both |= mask("....11.\n....1..\n.......")
    assert max(overlaps([both], things).max() for things in truth.things) < 0.5
