"""How much a score says: what tells "found" from "the nearest of what there is".

A cosine means little by itself: CLIP's texts differ in how near they are to everything, and so do
segments. So a score is looked at from both sides.

- *standard score*, from the query's side: how many standard deviations it lies above the mean of
  the query's scores over a background sample of the same index. It tells whether the segment is
  unusual for the query.
- *contrast*, from the segment's side: the same over the segment's scores with rivals of the query:
  the words of the profile's vocabulary for a text, the background sample for a picture. It tells
  whether the query is unusual for the segment. A segment that is near to every text, and one that
  is merely the least wrong answer, have little of it.

*Relevance* is their mean with three quarters of weight on the contrast. It ranks better than the
cosine (benchmarks.search_quality), and it can say "not here".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from indexer.records import Vector
    from search.queries import Part

Scores = NDArray[np.float64]

#: By how much further hits may fall short of what the best one must have: once it is certain that
#: the thing is there, less certain sights of it are shown too.
SPAN = 0.8
#: Segments that the background sample has at most, and must have to be of use.
SAMPLE, LEAST_SAMPLE = 1000, 30

_CONTRAST_WEIGHT = 0.75
#: Chosen with the demo models (held-out scenes 7000 to 7159, libraries of 15 to 120 pictures) so
#: that four of five queries for absent things find nothing.
_MARGIN = -0.68
_TINY = 1e-6


def least_for(count: int) -> float:
    """Return the relevance that the best of `count` segments must have to be found at all.

    The more segments there are, the better is the best of them by mere chance: the greatest of n
    standard normal numbers is about √(2 ln n).
    """
    return math.sqrt(2 * math.log(max(count, 2))) + _MARGIN


@dataclass(frozen=True, eq=False)
class Measured:
    """Scores of one query, each as an array of shape (n,), for n hits.

    Attributes:
        standard: standard scores; None where the index has too few segments to tell.
        contrast: contrasts, None likewise.
        relevance: their weighted mean; None where neither is known.
    """

    standard: Scores | None
    contrast: Scores | None
    relevance: Scores | None

    def columns(self, count: int) -> tuple[list[float | None], ...]:
        """Return standard scores, contrasts and relevances of the `count` hits, each as a list."""
        return tuple(
            [None] * count if values is None else values.tolist()
            for values in (self.standard, self.contrast, self.relevance)
        )


@dataclass(frozen=True, eq=False)
class Background:
    """What scores are held against.

    Attributes:
        sample: vectors of some of what is searched, float32, shape (n, dim).
        words: vectors of the vocabulary's words, float32, shape (m, dim), or None where no text
            is asked about.
    """

    sample: Vector
    words: Vector | None = None

    def measure(self, parts: Sequence[Part], vectors: Vector) -> Measured:
        """Measure hits against all parts of a query.

        Of several wanted parts, relevance is the geometric mean, so that a hit has to be like all
        of them (adding CLIP's text and picture scores works badly: arXiv 2510.25387); half of the
        relevance for what is not wanted is taken off.

        Args:
            parts: at least one wanted.
            vectors: of the hits, float32, shape (n, dim).
        """
        wanted = [self._one(part, vectors) for part in parts if part.wanted]
        unwanted = [self._one(part, vectors) for part in parts if not part.wanted]
        relevance = _together([each.relevance for each in wanted])
        if relevance is not None:
            for each in unwanted:
                if each.relevance is not None:
                    relevance = relevance - np.maximum(each.relevance, 0) / 2
        return Measured(
            _mean([each.standard for each in wanted]),
            _mean([each.contrast for each in wanted]),
            relevance,
        )

    def _one(self, part: Part, vectors: Vector) -> Measured:
        scores = (vectors @ part.vector).astype(np.float64)
        usable = len(self.sample) >= LEAST_SAMPLE
        standard = contrast = None
        if usable:
            usual = self.sample @ part.vector
            standard = (scores - usual.mean()) / max(float(usual.std()), _TINY)
        rivals = self.words if part.sense == "text" else self.sample
        if rivals is not None and len(rivals) >= LEAST_SAMPLE:
            theirs = vectors @ rivals.T
            contrast = (scores - theirs.mean(axis=1)) / np.maximum(theirs.std(axis=1), _TINY)
        return Measured(standard, contrast, _weighted(standard, contrast))


def _weighted(standard: Scores | None, contrast: Scores | None) -> Scores | None:
    if standard is None or contrast is None:
        return contrast if standard is None else standard
    return _CONTRAST_WEIGHT * contrast + (1 - _CONTRAST_WEIGHT) * standard


def _mean(values: Sequence[Scores | None]) -> Scores | None:
    known = [value for value in values if value is not None]
    return np.mean(known, axis=0) if len(known) == len(values) else None


def _together(values: Sequence[Scores | None]) -> Scores | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    if len(known) == 1:
        return known[0]
    product = np.prod([np.maximum(value, 0) for value in known], axis=0)
    return np.asarray(product ** (1 / len(known)))
