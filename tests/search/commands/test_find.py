"""The commands that find: what they print, where, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from search import Searcher
from search.export.kinds import FILES, Kind
from search.models import Models
from tests.search.conftest import Run

#: The index is of random regions of drawn scenes, few of which are relevant to anything.
EVERYTHING = ("--all", "--nested")

Find = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def find(run: Callable[..., Run], where: str) -> Find:
    def find(*arguments: str | Path) -> list[dict[str, Any]]:
        """The hits of a `search` command."""
        done = run("search", *arguments, *EVERYTHING, "--index", where, "--format", "json")
        assert (done.code, done.err) == (0, "")
        hits: list[dict[str, Any]] = json.loads(done.out)
        return hits

    return find


@pytest.fixture(scope="session")
def some_ids(searcher: Searcher) -> list[str]:
    """Three segments of the index."""
    return [
        hit.segment.id for hit, _ in zip(searcher.everything(), "123", strict=False) if hit.segment
    ]


def test_text_as_json(find: Find) -> None:
    hits = find("text", "red mug", "-k", "3")
    assert len(hits) == 3
    needed = {"segment_id", "image_id", "path", "score", "box", "area_px", "rle", "relevance"}
    assert needed <= hits[0].keys()
    relevance = [hit["relevance"] for hit in hits]
    assert relevance == sorted(relevance, reverse=True)


def test_json_lines_are_the_same_hits(run: Callable[..., Run], where: str, find: Find) -> None:
    lines = run("search", "text", "x", "--index", where, *EVERYTHING, "--format", "jsonl").out
    assert [json.loads(line) for line in lines.splitlines()] == find("text", "x")


def test_a_table_has_a_row_for_each_hit(run: Callable[..., Run], where: str) -> None:
    out = run("search", "text", "x", "--index", where, "-k", "4", *EVERYTHING).out.splitlines()
    columns = ["relevance", "score", "z", "path", "box", "area", "label", "segment"]
    assert out[0].split() == columns
    assert len(out) == 5
    out = run("search", "text", "x", "--index", where, "--by", "image").out.splitlines()
    assert out[0].split() == ["score", "z", "path", "segments", "image"]
    assert len(out) == 6


def test_a_picture_with_prompts(find: Find, library_folder: Path, tmp_path: Path) -> None:
    query, rough = library_folder / "a.png", tmp_path / "rough.png"
    bright = np.zeros((72, 96), dtype=np.uint8)
    bright[10:40, 10:50] = 255
    PIL.Image.fromarray(bright).save(rough)
    prompts: tuple[tuple[str | Path, ...], ...] = (
        (),
        ("--box", "4,4,60,60"),
        ("--point", "20,20", "--not-point", "90,5"),
        ("--mask-prompt", rough),
        ("--box", "4,4,60,60", "--text", "red"),
    )
    scores = [[hit["score"] for hit in find("image", query, *prompt)] for prompt in prompts]
    assert [len(each) for each in scores] == [20] * len(prompts)
    assert len(set(map(tuple, scores))) == len(prompts)


def test_segments(find: Find, some_ids: list[str]) -> None:
    first, second, third = some_ids
    found = find("segment", first, second, "--not", third)
    assert len(found) == 20
    assert not {hit["segment_id"] for hit in found} & set(some_ids)
    assert found != find("segment", first, second)
    assert find("like", "--segment", first, "--segment", second, "--not-segment", third) == found


def test_examples_of_any_kind(find: Find, library_folder: Path, some_ids: list[str]) -> None:
    picture, other = library_folder / "a.png", library_folder / "2024" / "plain.png"
    every = ("--text", "star", "--text", "red", "--image", picture, "--segment", some_ids[0])
    against = ("--not-text", "blue", "--not-image", other, "--not-segment", some_ids[1])
    answers = [find("like", *every, *against), find("like", *every), find("like", *every[4:])]
    assert [len(hits) for hits in answers] == [20] * 3
    orders = {tuple(hit["segment_id"] for hit in hits) for hits in answers}
    assert len(orders) == 3
    assert find("like", "--text", "star") == find("text", "star")
    assert find("like", "--image", picture) == find("image", picture)


def test_filters(find: Find, library_folder: Path) -> None:
    narrow = ("--path", library_folder / "2024", "--min-area", "0", "--since", "2024-01-01")
    assert {Path(hit["path"]).name for hit in find("text", "x", *narrow)} == {"may.jpg"}
    others = ("--glob", "*.jpg", "--image-format", "jpg", "--until", "2024-05-31")
    assert {Path(hit["path"]).name for hit in find("text", "x", *others)} == {"may.jpg"}
    assert {hit["depth"] for hit in find("text", "x", "--max-depth", "0")} == {0}


def test_arranging(run: Callable[..., Run], where: str, find: Find) -> None:
    hits = find("text", "x", "--per-image", "1", "-k", "9")
    assert len({hit["image_id"] for hit in hits}) == len(hits) == 5
    assert find("text", "x", "--offset", "15", "-k", "5") == find("text", "x")[15:]
    assert find("text", "x", "--diversity", "1") != find("text", "x")
    command = ("search", "text", "x", "--index", where, "--format", "json", "-k", "1000")
    collapsed = json.loads(run(*command, "--all").out)
    assert 0 < len(collapsed) < len(find("text", "x", "-k", "1000"))
    low = json.loads(run(*command, "--min-relevance", "0").out)
    assert 0 < len(low) <= len(collapsed)


@pytest.mark.parametrize("command", [("text", "x"), ("like", "--text", "x")])
def test_nothing_is_relevant_enough(
    run: Callable[..., Run], where: str, command: tuple[str, ...]
) -> None:
    done = run("search", *command, "--index", where, "--min-relevance", "99")
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    assert done.err.startswith("nothing like that here: the nearest has a relevance of ")
    assert done.err.endswith(", not 99.00; --all shows it\n")
    asjson = run("search", *command, "--index", where, "--min-relevance", "99", "--format", "json")
    assert (asjson.out, asjson.err) == ("[]\n", done.err)


def test_nothing_fits_the_filters(run: Callable[..., Run], where: str) -> None:
    for narrow in (("--since", "2099-01-01"), ("--near", "48.2,16.4,1000"), ("--camera", "X")):
        done = run("search", "text", "x", "--index", where, *narrow)
        assert (done.code, done.err) == (0, "nothing found\n")


def test_a_scene(run: Callable[..., Run], where: str) -> None:
    command = ("search", "scene", "red star", "blue", "--relation", "red star near blue")
    done = run(*command, "--index", where, *EVERYTHING, "--format", "json")
    assert (done.code, done.err) == (0, "")
    scenes = json.loads(done.out)
    assert scenes
    assert [list(one["things"]) for one in scenes] == [["red star", "blue"]] * len(scenes)
    table = run(*command, "--index", where, *EVERYTHING).out.splitlines()
    assert table[0].split() == ["relevance", "path", "things"]
    assert len(table) == 1 + len(scenes)
    box = ",".join(map(str, scenes[0]["things"]["red star"][0]["box"]))
    assert f"red star {box}; blue " in table[1]


def test_what_a_scene_lacks_is_said(run: Callable[..., Run], where: str) -> None:
    done = run(
        "search", "scene", "star", "at least 2 fish", "--index", where, "--min-relevance", "9"
    )
    assert (done.code, done.err) == (0, "nothing like that here: star, fish\n")
    many = run("search", "scene", "at least 99 stars", "--index", where, "--all")
    assert (many.code, many.err) == (0, "no picture shows all of it so\n")


def test_saving(run: Callable[..., Run], where: str, tmp_path: Path) -> None:
    command = ("search", "text", "x", "--index", where, "-k", "2", *EVERYTHING, "--save")
    done = run(*command, tmp_path / "out")
    assert done.err == f"open {tmp_path / 'out' / 'index.html'}\n"
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 2


def test_saving_in_all_ways(run: Callable[..., Run], where: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("search", "text", "x", "--index", where, "-k", "2", *EVERYTHING, "--save", out)
    done = run(*command, *(word for kind in Kind for word in ("--as", kind)))
    assert (done.code, done.err) == (0, f"open {out / 'index.html'}\n")
    assert all((out / name).is_file() for name in FILES.values())
    only = run(*command[:-1], tmp_path / "cut", "--as", "cutout")
    assert only.err == f"open {tmp_path / 'cut'}\n"
    cut = list((tmp_path / "cut").rglob("*.*"))
    assert len(cut) == 2
    for file in cut:
        with PIL.Image.open(file) as picture:
            assert picture.mode == "RGBA"


@pytest.mark.parametrize(
    "narrow", [("--min-area", "0.1"), ("--max-depth", "0"), ("--label", "mug")]
)
def test_whole_pictures_have_none_of_what_segments_have(
    run: Callable[..., Run],
    where: str,
    library_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    narrow: tuple[str, ...],
) -> None:
    """Which is said before any model is loaded."""

    def never(_: Models) -> None:
        pytest.fail("a model is loaded")

    monkeypatch.setattr(Models, "embedder", never)
    for command in (("text", "x"), ("image", library_folder / "a.png"), ("like", "--text", "x")):
        done = run("search", *command, "--by", "image", *narrow, "--index", where)
        assert (done.code, done.out) == (1, "")
        assert "error: whole pictures have no" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["image", "absent.png"], 1, "there is no picture absent.png"),
        (["image", "x.png", "--mask-prompt", "absent.png"], 1, "there is no picture absent.png"),
        (["image", "x.png", "--box", "1,2,3"], 2, "x0,y0,x1,y1"),
        (["image", "x.png", "--point", "a,b"], 2, "x,y"),
        (["image", "x.png", "--box", "nan,0,inf,9"], 2, "x0,y0,x1,y1"),
        (["image", "x.png", "--not-point", "1,2"], 1, "a prompt needs"),
        (["text", "x", "-k", "0"], 2, "-k"),
        (["text", "x", "-k", "99999999999999999999"], 2, "-k"),
        (["text", "x", "--by", "both"], 2, "--by"),
        (["text", "x", "--since", "May"], 2, "--since"),
        (["text", "x", "--diversity", "2"], 2, "--diversity"),
        (["text", "x", "--per-image", "0"], 2, "--per-image"),
        (["text", "x", "--as", "gif"], 2, "--as"),
        (["text", ""], 1, "the text is empty"),
        (["text", "x", "--near", "48.2,16.4"], 2, "LAT,LON,KM"),
        (["text", "x", "--near", "95,16.4,1"], 1, "km are no place"),
        (["text", "x", "--by", "image", "--max-depth", "0"], 1, "have no depth"),
        (["text", "x", "--min-relevance", "nan"], 1, "a relevance of nan makes no sense"),
        (["like"], 1, "nothing to look for was given"),
        (["like", "--not-text", "x"], 1, "nothing to look for was given"),
        (["segment"], 2, "SEGMENT_ID"),
        (["scene", "dog", "--relation", "dog behind cat"], 1, "is no relation"),
        (["scene"], 2, "THING"),
    ],
)
def test_mistakes(
    run: Callable[..., Run],
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    """All of them are told before an index is looked for."""
    monkeypatch.chdir(tmp_path)
    done = run("search", *arguments, "--index", "nowhere")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["segment", "123"], 1, "there is no segment 123"),
        (["text", "x", "--min-area", "0.5", "--max-area", "0.1"], 1, "is empty"),
        (["text", "x", "--path", "/nowhere"], 1, "lies outside the library"),
    ],
)
def test_mistakes_that_depend_on_the_index(
    run: Callable[..., Run], where: str, arguments: list[str], code: int, message: str
) -> None:
    done = run("search", *arguments, "--index", where)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
