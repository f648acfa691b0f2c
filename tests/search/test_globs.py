"""Patterns for paths, and what an index finds with them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from indexer.index import Index
from indexer.roots import locate
from search import Filters, globs
from search.asking import Asker, By, Look
from search.automaton import Automaton
from search.globs import Glob, listed
from search.queries import Part
from search.ranking import UNCUT
from tests.search.handmade import Made, add, at, empty_index


def fits(pattern: str, path: str) -> bool:
    return Glob(pattern).matcher()(path)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.png", ["/a/x.png", "/.png", "/a/b\nc.png"], ["/a/x.PNG", "/a.png/x", "/x.png.jpg"]),
        ("x?.png", ["/a/x1.png"], ["/a/x.png", "/a/x12.png"]),
        ("[!x]*", ["/x/y.png"], ["/y/x.png"]),
        ("/a/*.png", ["/a/x.png", "/a/.png"], ["/a/b/x.png", "/b/a/x.png", "/a/x.jpg"]),
        ("/a/*/x", ["/a/b/x"], ["/a/x", "/a/b/c/x"]),
        ("/a/?/x", ["/a/b/x"], ["/a/x", "/a/bc/x", "/a///x"]),
        ("/a/**/x", ["/a/x", "/a/b/x", "/a/b/c/x", "/a/b\nc/x"], ["/a/bx", "/ax", "/b/a/x"]),
        ("/a/**", ["/a/x", "/a/b/x"], ["/a", "/ab/x"]),
        ("/a/", ["/a/x", "/a/b/x"], ["/a", "/ab/x"]),
        ("/a/*/", ["/a/b/x"], ["/a/x"]),
        ("/a/b**", ["/a/b", "/a/bc/x"], ["/a/x"]),
        ("/a/b**/x", ["/a/b/x", "/a/bc/d/x"], ["/a/bx"]),
        ("/a/[xy]*.png", ["/a/x1.png", "/a/y.png"], ["/a/z.png"]),
        ("/a/[!xy].png", ["/a/z.png"], ["/a/x.png", "/a//.png"]),
        ("/a/b[!x]c", ["/a/b-c"], ["/a/b/c"]),
        ("/a/[0-9][a-c]", ["/a/3b"], ["/a/b3", "/a/3d"]),
        ("/a/[+-9]b", ["/a/3b", "/a/.b"], ["/a//b", "/b"]),
        ("/a/[]x]", ["/a/]", "/a/x"], ["/a/y", "/a/[]x]"]),
        ("/a/[!]]", ["/a/x"], ["/a/]"]),
        ("/a/[z-a]", [], ["/a/z", "/a/a", "/a/m", "/a/-"]),
        ("/a/[!z-a]", ["/a/m"], []),
        ("/a/[^a]", ["/a/^", "/a/a"], ["/a/b"]),
        ("/a/[[a&&b]", ["/a/[", "/a/&"], ["/a/c"]),
        (r"/a/[\d]", ["/a/d", "/a/\\"], ["/a/3"]),
        ("/a/[]", ["/a/[]"], ["/a/x"]),
        ("/a/[!]", ["/a/[!]"], ["/a/x"]),
        ("/a/[x", ["/a/[x"], ["/a/x"]),
        ("/a/x.(1)+$", ["/a/x.(1)+$"], ["/a/xx"]),
    ],
)
def test_what_patterns_match(pattern: str, matching: list[str], others: list[str]) -> None:
    assert {path: fits(pattern, path) for path in matching} == dict.fromkeys(matching, True)
    assert {path: fits(pattern, path) for path in others} == dict.fromkeys(others, False)


def test_names_that_are_no_text() -> None:
    path = os.fsdecode(b"/a/caf\xe9.png")
    assert fits("caf?.png", path)
    assert fits("/a/caf?.png", path)
    assert fits("/**/*.png", path)
    assert fits(os.fsdecode(b"/*/caf\xe9*"), path)
    assert not fits("/a/caf??.png", path)


def test_what_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert fits("./*.png", f"{tmp_path}/x.png")
    assert fits("a/../b/*.png", f"{tmp_path}/b/x.png")
    assert fits("~/*.png", f"{tmp_path}/home/x.png")
    assert not fits("a/*.png", "/a/x.png")


def test_brackets_in_the_working_directory_are_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = tmp_path / "[2024] * Rome?"
    trip.mkdir()
    monkeypatch.chdir(trip)
    assert fits("days/*.png", f"{trip}/days/x.png")
    assert not fits("days/*.png", f"{tmp_path}/2 Rome!/days/x.png")
    prefix = Glob("days/*.png").prefix
    assert prefix is not None
    assert str(trip).startswith(prefix)


def test_a_link_leads_to_where_pictures_are_indexed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert fits(f"{tmp_path}/link/*.png", f"{tmp_path}/real/x.png")
    assert fits(f"{tmp_path}/link/*.png", f"{tmp_path}/link/x.png")
    assert not fits(f"{tmp_path}/link/*.png", f"{tmp_path}/x.png")


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("*.png", None),
        ("/a/b/*.png", "/a/b/"),
        ("/a/b*/x", "/a/b"),
        ("/a/x?", "/a/x"),
        ("/a/[xy]", "/a/"),
        ("/a/**/x", "/a/"),
        ("/a/b.png", "/a/b.png"),
        ("/*", "/"),
        ("/a/b/", "/a/b/"),
        ("//a/*.png", "/a/"),
    ],
)
def test_what_all_matching_paths_begin_with(pattern: str, prefix: str | None) -> None:
    assert Glob(pattern).prefix == prefix


_NAME = st.text("ab]", min_size=1, max_size=3)
_PART = st.one_of(
    st.just("**"),
    st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "]"]), min_size=1, max_size=3)
    .map("".join)
    .filter(lambda part: "**" not in part),
)


def naive(parts: list[str], names: list[str]) -> bool:
    """Whether a pattern matches a path, both split at "/", `**` being a part of its own."""
    if not parts:
        return not names
    if parts[0] == "**" and len(parts) > 1:
        return any(naive(parts[1:], names[i:]) for i in range(len(names) + 1))
    if parts[0] == "**":
        return bool(names)
    if not names or not naive(parts[1:], names[1:]):
        return False
    signs = re.findall(r"\[.*?\]|.", parts[0])
    return any(
        list(names[0]) == list("".join(filler))
        for filler in product(*(_fillers(sign, names[0]) for sign in signs))
    )


def _fillers(sign: str, name: str) -> list[str]:
    """What a sign may stand for in a name."""
    one = {"?": "ab]", "[ab]": "ab", "[!a]": "b]"}
    pieces = [name[i:j] for i in range(len(name) + 1) for j in range(i + 1, len(name) + 1)]
    return ["", *pieces] if sign == "*" else list(one.get(sign, sign))


@settings(max_examples=300)
@given(st.lists(_PART, min_size=1, max_size=4), st.lists(_NAME, min_size=1, max_size=4))
def test_a_naive_matcher_agrees(parts: list[str], names: list[str]) -> None:
    pattern, path = "/" + "/".join(parts), "/" + "/".join(names)
    assert fits(pattern, path) == naive(parts, names)
    prefix = Glob(pattern).prefix
    assert prefix is not None
    assert path.startswith(prefix) or not fits(pattern, path)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """16 pictures with five segments each, all at different angles; one has two names."""
    folder = tmp_path_factory.mktemp("globs")
    with empty_index(folder / "index") as index:
        for i in range(16):
            segments = [Made((0, 0, 4, 4 + j), at(i + 20 * j)) for j in range(5)]
            names = [f"{'odd' if i % 2 else 'even'}/{i:02}.{'jpg' if i == 13 else 'png'}"]
            names += ["odd/second name.gif"] if i == 14 else []
            add(index, folder, *names, vector=at(i), segments=segments)
        yield index


def found(index: Index, pattern: str | None, by: By, limit: int = 1000) -> list[str]:
    """Ids of what is found, in order."""
    look = Look(limit, filters=Filters(glob=pattern), by=by, ranking=UNCUT)
    hits = Asker(index).answer([Part(at(0), "picture")], look, None)
    return [hit.image.id if hit.segment is None else hit.segment.id for hit in hits]


@pytest.mark.parametrize("most", [2000, 3])
@pytest.mark.parametrize("by", ["segment", "image"])
@pytest.mark.parametrize(
    "pattern",
    ["*.png", "*.jpg", "*.gif", "1?.*", "odd/*", "odd/", "odd/**/*3.*", "**/[!01]*", "no*"],
)
def test_an_index_finds_what_filtering_by_hand_does(
    index: Index, monkeypatch: pytest.MonkeyPatch, *, pattern: str, by: By, most: int
) -> None:
    """Whether the pictures that match can be listed or are too many for that."""
    monkeypatch.setattr(globs, "MOST_LISTED", most)
    roots = index.roots()
    (root,) = roots.values()
    monkeypatch.chdir(root)
    fitting = {
        id_
        for segment, image in index.all_segments()
        if any(fits(pattern, str(locate(path, roots))) for path in image.paths)
        for id_ in (segment.id, image.id)
    }
    everything = found(index, None, by)
    assert len(everything) == (80 if by == "segment" else 16)
    expected = [id_ for id_ in everything if id_ in fitting]
    assert bool(expected) == (pattern != "no*")
    for limit in (1, 7, 1000):
        assert found(index, pattern, by, limit) == expected[:limit]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.gif", ["odd/second name.gif"]),
        ("odd/1*", ["odd/11.png", "odd/13.jpg", "odd/15.png"]),
        ("no*", []),
        ("odd/*", None),
    ],
)
def test_few_pictures_are_listed(
    index: Index, monkeypatch: pytest.MonkeyPatch, pattern: str, paths: list[str] | None
) -> None:
    monkeypatch.setattr(globs, "MOST_LISTED", 3)
    ((root, folder),) = index.roots().items()
    monkeypatch.chdir(folder)
    named = listed(index, Glob(pattern), Filters(glob=pattern).paths_to_store(index.roots()))
    shown = None if named is None else sorted(path.removeprefix(f"{root}/") for path in named)
    assert shown == paths


def test_a_pattern_and_the_other_filters_all_hold(index: Index) -> None:
    (root,) = index.roots().values()
    filters = Filters(glob="*3.*", path=root / "odd", max_area=0.09)  # 4 × 4 of 200 pixels
    hits = Asker(index).answer([Part(at(0), "picture")], Look(filters=filters, ranking=UNCUT), None)
    areas = {hit.path.name: hit.segment.region.area_px for hit in hits if hit.segment is not None}
    assert areas == dict.fromkeys(["03.png", "13.jpg"], 16)
    assert len(hits) == 2


@pytest.mark.parametrize(
    "pattern",
    ["/p/" + "**" * 400 + "zz", "/p/" + "**?" * 40 + "zz", "/p/" + "*a" * 60, "/" + "**/a" * 50],
)
def test_many_wildcards_take_no_time(pattern: str) -> None:
    matches, path = Glob(pattern).matcher(), "/p/" + "a" * 250 + "/b" * 60
    started = time.perf_counter()
    assert not matches(path)
    assert time.perf_counter() - started < 1


@settings(max_examples=300)
@given(
    st.text("*?/ab[]!", max_size=12),
    st.text("ab/[", max_size=10),
)
def test_many_wildcards_match_as_few_do(pattern: str, path: str) -> None:
    """The automaton against the regular expression."""
    parts = globs._parts(pattern)
    whole = re.compile("".join(map(globs._translated, parts)), re.DOTALL)
    matched = Automaton(parts, globs._translated).matches(path)
    assert matched == (whole.fullmatch(path) is not None)
