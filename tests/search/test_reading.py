from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import PictureError
from search import Searcher
from search.hits import Hit
from search.reading import read_picture


@pytest.fixture
def hits(searcher: Searcher) -> list[Hit]:
    return list(itertools.islice(searcher.everything(), 3))


def test_a_picture_that_changed_is_not_read_wrongly(hits: list[Hit], tmp_path: Path) -> None:
    gone = replace(hits[0], paths=(tmp_path / "gone.png",))
    shutil.copy(hits[1].path, tmp_path / "changed.png")
    with (tmp_path / "changed.png").open("ab") as file:
        file.write(b"more")
    changed = replace(hits[1], paths=(tmp_path / "changed.png",))
    with pytest.raises(PictureError, match="changed since it was indexed"):
        read_picture(changed)
    with pytest.raises(PictureError) as caught:
        read_picture(gone)
    assert caught.value.reason == "vanished"


def test_a_copy_stands_in_for_a_picture_that_is_gone(hits: list[Hit], tmp_path: Path) -> None:
    hit = replace(hits[0], paths=(tmp_path / "gone.png", *hits[0].paths))
    np.testing.assert_array_equal(read_picture(hit), read_picture(hits[0]))
