"""From what is nearest to what is shown: order, cut, nested hits, groups, diversity, pages.

Everything is decided from the top down, one hit after the other, so that what a page holds does
not depend on which pages were asked for before, nor on how many are looked up at once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

import numpy as np

from indexer.errors import QueryError
from indexer.records import Box, Segment
from indexer.segmentation import masks
from search.hits import Hit
from search.relevance import SPAN

#: Candidates that are looked at first, and put into the order of their relevance or diversity.
#: Further ones follow as they come, by cosine.
POOL = 100
#: Candidates that are looked up at once: at least, and at most.
_FEW, _MANY = 4, POOL
#: Candidates that are looked up at first for each hit that is wanted, as some may be nested.
_SPARE = 1.25
#: Candidates beyond which nothing relevant is looked for any more: for each hit that is wanted, and
#: at least.
_FAR, _FARTHEST = 4, 64 * POOL
#: Share of a segment inside another from which the two are one thing and its part.
_NESTED = 0.9


@dataclass(frozen=True)
class Ranking:
    """How hits are arranged.

    Attributes:
        least: relevance that the best hit must have, see `search.relevance`; without such a hit
            nothing is found. "auto" is what the number of segments suggests; None keeps all.
        nested: keep hits that contain, or lie in, a better hit of the same image.
        per_image: most hits of one image; None is any number.
        diversity: 0 to 1, how much of a hit's place is decided by being unlike the hits before it
            (maximal marginal relevance, Carbonell and Goldstein 1998).
    """

    least: float | Literal["auto"] | None = "auto"
    nested: bool = False
    per_image: int | None = None
    diversity: float = 0.0

    def __post_init__(self) -> None:
        if self.per_image is not None and self.per_image < 1:
            raise QueryError(f"{self.per_image} hits of an image are none", "give at least 1")
        if not 0 <= self.diversity <= 1:
            raise QueryError(
                f"a diversity of {self.diversity} makes no sense", "give a number from 0 to 1"
            )
        if self.least not in (None, "auto") and (self.cut is None or math.isnan(self.cut)):
            raise QueryError(
                f"a relevance of {self.least} makes no sense", "give a number, or leave it out"
            )

    @property
    def cut(self) -> float | None:
        """`least` as a number; None where nothing is cut, or the number is not known yet."""
        return None if self.least is None or isinstance(self.least, str) else float(self.least)


#: Everything there is, put into order.
UNCUT = Ranking(least=None, nested=True)


@dataclass(frozen=True, eq=False)
class Arranged:
    """One page of hits; `nearest` is the best one where nothing was relevant enough."""

    hits: list[Hit]
    nearest: Hit | None = None


@dataclass(frozen=True, eq=False)
class Candidate:
    """What may become a hit, known by its id and measures; see `Hit`."""

    id: str
    score: float
    standard_score: float | None = None
    contrast: float | None = None
    relevance: float | None = None


Ask = Callable[[int], Sequence[Candidate]]
LookUp = Callable[[Sequence[Candidate]], Sequence[Hit | None]]


def arrange(ask: Ask, look_up: LookUp, ranking: Ranking, limit: int, offset: int) -> Arranged:
    """Return one page of the hits.

    Args:
        ask: returns the given number of candidates with the best cosines, or all there are.
        look_up: returns the hits that candidates are, with their vectors; None for one that is
            not to be seen. It takes longer than `ask`, so that only what matters is looked up; what
            was looked up before may be again, at no cost.
        ranking: how to arrange them; "auto" stands for no cut here.
        limit: hits on the page.
        offset: hits before it.
    """
    wanted = min(max(limit + offset, POOL if ranking.diversity else 0), sys.maxsize)
    block = int(min(max(_SPARE * wanted, _FEW), _MANY))
    count = POOL
    while True:
        pool = ask(count)
        first = _by_relevance(pool[:POOL])
        rest = pool[POOL:]
        relevant = [one for one in (*first, *rest) if _is_relevant(one, ranking)]
        if first and _is_there(first[0], ranking):
            look_up(relevant[:block])  # what is looked up below is among them
        best = next(_hits(chain(first, _by_relevance(rest)), look_up, _FEW), None)
        if best is not None and not _is_there(best, ranking):
            return Arranged([], best)
        kept = list(islice(_narrowed(_hits(relevant, look_up, block), ranking), wanted))
        over = len(pool) < count or _has_ended(pool, ranking, max(_FAR * wanted, _FARTHEST))
        if len(kept) >= wanted or over:
            return Arranged(_diverse(kept, ranking.diversity)[offset : offset + limit])
        count *= 2


def _by_relevance(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return candidates by falling relevance, equal ones as they were."""
    return sorted(candidates, key=lambda one: -(one.relevance or 0.0))


