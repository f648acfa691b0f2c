from __future__ import annotations

import json
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.library import full_path, original, split_path, storable


def test_plain_names_stay_as_they_are() -> None:
    assert storable("Sommer/Straße 日本 🍓.jpg") == "Sommer/Straße 日本 🍓.jpg"


def test_bytes_that_are_not_utf8_become_private_characters() -> None:
    assert storable(b"caf\xe9.jpg") == "caf\uf7e9.jpg"
    assert storable(os.fsdecode(b"caf\xe9.jpg")) == "caf\uf7e9.jpg"
    assert os.fsencode(original("caf\uf7e9.jpg")) == b"caf\xe9.jpg"


def test_a_real_private_character_is_not_taken_for_a_byte() -> None:
    real = "\uf7e9"  # EF 9F A9 in UTF-8
    assert storable(real) == "\uf7ef\uf79f\uf7a9"
    assert original(storable(real)) == real


@given(st.binary())
@example(b"\xed\xa0\x80")  # a surrogate in UTF-8, which UTF-8 forbids
@example("\uf780\uf7ff\uf77f\uf800".encode())
@example(b"\xef\x9e")  # the first bytes of such a character
def test_every_name_comes_back(name: bytes) -> None:
    text = storable(name)
    assert json.loads(json.dumps(text).encode("utf-8").decode("utf-8")) == text
    assert text.encode("utf-8").decode("utf-8") == text
    assert os.fsencode(original(text)) == name


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_two_names_never_share_a_text(one: bytes, other: bytes) -> None:
    assert (storable(one) == storable(other)) == (one == other)


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_parts_can_be_stored_one_by_one(folder: bytes, name: bytes) -> None:
    assert storable(folder + b"/" + name) == f"{storable(folder)}/{storable(name)}"


def test_full_paths() -> None:
    assert full_path("root-id", "2019/a.jpg") == "root-id/2019/a.jpg"
    assert split_path("root-id/2019/a.jpg") == ("root-id", "2019/a.jpg")
    with pytest.raises(ValueError, match="root id"):
        split_path("no-slash")
