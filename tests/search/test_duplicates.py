"""What is there more than once: groups, what to keep, what is no duplicate."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import PIL.Image
import pytest

from indexer.errors import QueryError, SegsearchError
from indexer.index import Index
from indexer.records import Picture
from indexer.store.base import Filter, HasId, Match
from search import duplicates as module
from search.duplicates import Group, duplicates
from search.duplicates_sheet import save_groups
from tests.search.handmade import Made, add, at, clear, empty_index

#: The cosine of eleven degrees.
ELEVEN = math.cos(math.radians(11))
FAR = at(90)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with empty_index(tmp_path_factory.mktemp("duplicates") / "index") as index:
        yield index


@pytest.fixture
def index(shared: Index) -> Iterator[Index]:
    """An index without pictures."""
    yield shared
    clear(shared)


def size(width: int, height: int) -> Picture:
    return Picture("0" * 64, width, height, "PNG")


def names(groups: Sequence[Group]) -> list[list[str]]:
    return [[file.path.name for _, file in group.files] for group in groups]


def boxes(groups: Sequence[Group]) -> list[set[tuple[str, int]]]:
    """The pictures and left ends of each group's segments."""
    return [
        {(m.files[0].path.name, m.segment.region.box[0]) for m in group.members if m.segment}
        for group in groups
    ]


def test_groups_are_stars_not_chains(index: Index, tmp_path: Path) -> None:
    """Ten degrees apart each: the largest picture, in the middle, has the two beside it."""
    for i, width in enumerate([10, 10, 20, 10, 10]):
        add(index, tmp_path, f"{i}.png", vector=at(10 * i), picture=size(width, 10))
    groups = list(duplicates(index, threshold=ELEVEN))
    ((first, *others),) = names(groups)
    assert (first, sorted(others)) == ("2.png", ["1.png", "3.png"])
    assert [member.score for member in groups[0].members] == pytest.approx(
        [1, math.cos(math.radians(10)), math.cos(math.radians(10))], abs=1e-5
    )
    assert not groups[0].exact


def put(path: Path, bytes_: int) -> None:
    """Write a file of which size and time are those of its record."""
    path.write_bytes(bytes(bytes_))
    os.utime(path, ns=(1, 1))


def test_the_best_is_kept(index: Index, tmp_path: Path) -> None:
    add(index, tmp_path, "d.png", vector=at(0), picture=size(20, 10), bytes_=300)
    add(index, tmp_path, "c.png", vector=at(1), picture=size(10, 20), bytes_=300)
    add(index, tmp_path, "b.png", vector=at(2), picture=size(20, 10), bytes_=400)
    add(index, tmp_path, "a.png", vector=at(3), picture=size(19, 10), bytes_=900)
    add(index, tmp_path, "gone.png", vector=at(4), picture=size(99, 99), bytes_=999)
    for name, bytes_ in (("a", 900), ("b", 400), ("c", 300), ("d", 300)):
        put(tmp_path / f"{name}.png", bytes_)
    (group,) = duplicates(index)
    assert names([group])[0][0] == "b.png"
    assert group.spare_bytes == 300 + 300 + 900
    put(tmp_path / "gone.png", 999)
    (group,) = duplicates(index)
    assert names([group]) == [["gone.png", "a.png", "b.png", "c.png", "d.png"]]
    (tmp_path / "gone.png").unlink()
    (tmp_path / "b.png").unlink()
    (group,) = duplicates(index)
    assert names([group])[0][0] == "c.png"  # as d.png in all but the path


def test_the_same_bytes_in_several_files(index: Index, tmp_path: Path) -> None:
    put(tmp_path / "b.png", 70)
    add(index, tmp_path, "a.png", "b.png", "c.png", vector=at(0), bytes_=70)
    add(index, tmp_path, "other.png", vector=FAR, bytes_=5)
    (group,) = duplicates(index)
    assert (group.exact, group.spare_bytes) == (True, 0)
    assert names([group]) == [["b.png", "a.png", "c.png"]]  # what is there first
    image = group.members[0].image.id
    first: dict[str, Any] = {
        "keep": True, "path": f"{tmp_path}/b.png", "there": True, "image_id": image, "score": 1.0,
        "width": 20, "height": 10, "bytes": 70,
    }  # fmt: skip
    gone = first | {"keep": False, "there": False}
    assert group.to_plain() == {
        "kind": "exact",
        "spare_bytes": 0,
        "files": [first, *(gone | {"path": f"{tmp_path}/{name}.png"} for name in "ac")],
    }


