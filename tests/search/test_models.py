"""Where the models run."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from indexer.embedding import Embedder
from indexer.records import Vector
from search.engine import Searcher


def test_a_small_clip_runs_on_one_core(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one of the threads that have a core each, not on the caller's."""
    names: list[str] = []
    really = Embedder.queries

    def noted(self: Embedder, texts: Sequence[str]) -> Vector:
        names.append(threading.current_thread().name)
        return really(self, texts)

    monkeypatch.setattr(Embedder, "queries", noted)
    vector = searcher.models.text("red star")
    assert vector.tolist() == searcher.embedder().text("red star").tolist()
    assert names[0].startswith("masks")
