"""Queries over what is searched: text → segment, segment → segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.records import Vector
from search.evaluation.galleries import Objects, Searched
from search.evaluation.measures import Outcome, average_precision, outcome, places

#: Added to the scores at random, so that chance decides among equals: more than the noise of
#: float32, and less than a difference that means anything.
_CHANCE = 1e-6
#: Most scores that are held at once.
_SCORES = 2**25


@dataclass(frozen=True, eq=False)
class _Kind:
    """The answers to queries of one kind.

    Attributes:
        members: the numbers of all objects of the kind.
        rows: of the vectors that show one of them, by object.
        starts: where in `rows` each found object begins.
        found: the numbers of the found objects, in the order of `starts`.
        wrong: whether each vector is a wrong answer, bool.
    """

    members: NDArray[np.intp]
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    found: NDArray[np.intp]
    wrong: NDArray[np.bool_]


class Retrieval:
    """Asks for objects in what is searched."""

    def __init__(self, searched: Searched, objects: Objects) -> None:
        """Prepare the kinds of objects."""
        self._searched = searched
        self._objects = objects
        count = len(searched.vectors)
        self._chance = np.random.default_rng(0).uniform(0, _CHANCE, count)
        self._kinds = {str(name): self._kind(name) for name in np.unique(objects.kinds)}

    def text(self, text: Callable[[str], Vector], size: str | None = None) -> Outcome:
        """Ask for every kind by its words.

        Args:
            text: gives a query's vector, shape (dim,).
            size: only objects of this size are right answers, those of others no answers at all;
                kinds without such objects are not asked for. None is all sizes.
        """
        wanted = self._objects.sizes == size if size else np.ones(len(self._objects.sizes), bool)
        answered = []
        for name, kind in self._kinds.items():
            if wanted[kind.members].any():
                scores = self._searched.vectors @ text(name) + self._chance
                answered.append(self._answer(scores, kind, wanted, None))
        return outcome(answered)

    def segments(self, vectors: Vector) -> tuple[Outcome, NDArray[np.intp]]:
        """Ask for what is like each object, in other pictures.

        Args:
            vectors: one for each object, shape (objects, dim).

        Returns:
            The outcome, and the numbers of the objects asked with: those of a kind that another
            picture has too.
        """
        everything = np.ones(len(vectors), dtype=np.bool_)
        kinds, pictures = self._objects.kinds, self._objects.pictures
        asked = [
            number
            for number in range(len(vectors))
            if (pictures[self._kinds[str(kinds[number])].members] != pictures[number]).any()
        ]
        answered = []
        step = max(1, _SCORES // max(1, len(self._searched.vectors)))
        for start in range(0, len(asked), step):
            part = asked[start : start + step]
            for number, scores in zip(part, vectors[part] @ self._searched.vectors.T, strict=True):
                kind = self._kinds[str(kinds[number])]
                own = int(pictures[number])
                answered.append(self._answer(scores + self._chance, kind, everything, own))
        return outcome(answered), np.array(asked, dtype=np.intp)

    def _kind(self, name: str) -> _Kind:
        searched, objects = self._searched, self._objects
        members = np.flatnonzero(objects.kinds == name)
        shown = searched.shows[objects.kinds[searched.shows[:, 1]] == name]
        shown = shown[np.argsort(shown[:, 1], kind="stable")]
        found, starts = np.unique(shown[:, 1], return_index=True)
        wrong = np.ones(len(searched.vectors), dtype=np.bool_)
        wrong[shown[:, 0]] = False
        wrong[searched.undecided.get(str(objects.categories[members[0]]), [])] = False
        return _Kind(members, shown[:, 0], starts, found, wrong)

    def _answer(
        self,
        scores: NDArray[np.float64],
        kind: _Kind,
        wanted: NDArray[np.bool_],
        own: int | None,
    ) -> tuple[float, int]:
        """Return average precision and first place of a query, from the score of each vector.

        Args:
            scores: of the vectors.
            kind: that is asked for.
            wanted: whether each object is a right answer, if it is of the kind.
            own: the picture in which no answer counts.
        """
        pictures, wrong = self._objects.pictures, kind.wrong
        best = np.maximum.reduceat(scores[kind.rows], kind.starts) if len(kind.rows) else scores[:0]
        right = wanted & (pictures != own) if own is not None else wanted
        if own is not None:
            wrong = wrong & (self._searched.pictures != own)
        at = places(best[right[kind.found]], scores[wrong])
        total = int(right[kind.members].sum())
        return average_precision(at, total), int(at[0]) if len(at) else 0
