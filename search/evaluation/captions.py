"""Captions as queries for whole pictures: by their whole, their best segment, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.records import Vector
from search.evaluation.galleries import Searched
from search.evaluation.measures import Outcome, average_precision, outcome, places

Scores = NDArray[np.floating]


def caption_rows(
    captions: Sequence[tuple[str, int]],
    text: Callable[[str], Vector],
    wholes: Vector,
    segments: Searched,
) -> list[dict[str, Any]]:
    """Return a row for each way to score a picture.

    Args:
        captions: each with the number of its picture.
        text: gives a query's vector, shape (dim,).
        wholes: the pictures' vectors, shape (pictures, dim).
        segments: those of all pictures.
    """
    answered: dict[str, list[tuple[float, int]]] = {}
    for words, picture in captions:
        query = text(words)
        whole = wholes @ query
        best = best_segments(segments.vectors @ query, segments.pictures, len(wholes))
        scored = {
            "whole pictures": whole,
            "best segments": best,
            "both": standardised(whole) + standardised(best),
        }
        for name, scores in scored.items():
            at = places(scores[[picture]], np.delete(scores, picture))
            answered.setdefault(name, []).append((average_precision(at, 1), int(at[0])))
    outcomes: dict[str, Outcome] = {name: outcome(each) for name, each in answered.items()}
    return [
        {"part": "caption", "searched": name, **one.figures()} for name, one in outcomes.items()
    ]


def best_segments(scores: Scores, pictures: NDArray[np.intp], count: int) -> Scores:
    """Return the best score of each picture's segments, shape (count,).

    A picture without segments gets the least that another one has; 0 if none has any.

    Args:
        scores: of the segments.
        pictures: number of each segment's picture.
        count: number of pictures.
    """
    best = np.full(count, -np.inf, dtype=np.float32)
    np.maximum.at(best, pictures, scores.astype(np.float32))
    known = np.isfinite(best)
    best[~known] = best[known].min(initial=np.inf) if known.any() else 0
    return best


def standardised(scores: Scores) -> Scores:
    """Return the scores with mean 0 and standard deviation 1; zeros if all are equal."""
    spread = scores.std()
    return (scores - scores.mean()) / spread if spread else np.zeros_like(scores)
