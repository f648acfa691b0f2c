from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import PIL.Image
import pytest

from indexer.errors import PictureError, SegsearchError
from indexer.records import Region
from indexer.segmentation import masks
from search import Searcher
from search.hits import Hit
from search.render import Drawn, draw, read_picture, save_hits


@pytest.fixture
def hits(searcher: Searcher) -> list[Hit]:
    return searcher.text("x", limit=3)


def test_the_mask_is_tinted_outlined_and_the_rest_as_it_was() -> None:
    mask = np.zeros((9, 12), dtype=np.bool_)
    mask[3:6, 4:8] = True
    grey = np.full((9, 12, 3), 100, dtype=np.uint8)
    drawn = np.asarray(draw(grey, Region(masks.encode(mask), (4, 3, 8, 6), 12, 0.9, None)))
    changed = (drawn != 100).any(axis=2)
    assert changed[2:7, 3:9].all()
    assert changed.sum() == 5 * 6
    assert drawn[4, 5].tolist() == [154, 81, 107]  # 65 % grey, 35 % of (255, 45, 120)
    assert drawn[2, 5].tolist() == [255, 45, 120]
    assert grey.max() == 100


def test_hits_become_pictures_and_a_page(hits: list[Hit], tmp_path: Path) -> None:
    drawn = save_hits(hits, tmp_path / "out", "red <mug>")
    assert [one.hit for one in drawn] == hits
    for one in drawn:
        assert one.file is not None
        with PIL.Image.open(one.file) as picture:
            assert picture.size == (one.hit.image.picture.width, one.hit.image.picture.height)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<h1>red &lt;mug&gt;</h1>" in page
    assert "3 hits, best first." in page
    assert page.count('src="data:image/jpeg;base64,') == 3
    assert [one.file for one in drawn if f'href="{quote(_name(one))}"' not in page] == []


def _name(drawn: Drawn) -> str:
    assert drawn.file is not None
    return drawn.file.name


def test_odd_names_are_written_under_plain_ones(hits: list[Hit], tmp_path: Path) -> None:
    odd = tmp_path / ("line\nend " + "x" * 240 + ".png")
    shutil.copy(hits[0].path, odd)
    (drawn,) = save_hits([replace(hits[0], paths=(odd,))], tmp_path / "out", "x")
    assert _name(drawn) == "001-line?end " + "x" * 41 + ".jpg"


def test_a_folder_that_cannot_be_written_to(hits: list[Hit], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegsearchError, match=r"cannot write to .*/file: File exists"):
        save_hits(hits, tmp_path / "file", "x")


def test_no_hits_is_a_page_that_says_so(tmp_path: Path) -> None:
    assert save_hits([], tmp_path / "out", "nothing") == []
    assert "No hits." in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_a_picture_that_changed_is_not_drawn_wrongly(hits: list[Hit], tmp_path: Path) -> None:
    gone = replace(hits[0], paths=(tmp_path / "gone.png",))
    shutil.copy(hits[1].path, tmp_path / "changed.png")
    with (tmp_path / "changed.png").open("ab") as file:
        file.write(b"more")
    changed = replace(hits[1], paths=(tmp_path / "changed.png",))
    with pytest.raises(PictureError, match="changed since it was indexed"):
        read_picture(changed)
    first, second = save_hits([gone, changed], tmp_path / "out", "x")
    assert (first.file, second.file) == (None, None)
    assert second.why == "it has changed since it was indexed"
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("not drawn:") == 2


def test_a_copy_stands_in_for_a_picture_that_is_gone(hits: list[Hit], tmp_path: Path) -> None:
    hit = replace(hits[0], paths=(tmp_path / "gone.png", *hits[0].paths))
    np.testing.assert_array_equal(read_picture(hit), read_picture(hits[0]))
