"""The host process: who starts it, who may talk to it, when it ends, what survives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from indexer.errors import StoreDamaged, StoreError, StoreUnavailable
from indexer.store import host, layout, wire
from indexer.store.base import EVERYTHING, Point
from indexer.store.hosted import HostedStore
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, segment, uid, vec

X = vec(1, 0, 0)

#: A client process: opens the folder argv[1], then does what argv[2] says.
CLIENT = """
import os, sys, time
from pathlib import Path
from indexer.errors import StoreError
from indexer.store import wire
from indexer.store.base import Point
from indexer.store.hosted import HostedStore
from tests.indexer.store.samples import DIM, RECIPE, segment, uid, vec
folder = Path(sys.argv[1])
store = HostedStore(folder)
exec(sys.argv[2])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for an index, whose host is ended when the test is over."""
    path = tmp_path / "my index ü"
    yield path
    contact = wire.find(path) if path.exists() else None
    if contact is not None and not host_is_gone(path):
        os.kill(contact.pid, signal.SIGTERM)


@pytest.fixture
def store(folder: Path) -> Iterator[HostedStore]:
    with closing(HostedStore(folder)) as store:
        store.create(RECIPE, DIM)
        yield store


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, HostedStore]]:
    """A folder and its store, for tests that leave the host as it is."""
    folder = tmp_path_factory.mktemp("steady")
    with closing(HostedStore(folder)) as store:
        store.create(RECIPE, DIM)
        yield folder, store


def client(folder: Path, code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, str(folder), code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.strip()


def host_pid(folder: Path) -> int:
    contact = wire.find(folder)
    assert contact is not None
    return contact.pid


def host_is_gone(folder: Path) -> bool:
    lock = wire.take_lock(folder)
    if lock is not None:
        os.close(lock)
    return lock is not None


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_racing_clients_share_one_host_and_one_creation(folder: Path) -> None:
    code = (
        "try:\n store.create(RECIPE, DIM); made = 1\n"
        "except StoreError: made = 0\n"
        "n = os.getpid()\n"
        "store.upsert('files', [Point(uid(n), {})])\n"
        "print(made, wire.find(folder).pid, n, store.count('files') > 0)"
    )
    said = [output(process).split() for process in [client(folder, code) for _ in range(5)]]
    assert sorted(made for made, *_ in said) == ["0", "0", "0", "0", "1"]
    assert len({pid for _, pid, *_ in said}) == 1
    with closing(HostedStore(folder)) as store:
        assert {p.id for p in store.scroll("files").points} == {uid(int(n)) for _, _, n, _ in said}


def test_readers_see_what_a_writer_in_another_process_writes(
    folder: Path, store: HostedStore
) -> None:
    writer = client(
        folder, "for n in range(1, 101): store.upsert('segments', [segment(n, vec(1, 0, 0))])"
    )
    seen = [0]
    while seen[-1] < 100:
        seen.append(store.count("segments"))
        hits = store.search("segments", X, limit=200)
        assert len(hits) >= seen[-1]
    assert seen == sorted(seen)
    assert output(writer) == ""


def test_threads_of_one_client_do_not_wait_for_each_other(store: HostedStore) -> None:
    store.upsert("segments", SEGMENTS)
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            store.upsert("files", [Point(uid(number), {"n": number}) for number in range(500)])

    writer = threading.Thread(target=write)
    writer.start()
    slowest = 0.0
    for _ in range(50):
        start = time.monotonic()
        assert len(store.search("segments", X)) == len(SEGMENTS)
        slowest = max(slowest, time.monotonic() - start)
    over.set()
    writer.join()
    assert slowest < 1


def test_a_killed_client_takes_nothing_with_it(folder: Path, store: HostedStore) -> None:
    code = "store.upsert('files', [Point(uid(1), {})]); print('done', flush=True); time.sleep(60)"
    victim = client(folder, code)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "done\n"
    pid = host_pid(folder)
    victim.kill()
    victim.communicate()
    assert store.count("files") == 1
    assert host_pid(folder) == pid


def test_a_killed_host_is_reported_and_replaced(folder: Path, store: HostedStore) -> None:
    store.upsert("segments", SEGMENTS)
    pid = host_pid(folder)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(StoreUnavailable, match=r"ended during upsert .*run the command again"):
        store.upsert("files", [Point(uid(1), {})])
    assert [hit.id for hit in store.search("segments", X)] == [point.id for point in SEGMENTS]
    assert store.count("files") == 0
    store.check()
    assert host_pid(folder) != pid


def test_flushing_opens_everything_for_what_a_kill_left(folder: Path, store: HostedStore) -> None:
    store.upsert("segments", SEGMENTS)
    os.kill(host_pid(folder), signal.SIGKILL)
    (images,) = folder.glob("*/images")
    images.rename(folder / "elsewhere")
    store.close()
    with closing(HostedStore(folder)) as again:
        assert again.count("files") == 0
        with pytest.raises(StoreDamaged):
            again.flush()


def test_a_host_killed_in_a_write_leaves_a_sound_index(folder: Path, store: HostedStore) -> None:
    many = [segment(number, X, paths=["a" * 200]) for number in range(3000)]
    killer = threading.Timer(0.1, os.kill, (host_pid(folder), signal.SIGKILL))
    killer.start()
    written = 0

    def write_on() -> None:
        nonlocal written
        while True:
            store.upsert("segments", many[written % 3000 : written % 3000 + 50])
            written += 50

    with pytest.raises(StoreUnavailable):
        write_on()
    assert store.count("segments") >= min(written, 3000)
    store.check()


def test_a_terminated_host_writes_everything_out(folder: Path, store: HostedStore) -> None:
    store.upsert("segments", SEGMENTS)
    os.kill(host_pid(folder), signal.SIGTERM)
    wait_until(lambda: host_is_gone(folder))
    assert not (folder / layout.HOST_FILE).exists()
    with pytest.raises(StoreUnavailable):
        store.count("segments")
    assert store.count("segments") == len(SEGMENTS)


def test_a_spoilt_contact_is_replaced(folder: Path) -> None:
    folder.mkdir()
    (folder / layout.HOST_FILE).touch()
    with closing(HostedStore(folder)) as store:
        assert store.recipe() is None


def test_a_host_that_cannot_start_says_why(folder: Path) -> None:
    folder.mkdir()
    (folder / "host-0.sock").mkdir()
    with pytest.raises(StoreUnavailable, match="exit status 1"):
        HostedStore(folder)


def test_the_host_outlives_its_last_client_by_the_grace(folder: Path) -> None:
    for _ in range(2):
        HostedStore(folder).close()
        pid = host_pid(folder)
    start = time.monotonic()
    HostedStore(folder).close()
    assert host_pid(folder) == pid
    wait_until(lambda: host_is_gone(folder))
    assert host.GRACE_S <= time.monotonic() - start < host.GRACE_S + 5
    assert sorted(path.name for path in folder.iterdir()) == [layout.LOCK_FILE, layout.LOG_FILE]


def test_clients_that_come_while_a_host_ends_get_one_that_works(folder: Path) -> None:
    with closing(HostedStore(folder)) as store:
        store.create(RECIPE, DIM)
    for early in (0.1, 0.0, -0.1):
        time.sleep(host.GRACE_S - early)
        with closing(HostedStore(folder)) as store:
            assert store.recipe() == RECIPE


def test_hosts_belong_to_no_terminal(steady: tuple[Path, HostedStore]) -> None:
    folder, store = steady
    assert os.getsid(host_pid(folder)) == host_pid(folder)
    assert store.recipe() == RECIPE


def test_socket_and_key_are_the_users_own(steady: tuple[Path, HostedStore]) -> None:
    folder, store = steady
    for name in (layout.HOST_FILE, layout.LOCK_FILE, f"host-{host_pid(folder)}.sock"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert store.recipe() == RECIPE


def test_long_paths_get_a_private_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "index"
    with closing(HostedStore(folder)) as store:
        store.create(RECIPE, DIM)
        contact = wire.find(folder)
        assert contact is not None
        place = Path(contact.address).parent
        assert place != folder
        assert place.stat().st_mode & 0o777 == 0o700
        assert place.stat().st_uid == os.getuid()
    os.kill(contact.pid, signal.SIGTERM)
    wait_until(lambda: host_is_gone(folder))
    assert not place.exists()


def test_a_wrong_key_is_refused(steady: tuple[Path, HostedStore]) -> None:
    folder, store = steady
    contact = wire.find(folder)
    assert contact is not None
    with pytest.raises(AuthenticationError):
        Client(contact.address, family="AF_UNIX", authkey=b"wrong")
    assert store.recipe() == RECIPE


@pytest.mark.parametrize(
    "message",
    [("close", (), {}), ("__init__", (), {}), ("count", ()), "count", 7, None],
)
def test_clients_that_talk_nonsense_are_dropped(
    steady: tuple[Path, HostedStore], message: object
) -> None:
    folder, store = steady
    contact = wire.find(folder)
    assert contact is not None
    with Client(contact.address, family="AF_UNIX", authkey=contact.key) as connection:
        assert connection.recv() == wire.PROTOCOL
        connection.send(message)
        with pytest.raises(EOFError):
            connection.recv()
    assert store.recipe() == RECIPE


def test_bytes_that_are_no_message_are_dropped(steady: tuple[Path, HostedStore]) -> None:
    folder, store = steady
    contact = wire.find(folder)
    assert contact is not None
    with Client(contact.address, family="AF_UNIX", authkey=contact.key) as connection:
        assert connection.recv() == wire.PROTOCOL
        connection.send_bytes(b"nonsense")
        with pytest.raises(EOFError):
            connection.recv()
    assert store.recipe() == RECIPE
    assert "dropped a client" in (folder / layout.LOG_FILE).read_text()


def test_only_methods_of_a_store_exist(steady: tuple[Path, HostedStore]) -> None:
    _, store = steady
    with pytest.raises(AttributeError):
        store.serach("segments", X)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'wher'"):
        store.count("segments", wher=1)  # type: ignore[call-arg]
    assert store.recipe() == RECIPE


def test_errors_cross_over_with_their_hints(steady: tuple[Path, HostedStore]) -> None:
    _, store = steady
    with pytest.raises(StoreError) as caught:
        store.delete("segments", EVERYTHING)
    assert caught.value.message == "refused to delete every record"
    assert caught.value.hint == "give a condition"


def test_the_host_loads_only_what_it_needs() -> None:
    code = (
        "import sys, indexer.store.host; "
        "names = 'numpy', 'torch', 'qdrant_client', 'sam2', 'PIL'; "
        "print([name for name in names if name in sys.modules])"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.strip() == "[]"


#: Fills a small disk of its own; run in a user namespace, where anyone may mount one.
FULL_DISK = """
mount -t tmpfs -o size=500m none "$1" && exec "$2" -c '
import sys
from pathlib import Path
from indexer.errors import StoreFull
from indexer.store.base import Point
from indexer.store.hosted import HostedStore

