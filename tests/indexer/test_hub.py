"""Weights from a hub that is there, busy, gone or not to be asked: real sockets, own processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"weights" * 1000
FETCH = """if True:
    import sys, time
    from indexer.errors import WeightsUnavailable
    from indexer import models
    if "quiet" in sys.argv:
        models.quiet_downloads()
    start = time.monotonic()
    try:
        print(models.fetch_from_hub("it", "org/name", ("w.safetensors", "w.bin")))
    except WeightsUnavailable as error:
        print(error)
    print(time.monotonic() - start)
    """


@dataclass(frozen=True)
class Fetched:
    """What `fetch_from_hub` answered, as text, and how many seconds it took."""

    answer: str
    seconds: float
    stderr: str


def fetch(home: Path, endpoint: str, *arguments: str, **environment: str) -> Fetched:
    done = subprocess.run(
        [sys.executable, "-c", FETCH, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": endpoint,
            "TQDM_POSITION": "-1",  # show progress where stderr is no terminal, too
            **environment,
        },
    )
    answer, seconds = done.stdout.splitlines()
    return Fetched(answer, float(seconds), done.stderr)


class _Hub(BaseHTTPRequestHandler):
    """Answers as the hub does; `files` says what it has, `busy` how often it is busy first."""

    files: tuple[str, ...] = ()
    busy = 0

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(CONTENT)

    def _answer(self, body: bytes) -> None:
        name = self.path.rpartition("/")[2]
        status = 200 if name in self.files else 404
        if type(self).busy:
            type(self).busy -= 1
            status = 503
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", str(len(CONTENT) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def hub(*files: str, busy: int = 0) -> Iterator[str]:
    """Run a hub with these files; yield its endpoint."""
    handler = type("Hub", (_Hub,), {"files": files, "busy": busy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """The home of a hub's cache that has the second of the two files."""
    repo = tmp_path / "hub" / "models--org--name"
    path = repo / "snapshots" / COMMIT / "w.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT, encoding="ascii")
    return tmp_path


@contextmanager
def silent_hub() -> Iterator[str]:
    """Listen, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("file", ["w.safetensors", "w.bin"])
def test_a_download(tmp_path: Path, file: str) -> None:
    with hub(file, "other") as endpoint:
        loud = fetch(tmp_path / "loud", endpoint)
        quiet = fetch(tmp_path / "quiet", endpoint, "quiet")
    for name, fetched in (("loud", loud), ("quiet", quiet)):
        path = Path(fetched.answer)
        assert (path.name, path.read_bytes()) == (file, CONTENT)
        assert path.is_relative_to(tmp_path / name / "hub")
    assert file in loud.stderr  # the progress bar
    assert quiet.stderr == ""


def test_a_busy_hub_is_asked_again(tmp_path: Path) -> None:
    with hub("w.safetensors", busy=2) as endpoint:
        assert Path(fetch(tmp_path, endpoint).answer).read_bytes() == CONTENT


def test_a_hub_without_the_file(tmp_path: Path) -> None:
    with hub("other") as endpoint:
        fetched = fetch(tmp_path, endpoint)
    cache = tmp_path / "hub"
    assert fetched.answer.startswith(
        f"the weights it (org/name/w.safetensors) are not in the cache {cache}, and {endpoint} "
        "gave: 404 Client Error."
    )
    for way_on in ("segsearch models fetch PROFILE", "path of a weights file", "--profile demo"):
        assert way_on in fetched.answer
    assert fetched.seconds < 10


def test_no_network(tmp_path: Path) -> None:
    with hub() as endpoint:
        pass  # nobody listens there any more
    fetched = fetch(tmp_path, endpoint)
    assert f"and {endpoint} gave: [Errno 111] Connection refused" in fetched.answer
    assert fetched.seconds < 10


def test_a_network_that_swallows_everything(tmp_path: Path) -> None:
    with silent_hub() as endpoint:
        fetched = fetch(tmp_path, endpoint, HF_HUB_ETAG_TIMEOUT="1")
    assert f"and {endpoint} gave: " in fetched.answer
    assert fetched.seconds < 5


def test_what_is_in_the_cache_needs_no_hub(cached: Path) -> None:
    with silent_hub() as endpoint:
        fetched = fetch(cached, endpoint)
    assert Path(fetched.answer).read_bytes() == CONTENT
    assert fetched.seconds < 5
    with hub("w.safetensors") as endpoint:  # nor does it make way for what the hub prefers
        assert fetch(cached, endpoint).answer == fetched.answer


def test_offline(cached: Path, tmp_path: Path) -> None:
    with silent_hub() as endpoint:
        assert Path(fetch(cached, endpoint, HF_HUB_OFFLINE="1").answer).name == "w.bin"
        missing = fetch(tmp_path / "empty", endpoint, HF_HUB_OFFLINE="1")
    assert "and offline (HF_HUB_OFFLINE) gave: Cannot reach" in missing.answer
    assert missing.seconds < 5
