"""Captions as queries over made-up scores of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.records import Vector
from search.evaluation.captions import best_segments, caption_rows, standardised
from search.evaluation.galleries import Searched


def unit(*angles: float) -> Vector:
    turns = np.radians(angles)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def text(words: str) -> Vector:
    return np.asarray(unit(float(words))[0])


def test_a_pictures_best_segment() -> None:
    scores, pictures = np.array([0.2, 0.9, 0.4, -0.5]), np.array([0, 0, 2, 2])
    assert best_segments(scores, pictures, 4).tolist() == pytest.approx([0.9, 0.4, 0.4, 0.4])
    assert best_segments(scores[:0], pictures[:0], 2).tolist() == [0, 0]


def test_standardised() -> None:
    assert standardised(np.array([1.0, 3.0])).tolist() == [-1, 1]
    assert standardised(np.array([2.0, 2.0])).tolist() == [0, 0]


def test_whole_pictures_best_segments_and_both() -> None:
    wholes = unit(0, 30, 60)
    segments = Searched(unit(60, 10, 0), np.array([0, 1, 2]), np.zeros((0, 2), np.intp), {})
    rows = caption_rows([("0", 0), ("0", 2)], text, wholes, segments)
    figures = {row["searched"]: (row["queries"], row["map"], row["r1"], row["r5"]) for row in rows}
    # wholes: 1, 0.87, 0.5; best segments: 0.5, 0.98, 1; both: the middle picture is best
    assert figures["whole pictures"] == (2, pytest.approx((1 + 1 / 3) / 2), 1 / 2, 1)
    assert figures["best segments"] == (2, pytest.approx((1 / 3 + 1) / 2), 1 / 2, 1)
    assert figures["both"][:3] == (2, pytest.approx((1 / 2 + 1 / 3) / 2), 0)
    assert {row["part"] for row in rows} == {"caption"}