def test_a_file_that_has_changed_since_is_never_spare(index: Index, tmp_path: Path) -> None:
    add(index, tmp_path, "a.png", "b.png", "c.png", vector=at(0), bytes_=70)
    for name in "abc":
        put(tmp_path / f"{name}.png", 70)
    (group,) = duplicates(index)
    assert [copy.path.name for copy in group.spare] == ["b.png", "c.png"]
    (tmp_path / "b.png").write_bytes(bytes(70))  # another time, maybe another picture
    put(tmp_path / "a.png", 71)
    (group,) = duplicates(index)
    assert (names([group]), group.spare) == ([["c.png", "a.png", "b.png"]], [])
    assert [file["keep"] for file in group.to_plain()["files"]] == [True, False, False]


def test_unknown_sizes_are_none(index: Index, tmp_path: Path) -> None:
    add(index, tmp_path, "a.png", "b.png", vector=at(0))
    (group,) = duplicates(index)
    assert (group.spare_bytes, group.to_plain()["files"][0]["bytes"]) == (0, None)


def test_a_threshold_of_one_finds_only_equals(index: Index, tmp_path: Path) -> None:
    for name, degrees in (("a", 0.0), ("b", 0.0), ("c", 0.5)):
        segment = Made((0, 0, 4, 4), at(degrees))
        add(index, tmp_path, f"{name}.png", vector=at(degrees), segments=[segment])
    assert names(list(duplicates(index, threshold=1.0))) == [["a.png", "b.png"]]
    (group,) = duplicates(index, "segments", threshold=1.0)
    assert group.exact
    (group,) = duplicates(index, "segments", threshold=0.99)
    assert (group.exact, len(group.members)) == (False, 3)


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, math.nan])
def test_thresholds_that_make_no_sense(index: Index, threshold: float) -> None:
    with pytest.raises(QueryError, match="a threshold of"):
        next(duplicates(index, threshold=threshold))


def test_a_part_is_no_duplicate_of_the_whole(index: Index, tmp_path: Path) -> None:
    whole, part = Made((0, 0, 9, 9), at(0)), Made((1, 1, 8, 9), at(0.5), inside=0)
    add(index, tmp_path, "a.png", vector=at(0), segments=[whole, part])
    assert list(duplicates(index, "segments")) == []


def test_segments_of_one_picture_may_be_duplicates_if_they_lie_apart(
    index: Index, tmp_path: Path
) -> None:
    wide = size(40, 10)
    left, right = Made((0, 0, 20, 10), at(0)), Made((19, 0, 40, 10), at(0.5))  # share a border
    add(index, tmp_path, "a.png", vector=at(0), segments=[left, right], picture=wide)
    assert boxes(list(duplicates(index, "segments"))) == [{("a.png", 0), ("a.png", 19)}]
    over = Made((15, 0, 35, 10), at(0))
    add(index, tmp_path, "a.png", vector=at(0), segments=[left, over], picture=wide)
    assert list(duplicates(index, "segments")) == []


def test_wholes_and_parts_of_copies_are_groups_of_their_own(index: Index, tmp_path: Path) -> None:
    whole, part = Made((0, 0, 10, 10), at(0)), Made((1, 1, 9, 10), at(1), inside=0)
    for name in ("a.png", "b.png", "c.png"):
        add(index, tmp_path, name, vector=at(0), segments=[whole, part])
    groups = list(duplicates(index, "segments"))
    assert boxes(groups) == [
        {("a.png", 0), ("b.png", 0), ("c.png", 0)},
        {("a.png", 1), ("b.png", 1), ("c.png", 1)},
    ]
    assert all(group.exact for group in groups)
    plain = groups[1].to_plain()["segments"][0]
    assert (plain["box"], plain["area_px"], plain["score"]) == ([1, 1, 9, 10], 72, 1.0)


def test_more_neighbours_than_are_asked_for_at_first(index: Index, tmp_path: Path) -> None:
    for i in range(3 * module._NEIGHBOURS):
        add(index, tmp_path, f"{i:02d}.png", vector=at(0.01 * i))
    add(index, tmp_path, "far.png", vector=FAR)
    (group,) = duplicates(index)
    assert len(group.members) == 3 * module._NEIGHBOURS


