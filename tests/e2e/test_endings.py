"""How commands end: by signals, with their terminal, with their pipes, with a host that hangs."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from indexer.profiles import Profile
from indexer.store import wire
from tests.e2e.commands import (
    BIN,
    images_in,
    photos,
    records,
    run,
    start,
    write_profile,
)
from tests.pictures import write_scene

#: Most seconds that ending may take.
END_SECONDS = 5.0


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory, fast_profile: Profile) -> Path:
    return write_profile(tmp_path_factory.mktemp("profile") / "fast.yaml", fast_profile)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, profile: Path) -> Path:
    """An index of three pictures, one of which is there twice."""
    tmp_path = tmp_path_factory.mktemp("index")
    folder = photos(tmp_path, 3)
    write_scene(folder / "again.jpg", 0)
    run("index", folder, "--index", tmp_path / "idx", "--profile", profile)
    return tmp_path / "idx"


@contextlib.contextmanager
def terminal(
    *command: str | Path, heeds_its_end: bool = True
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command in a terminal of its own; yield it, and the terminal's other end."""
    master, slave = pty.openpty()

    def attach() -> None:
        os.login_tty(slave)
        if not heeds_its_end:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    arguments = [BIN / command[0], *command[1:]]
    process = subprocess.Popen(arguments, preexec_fn=attach)  # noqa: PLW1509 - no thread forks here
    os.close(slave)
    try:
        yield process, master
    finally:
        process.kill()
        process.wait()


def drained(master: int, process: subprocess.Popen[bytes], until: bytes) -> bytes:
    """Read what a command writes to its terminal until it says something."""
    said = b""
    while until not in said:
        assert process.poll() is None, said
        said += os.read(master, 1024)
    return said


def ended(process: subprocess.Popen[bytes] | subprocess.Popen[str], since: float) -> int:
    """Return the exit code of a process that has to end soon."""
    code = process.wait(timeout=60)
    assert time.monotonic() - since < END_SECONDS
    return code


@contextlib.contextmanager
def without_reader(of: Literal["pipe", "terminal"]) -> Iterator[int]:
    """Yield the end of a pipe or terminal whose other end is closed."""
    reading, writing = os.pipe() if of == "pipe" else pty.openpty()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


def commands(index: Path, out: Path) -> list[tuple[str | Path, ...]]:
    """Return commands that only read an index."""
    return [
        ("segsearch", "status", "--index", index, "--format", "json"),
        ("segsearch", "facets", "--index", index, "--by", "format"),
        ("segsearch", "duplicates", "--index", index, "--threshold", "0.1", "--format", "jsonl"),
        ("segsearch", "export", out, "--as", "coco", "--index", index, "--format", "jsonl"),
    ]


@pytest.mark.timed
def test_a_closed_terminal_ends_a_run_that_goes_on_later(tmp_path: Path, profile: Path) -> None:
    folder, where = photos(tmp_path, 12), tmp_path / "idx"
    command = ("index", folder, "--index", where, "--profile", profile, "--batch-size", "1")
    with terminal(*command) as (process, master):
        while images_in(where) < 1:
            time.sleep(0.05)
        os.close(master)
        assert ended(process, time.monotonic()) == 130
    assert images_in(where) < 12
    assert ", 0 failed)" in run(*command).stderr
    assert images_in(where) == 12


@pytest.mark.timed
def test_a_run_that_is_to_outlive_its_terminal_does(tmp_path: Path, profile: Path) -> None:
    """As with nohup: nobody sees what it says any more, and it is done all the same."""
    folder, where = photos(tmp_path, 8), tmp_path / "idx"
    command = ("index", folder, "--index", where, "--profile", profile, "--batch-size", "1")
    with terminal(*command, heeds_its_end=False) as (process, master):
        while images_in(where) < 1:
            time.sleep(0.05)
        os.close(master)
        assert process.wait(timeout=60) == 0
    assert images_in(where) == 8


@pytest.mark.timed
def test_a_closed_terminal_ends_watching(index: Path) -> None:
    with terminal("index", "--index", index, "--watch") as (process, master):
        drained(master, process, b"Ctrl-C ends it")
        os.close(master)
        assert ended(process, time.monotonic()) == 0


@pytest.mark.timed
def test_a_closed_terminal_ends_a_server(index: Path) -> None:
    with terminal("search", "serve", "--port", "0", "--index", index) as (process, master):
        drained(master, process, b"Ctrl-C ends it")
        os.close(master)
        assert ended(process, time.monotonic()) == 0


