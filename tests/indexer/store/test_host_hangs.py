"""Hosts that hang, are slow, are left behind, or belong to another version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from indexer.errors import StoreUnavailable
from indexer.store import hosted_watch, layout, wire
from indexer.store.base import Point
from indexer.store.host import GRACE_S
from indexer.store.hosted import HostedStore
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, uid

#: A host in which something takes its time: argv[2] is the body of `count`.
SLOW_HOST = """
import ctypes, sys, time
from indexer.store import host, wire
from indexer.store.edge import EdgeStore
folder, body = sys.argv[1:]
count = EdgeStore.count
def slow(self, *args, **kwargs):
    exec(body)
    return count(self, *args, **kwargs)
EdgeStore.count = slow
sys.argv = ["host", folder]
host.main()
"""
CLIENT = """
import sys, time
from pathlib import Path
from indexer.store.base import Point
from indexer.store.hosted import HostedStore
from tests.indexer.store.samples import DIM, RECIPE, uid
store = HostedStore(Path(sys.argv[1]))
exec(sys.argv[2])
"""


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at hosts more often, and lose patience sooner."""
    monkeypatch.setattr(hosted_watch, "LOOK_S", 0.2)
    monkeypatch.setattr(hosted_watch, "MOST_LOOKS", 4)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with an index of a few segments, whose host is ended when the test is over."""
    path = tmp_path / "index"
    with closing(HostedStore(path)) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
    yield path
    if path.exists() and (contact := wire.find(path)) is not None:
        with suppress(ProcessLookupError):
            os.kill(contact.pid, signal.SIGKILL)


def host_pid(folder: Path) -> int:
    contact = wire.find(folder)
    assert contact is not None
    return contact.pid


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether a process, maybe a child of this one, is still there."""
    with suppress(ChildProcessError, ProcessLookupError):
        os.waitpid(pid, os.WNOHANG)
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextmanager
def slow_host(folder: Path, body: str, prelude: str = "") -> Iterator[None]:
    """Have the index served by a host whose `count` does something first."""
    wait_until(lambda: wire.find(folder) is None)  # the last host has ended
    code = prelude + SLOW_HOST
    process = subprocess.Popen([sys.executable, "-c", code, str(folder), body])
    try:
        wait_until(lambda: wire.find(folder) is not None)
        yield
    finally:
        process.kill()
        process.wait()


def large(number: int) -> list[Point]:
    """Return points that no socket's buffer has room for."""
    return [Point(uid(n), {"x": "y" * 10_000}) for n in range(number)]


def test_a_host_that_hangs_is_named_and_replaced_once_it_is_killed(folder: Path) -> None:
    with closing(HostedStore(folder)) as store:
        pid = host_pid(folder)
        os.kill(pid, signal.SIGSTOP)
        calls: list[Callable[[], object]] = [
            lambda: store.count("segments"),
            lambda: store.upsert("files", large(500)),
            lambda: HostedStore(folder),
        ]
        for call in calls:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match=f"process {pid} .* hangs") as caught:
                call()
            assert 0.5 < time.monotonic() - began < 15
            assert f"kill -9 {pid}" in caught.value.hint
        os.kill(pid, signal.SIGKILL)
        assert store.count("segments") == len(SEGMENTS)
        store.upsert("files", large(500))
        assert store.count("files") == 500
        assert host_pid(folder) != pid
        assert [path.name for path in folder.glob("*.sock")] == [f"host-{host_pid(folder)}.sock"]


def test_a_host_that_goes_on_in_time_is_waited_for(folder: Path) -> None:
    with closing(HostedStore(folder)) as store:
        pid = host_pid(folder)
        os.kill(pid, signal.SIGSTOP)
        waker = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.8; kill -CONT {pid}"])
        assert store.count("segments") == len(SEGMENTS)
        waker.wait()


def test_a_host_that_keeps_all_its_threads_waiting_hangs(folder: Path) -> None:
    body = "ctypes.PyDLL(None).sleep(600)"
    with (
        slow_host(folder, body),
        closing(HostedStore(folder)) as store,
        pytest.raises(StoreUnavailable, match="hangs"),
    ):
        store.count("segments")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("time.sleep(2.5)", id="while a process of its own works"),
        pytest.param("pow(3, 9_000_000)", id="while it computes and cannot answer anybody"),
    ],
)
def test_a_host_that_works_is_waited_for(folder: Path, body: str) -> None:
    with slow_host(folder, body), closing(HostedStore(folder)) as store:
        began = time.monotonic()
        assert store.count("segments") == len(SEGMENTS)
        assert time.monotonic() - began > 1.5
    assert "turned a client away" not in (folder / layout.LOG_FILE).read_text("utf-8")


def test_a_host_of_another_version_is_named(folder: Path) -> None:
    with slow_host(folder, "", "from indexer.store import wire; wire.PROTOCOL = 1\n"):
        message = f"process {host_pid(folder)} of .* another version of segsearch"
        with pytest.raises(StoreUnavailable, match=message):
            HostedStore(folder)


def client(folder: Path, code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, str(folder), code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("folder_goes", [False, True])
def test_a_host_ends_with_clients_that_are_killed(folder: Path, *, folder_goes: bool) -> None:
    busy = (
        "points = [Point(uid(n), {'x': 'y' * 5000}) for n in range(1000)]\n"
        "print('ready', flush=True)\n"
        "while True: store.upsert('files', points)"
    )
    idle = "print('ready', flush=True); time.sleep(600)"
    clients = [client(folder, code) for code in (busy, idle, idle)]
    for each in clients:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    pid = host_pid(folder)
    if folder_goes:
        folder.rename(folder.with_name("elsewhere"))
    for each in clients:
        each.kill()
    for each in clients:
        each.communicate()
    killed = time.monotonic()
    wait_until(lambda: not is_running(pid))
    assert time.monotonic() - killed < GRACE_S + 8
    where = folder.with_name("elsewhere") if folder_goes else folder
    assert not list(where.glob("*.sock")) or folder_goes
    with closing(HostedStore(where)) as store:
        assert store.count("segments") == len(SEGMENTS)
        store.check()
        assert [path.name for path in where.glob("*.sock")] == [f"host-{host_pid(where)}.sock"]
        os.kill(host_pid(where), signal.SIGTERM)