def test_pages_of_records_and_their_progress(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 4)
    for i in range(10):
        add(index, tmp_path, f"{i}.png", vector=at(30 * (i // 2)))
    steps: list[tuple[int, int]] = []
    found = list(duplicates(index, progress=lambda *step: steps.append(step)))
    assert sorted(names(found)) == [[f"{i}.png", f"{i + 1}.png"] for i in range(0, 10, 2)]
    assert steps == [(4, 10), (8, 10), (10, 10)]


def test_only_what_a_filter_lets_through(index: Index, tmp_path: Path) -> None:
    for name, format_ in (("a.png", "PNG"), ("b.png", "PNG"), ("c.jpg", "JPEG")):
        picture = Picture("0" * 64, 20, 10, format_)
        segment = Made((0, 0, 4, 4), at(0))
        add(index, tmp_path, name, vector=at(0), picture=picture, segments=[segment])
    png = Filter((Match("format", ("PNG",)),))
    assert names(list(duplicates(index, where=png))) == [["a.png", "b.png"]]
    (group,) = duplicates(index, "segments", where=png)
    assert sorted(names([group])[0]) == ["a.png", "b.png"]


@pytest.fixture(scope="module")
def compass(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, list[str]]]:
    """An index of a picture for every third degree of a half circle, and their ids."""
    root = tmp_path_factory.mktemp("compass")
    with empty_index(root / "index") as index:
        yield index, [add(index, root, f"{i}.png", vector=at(3 * i)).id for i in range(60)]


@hypothesis.given(st.sets(st.integers(0, 59), min_size=1))
@hypothesis.settings(max_examples=30)
def test_every_member_is_near_to_the_first_and_in_one_group_only(
    compass: tuple[Index, list[str]], drawn: set[int]
) -> None:
    index, ids = compass
    some = Filter((HasId(tuple(ids[i] for i in drawn)),))
    found = names(list(duplicates(index, threshold=ELEVEN, where=some)))
    groups = [[int(name.removesuffix(".png")) for name in group] for group in found]
    grouped = [i for group in groups for i in group]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= drawn
    assert all(len(group) > 1 for group in groups)
    assert all(3 * abs(i - group[0]) <= 11 for group in groups for i in group)
    apart = sorted([*(group[0] for group in groups), *drawn.difference(grouped)])
    assert all(3 * (b - a) > 11 for a, b in itertools.pairwise(apart))  # else they were together


def test_the_sheet(index: Index, tmp_path: Path) -> None:
    for name, degrees in (("a <b>.png", 0), ("c.png", 1), ("gone.png", 2)):
        segments = [Made((2, 2, 8, 8), at(degrees), "mug", "vocabulary")]
        picture = Picture("0" * 64, 20, 10, "PNG")
        add(index, tmp_path, name, vector=at(degrees), segments=segments, picture=picture)
    groups = list(duplicates(index))
    page = save_groups(groups, tmp_path / "out" / "sheet").read_text("utf-8")
    assert page.count("not shown: ") == 3
    assert "a &lt;b&gt;.png" in page
    assert "<b>" not in page
    assert page.count('<li class="keep">') == 1
    assert "gone.png (gone)" in page
    assert [f.name for f in (tmp_path / "out" / "sheet").iterdir()] == ["index.html"]
    (tmp_path / "file").touch()
    with pytest.raises(SegsearchError, match="cannot write to"):
        save_groups(groups, tmp_path / "file")


def test_the_sheet_shows_pictures_and_objects(where: str, tmp_path: Path) -> None:
    from indexer.store import open_store

    index = Index(open_store(where, create_ok=False), where)
    pictures = list(duplicates(index))
    objects = list(duplicates(index, "segments", threshold=0.5))[:1]
    index.close()
    assert names(pictures) == [["a.png", "copy of a.png"]]
    for groups in (pictures, objects):
        page = save_groups(groups, tmp_path).read_text("utf-8")
        assert page.count('src="data:image/jpeg;base64,') == len(groups[0].members)
    assert "2 files, exactly the same" in save_groups(pictures, tmp_path).read_text("utf-8")


def test_a_long_group_is_cut_short_on_the_sheet(index: Index, tmp_path: Path) -> None:
    for i in range(26):
        add(index, tmp_path, f"{i}.png", vector=at(0))
    PIL.Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(tmp_path / "0.png")
    page = save_groups(list(duplicates(index)), tmp_path / "out").read_text("utf-8")
    assert "<p>and 2 more</p>" in page
    assert page.count("it has changed since") == 1
