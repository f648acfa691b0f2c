"""From vectors and filters to hits: what is asked of an index, and how its answers are measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Generic, Literal, TypeVar, get_args

import numpy as np

from indexer.errors import QueryError
from indexer.index import Index
from indexer.records import Image, Segment, Vector
from indexer.roots import locate
from indexer.store.base import EVERYTHING, Filter, HasId, Kind, Match, Ranked
from search.filters import Filters
from search.globs import MOST_LISTED, Glob, listed
from search.hits import Answer, Hit
from search.queries import Part
from search.ranking import Candidate, Ranking, arrange
from search.relevance import LEAST_SAMPLE, SAMPLE, Background, least_for

By = Literal["segment", "image"]
_K = TypeVar("_K")
_V = TypeVar("_V")
NO_FILTERS = Filters()
DEFAULT = Ranking()

#: Nearest hits of each part of a query that are candidates for being like all of its parts.
_CANDIDATES = 1000
#: How long the background sample of an index is taken for representative, and a number of
#: segments for about right, seconds.
_FRESH_S = 300.0
#: Filters of which something is remembered.
_FILTERS = 100


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
        self._samples: _Remembered[By, _Sample] = _Remembered()
        self._counts: _Remembered[Filter, int] = _Remembered()
        self._common: _Remembered[tuple[str, Filter], bool] = _Remembered()

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
        where, fits = self._where(look.filters, roots)
        sample = self._sample(look.by)
        least = self._least(parts, look, where, sample)
        if excluded:
            where = replace(where, must_not=(*where.must_not, HasId(excluded)))
        asked = _Asked(
            self._index, parts, look.by, where, fits, Background(sample.rows, words), roots
        )
        if len(sample.rows) < LEAST_SAMPLE and words is None:
            least = None  # nothing can be told
        ranking = replace(look.ranking, least=least)
        found = arrange(asked.candidates(), asked.hits, ranking, look.limit, look.offset)
        return Answer(tuple(found.hits), least, found.nearest)

    def where(self, filters: Filters) -> Filter:
        """Return filters in the store's terms, for what only the store looks at.

        Raises:
            QueryError: a filter makes no sense, or a glob matches more paths than can be listed.
        """
        where, fits = self._where(filters, self._index.roots())
        if fits is not None:
            raise QueryError(
                f"more than {MOST_LISTED} pictures match the pattern",
                "narrow the pattern, or give a path instead",
            )
        return where

    def _where(
        self, filters: Filters, roots: dict[str, Path]
    ) -> tuple[Filter, Callable[[str], bool] | None]:
        """Return the filter for the store, and what paths have to fulfil that it cannot tell."""
        where = filters.to_store(roots)
        if filters.glob is None:
            return where, None
        glob, within = Glob(filters.glob), filters.paths_to_store(roots)
        if self._common.get((filters.glob, within)):
            return where, glob.matcher()
        paths = listed(self._index, glob, within)
        if paths is None:
            self._common.put((filters.glob, within), True)
            return where, glob.matcher()
        return replace(where, must=(*where.must, Match("paths", paths))), None

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
        count = self._counts.get(where)
        if count is None:
            count = self._index.count("segments", where, exact=False)
            if count >= LEAST_SAMPLE:  # a few may soon be many more
                self._counts.put(where, count)
        return least_for(count)

    def _sample(self, by: By) -> _Sample:
        """Return some of what is searched, not too old.

        One that has become too old is renewed by one caller, while the others still use it.
        """
        old = self._samples.get(by, fresh=False)
        if not self._sampling.acquire(blocking=old is None):
            assert old is not None  # noqa: S101 - else it would have waited
            return old
        try:
            known = self._samples.get(by)
            if known is None:
                rows = np.zeros((0, self._index.recipe.dim), np.float32)
                there = [vector for vector in self._vectors(by) if vector is not None]
                count = self._index.count("segments", exact=False)
                known = _Sample(np.stack(there) if there else rows, count)
                if len(there) >= LEAST_SAMPLE:  # a few may soon be many more
                    self._samples.put(by, known)
            return known
        finally:
            self._sampling.release()

    def _vectors(self, by: By) -> list[Vector | None]:
        if by == "image":
            return [image.vector for image in islice(self._index.all_images(vectors=True), SAMPLE)]
        found = islice(self._index.all_segments(vectors=True), SAMPLE)
        return [segment.vector for segment, _ in found]


class _Remembered(Generic[_K, _V]):
    """What was found out a short time ago. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_K, tuple[_V, float]] = {}

    def get(self, key: _K, *, fresh: bool = True) -> _V | None:
        """Return what is known of a key; None if nothing is, or it should be `fresh` and is not."""
        with self._lock:
            known = self._known.get(key)
        if known is None or (fresh and time.monotonic() - known[1] > _FRESH_S):
            return None
        return known[0]

    def put(self, key: _K, value: _V) -> None:
        with self._lock:
            if len(self._known) >= _FILTERS:
                self._known.clear()
            self._known[key] = value, time.monotonic()


