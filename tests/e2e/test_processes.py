"""The installed commands as processes of their own: starting, racing, dying."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from indexer.index import Index
from indexer.profiles import Profile
from indexer.store import open_store
from indexer.store.points import file_from
from search import Searcher
from search.ranking import UNCUT
from tests.e2e.commands import (
    BIN,
    images_in,
    kill_at_random,
    photos,
    records,
    run,
    start,
    wait_for_images,
    write_profile,
)
from tests.pictures import write_scene

#: Most seconds that --help may take, that a run with nothing new over a thousand files may, and
#: that stopping may.
HELP_SECONDS, NOTHING_NEW_SECONDS, STOP_SECONDS = 0.5, 1.5, 5.0


@pytest.fixture
def profile(tmp_path: Path, fast_profile: Profile) -> Path:
    return write_profile(tmp_path / "fast.yaml", fast_profile)


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


@pytest.mark.timed
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
    modules = modules_after("index", folder, "--index", index, "--profile", profile)
    assert not modules & {"torch", "numpy", "PIL"}
    text = modules_after("search", "text", "red mug", "--index", index)
    assert "open_clip" in text
    assert "sam2" not in text
    first = next(iter(records(index)["segments"]))
    assert "torch" not in modules_after("search", "segment", first, "--index", index)
    assert "torch" not in modules_after("status", "--index", index)


def test_searching_works_while_indexing(tmp_path: Path, profile: Path) -> None:
    """And shows no image whose record is not there yet."""
    folder, where = photos(tmp_path, 8), tmp_path / "idx"
    run("index", folder, "--index", where, "--profile", profile, "--limit", "1")
    writing = subprocess.Popen([BIN / "index", folder, "--index", where, "--profile", profile])
    seen = []
    with Searcher(where) as searcher:
        while writing.poll() is None:
            hits = searcher.text("red", limit=1000, ranking=UNCUT)
            index = Index(open_store(str(where), create_ok=False), str(where))
            shown = {hit.image.id for hit in hits}
            assert len(index.images(list(shown))) == len(shown)
            index.close()
            seen.append(len(shown))
            time.sleep(0.1)  # leaves the cores to the writer
        seen.append(len({hit.image.id for hit in searcher.text("red", limit=1000, ranking=UNCUT)}))
    assert writing.returncode == 0
    assert seen == sorted(seen)
    assert seen[0] == 1
    assert seen[-1] == 8


def test_killed_runs_go_on_to_the_same_end(tmp_path: Path, profile: Path) -> None:
    folder = photos(tmp_path, 8)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run("index", folder, "--index", whole, "--profile", profile)
    kill_at_random(folder, broken, profile, 2, seed=1)
    run("index", folder, "--index", broken, "--profile", profile)
    assert len(records(whole)["images"]) == 8
    assert records(broken) == records(whole)


@pytest.mark.timed
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_run_ends_soon_and_says_how_to_go_on(
    tmp_path: Path, profile: Path, number: signal.Signals
) -> None:
    folder, index = photos(tmp_path, 10), tmp_path / "idx"
    stopped = start("index", folder, "--index", index, "--profile", profile)
    wait_for_images(index, stopped)
    stopped.send_signal(number)
    sent = time.monotonic()
    _, err = stopped.communicate(timeout=60)
    assert time.monotonic() - sent < STOP_SECONDS
    assert stopped.returncode == 130
    assert "run the same command again to go on" in err
    assert "Traceback" not in err
    done = run("index", folder, "--index", index, "--profile", profile)
    assert ", 0 failed)" in done.stderr
    assert images_in(index) == 10


@pytest.mark.timed
def test_a_run_that_cannot_stop_is_ended(tmp_path: Path, profile: Path) -> None:
    """As where a large model is in the middle of a step, or weights are being downloaded."""
    folder, index = photos(tmp_path, 2), tmp_path / "idx"
    os.mkfifo(tmp_path / "boxes.json")  # opening it waits for a writer that never comes
    boxes = tmp_path / "boxes.json"
    arguments = ("index", folder, "--index", index, "--profile", profile, "--boxes", boxes)
    stopped = start(*arguments)
    time.sleep(3)
    stopped.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, err = stopped.communicate(timeout=60)
    assert time.monotonic() - sent < STOP_SECONDS
    assert stopped.returncode == 130
    assert err.rstrip().endswith("stopped: run the same command again to go on")


@pytest.mark.timed
def test_nothing_new_is_quick(tmp_path: Path, profile: Path) -> None:
    """Most of it is the start of two processes, so the quickest of a few counts."""
    folder, index = tmp_path / "photos", tmp_path / "idx"
    first = write_scene(folder / "0.png", 0)
    run("index", folder, "--index", index, "--profile", profile)
    with closing(open_store(str(index), create_ok=False)) as store:
        (known,) = store.scroll("files").points
        for number in range(1, 1000):
            copy = Path(shutil.copy(first, folder / f"{number}.png"))
            info = copy.stat()
            file = replace(file_from(known.payload), path=copy.name, mtime_ns=info.st_mtime_ns)
            Index(store, str(index)).write_file(file)
    seconds = []
    for _ in range(4):
        time.sleep(3)  # so that the index's host process has to start again
        started = time.perf_counter()
        assert "1000 unchanged" in run("index", folder, "--index", index).stderr
        seconds.append(time.perf_counter() - started)
    assert min(seconds) <= NOTHING_NEW_SECONDS


def test_watching(tmp_path: Path, profile: Path) -> None:
    folder, index = photos(tmp_path, 2), tmp_path / "photos" / "idx"
    arguments = ("index", folder, "--index", index, "--profile", profile, "--watch", "--prune")
    watching = start(*arguments)
    wait_for_images(index, watching, 2)
    time.sleep(3)  # it starts to watch
    write_scene(folder / "new" / "9.png", 9)
    wait_for_images(index, watching, 3)
    (folder / "00.png").unlink()
    while watching.poll() is None and images_in(index) != 2:
        time.sleep(0.1)
    watching.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, err = watching.communicate(timeout=60)
    assert time.monotonic() - sent < STOP_SECONDS
    assert watching.returncode == 0
    assert f"watching {folder}" in err
    assert "indexed 1 with" in err
    assert "1 pruned" in err
    assert err.count("files:") == 3  # its own writing to the index is no change


def test_quiet_and_json_modes_are_clean(tmp_path: Path, profile: Path) -> None:
    folder, index = photos(tmp_path, 2), tmp_path / "idx"
    dry = run("index", folder, "--index", index, "--dry-run", "--format", "json")
    assert json.loads(dry.stdout)["new"] == 2
    assert not index.exists()
    command = ("index", folder, "--index", index, "--profile", profile)
    quiet = run(*command, "--quiet", "--limit", "1")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    done = run(*command, "--format", "json")
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert (report["images"], report["unchanged"], report["complete"]) == (1, 1, True)
    assert report["stages"]["segment"] > 0
    assert report["peak_memory_bytes"] > 0


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
