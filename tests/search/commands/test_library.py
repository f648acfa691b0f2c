"""`segsearch label`, `facets` and `duplicates` in this process: what they print and write."""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from indexer.recipe import recipe_from
from indexer.store import open_store
from indexer.store.base import KINDS, VECTOR_KINDS
from search import cli
from search.commands import library
from search.labelling import MIN_SCORE


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What it printed as JSON."""
        rows: list[dict[str, Any]] = json.loads(self.out)
        return rows

    @property
    def table(self) -> list[list[str]]:
        """What it printed as a table."""
        return [line.split() for line in self.out.splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr("sys.argv", ["segsearch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        code = ended.value.code
        return Run(code if isinstance(code, int) else 0, written.out, written.err)

    return run


@pytest.fixture(scope="module")
def copied(where: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the library's index, whose labels may be changed."""
    copy = str(tmp_path_factory.mktemp("copied") / "index")
    with (
        contextlib.closing(open_store(where, create_ok=False)) as old,
        contextlib.closing(open_store(copy, create_ok=True)) as new,
    ):
        plain = old.recipe()
        assert plain is not None
        new.create(plain, recipe_from(plain, where).dim)
        for kind in KINDS:
            points = old.scroll(kind, limit=1000, vectors=kind in VECTOR_KINDS).points
            new.upsert(kind, points)
    return copy


def test_labels_come_and_go(run: Callable[..., Run], copied: str, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("star\nhouse: home\nmug\n", encoding="utf-8")
    asked = ("label", "--vocabulary", words, "--index", copied, "--min-score", "0.2")
    tried = run(*asked, "--dry-run", "--format", "json")
    assert tried.code == 0
    counts = {row["label"]: row["segments"] for row in tried.rows}
    total, labelled = sum(counts.values()), sum(n for name, n in counts.items() if name)
    assert counts.keys() == {"star", "house", "mug", None}
    assert 0 < labelled < total
    many = f"{labelled} of {total} segments have a label of the list"
    assert tried.err == f"{many}; {labelled} would change\n"
    assert run("facets", "--index", copied, "--format", "json").rows == [
        {"by": "label", "value": None, "of": "segments", "count": total}
    ]
    done = run(*asked)
    assert done.err == f"{many}; {labelled} changed\n"
    assert done.table[0] == ["segments", "label"]
    assert done.table[-1] == [str(counts[None]), "(none)"]
    facets = run("facets", "--index", copied, "--format", "json").rows
    assert {row["value"]: row["count"] for row in facets} == {
        name: n for name, n in counts.items() if n
    }
    assert run("label", "--clear", "--index", copied).table == [["cleared"], [str(labelled)]]
    assert run("label", "--clear", "--index", copied, "--format", "json").rows == [{"cleared": 0}]


def test_the_score_that_is_enough_is_that_of_the_python_api() -> None:
    assert inspect.signature(library.label).parameters["min_score"].default == MIN_SCORE


def test_the_words_of_the_profile(run: Callable[..., Run], copied: str) -> None:
    done = run("label", "--index", copied, "--dry-run", "--format", "jsonl")
    assert {"mug", "red"} <= {json.loads(line)["label"] for line in done.out.splitlines()}


def test_a_list_and_clearing_exclude_each_other(run: Callable[..., Run], copied: str) -> None:
    done = run("label", "--clear", "--vocabulary", "words.txt", "--index", copied)
    assert (done.code, done.out) == (2, "")
    done = run("label", "--vocabulary", "nowhere.txt", "--index", copied)
    assert (done.code, done.out) == (1, "")
    assert "nowhere.txt cannot be read: No such file" in done.err


def test_nothing_is_labelled_while_an_index_run_writes(
    run: Callable[..., Run], copied: str
) -> None:
    with (Path(copied) / "writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run("label", "--clear", "--index", copied)
    assert done.code == 1
    assert "another index run is writing" in done.err


def test_what_is_in_an_index(
    run: Callable[..., Run], where: str, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--by", "format", "--by", "year", "--by", "format")
    assert run("facets", *asked, "--index", where).table == [
        ["count", "of", "by", "value"],
        ["3", "images", "format", "PNG"],
        ["2", "images", "format", "JPEG"],
        ["2", "images", "year", "2024"],
        ["3", "images", "year", "(none)"],
    ]
    rows = run("facets", "--by", "folder", "-k", "1", "--index", where, "--format", "json").rows
    assert rows == [{"by": "folder", "value": str(library_folder), "of": "files", "count": 3}]
    monkeypatch.chdir(library_folder)
    of_folder = run("facets", "--by", "format", "--path", "2024", "--index", where).table
    assert of_folder[1:] == [["1", "images", "format", "JPEG"], ["1", "images", "format", "PNG"]]


def test_filters_that_do_not_fit(run: Callable[..., Run], where: str) -> None:
    for command in (("facets", "--by", "format"), ("duplicates",)):
        done = run(*command, "--max-depth", "0", "--index", where)
        assert done.code == 1
        assert "whole pictures have no depth" in done.err


def test_pictures_that_are_there_twice(
    run: Callable[..., Run], where: str, library_folder: Path, tmp_path: Path
) -> None:
    size = (library_folder / "a.png").stat().st_size
    done = run("duplicates", "--index", where, "--format", "json", "--save", tmp_path)
    (group,) = done.rows
    assert (group["group"], group["kind"], group["spare_bytes"]) == (1, "exact", size)
    assert [(Path(file["path"]).name, file["keep"], file["bytes"]) for file in group["files"]] == [
        ("a.png", True, size),
        ("copy of a.png", False, size),
    ]
    assert "1 group; 1 file could go" in done.err
    assert f"open {tmp_path}/index.html" in done.err
    assert "copy of a.png" in (tmp_path / "index.html").read_text("utf-8")
    table = run("duplicates", "--index", where).table
    assert table[0] == ["group", "kind", "score", "what", "size", "disk", "path"]
    assert [row[3] for row in table[1:]] == ["keep", "spare"]


def test_objects_that_are_there_twice(run: Callable[..., Run], where: str) -> None:
    asked = ("duplicates", "--of", "segments", "--index", where)
    table = run(*asked, "--threshold", "0.6")
    assert table.table[0] == ["group", "kind", "score", "box", "path", "segment"]
    lines = run(*asked, "--threshold", "0.6", "--format", "jsonl").out.splitlines()
    groups = [json.loads(line) for line in lines]
    assert sum(len(group["segments"]) for group in groups) == len(table.table) - 1
    assert table.err == f"{len(groups)} groups of {len(table.table) - 1} segments\n"
    few = run(*asked, "--threshold", "1")
    assert (few.code, len(few.table)) == (0, 1)
    assert "nothing is there twice" in few.err