@dataclass(frozen=True, eq=False)
class _Sample:
    """Vectors of some of what is searched, and how many segments there are."""

    rows: Vector
    count: int


@dataclass(frozen=True, eq=False)
class _Asked:
    """One query on its way to hits."""

    index: Index
    parts: Sequence[Part]
    by: By
    where: Filter
    fits: Callable[[str], bool] | None
    background: Background
    roots: dict[str, Path]
    vectors: dict[str, Vector] = field(default_factory=dict)
    known: dict[str, _There | None] = field(default_factory=dict)

    def candidates(self) -> Callable[[int], list[Candidate]]:
        """Return what gives the nearest candidates, measured."""
        if len(self.parts) == 1:
            return lambda count: self._measured(self._nearest(self.parts[0], count))
        wanted = [self._nearest(part, _CANDIDATES) for part in self.parts if part.wanted]
        pool = self._measured(self._together(wanted))
        pool.sort(key=lambda one: -(one.score if one.relevance is None else one.relevance))
        return lambda count: pool[:count]

    def hits(self, candidates: Sequence[Candidate]) -> list[Hit | None]:
        """Look up what the candidates are; None for what is not there, or does not fit."""
        self._look_up([one.id for one in candidates])
        return [self._hit(one, self.known[one.id]) for one in candidates]

    def _hit(self, one: Candidate, there: _There | None) -> Hit | None:
        if there is None:
            return None
        measures = (one.standard_score, one.contrast, one.relevance)
        return Hit(one.score, there.image, there.segment, there.paths, *measures)

    def _nearest(self, part: Part, count: int) -> Ranked:
        """Return the nearest that fit, or all there are."""
        kind: Kind = "segments" if self.by == "segment" else "images"
        asked = count
        while True:
            found = self.index.nearest(kind, part.vector, self.where, asked)
            self.vectors.update(zip(found.ids, found.vectors, strict=True))
            if self.fits is None:
                return found
            self._look_up(found.ids)
            fitting = [row for row, id_ in enumerate(found.ids) if self.known[id_] is not None]
            if len(fitting) >= count or len(found.ids) < asked:
                return found.of(fitting[:count])
            asked *= 2

    def _look_up(self, ids: Sequence[str]) -> None:
        """Let `known` know what these are."""
        missing = [id_ for id_ in ids if id_ not in self.known]
        if not missing:
            return
        self.known.update(dict.fromkeys(missing))
        found: Iterable[tuple[Segment | None, Image]]
        if self.by == "segment":
            found = self.index.segments_in_images(missing, vectors=self.vectors)
        else:
            found = ((None, image) for image in self.index.images(missing, vectors=True))
        for segment, image in found:
            paths = tuple(locate(path, self.roots) for path in image.paths)
            if self.fits is None or any(self.fits(str(path)) for path in paths):
                id_ = image.id if segment is None else segment.id
                self.known[id_] = _There(segment, image, paths)

    def _measured(self, found: Ranked) -> list[Candidate]:
        if not found.ids:
            return []
        measured = self.background.measure(self.parts, found.vectors)
        if len(self.parts) == 1 and self.by == "image":
            measured = replace(measured, relevance=None)  # whole pictures go by their cosines
        columns = zip(found.ids, found.scores, *measured.columns(len(found.ids)), strict=True)
        return [Candidate(*column) for column in columns]

    def _together(self, found: Iterable[Ranked]) -> Ranked:
        """Return what was found for several parts, with scores for all of them together.

        That is the mean of the cosines, less half of that of what is not wanted.
        """
        ids = tuple(dict.fromkeys(id_ for each in found for id_ in each.ids))
        vectors = np.array([self.vectors[id_] for id_ in ids], np.float32)
        vectors = vectors.reshape(-1, len(self.parts[0].vector))
        wanted = [part.vector for part in self.parts if part.wanted]
        unwanted = [part.vector for part in self.parts if not part.wanted]
        scores = (vectors @ np.stack(wanted).T).mean(axis=1)
        if unwanted:
            scores = scores - (vectors @ np.stack(unwanted).T).mean(axis=1) / 2
        return Ranked(ids, tuple(scores.tolist()), vectors)


@dataclass(frozen=True, eq=False)
class _There:
    """What a candidate turned out to be."""

    segment: Segment | None
    image: Image
    paths: tuple[Path, ...]