@pytest.mark.slow
def test_a_server_outlives_its_terminal_if_it_is_to(index: Path) -> None:
    command = ("search", "serve", "--port", "0", "--index", index)
    with terminal(*command, heeds_its_end=False) as (process, master):
        drained(master, process, b"Ctrl-C ends it")
        os.close(master)
        time.sleep(1)
        assert process.poll() is None
        process.terminate()
        assert ended(process, time.monotonic()) == 0


@pytest.mark.parametrize("of", ["pipe", "terminal"])
def test_without_a_reader_commands_end_and_say_nothing(
    index: Path, tmp_path: Path, of: Literal["pipe", "terminal"]
) -> None:
    with without_reader(of) as writing:
        for command in commands(index, tmp_path / "out"):
            done = subprocess.run(
                [BIN / command[0], *command[1:]],
                stdout=writing,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 1, command
            assert "Traceback" not in done.stderr
            assert "rror" not in done.stderr


def test_a_reader_that_ends_early_ends_watching(index: Path) -> None:
    with without_reader("pipe") as writing:
        process = subprocess.Popen(
            [BIN / "index", "--index", index, "--watch", "--format", "jsonl"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "")


def test_output_that_does_not_fit_is_an_error(index: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [BIN / "segsearch", "status", "--index", index],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "error: the output could not be written: No space left on device\n"


def test_nobody_has_to_listen(index: Path, tmp_path: Path) -> None:
    """A stderr that is gone, full or closed changes nothing, nor does a closed stdout."""
    said = run("segsearch", "duplicates", "--index", index, "--threshold", "0.1").stdout
    with without_reader("pipe") as writing, open("/dev/full", "wb") as full:  # noqa: PTH123
        for stderr in writing, full:
            done = subprocess.run(
                [BIN / "segsearch", "duplicates", "--index", index, "--threshold", "0.1"],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                check=True,
                timeout=60,
            )
            assert done.stdout == said
    shell = '"$0" export "$1" --as coco --index "$2" <&- >&- 2>&-'
    arguments = [str(BIN / "segsearch"), str(tmp_path / "out"), str(index)]
    subprocess.run(["/bin/sh", "-c", shell, *arguments], check=True, timeout=60)
    assert (tmp_path / "out" / "coco.json").stat().st_size > 100


@pytest.mark.timed
def test_a_stop_does_not_wait_for_who_reads_slowly() -> None:
    code = (
        "import sys\n"
        "from indexer.stopping import stop_at_signal\n"
        "with stop_at_signal(quiet=False):\n"
        "    sys.stderr.write('ready\\n')\n"
        "    sys.stdout.write('x' * 10_000_000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert ended(process, time.monotonic()) == 130
    assert "run the same command again to go on" in process.communicate()[1]


@contextlib.contextmanager
def stopped_host(index: Path) -> Iterator[int]:
    """Have the index's host hang; yield its process id."""
    images_in(index)
    contact = wire.find(index)
    assert contact is not None
    os.kill(contact.pid, signal.SIGSTOP)
    try:
        yield contact.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(contact.pid, signal.SIGCONT)


@pytest.mark.timed
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGHUP, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_every_command_can_be_stopped_while_it_waits(
    index: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Here for a host that hangs; as if it searched through millions of segments."""
    before = records(index)
    waiting = [
        ("segsearch", "status", "--index", index),
        ("search", "text", "red", "--index", index),
        ("segsearch", "optimize", "--index", index),
        ("segsearch", "transfer", index, tmp_path / "copy.parquet"),
        ("segsearch", "export", tmp_path / "out", "--as", "coco", "--index", index),
        ("index", "--index", index),
    ]
    heeding = {"transfer", "index"}  # the others have nothing to finish
    with stopped_host(index):
        processes = {command[1 - (command[0] == "index")]: start(*command) for command in waiting}
        deadline = time.monotonic() + 30
        while not all(_is_connected(process.pid) for process in processes.values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
        for process in processes.values():
            process.send_signal(number)
        sent = time.monotonic()
        for name, process in processes.items():
            code = ended(process, sent)
            interrupted = name in heeding or number == signal.SIGINT
            assert code == (130 if interrupted else -number), name
            assert "Traceback" not in process.communicate()[1]
    assert records(index) == before


def _is_connected(pid: int) -> bool:
    """Tell whether a process has a socket, which only its connection to a host is here."""
    with contextlib.suppress(FileNotFoundError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if str(link.readlink()).startswith("socket:"):
                    return True
    return False
