from __future__ import annotations

from pathlib import Path

import numpy as np

from search.export.shots import by_picture, shots
from search.hits import Hit
from tests.search.export.made import block, made_hit


def test_a_query_shows_one_at_a_time(tmp_path: Path) -> None:
    hits = [made_hit(tmp_path, "a.png", block(slice(0, n), slice(0, 2))) for n in (1, 2)]
    found = list(shots(hits, ranked=True))
    assert [(shot.rank, shot.hits) for shot in found] == [(1, (hits[0],)), (2, (hits[1],))]


def test_pictures_in_the_order_of_their_paths(tmp_path: Path) -> None:
    vector = np.array([0.6, 0.8], dtype=np.float32)
    hits = [
        made_hit(tmp_path, name, block(slice(0, n), slice(0, 2)), seed=seed, vector=vector)
        for name, seed, n in (("b.png", 1, 2), ("a.png", 0, 1), ("b.png", 1, 5), ("a.png", 0, 4))
    ]
    ordered = list(by_picture(hits, tmp_path))
    assert [said(hit) for hit in ordered] == [
        ("a.png", 8),
        ("a.png", 2),
        ("b.png", 10),
        ("b.png", 4),
    ]
    assert [len(shot.hits) for shot in shots(ordered, ranked=False)] == [2, 2]
    assert ordered[0].segment is not None
    np.testing.assert_array_equal(ordered[0].segment.vector, vector)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def said(hit: Hit) -> tuple[str, int]:
    assert hit.segment is not None
    return hit.path.name, hit.segment.region.area_px
