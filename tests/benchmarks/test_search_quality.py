"""What the benchmark of search takes for true."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search_quality import holds, lies
from indexer.demo.scenes import DrawnObject, Scene


def drawn(colour: str, name: str, x: int, y: int) -> DrawnObject:
    """An object of 2 × 2 pixels in a picture of 10 × 10."""
    mask = np.zeros((10, 10), dtype=np.bool_)
    mask[y : y + 2, x : x + 2] = True
    return DrawnObject(name, colour, "plain", "small", mask)


STAR, HAT, OTHER_STAR = (
    drawn("red", "star", 0, 4),
    drawn("blue", "hat", 6, 0),
    drawn("blue", "star", 8, 8),
)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("left-of", True), ("right-of", False), ("above", False), ("below", True)],
)
def test_things_lie_as_their_centres_do(how: str, expected: bool) -> None:
    assert lies(STAR, how, HAT) is expected
    assert lies(HAT, how, STAR) is not expected


def test_what_cannot_be_seen_lies_nowhere() -> None:
    hidden = DrawnObject("hat", "red", "plain", "small", np.zeros((10, 10), dtype=np.bool_))
    assert not lies(STAR, "left-of", hidden)


def test_a_scene_holds_if_any_two_of_its_objects_lie_so() -> None:
    pixels = np.zeros((10, 10, 3), dtype=np.uint8)
    scene = Scene(0, "held-out", pixels, (STAR, HAT, OTHER_STAR), (), b"")
    assert holds(scene, "star", "left-of", "hat")
    assert holds(scene, "star", "right-of", "hat")  # the blue one
    assert not holds(scene, "red star", "right-of", "hat")
    assert not holds(scene, "star", "left-of", "mug")
