"""Names, and files that are there whole or not at all."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.export import Kind
from search.export.files import name_of, plain_name, replacing
from tests.search.export.made import block, made_hit


def test_names_say_which_hit_it_is(tmp_path: Path) -> None:
    hit = made_hit(tmp_path, "beach.v2.png", block(slice(1, 3), slice(1, 3)))
    assert hit.segment is not None
    id_ = hit.segment.id
    assert name_of(hit, 7, Kind.cutout) == f"007-beach.v2-{id_[:8]}-cutout.png"
    assert name_of(hit, 1234, Kind.overlay) == f"1234-beach.v2-{id_[:8]}-overlay.jpg"
    assert name_of(hit, None, Kind.crop) == f"beach.v2-{id_}-crop.jpg"
    assert name_of(hit, None, Kind.overlay) == f"beach.v2-{hit.image.id}-overlay.jpg"
    whole = replace(hit, segment=None)
    assert name_of(whole, 1, Kind.overlay) == f"001-beach.v2-{hit.image.id[:8]}-overlay.jpg"


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("IMG_0042", "IMG_0042"),
        ("am Meer, früh", "am Meer_ früh"),
        ("été", "été"),  # put together
        ("写真", "写真"),
        ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j"),
        ("line\nend\x00\x1b", "line_end__"),
        (os.fsdecode(b"caf\xe9"), "caf_"),
        ("-rf", "rf"),
        ("..", "picture"),
        ("", "picture"),
        ("x" * 200, "x" * 60),
        ("é" * 59, "é" * 30),
        ("end. ", "end"),
    ],
)
def test_names_are_plain(stem: str, expected: str) -> None:
    assert plain_name(stem) == expected


@given(st.text("aé写\u0301 .-_/\\:?*\x00\n\udce9🎈", max_size=80))
def test_names_fit_everywhere(stem: str) -> None:
    name = plain_name(stem)
    assert 0 < len(name.encode("utf-8")) <= 60
    assert not set(name) & set('/\\:*?"<>|\n\t\0')
    assert name[0] not in "-. "
    assert name[-1] not in ". "


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("before", encoding="utf-8")
    with replacing(file) as part:
        part.write_text("after", encoding="utf-8")
        assert file.read_text(encoding="utf-8") == "before"
    assert file.read_text(encoding="utf-8") == "after"
    assert list(tmp_path.iterdir()) == [file]
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_file_stays_where_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("before", encoding="utf-8")

    def interrupted() -> None:
        with replacing(file) as part:
            part.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [file]
