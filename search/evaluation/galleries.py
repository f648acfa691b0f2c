"""What is searched: vectors of many pictures, and which of the true objects each of them shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.records import Rle, Vector
from indexer.segmentation import masks
from search.evaluation.truth import TrueObject, TruePicture

#: IoU from which a mask shows an object.
SHOWS = 0.5
#: Share of a mask's pixels in an undecided region from which the mask is undecided.
_UNDECIDED = 0.5


@dataclass(frozen=True, eq=False)
class Objects:
    """The true objects of all pictures, numbered in their order.

    Attributes:
        kinds: of each, what a text query for it says.
        categories: of each.
        sizes: of each, one of `truth.SIZES`.
        pictures: of each, the number of its picture; int, shape (n,).
    """

    kinds: NDArray[np.str_]
    categories: NDArray[np.str_]
    sizes: NDArray[np.str_]
    pictures: NDArray[np.intp]


@dataclass(frozen=True)
class Matches:
    """Which objects the masks of one picture show.

    Attributes:
        best_ious: of each object, the best IoU that a mask has with it.
        shows: pairs of a mask's and an object's position.
        undecided: pairs of a mask's position and a category that it may or may not be of.
    """

    best_ious: tuple[float, ...]
    shows: tuple[tuple[int, int], ...]
    undecided: tuple[tuple[int, str], ...]


@dataclass(frozen=True, eq=False)
class Searched:
    """What is searched.

    Attributes:
        vectors: float32, shape (n, dim), rows of length 1.
        pictures: number of each one's picture; int, shape (n,).
        shows: int, shape (m, 2): pairs of a vector's row and the number of an object it shows.
        undecided: category → the rows that are neither right nor wrong for it.
    """

    vectors: Vector
    pictures: NDArray[np.intp]
    shows: NDArray[np.intp]
    undecided: dict[str, NDArray[np.intp]]


class Gallery:
    """Collects what is to be searched, picture by picture."""

    def __init__(self, dim: int) -> None:
        """Begin with nothing; `dim` is the length of the vectors."""
        self._vectors = [np.zeros((0, dim), dtype=np.float32)]
        self._pictures: list[int] = []
        self._shows: list[tuple[int, int]] = []
        self._undecided: dict[str, list[int]] = {}

    def add(
        self,
        picture: int,
        vectors: Vector,
        shows: Iterable[tuple[int, int]],
        undecided: Iterable[tuple[int, str]] = (),
    ) -> None:
        """Add the vectors of a picture.

        Args:
            picture: its number.
            vectors: shape (n, dim).
            shows: pairs of a row of `vectors` and the number of an object.
            undecided: pairs of a row of `vectors` and a category.
        """
        first = len(self._pictures)
        self._vectors.append(vectors)
        self._pictures += [picture] * len(vectors)
        self._shows += [(first + row, shown) for row, shown in shows]
        for row, category in undecided:
            self._undecided.setdefault(category, []).append(first + row)

    def searched(self) -> Searched:
        """Return what was collected."""
        return Searched(
            np.concatenate(self._vectors),
            np.array(self._pictures, dtype=np.intp),
            np.array(self._shows, dtype=np.intp).reshape(-1, 2),
            {name: np.array(rows, dtype=np.intp) for name, rows in self._undecided.items()},
        )


def objects_of(pictures: Sequence[TruePicture]) -> Objects:
    """Return the objects of the pictures, which are numbered in their order too."""
    numbered = [(number, one) for number, each in enumerate(pictures) for one in each.objects]
    return Objects(
        np.array([one.kind for _, one in numbered], dtype=np.str_),
        np.array([one.category for _, one in numbered], dtype=np.str_),
        np.array([one.size for _, one in numbered], dtype=np.str_),
        np.array([number for number, _ in numbered], dtype=np.intp),
    )


def each_itself(vectors: Vector, objects: Objects) -> Searched:
    """Return what is searched where every object has exactly one vector, in their order."""
    numbers = np.arange(len(vectors))
    return Searched(vectors, objects.pictures, np.stack([numbers, numbers], axis=1), {})


def match(rles: Sequence[Rle], picture: TruePicture) -> Matches:
    """Compare masks with what is in their picture.

    A mask shows an object of each kind at most: the one with the best IoU.
    """
    ious = masks.iou(rles, [one.rle for one in picture.objects])
    inside = masks.share_inside(rles, [one.rle for one in picture.undecided])
    return Matches(
        tuple(ious.max(axis=0, initial=0.0).tolist()),
        tuple(_shown(ious, picture.objects)),
        tuple(
            (int(row), picture.undecided[region].category)
            for row, region in np.argwhere(inside >= _UNDECIDED)
        ),
    )


def _shown(ious: NDArray[np.float64], objects: Sequence[TrueObject]) -> Iterable[tuple[int, int]]:
    """Return the pairs of mask and object, from the IoU of each mask with each object."""
    best: dict[tuple[int, str], int] = {}
    for row, number in np.argwhere(ious >= SHOWS).tolist():
        key = (row, objects[number].kind)
        if key not in best or ious[row, number] > ious[row, best[key]]:
            best[key] = number
    return [(row, number) for (row, _), number in best.items()]
