"""From vectors and filters to hits: what is asked of an index, and how its answers are measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from indexer.errors import QueryError
from indexer.index import Found, Index
from indexer.records import Vector
from indexer.roots import locate
from indexer.store.base import EVERYTHING, Filter, HasId
from search.filters import Filters
from search.globs import AnyFound, Glob, Narrowed, matching
from search.hits import Answer, Hit
from search.queries import Part
from search.ranking import Ranking, arrange
from search.relevance import LEAST_SAMPLE, SAMPLE, Background, least_for

By = Literal["segment", "image"]
NO_FILTERS = Filters()
DEFAULT = Ranking()

#: Nearest hits of each part of a query that are candidates for being like all of its parts.
_CANDIDATES = 1000
#: How long the background sample of an index is taken for representative, seconds.
_FRESH_S = 300.0


@dataclass(frozen=True)
class Look:
    """What is looked at of all that is found: see `Searcher.text`."""

    limit: int = 20
    offset: int = 0
    filters: Filters = NO_FILTERS
    by: By = "segment"
    ranking: Ranking = DEFAULT

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise QueryError(f"{self.by!r} is neither segment nor image", "rank by one of the two")
        if self.limit < 0 or self.offset < 0:
            raise QueryError(
                f"there is no page of {self.limit} hits after {self.offset}", "count from 0"
            )
        if self.by == "image":
            self.filters.check_for_images()


class Asker:
    """Asks one index. Safe to use from many threads."""

    def __init__(self, index: Index) -> None:
        """Use an open index; the caller closes it."""
        self._index = index
        self._sampling = threading.Lock()
        self._samples: dict[By, _Sample] = {}

    def answer(
        self,
        parts: Sequence[Part],
        look: Look,
        words: Vector | None,
        excluded: tuple[str, ...] = (),
    ) -> Answer:
        """Return what is found.

        Args:
            parts: what hits are compared with.
            look: what is looked at.
            words: vectors of the vocabulary, see `Background`.
            excluded: ids of segments that are no hits.

        Raises:
            QueryError: a filter makes no sense.
        """
        roots = self._index.roots()
        where, within = look.filters.to_store(roots), look.filters.paths_to_store(roots)
        if excluded:
            where = Filter(where.must, (*where.must_not, HasId(excluded)))
        sample = self._sample(look.by)
        least = self._least(parts, look, where, sample)
        asked = _Asked(
            self._index, parts, look, Narrowed(where, within), Background(sample.rows, words), roots
        )
        if len(sample.rows) < LEAST_SAMPLE and words is None:
            least = None  # nothing can be told
        arranged = arrange(
            asked.hits(), replace(look.ranking, least=least), look.limit, look.offset
        )
        return Answer(tuple(arranged.hits), least, arranged.nearest)

    def _least(
        self, parts: Sequence[Part], look: Look, where: Filter, sample: _Sample
    ) -> float | None:
        """Return the cut that suits what is searched.

        Whole pictures are not cut unless that is asked for, nor is what has to be like a text and
        a picture: which relevance tells there was not found out.
        """
        if look.ranking.least != "auto":
            return look.ranking.least
        if look.by == "image" or sum(part.wanted for part in parts) > 1:
            return None
        if where == EVERYTHING:
            return least_for(sample.count)
        return least_for(self._index.count("segments", where, exact=False))

    def _sample(self, by: By) -> _Sample:
        """Return some of what is searched, not too old."""
        with self._sampling:
            known = self._samples.get(by)
            if known is None or time.monotonic() - known.taken > _FRESH_S:
                rows = np.zeros((0, self._index.recipe.dim), np.float32)
                there = [vector for vector in self._vectors(by) if vector is not None]
                count = self._index.count("segments", exact=False)
                known = _Sample(np.stack(there) if there else rows, count, time.monotonic())
                self._samples[by] = known
            return known

    def _vectors(self, by: By) -> list[Vector | None]:
        if by == "image":
            return [image.vector for image in islice(self._index.all_images(vectors=True), SAMPLE)]
        found = islice(self._index.all_segments(vectors=True), SAMPLE)
        return [segment.vector for segment, _ in found]


@dataclass(frozen=True, eq=False)
class _Sample:
    """Vectors of some of what is searched, how many segments there are, and when that was."""

    rows: Vector
    count: int
    taken: float


@dataclass(frozen=True, eq=False)
class _Asked:
    """One query on its way to hits."""

    index: Index
    parts: Sequence[Part]
    look: Look
    narrowed: Narrowed
    background: Background
    roots: dict[str, Path]

    def hits(self) -> Callable[[int], list[Hit]]:
        """Return what gives the nearest hits, measured, with vectors."""
        if len(self.parts) == 1:
            return lambda count: self._measured(self._nearest(self.parts[0], count))
        candidates = [
            found
            for part in self.parts
            if part.wanted
            for found in self._nearest(part, _CANDIDATES)
        ]
        pool = self._measured(list({_id(found): found for found in candidates}.values()))
        pool.sort(key=lambda hit: -(hit.score if hit.relevance is None else hit.relevance))
        return lambda count: pool[:count]

    def _nearest(self, part: Part, count: int) -> list[AnyFound]:
        search = self.index.search if self.look.by == "segment" else self.index.search_images

        def ask(narrowed: Filter, number: int) -> list[AnyFound]:
            return [*search(part.vector, narrowed, number, vectors=True)]

        pattern = self.look.filters.glob
        if pattern is None:
            return ask(self.narrowed.where, count)
        return matching(self.index, Glob(pattern), self.narrowed, ask, count)

    def _measured(self, found: Sequence[AnyFound]) -> list[Hit]:
        if not found:
            return []
        vectors = np.stack([_vector(one) for one in found])
        measured = self.background.measure(self.parts, vectors)
        if len(self.parts) == 1 and self.look.by == "image":
            measured = replace(measured, relevance=None)  # whole pictures go by their cosines
        scores = self._scores(found, vectors)
        images = {one.image.id: one.image for one in found}
        paths = {
            id_: tuple(locate(path, self.roots) for path in image.paths)
            for id_, image in images.items()
        }
        return [
            Hit(
                scores[row],
                one.image,
                one.segment if isinstance(one, Found) else None,
                paths[one.image.id],
                *measured.of(row),
            )
            for row, one in enumerate(found)
        ]

    def _scores(self, found: Sequence[AnyFound], vectors: Vector) -> list[float]:
        """Return cosines: of several parts, the mean, less half of that of what is not wanted."""
        if len(self.parts) == 1:
            return [one.score for one in found]
        weights = [(part.vector, part.wanted) for part in self.parts]
        wanted = np.stack([vector for vector, is_wanted in weights if is_wanted])
        scores = (vectors @ wanted.T).mean(axis=1)
        unwanted = [vector for vector, is_wanted in weights if not is_wanted]
        if unwanted:
            scores = scores - (vectors @ np.stack(unwanted).T).mean(axis=1) / 2
        return [float(score) for score in scores]


def _id(found: AnyFound) -> str:
    return found.segment.id if isinstance(found, Found) else found.image.id


def _vector(found: AnyFound) -> Vector:
    vector = found.segment.vector if isinstance(found, Found) else found.image.vector
    assert vector is not None  # noqa: S101 - the index was asked for vectors
    return vector
