"""How good a ranking is: the two figures of retrieval that benchmarks report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def precision_at(scores: NDArray[np.floating], relevant: NDArray[np.bool_], k: int) -> float:
    """Return the share of relevant answers among the k with the highest scores.

    Args:
        scores: shape (n,); of equal scores the earlier comes first.
        relevant: shape (n,).
        k: how many answers are looked at; fewer than k answers count as if the rest were wrong.
    """
    best = np.argsort(-scores, kind="stable")[:k]
    return float(relevant[best].sum()) / k


def average_precision(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> float:
    """Return the mean, over the relevant answers, of the precision down to each of them.

    Args:
        scores: shape (n,); of equal scores the earlier comes first.
        relevant: shape (n,).

    Raises:
        ValueError: nothing is relevant.
    """
    ranked = relevant[np.argsort(-scores, kind="stable")]
    places = np.flatnonzero(ranked) + 1
    if not len(places):
        raise ValueError("nothing is relevant")
    return float(np.mean(np.arange(1, len(places) + 1) / places))
