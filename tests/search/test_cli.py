"""The commands in this process: what they print, where, and how they end."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest
import typer

from indexer import cli as indexer_cli
from indexer import console, embedding, models_cli
from indexer.profiles import configs_dir
from indexer.segmentation import segmenter
from search import cli
from search.api.app import create_app
from tests.indexer.store.facade import Facade
from tests.search.conftest import Run


def test_status(run: Callable[..., Run], where: str, library_folder: Path) -> None:
    row = json.loads(run("status", "--index", where, "--format", "json").out)
    assert (row["files"], row["images"], row["failed"]) == (6, 5, 0)
    assert isinstance(row["segments"], int)
    assert row["roots"] == [str(library_folder)]
    table = run("status", "--index", where).out
    assert re.search(r"^images +5$", table, re.MULTILINE)


def test_indexing_with_a_bad_file(run: Callable[..., Run], tmp_path: Path, fast_yaml: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "bad.jpg").write_text("nothing")
    index = ("index", tmp_path / "photos", "--index", tmp_path / "idx", "--profile", fast_yaml)
    done = run(*index)
    assert done.code == console.EXIT_SOME_FAILED
    assert done.out == ""
    assert "1 failed" in done.err
    again = run(*index, "--format", "json")
    assert again.code == 0
    assert json.loads(again.out)["known_failures"] == 1
    assert again.err == ""
    failed = run("status", "--index", tmp_path / "idx", "--failed", "--format", "json")
    (row,) = json.loads(failed.out)
    assert row["path"] == str(tmp_path / "photos" / "bad.jpg")
    assert row["reason"] == "unsupported_format"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "text", "x", "--index", "nowhere"], 1, "there is no index at nowhere"),
        (["index", "nowhere", "--profile", "demo"], 1, "there is no file or folder"),
        (["index", ".", "--profile", "dmeo"], 1, "there is no profile 'dmeo'"),
        (["index", "--index", "nowhere"], 1, "name the folders that are to be indexed"),
        (["index", ".", "--watch", "--limit", "1"], 2, "leave --limit out"),
        (["index", ".", "--no-grid"], 1, "without the grid there is nothing to cut out"),
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
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["segsearch", "status", "--index", "nowhere", "--debug"])
    with pytest.raises(Exception, match="there is no index"):
        cli.main()


def test_the_demo_on_given_pictures(
    run: Callable[..., Run], tmp_path: Path, library_folder: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(library_folder / "a.png", photos)
    done = run("demo", tmp_path / "out", "--photos", photos)
    assert done.code == 0
    assert "only know drawn shapes" in done.err
    assert len(list((tmp_path / "out").glob("*/index.html"))) == 3


def test_a_demo_does_not_go_on_with_an_index_of_other_models(
    run: Callable[..., Run], tmp_path: Path, library_folder: Path, fast_yaml: str
) -> None:
    index = tmp_path / "out" / "index-of-photos"
    assert run("index", library_folder, "--index", index, "--profile", fast_yaml).code == 0
    done = run("demo", tmp_path / "out", "--photos", library_folder)
    assert done.code == 1
    assert f"remove {index}" in done.err


def _commands() -> Iterator[tuple[str, str]]:
    """Every command with its help."""
    app = cli.segsearch()
    yield "models", models_cli.listing.__doc__ or ""
    groups = [
        ("", app.registered_commands),
        ("models ", models_cli.models.registered_commands),
        ("search ", cli.search.registered_commands),
    ]
    for prefix, commands in groups:
        for command in commands:
            assert command.callback is not None
            yield prefix + command.callback.__name__, command.callback.__doc__ or ""


def _examples(help_text: str) -> list[list[str]]:
    lines = help_text.partition("Examples:\n")[2].splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


@pytest.mark.parametrize(("name", "help_text"), list(_commands()))
def test_every_command_has_examples(name: str, help_text: str) -> None:
    examples = _examples(help_text)
    assert examples
    for example in examples:
        words = [word for word in example if word != "segsearch"]
        assert words[: len(name.split())] == name.split()


def _readme_examples() -> Iterator[list[str]]:
    """The command lines of the README that need no server."""
    readme = Path(__file__).parents[2] / "README.md"
    for line in readme.read_text(encoding="utf-8").splitlines():
        if line.startswith(("index ", "search ", "segsearch ")) and "://" not in line:
            yield shlex.split(line, comments=True)


@pytest.fixture
def qdrant() -> Iterator[Facade]:
    with Facade() as facade:
        yield facade


def test_the_examples_run(
    run: Callable[..., Run],
    *,
    tmp_path: Path,
    library_folder: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    fast_yaml: str,
    qdrant: Facade,
) -> None:
    """Every example of the README and of every --help, in a folder that has what they name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.demo._SCENES", 2)  # sixty take minutes
    monkeypatch.setattr("search.commands.serve.run", create_app)  # all but waiting for requests
    (tmp_path / "keys.txt").write_text("admin 0123456789abcdef\n", encoding="utf-8")
    for model in (embedding.Embedder, segmenter.Segmenter):  # load each only once
        home = f"{model.__module__}.{model.__name__}"
        monkeypatch.setattr(home, functools.cache(model))
    shutil.copytree(library_folder, tmp_path / "photos")
    (tmp_path / "scans").mkdir()
    shutil.copy(library_folder / "a.png", tmp_path / "scans")
    shutil.copy(library_folder / "a.png", tmp_path / "q.jpg")
    monkeypatch.setenv("SEGSEARCH_INDEX", str(tmp_path / "default"))
    everything = ("--all", "--nested", "--format", "json")
    hits = json.loads(run("search", "text", "x", "--index", where, *everything).out)
    stand_ins = {
        "SEGMENT_ID": hits[0]["segment_id"],
        "OTHER_SEGMENT_ID": hits[1]["segment_id"],
        "100,80,300,260": "10,8,30,26",
        "120,200": "12,20",
        "300,40": "30,4",
        "./old-photos": "./photos",
        "balanced": fast_yaml,  # others would be downloaded, or take longer
        "demo": fast_yaml,
        "http://localhost:6333/photos": f"{qdrant.url}/photos",
    }
    shutil.copy(configs_dir() / "demo.yaml", tmp_path / "mine.yaml")
    box = {"file_name": "a.png", "bbox": [10, 10, 40, 30], "category_name": "mug", "score": 0.9}
    (tmp_path / "detections.json").write_text(json.dumps([box]), encoding="utf-8")
    mug = {"image_id": 1, "category_id": 1, "segmentation": [[10, 10, 50, 10, 50, 40, 10, 40]]}
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "width": 96, "height": 72}],
        "annotations": [mug | {"caption": "a mug", "attributes": {"colour": "red"}}],
        "categories": [{"id": 1, "name": "mug"}],
    }
    for name in ("instances.json", "captions.json"):
        (tmp_path / name).write_text(json.dumps(truth), encoding="utf-8")
    (tmp_path / "words.txt").write_text("star\nfish\nmug: cup\n", encoding="utf-8")
    for name in ("rough.png", "m.png"):
        rough = PIL.Image.new("L", (96, 72))
        rough.paste(255, (10, 8, 30, 26))
        rough.save(tmp_path / name)
    # a copy, as some examples write
    of_host = shutil.ignore_patterns("host*", "*.lock")
    shutil.copytree(where, tmp_path / "idx", ignore=of_host)
    examples = [e for _, help_text in _commands() for e in _examples(help_text)]
    for example in dict.fromkeys(map(tuple, [*examples, *_readme_examples()])):
        if "--engine" in example:  # Ray takes its time: tests/indexer/test_distributed.py
            continue
        command, *words = [word for word in example if word != "segsearch"]
        words = [command, *(stand_ins.get(word, word) for word in words)]
        if command == "index" and "--profile" in words:
            words += ["--index", str(tmp_path / "other")]
        elif command in ("index", "segment") or words[:2] == ["search", "eval"]:
            words += [] if "--profile" in words else ["--profile", fast_yaml]
        done = run(*words)
        assert done.code == 0, f"{' '.join(example)}: {done.err}"
    assert len(examples) + len(list(_readme_examples())) > 15


def test_help_of_the_short_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for main, expected in ((indexer_cli.main, "PATH"), (cli.search_main, "segment")):
        monkeypatch.setattr("sys.argv", ["x", "--help"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert expected in capsys.readouterr().out
    assert isinstance(cli.segsearch(), typer.Typer)
