"""The installed commands as processes of their own: starting, racing, dying."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from indexer.index import Index
from indexer.profiles import Profile, profile_data
from indexer.store import open_store
from search import Searcher
from tests.pictures import write_scene

BIN = Path(sys.executable).parent
#: Most seconds that --help may take.
HELP_SECONDS = 0.5


@pytest.fixture
def profile(tmp_path: Path, fast_profile: Profile) -> Path:
    path = tmp_path / "fast.yaml"
    path.write_text(yaml.safe_dump(profile_data(fast_profile)), encoding="utf-8")
    return path


def photos(tmp_path: Path, count: int) -> Path:
    for seed in range(count):
        write_scene(tmp_path / "photos" / f"{seed:02d}.png", seed)
    return tmp_path / "photos"


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / command[0], *command[1:]], check=check, capture_output=True, text=True, timeout=120
    )


def modules_after(*command: str | Path) -> set[str]:
    """Run a command line in a fresh interpreter and return what it has imported."""
    code = (
        "import sys, search.cli\n"
        "try: search.cli.main()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "print('modules', *sys.modules)"
    )
    arguments = [sys.executable, "-c", code, *map(str, command)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=120)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", ["segsearch", "index", "search"])
def test_help_is_quick(command: str) -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert "Usage" in run(command, "--help").stdout
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) <= HELP_SECONDS


def test_commands_import_only_what_they_need(tmp_path: Path, profile: Path) -> None:
    folder, index = photos(tmp_path, 1), tmp_path / "idx"
    run("index", folder, "--index", index, "--profile", profile)
    assert "torch" not in modules_after("index", folder, "--index", index, "--profile", profile)
    text = modules_after("search", "text", "red mug", "--index", index)
    assert "open_clip" in text
    assert "sam2" not in text
    hit = json.loads(run("search", "text", "x", "--index", index, "--format", "json").stdout)[0]
    assert "torch" not in modules_after("search", "segment", hit["segment_id"], "--index", index)
    assert "torch" not in modules_after("status", "--index", index)


def test_searching_works_while_indexing(tmp_path: Path, profile: Path) -> None:
    """And shows no image whose record is not there yet."""
    folder, where = photos(tmp_path, 16), tmp_path / "idx"
    run("index", folder, "--index", where, "--profile", profile, "--limit", "1")
    writing = subprocess.Popen([BIN / "index", folder, "--index", where, "--profile", profile])
    seen = []
    with Searcher(where) as searcher:
        while writing.poll() is None:
            hits = searcher.text("red", limit=1000)
            index = Index(open_store(str(where), create_ok=False), str(where))
            shown = {hit.image.id for hit in hits}
            assert len(index.images(list(shown))) == len(shown)
            index.close()
            seen.append(len(shown))
            time.sleep(0.1)  # leaves the cores to the writer
        seen.append(len({hit.image.id for hit in searcher.text("red", limit=1000)}))
    assert writing.returncode == 0
    assert seen == sorted(seen)
    assert seen[0] == 1
    assert seen[-1] == 16


def test_a_killed_run_goes_on_to_the_same_end(tmp_path: Path, profile: Path) -> None:
    folder = photos(tmp_path, 12)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run("index", folder, "--index", whole, "--profile", profile)
    for seconds in (0.2, 0.9):
        killed = subprocess.Popen([BIN / "index", folder, "--index", broken, "--profile", profile])
        _wait_for_images(broken, killed)
        time.sleep(seconds)
        killed.kill()
        killed.wait()
    run("index", folder, "--index", broken, "--profile", profile)
    assert _contents(broken) == _contents(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on(
    tmp_path: Path, profile: Path, number: signal.Signals
) -> None:
    folder, index = photos(tmp_path, 40), tmp_path / "idx"
    arguments: list[str | Path] = [BIN / "index", folder, "--index", index, "--profile", profile]
    stopped = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    _wait_for_images(index, stopped)
    stopped.send_signal(number)
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert "run the same command again to go on" in err
    assert "Traceback" not in err
    done = run("index", folder, "--index", index, "--profile", profile)
    assert ", 0 failed)" in done.stderr
    assert len(_contents(index)) == 40


def test_a_closed_pipe_is_no_traceback(tmp_path: Path, profile: Path) -> None:
    index = tmp_path / "idx"
    run("index", photos(tmp_path, 1), "--index", index, "--profile", profile)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [BIN / "segsearch", "status", "--index", index],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert "Traceback" not in done.stderr


def _wait_for_images(where: Path, writer: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Wait until a run has written something, or ended."""
    while writer.poll() is None:
        if (where / "segsearch.json").exists():
            index = Index(open_store(str(where), create_ok=False), str(where))
            files = index.status().files
            index.close()
            if files:
                return
        time.sleep(0.05)


def _contents(where: Path) -> dict[str, list[str]]:
    """Return image id → segment ids, and check that nothing else is stored."""
    store = open_store(str(where), create_ok=False)
    index = Index(store, str(where))
    found = {i.id: [s.id for s in index.segments_of(i.id)] for i in index.all_images()}
    assert store.count("segments") == sum(map(len, found.values()))
    store.close()
    return found
