"""Which objects masks show, and what is collected of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer.records import Rle
from indexer.segmentation import masks
from search.evaluation.galleries import Gallery, each_itself, match, objects_of
from search.evaluation.truth import TrueObject, TruePicture, Undecided


def block(x0: int, x1: int) -> Rle:
    """Return the mask of some columns of a picture of 20 × 10 pixels."""
    mask = np.zeros((10, 20), dtype=np.bool_)
    mask[:, x0:x1] = True
    return masks.encode(mask)


def true(x0: int, x1: int, kind: str = "star") -> TrueObject:
    return TrueObject(kind, kind, block(x0, x1), (x0, 0, x1, 10), "large")


def picture(*objects: TrueObject, undecided: tuple[Undecided, ...] = ()) -> TruePicture:
    return TruePicture(1, "a.png", None, 20, 10, objects, undecided)


def rows(values: list[list[float]]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_a_mask_shows_an_object_from_half_its_union_on() -> None:
    found = [block(0, 10), block(0, 5), block(0, 4), block(9, 19)]
    matches = match(found, picture(true(0, 10), true(10, 20, "mug")))
    assert matches.shows == (
        (0, 0),
        (1, 0),
        (3, 1),
    )  # IoU 1, 5 / 10 and 9 / 11; 4 / 10 is too little
    assert matches.best_ious == pytest.approx((1.0, 9 / 11))
    assert matches.undecided == ()


def test_of_a_kind_a_mask_shows_the_best_object_alone() -> None:
    """Annotations may overlap: a star twice, and something that is a mug as well."""
    twice = picture(true(0, 10), true(0, 9), true(0, 10, "mug"))
    assert match([block(0, 9)], twice).shows == ((0, 1), (0, 2))


def test_masks_in_a_crowd_are_undecided() -> None:
    crowd = Undecided("star", block(10, 20))
    found = [block(12, 14), block(9, 11), block(8, 11), block(0, 20)]
    matches = match(found, picture(true(0, 5), undecided=(crowd,)))
    assert matches.undecided == ((0, "star"), (1, "star"), (3, "star"))  # 2 / 2, 1 / 2, 10 / 20


def test_nothing_to_compare() -> None:
    assert match([], picture(true(0, 5))).best_ious == (0.0,)
    assert match([block(0, 5)], picture()).shows == ()


def test_objects_are_numbered_through_the_pictures() -> None:
    objects = objects_of([picture(true(0, 5), true(5, 9, "mug")), picture(), picture(true(0, 5))])
    assert objects.kinds.tolist() == ["star", "mug", "star"]
    assert objects.pictures.tolist() == [0, 0, 2]
    assert objects.sizes.tolist() == ["large"] * 3


def test_a_gallery_counts_its_rows_through() -> None:
    gallery = Gallery(2)
    gallery.add(0, rows([[1, 0], [0, 1]]), [(1, 0)], [(0, "star")])
    gallery.add(1, rows([]).reshape(0, 2), [])
    gallery.add(2, rows([[0, 1]]), [(0, 3), (0, 4)], [(0, "star")])
    searched = gallery.searched()
    assert searched.vectors.shape == (3, 2)
    assert searched.pictures.tolist() == [0, 0, 2]
    assert searched.shows.tolist() == [[1, 0], [2, 3], [2, 4]]
    assert {name: rows.tolist() for name, rows in searched.undecided.items()} == {"star": [0, 2]}


def test_an_empty_gallery() -> None:
    searched = Gallery(3).searched()
    assert searched.vectors.shape == (0, 3)
    assert searched.shows.shape == (0, 2)


def test_each_object_is_its_own_answer() -> None:
    objects = objects_of([picture(true(0, 5)), picture(true(0, 5))])
    searched = each_itself(rows([[1, 0], [0, 1]]), objects)
    assert searched.shows.tolist() == [[0, 0], [1, 1]]
    assert searched.pictures.tolist() == [0, 1]
