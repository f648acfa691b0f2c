"""`segsearch transfer` as it is mounted: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from indexer import console
from indexer.store.transfer import TransferProgress
from indexer.transfer_cli import describe, transfer
from tests.indexer.store.facade import Facade, Fault
from tests.indexer.store.transferring import build, records


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command()(transfer)
    app.command()(lambda: None)

    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr("sys.argv", ["segsearch", "transfer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            console.run(app)
        written = capsys.readouterr()
        code = ended.value.code
        return Run(code if isinstance(code, int) else 0, written.out, written.err)

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    build(str(tmp_path / "source"), records(10))
    return tmp_path / "source"


@pytest.fixture
def facade() -> Iterator[Facade]:
    with Facade() as facade:
        yield facade


def test_what_it_prints(run: Callable[..., Run], source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.parquet"
    done = run(source, archive)
    assert (done.code, done.err) == (0, "")
    heading, row = (re.split(" {2,}", line) for line in done.out.splitlines())
    assert heading == [
        *("from", "to", "images", "segments", "files", "roots", "took", "size", "verified"),
        "least cosine",
    ]
    shown = dict(zip(heading, row, strict=True))
    assert (shown["images"], shown["segments"], shown["verified"]) == ("10", "40", "61")
    assert shown["least cosine"] == "1.0000000"
    plain = json.loads(run(archive, tmp_path / "half.parquet", "--float16", "--format", "json").out)
    assert (plain["from"], plain["to"]) == (str(archive), str(tmp_path / "half.parquet"))
    assert (plain["copied"], plain["verified"], plain["roots"]) == (61, 61, 1)
    assert plain["least_cosine"] > 1 - 1e-6
    line = run(archive, tmp_path / "half.parquet", "--float16", "--format", "jsonl").out
    assert json.loads(line)["copied"] == 0
    assert line.count("\n") == 1


def test_errors_and_hints(run: Callable[..., Run], source: Path, tmp_path: Path) -> None:
    build(str(tmp_path / "other"), records(1))
    assert run(tmp_path / "other", tmp_path / "a.parquet", "--quiet").code == 0
    done = run(source, tmp_path / "a.parquet")
    assert (done.code, done.out) == (1, "")
    assert "is there already" in done.err
    assert "--replace" in done.err
    assert run(source, tmp_path / "a.parquet", "--replace").code == 0
    assert run(source).code == 2


def test_a_signal_ends_it_soon(source: Path, facade: Facade) -> None:
    target = f"{facade.url}/photos"
    code = "import sys; from search.cli import main; main()"
    command = [sys.executable, "-c", code, "transfer", str(source), target]
    for number, kind in ((signal.SIGINT, "files"), (signal.SIGTERM, "segments")):
        writes = f"PUT /collections/photos.rebuild_{kind}/points"
        facade.seen.clear()
        facade.faults.clear()
        facade.faults.append(Fault("stall", 2, on=writes))
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            while not any(writes in seen for seen, _ in facade.seen):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            sent = time.monotonic()
            _, said = process.communicate(timeout=20)
        assert time.monotonic() - sent < 6
        assert process.returncode == console.EXIT_INTERRUPTED
        assert "run the same command again to go on" in said
        facade.faults.clear()
    ran = subprocess.run([*command, "--format", "json"], capture_output=True, check=True)
    report = json.loads(ran.stdout)
    assert (report["copied"], report["verified"]) == (10, 61)  # the images were left


def test_how_far_it_is() -> None:
    told = TransferProgress("copying", 3000, 9000, 1000, 4.0, "segments")
    assert describe(told) == (
        "copying segments · 3000 of 9000 records · 500 records/s · 12.0 s to go"
    )
    assert describe(TransferProgress("verifying", 20, 61)) == "verifying · 20 of 61 records"
    assert describe(TransferProgress("building", 50, 100)) == "building search structures · 50 %"
