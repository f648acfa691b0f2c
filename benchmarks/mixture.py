"""Synthetic vectors that are as hard to search as those of pictures: a seeded mixture.

Cluster centres and the spread around them lie in a space of few dimensions (32), as embeddings of
pictures nearly do, which is turned into the space of the vectors; a little noise is added in all
of its dimensions. With as wide a spread the ten nearest of a vector come from several clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.records import Vector

_LATENT = 32
_SPREAD = 0.9
_NOISE = 0.02
_BLOCK = 50_000


@dataclass(frozen=True, eq=False)
class Mixture:
    """Vectors, queries that are not among them, and what the queries should find.

    Attributes:
        vectors: float32, shape (n, dim), rows of length 1, mapped from a file.
        queries: likewise, shape (q, dim).
        nearest: int64, shape (q, k): rows of the vectors with the greatest cosines.
        clusters_of_nearest: how many clusters these k come from, on average.
    """

    vectors: Vector
    queries: Vector
    nearest: NDArray[np.int64]
    clusters_of_nearest: float


def mixture(
    folder: Path, count: int, queries: int, clusters: int, *, dim: int = 512, k: int = 10
) -> Mixture:
    """Draw vectors into a file in `folder`, and find the exact answers."""
    rng = np.random.default_rng(20)
    turn = rng.standard_normal((_LATENT, dim)).astype(np.float32)
    centres = rng.standard_normal((clusters, _LATENT)).astype(np.float32)
    stored = np.lib.format.open_memmap(
        folder / "vectors.npy", "w+", dtype=np.float32, shape=(count, dim)
    )
    labels = np.empty(count, np.int64)
    for start in range(0, count, _BLOCK):
        stop = min(count, start + _BLOCK)
        stored[start:stop], labels[start:stop] = _draw(rng, stop - start, centres, turn)
    stored.flush()
    vectors: Vector = np.load(folder / "vectors.npy", mmap_mode="r")
    asked, _ = _draw(rng, queries, centres, turn)
    nearest = exact(vectors, asked, k)
    several = float(np.mean([len(set(labels[row])) for row in nearest]))
    return Mixture(vectors, asked, nearest, several)


def exact(vectors: Vector, queries: Vector, k: int) -> NDArray[np.int64]:
    """Return, shape (q, k), the rows of the vectors that have the greatest cosines."""
    scores: NDArray[np.float32] = np.empty((len(queries), 0), np.float32)
    rows: NDArray[np.int64] = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        found = queries @ np.asarray(vectors[start : start + _BLOCK]).T
        numbers = np.arange(start, start + found.shape[1])[None].repeat(len(queries), axis=0)
        scores, rows = np.hstack([scores, found]), np.hstack([rows, numbers])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, best, axis=1)
        rows = np.take_along_axis(rows, best, axis=1)
    return rows


def recall(found: NDArray[np.int64], nearest: NDArray[np.int64]) -> float:
    """Return the share of the exact answers that were found; both have shape (q, k)."""
    pairs = zip(found, nearest, strict=True)
    return float(np.mean([len(set(ours) & set(best)) / len(best) for ours, best in pairs]))


def _draw(
    rng: np.random.Generator, count: int, centres: Vector, turn: Vector
) -> tuple[Vector, NDArray[np.int64]]:
    labels = rng.integers(0, len(centres), count)
    spread = _SPREAD * rng.standard_normal((count, _LATENT), dtype=np.float32)
    drawn = _unit((centres[labels] + spread) @ turn)
    noise = _NOISE * rng.standard_normal(drawn.shape, dtype=np.float32)
    return _unit(drawn + noise), labels


def _unit(rows: Vector) -> Vector:
    unit: Vector = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
