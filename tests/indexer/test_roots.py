from __future__ import annotations

import os
from pathlib import Path

from indexer.roots import locate, outermost, owner, prefixes

ROOTS = {"a": Path("/photos"), "b": Path("/photos/trips"), "c": Path("/scans")}


def test_a_file_belongs_to_the_deepest_root_above_it() -> None:
    assert owner(Path("/photos/x.jpg"), ROOTS) == ("a", "x.jpg")
    assert owner(Path("/photos/trips/rome/x.jpg"), ROOTS) == ("b", "rome/x.jpg")
    assert owner(Path("/photos/trips"), ROOTS) == ("b", "")
    assert owner(Path("/photosx/x.jpg"), ROOTS) is None
    assert owner(Path("/elsewhere/x.jpg"), ROOTS) is None


def test_names_that_are_not_text_come_back() -> None:
    path = Path(os.fsdecode(b"/photos/caf\xe9.jpg"))
    place = owner(path, ROOTS)
    assert place is not None
    place[1].encode("utf-8")
    assert locate("/".join(place), ROOTS) == path


def test_paths_inside_others_are_dropped() -> None:
    given = [Path("/b/sub"), Path("/a"), Path("/b"), Path("/a"), Path("/a/x.jpg"), Path("/ab")]
    assert outermost(given) == [Path("/a"), Path("/b"), Path("/ab")]


def test_a_folder_selects_what_is_below_it_and_whole_roots() -> None:
    assert prefixes(Path("/photos/2024"), ROOTS, folder=True) == ["a/2024/"]
    assert sorted(prefixes(Path("/photos"), ROOTS, folder=True)) == ["a/", "b/"]
    assert sorted(prefixes(Path("/"), ROOTS, folder=True)) == ["a/", "b/", "c/"]
    assert prefixes(Path("/pho"), ROOTS, folder=True) == []


def test_another_path_selects_what_begins_so() -> None:
    assert prefixes(Path("/photos/2024"), ROOTS, folder=False) == ["a/2024"]
    assert sorted(prefixes(Path("/photos/tri"), ROOTS, folder=False)) == ["a/tri", "b/"]
    assert sorted(prefixes(Path("/pho"), ROOTS, folder=False)) == ["a/", "b/"]
    assert prefixes(Path("/nowhere"), ROOTS, folder=False) == []
