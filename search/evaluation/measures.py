"""How good a ranking is, and how sure the mean over many of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: R@k is given for these.
AMONG = (1, 5, 10)
#: Drawn to estimate an interval: so many samples, always the same.
_SAMPLES, _SEED = 1000, 0
#: The interval leaves out this many percent at each end.
_TAIL = 2.5


@dataclass(frozen=True, eq=False)
class Outcome:
    """How many queries went.

    Attributes:
        precisions: average precision of each, float64, shape (n,).
        firsts: place of each one's first right answer, int, shape (n,); 0 if there is none.
    """

    precisions: NDArray[np.float64]
    firsts: NDArray[np.intp]

    @property
    def mean(self) -> float | None:
        """The mean average precision; None without queries."""
        return _mean(self.precisions)

    def of(self, chosen: NDArray[np.bool_]) -> Outcome:
        """Return the outcome of the chosen queries; `chosen` has shape (n,)."""
        return Outcome(self.precisions[chosen], self.firsts[chosen])

    def figures(self) -> dict[str, float | int | None]:
        """Return number of queries, mAP, its interval's ends and R@k, as plain data.

        Without queries, all but the number is None.
        """
        low, high = interval(self.precisions)
        return {
            "queries": len(self.precisions),
            "map": self.mean,
            "map_low": low,
            "map_high": high,
            **{f"r{k}": _mean((self.firsts > 0) & (self.firsts <= k)) for k in AMONG},
        }


def outcome(answered: list[tuple[float, int]]) -> Outcome:
    """Return the outcome of queries from each one's average precision and first place."""
    precisions, firsts = ([one[i] for one in answered] for i in (0, 1))
    return Outcome(np.array(precisions, dtype=np.float64), np.array(firsts, dtype=np.intp))


def places(right: NDArray[np.floating], wrong: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return at which places of the ranking the right answers stand, rising, from 1.

    Args:
        right: scores of the right answers, in any order.
        wrong: scores of the wrong ones; of equal scores they come first.
    """
    ranked = np.sort(right)[::-1]
    better = len(wrong) - np.searchsorted(np.sort(wrong), ranked, side="left")
    return np.asarray(np.arange(1, len(ranked) + 1) + better, dtype=np.intp)


def average_precision(at: NDArray[np.intp], total: int) -> float:
    """Return the mean, over all relevant answers, of the precision down to each of them.

    Args:
        at: the places of those that were found, rising, from 1.
        total: how many there are, found or not; those not found count 0.

    Raises:
        ValueError: nothing is relevant.
    """
    if total < 1:
        raise ValueError("nothing is relevant")
    return float(np.sum(np.arange(1, len(at) + 1) / at)) / total


def interval(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return the ends of the 95 % bootstrap interval of the mean; None without values."""
    if not len(values):
        return None, None
    rng = np.random.default_rng(_SEED)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(_SAMPLES)]
    low, high = np.percentile(means, (_TAIL, 100 - _TAIL))
    return float(low), float(high)


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None