def _hits(candidates: Iterable[Candidate], look_up: LookUp, block: int) -> Iterator[Hit]:
    """Look up candidates, so many at a time."""
    left = iter(candidates)
    while some := list(islice(left, block)):
        for hit in look_up(some):
            if hit is not None:
                yield hit


def _is_there(best: Hit | Candidate, ranking: Ranking) -> bool:
    return best.relevance is None or ranking.cut is None or best.relevance >= ranking.cut


def _has_ended(pool: Sequence[Candidate], ranking: Ranking, farthest: int) -> bool:
    """Return whether there is no point in looking at more candidates than these.

    Where hits are cut, that is so once the second half holds none that is relevant enough, or there
    are so many that the next ones are relevant by chance.
    """
    if ranking.cut is not None and len(pool) >= farthest:
        return True
    return not any(_is_relevant(one, ranking) for one in pool[len(pool) // 2 :])


def _is_relevant(one: Candidate, ranking: Ranking) -> bool:
    return one.relevance is None or ranking.cut is None or one.relevance >= ranking.cut - SPAN


def _narrowed(hits: Iterable[Hit], ranking: Ranking) -> Iterator[Hit]:
    """Iterate over the hits that are not nested in better ones, and not too many an image."""
    by_image: dict[str, list[Hit]] = {}
    for hit in hits:
        others = by_image.setdefault(hit.image.id, [])
        if ranking.per_image is not None and len(others) >= ranking.per_image:
            continue
        if not ranking.nested and any(_are_nested(hit.segment, other.segment) for other in others):
            continue
        others.append(hit)
        yield hit


def _are_nested(one: Segment | None, other: Segment | None) -> bool:
    """Return whether one of two segments of an image lies in the other."""
    if one is None or other is None or not _overlap(one.region.box, other.region.box):
        return False
    inside = masks.share_inside([one.region.rle, other.region.rle])
    return bool(max(inside[0, 1], inside[1, 0]) >= _NESTED)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _diverse(hits: list[Hit], diversity: float) -> list[Hit]:
    """Reorder the first hits by maximal marginal relevance; the others follow as they were."""
    first, rest = hits[:POOL], hits[POOL:]
    if not diversity or len(first) <= 1:
        return hits
    vectors = np.stack([_vector(hit) for hit in first])
    values = np.array([hit.score if hit.relevance is None else hit.relevance for hit in first])
    spread = float(np.ptp(values)) or 1.0
    values = (values - values.min()) / spread
    alike = vectors @ vectors.T
    chosen, nearest = [0], alike[0].copy()
    while len(chosen) < len(first):
        marginal = (1 - diversity) * values - diversity * nearest
        marginal[chosen] = -np.inf
        best = int(marginal.argmax())
        chosen.append(best)
        nearest = np.maximum(nearest, alike[best])
    return [*(first[number] for number in chosen), *rest]


def _vector(hit: Hit) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    vector = hit.image.vector if hit.segment is None else hit.segment.vector
    assert vector is not None  # noqa: S101 - `look_up` gives hits with vectors
    return vector
