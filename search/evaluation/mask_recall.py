"""How many of the true objects the automatic masks find, by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.evaluation.truth import SIZES

#: IoU from which an object counts as found, loosely and well.
FOUND = (0.5, 0.75)


def mask_rows(best_ious: Sequence[float], sizes: NDArray[np.str_]) -> list[dict[str, Any]]:
    """Return a row for all objects and for each size: how many, recall and mean of the best IoU.

    Args:
        best_ious: of each object, the best IoU that an automatic mask has with it.
        sizes: of each object, one of `SIZES`.
    """
    ious = np.array(best_ious, dtype=np.float64)
    chosen = {"all": np.ones(len(ious), dtype=np.bool_)} | {s: sizes == s for s in SIZES}
    return [
        {"part": "masks", "size": size, **_figures(ious[which])} for size, which in chosen.items()
    ]


def _figures(ious: NDArray[np.float64]) -> dict[str, float | int | None]:
    shares = {
        f"recall_{limit * 100:.0f}": float((ious >= limit).mean()) if len(ious) else None
        for limit in FOUND
    }
    return {"objects": len(ious), **shares, "mean_iou": float(ious.mean()) if len(ious) else None}