ballast, folder = Path(sys.argv[1]) / "ballast", Path(sys.argv[1]) / "index"
ballast.write_bytes(bytes(400 << 20))
store = HostedStore(folder)
store.create({}, 3)
uid = "00000000-0000-0000-0000-{:012d}".format
written = 0
try:
    while True:
        store.upsert("files", [Point(uid(written + n), {"x": "y" * 5000}) for n in range(200)])
        written += 200
except StoreFull as error:
    print(error)
try:
    store.count("files")
except StoreFull as error:
    print(error)
ballast.unlink()
print(written > 0, store.count("files") >= written)
store.check()
store.upsert("files", [Point(uid(0), {})])
store.close()
' "$1"
"""
UNSHARE = shutil.which("unshare")


def can_mount() -> bool:
    """Tell whether this user may mount a disk in a namespace of their own."""
    if UNSHARE is None:
        return False
    command = [UNSHARE, "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs a user namespace to mount a small disk")
def test_a_full_disk_is_called_so_and_loses_nothing(tmp_path: Path) -> None:
    assert UNSHARE is not None
    command = [UNSHARE, "-rm", "sh", "-c", FULL_DISK, "sh", str(tmp_path), sys.executable]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lines = said.stdout.splitlines()
    assert len(lines) == 3, said.stderr
    assert all("disk is full" in line and "free some space" in line for line in lines[:2])
    assert lines[2] == "True True"
