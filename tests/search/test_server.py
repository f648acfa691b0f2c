"""An index on a Qdrant server answers as an embedded one does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from indexer import Indexer
from indexer.profiles import Profile
from search import Filters, Searcher
from search.hits import Hit
from search.ranking import UNCUT
from tests.indexer.store.facade import Facade
from tests.pictures import scene


def test_a_server_answers_like_a_folder(
    searcher: Searcher, library_folder: Path, fine_profile: Profile
) -> None:
    filters = Filters(path=library_folder / "2024", min_area=0.1)
    with Facade() as facade:
        where = f"{facade.url}/photos"
        with Indexer(where, fine_profile) as indexer:
            assert indexer.index([library_folder]).images == 5
            assert indexer.index([library_folder]).unchanged == 6
        with Searcher(where) as remote:
            for mine, theirs in (
                (
                    remote.text("red star", limit=999, ranking=UNCUT),
                    searcher.text("red star", limit=999, ranking=UNCUT),
                ),
                (
                    remote.text("x", filters=filters, ranking=UNCUT),
                    searcher.text("x", filters=filters, ranking=UNCUT),
                ),
                (
                    remote.image(scene(1), by="image", ranking=UNCUT),
                    searcher.image(scene(1), by="image", ranking=UNCUT),
                ),
            ):
                assert _records(mine) == _records(theirs)
                assert [hit.score for hit in mine] == pytest.approx(
                    [hit.score for hit in theirs], abs=1e-4
                )


def _records(hits: Sequence[Hit]) -> list[dict[str, object]]:
    """Everything but the scores, in an order that engines' rounding of near ties cannot change."""
    plain = [
        {
            **hit.to_plain(),
            "score": None,
            "standard_score": None,
            "contrast": None,
            "relevance": None,
        }
        for hit in hits
    ]
    return sorted(plain, key=lambda one: (str(one["image_id"]), str(one["segment_id"])))
