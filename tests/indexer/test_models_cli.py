"""`segsearch models` as it is mounted: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from indexer import console
from indexer.models_cli import models
from indexer.profiles import configs_dir, profile_names

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "facebook/sam2.1-hiera-tiny": "sam2.1_hiera_tiny.pt",
    "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K": "open_clip_pytorch_model.bin",
}


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.add_typer(models, name="models")
    app.command()(lambda: None)

    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr("sys.argv", ["segsearch", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            console.run(app)
        written = capsys.readouterr()
        code = ended.value.code
        return Run(code if isinstance(code, int) else 0, written.out, written.err)

    return run


@pytest.fixture
def cache() -> Iterator[Callable[[str], Path]]:
    """Put 5 bytes as the file of a repository into the hub's cache."""
    hub = Path(os.environ["HF_HOME"]) / "hub"
    repos: list[Path] = []

    def put(name: str) -> Path:
        repos.append(hub / f"models--{name.replace('/', '--')}")
        path = repos[-1] / "snapshots" / COMMIT / FILES[name]
        path.parent.mkdir(parents=True)
        path.write_bytes(b"12345")
        (repos[-1] / "refs").mkdir()
        (repos[-1] / "refs" / "main").write_text(COMMIT, encoding="ascii")
        return path

    yield put
    for repo in repos:
        shutil.rmtree(repo)


def test_the_packaged_profiles(run: Callable[..., Run]) -> None:
    done = run()
    assert (done.code, done.err) == (0, "")
    heading, *rows = done.out.splitlines()
    assert re.split(" {2,}", heading) == [
        *("profile", "download", "on disk", "SAM 2", "CLIP", "licences", "for")
    ]
    assert [row.split()[0] for row in rows] == profile_names()
    by_name = {row.split()[0]: row for row in rows}
    assert "nothing" in by_name["demo"]
    assert "  yes  " in by_name["demo"]
    assert "about 2.6 GB" in by_name["quality"]
    assert "  no  " in by_name["quality"]
    assert "Apache-2.0,MIT" in by_name["quality"]
    assert by_name["quality"].endswith("For a GPU: SAM 2.1 large and CLIP ViT-L/14.")


def test_every_profile_begins_with_what_it_is_for() -> None:
    for name in profile_names():
        first = (configs_dir() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# ")
        assert first.endswith(".")


def test_part_of_it_is_on_disk(run: Callable[..., Run], cache: Callable[[str], Path]) -> None:
    path = cache("facebook/sam2.1-hiera-tiny")
    table = next(line for line in run().out.splitlines() if line.startswith("fast"))
    assert "about 605 MB  1 of 2" in table
    rows = [json.loads(line) for line in run("--format", "jsonl").out.splitlines()]
    fast = next(row for row in rows if row["profile"] == "fast")
    assert (fast["on_disk"], fast["download_bytes"]) == (False, 605_109_252)
    assert fast["licences"] == ["Apache-2.0", "MIT"]
    sam2, clip = fast["weights"]
    assert sam2 == {
        "role": "sam2",
        "model": "facebook/sam2.1-hiera-tiny",
        "source": "facebook/sam2.1-hiera-tiny/sam2.1_hiera_tiny.pt",
        "size_bytes": 5,
        "licence": "Apache-2.0",
        "path": str(path),
    }
    assert clip["path"] is None
    assert json.loads(run("--format", "json").out) == rows


def test_nothing_to_fetch(run: Callable[..., Run]) -> None:
    done = run("fetch", "demo")
    assert done.code == 0
    assert done.err == "nothing to fetch: all that demo needs is on this disk\n"
    demo = configs_dir() / "demo"
    assert [line.split()[-1] for line in done.out.splitlines()] == [
        "path",
        str(demo / "sam2_tiny.safetensors"),
        str(demo / "clip_tiny.safetensors"),
    ]


def test_a_profile_of_the_users(
    run: Callable[..., Run], cache: Callable[[str], Path], tmp_path: Path
) -> None:
    paths = [cache(name) for name in FILES]
    shutil.copy(configs_dir() / "fast.yaml", tmp_path / "mine.yaml")
    done = run("fetch", tmp_path / "mine.yaml", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert [row["path"] for row in json.loads(done.out)] == [str(path) for path in paths]


def test_what_cannot_be_fetched(run: Callable[..., Run]) -> None:
    done = run("fetch", "fast")
    assert (done.code, done.out) == (1, "")
    lines = done.err.splitlines()
    assert lines[:2] == [
        "fetching facebook/sam2.1-hiera-tiny/sam2.1_hiera_tiny.pt, about 156 MB",
        "fetching laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K/open_clip_model.safetensors, "
        "about 605 MB",
    ]
    assert lines[2].startswith("error: the weights facebook/sam2.1-hiera-tiny/sam2.1_hiera_tiny.pt")
    assert lines[3].startswith("  → go online once and run: segsearch models fetch PROFILE")


def test_a_misspelt_profile(run: Callable[..., Run]) -> None:
    done = run("fetch", "fats")
    assert done.code == 1
    assert done.err.startswith("error: there is no profile 'fats'\n  → use one of balanced, demo")


def test_help_has_examples(run: Callable[..., Run]) -> None:
    assert "\n  Examples:\n    segsearch models\n" in run("--help").out
    assert "\n  Examples:\n    segsearch models fetch balanced\n" in run("fetch", "--help").out
