"""`search serve` as a process: starting, answering, ending."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from indexer.profiles import Profile
from search.client import Client
from tests.e2e.commands import photos, start, write_profile

#: Seconds that an idle server may take to end.
END_SECONDS = 15.0


@contextmanager
def served(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server; yield the process, and where it says that it answers."""
    process = start("search", "serve", "--port", "0", *arguments)
    assert process.stderr is not None
    try:
        url = None
        for line in process.stderr:
            if found := re.search(r"serving at (\S+)", line):
                url = found[1]
                break
        assert url is not None
        yield process, url
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_peace(tmp_path: Path, fast_profile: Profile, number: signal.Signals) -> None:
    """With a run of the index going on, somebody following it, and code 0."""
    profile = write_profile(tmp_path / "fast.yaml", fast_profile)
    arguments = (photos(tmp_path, 30), "--index", tmp_path / "idx", "--profile", profile)
    with served(*arguments) as (process, url), Client(url) as client:
        assert client.is_ready()
        assert not client.stats().exists
        client.start_index()
        runs: list[str] = []
        following = threading.Thread(target=lambda: runs.extend(_states(url)))
        following.start()
        while not client.index_run().progress.images:
            time.sleep(0.05)
        process.send_signal(number)
        sent = time.monotonic()
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - sent < END_SECONDS
        following.join(timeout=5)
        assert runs[0] == "running"


def _states(url: str) -> list[str]:
    with Client(url) as client:
        return [run.state for run in client.follow_index()]


def test_requests_in_progress_are_finished(tmp_path: Path) -> None:
    with served("--index", tmp_path / "idx") as (process, url):
        answers: list[int] = []

        def slowly() -> Iterator[bytes]:
            yield b'{"text": '
            process.send_signal(signal.SIGTERM)
            time.sleep(1)
            yield b'"red"}'

        headers = {"content-type": "application/json"}
        answer = httpx.post(f"{url}/v1/search", content=slowly(), headers=headers)
        answers.append(answer.status_code)
        assert answers == [409]  # there is no index, and somebody says so
        assert process.wait(timeout=10) == 0


def test_a_killed_server_leaves_no_run_behind(tmp_path: Path, fast_profile: Profile) -> None:
    profile = write_profile(tmp_path / "fast.yaml", fast_profile)
    arguments = (photos(tmp_path, 30), "--index", tmp_path / "idx", "--profile", profile)
    with served(*arguments) as (process, url):
        with Client(url) as client:
            client.start_index()
            while not client.index_run().progress.images:
                time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        running = [
            int(pid)
            for task in children.parents[1].iterdir()
            for pid in (task / "children").read_text("utf-8").split()
            if b"index_run" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert running
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in running):
            assert time.monotonic() < deadline
            time.sleep(0.1)
