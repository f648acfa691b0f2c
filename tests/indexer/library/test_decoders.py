"""Processes that decode: as good as `decode`, and nothing that happens to them does harm."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from indexer.errors import PictureError, SegsearchError, Stopped
from indexer.library import Content, Decoded, Decoders, decode
from indexer.library import decoder_wire as wire
from indexer.records import Picture
from tests.bad_bytes import many_scans, png, quarters, written
from tests.bad_pictures import samples

#: The largest that is decoded here; a slow one takes seconds of computing, if it may.
SLOW = many_scans(400, 3000)
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def content(data: bytes) -> Content:
    return Content(data, hashlib.sha256(data).hexdigest())


def children(decoders: Decoders) -> list[int]:
    return [child._process.pid for child in decoders._children]


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders(1) as decoders:
        yield decoders


def refusal(decoders: Decoders, data: bytes) -> PictureError:
    with pytest.raises(PictureError) as caught:
        decoders.decode(content(data))
    return caught.value


def is_there(pid: int) -> bool:
    """Say whether a process is there, and not only waits for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def while_decoding(decoders: Decoders, data: bytes, number: int) -> Future[Decoded]:
    """Begin to decode, and send the process a signal in the middle of it."""
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(decoders.decode, content(data))
        eventually(lambda: any(child._busy for child in decoders._children))
        time.sleep(0.3)
        os.kill(children(decoders)[0], number)
    return result


@pytest.mark.parametrize("name", samples())
def test_the_same_as_in_this_process(name: str, decoders: Decoders) -> None:
    data = samples()[name]
    here, there = decode(content(data)), decoders.decode(content(data))
    assert there.picture == here.picture
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert there.pixels.dtype == np.uint8
    assert there.pixels.flags.c_contiguous
    assert not there.pixels.flags.writeable


@pytest.mark.parametrize("data", [b"x", samples()["jpg"][:200], png((12_000, 12_000))])
def test_the_same_failures_as_in_this_process(data: bytes, decoders: Decoders) -> None:
    with pytest.raises(PictureError) as here:
        decode(content(data))
    there = refusal(decoders, data)
    assert there.args == here.value.args


def test_what_exif_says_comes_along(decoders: Decoders) -> None:
    exif = PIL.Image.Exif()
    exif.update({271: "Ácme", 306: "2021:06:30 12:34:56"})
    exif.get_ifd(0x8825).update({1: "S", 2: (1.0, 2.0, 3.5), 3: "E", 4: (4.0, 5.0, 6.0)})
    data = content(written(quarters(), "JPEG", exif=exif))
    told = decoders.decode(data).picture
    assert told == decode(data).picture
    assert told.gps is not None
    assert told.taken_at is not None


def test_the_callers_limit_counts(decoders: Decoders) -> None:
    with pytest.raises(PictureError) as caught:
        decoders.decode(content(samples()["png"]), max_pixels=100)
    assert caught.value.reason == "too_large"


def test_many_threads_share_a_few_processes() -> None:
    data = content(samples()["webp"])
    with Decoders(2) as decoders:
        assert children(decoders) == []
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(decoders.decode, [data] * 40))
        assert 1 <= len(children(decoders)) <= 2
    for result in results:
        np.testing.assert_array_equal(result.pixels, results[0].pixels)


def test_a_process_outlives_the_thread_that_needed_it_first(decoders: Decoders) -> None:
    for _ in range(3):
        thread = threading.Thread(target=decoders.decode, args=(content(samples()["png"]),))
        thread.start()
        thread.join()
    before = children(decoders)
    time.sleep(0.1)
    decoders.decode(content(samples()["png"]))
    assert children(decoders) == before


def test_computing_for_too_long() -> None:
    with Decoders(1, limit_s=0.6) as decoders:
        started = time.monotonic()
        error = refusal(decoders, SLOW)
        assert time.monotonic() - started < 10
        # on busy cores the clock may be the first to be over
        assert error.reason == "too_slow"
        assert error.retryable == ("seconds of computing" not in error.message)
        eventually(lambda: not children(decoders))
    with Decoders(1, limit_s=20) as decoders:
        decoders.decode(content(samples()["png"]))


def test_hanging_without_computing() -> None:
    with Decoders(1, limit_s=3) as decoders:
        decoders.decode(content(samples()["png"]))
        [child] = children(decoders)
        os.kill(child, signal.SIGSTOP)
        started = time.monotonic()
        error = refusal(decoders, samples()["png"])
        assert (error.reason, error.retryable) == ("too_slow", True)
        assert 2.9 < time.monotonic() - started < 10
        assert decoders.decode(content(samples()["png"])).picture.format == "PNG"
        assert children(decoders) != [child]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_a_crash(decoders: Decoders, number: int) -> None:
    result = while_decoding(decoders, SLOW, number)
    with pytest.raises(PictureError, match=signal.Signals(number).name) as caught:
        result.result()
    assert (caught.value.reason, caught.value.retryable) == ("corrupt", False)
    assert decoders.decode(content(samples()["png"])).picture.format == "PNG"


def test_a_crash_after_other_pictures_may_be_theirs(decoders: Decoders) -> None:
    decoders.decode(content(samples()["png"]))
    before = children(decoders)
    result = while_decoding(decoders, many_scans(200, 3000), signal.SIGSEGV)
    assert result.result().picture.width == 3000
    assert children(decoders) != before


def test_being_killed_says_nothing_about_the_picture(decoders: Decoders) -> None:
    result = while_decoding(decoders, SLOW, signal.SIGKILL)
    with pytest.raises(PictureError, match="SIGKILL") as caught:
        result.result()
    assert (caught.value.reason, caught.value.retryable) == ("out_of_memory", True)


def test_a_process_that_died_between_pictures_is_replaced(decoders: Decoders) -> None:
    decoders.decode(content(samples()["png"]))
    [child] = children(decoders)
    os.kill(child, signal.SIGKILL)
    eventually(lambda: not any(each.is_usable for each in decoders._children))
    assert decoders.decode(content(samples()["png"])).picture.format == "PNG"
    assert children(decoders) != [child]


def test_signals_to_the_whole_group_mean_the_parent(decoders: Decoders) -> None:
    decoders.decode(content(samples()["png"]))
    before = children(decoders)
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        os.kill(before[0], number)
    decoders.decode(content(samples()["png"]))
    assert children(decoders) == before


@linux
def test_memory_has_a_limit() -> None:
    large = written(PIL.Image.new("RGBA", (7000, 7000)), "PNG")
    with Decoders(1, memory_bytes=300 << 20) as decoders:
        error = refusal(decoders, large)
        assert (error.reason, error.retryable) == ("too_large", False)
        assert "0.293 GiB of memory" in error.message
        assert decoders.decode(content(samples()["png"])).picture.format == "PNG"


@linux
def test_a_process_has_nothing_of_its_parents(decoders: Decoders, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as lock:
        os.set_inheritable(lock.fileno(), True)
        decoders.decode(content(samples()["png"]))
        [child] = children(decoders)
        opened = {str(each.readlink()) for each in Path(f"/proc/{child}/fd").iterdir()}
    assert len({name for name in opened if name.startswith("socket:")}) == 1
    assert not [name for name in opened if name.startswith("/") and name != os.devnull]


@linux
@pytest.mark.parametrize("work", ["decoders.decode(slow)", "time.sleep(60)"])
def test_no_process_outlives_a_killed_parent(tmp_path: Path, work: str) -> None:
    (tmp_path / "slow.jpg").write_bytes(many_scans(20_000, 1500))
    (tmp_path / "quick.png").write_bytes(samples()["png"])
    code = f"""
        import pathlib, time
        from indexer.library import Decoders, read
        quick, slow = (read(pathlib.Path(name)) for name in ("quick.png", "slow.jpg"))
        decoders = Decoders(1)
        decoders.decode(quick)
        print(*(child._process.pid for child in decoders._children), flush=True)
        {work}
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        assert is_there(child)
        parent.kill()
    eventually(lambda: not is_there(child), 5)


def test_closing_ends_what_is_at_work() -> None:
    decoders = Decoders(1)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(decoders.decode, content(SLOW))
        eventually(lambda: any(child._busy for child in decoders._children))
        decoders.close()
        with pytest.raises(Stopped):
            result.result(10)
    with pytest.raises(Stopped):
        decoders.decode(content(samples()["png"]))
    decoders.close()


def told(kind: bytes, words: bytes) -> bytes:
    return wire.REPLY.pack(kind, len(words)) + words


LARGE = wire.told_of(Picture("", 32_767, 32_767, "PNG"))


def stand_in(folder: Path, script: str) -> str:
    """Write a program that stands in for Python, and return its path."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    "answer",
    [
        wire.REPLY.pack(wire.PICTURE, 2**32 - 1),
        told(wire.PICTURE, b"{}"),
        told(wire.PICTURE, b"[]"),
        told(wire.FAILURE, b"{}"),
        told(wire.FAILURE, b'{"reason": "../x", "message": "", "retryable": 1}'),
        told(b"?", b"abc"),
        told(wire.PICTURE, wire.packed(LARGE)),
        told(wire.PICTURE, wire.packed(LARGE | {"width": -1})),
        told(wire.PICTURE, wire.packed(LARGE | {"width": "x"})),
        told(wire.PICTURE, wire.packed(LARGE | {"height": 1, "gps": [999, 0]})),
        told(wire.PICTURE, wire.packed(LARGE | {"height": 1, "taken_at": "never"})),
    ],
)
def test_answers_are_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    (tmp_path / "answer").write_bytes(answer)
    script = f"printf R >&0; head -c 20 >/dev/null; cat {tmp_path / 'answer'} >&0; sleep 60"
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, script))
    with Decoders(1, limit_s=10) as decoders:
        error = refusal(decoders, b"12345")
    assert error.reason == "corrupt"
    assert "makes no sense" in error.message


@pytest.mark.parametrize("program", ["/bin/false", "/there/is/none"])
def test_a_process_that_does_not_start(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with Decoders(1) as decoders:
        for _ in range(2):
            with pytest.raises(SegsearchError, match="did not start") as caught:
                decoders.decode(content(samples()["png"]))
            assert not isinstance(caught.value, PictureError)


def test_a_bug_is_not_taken_for_a_bad_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from indexer.library import colour\ncolour.to_srgb = lambda *_: 1 / 0\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Decoders(1) as decoders, pytest.raises(RuntimeError, match="ZeroDivisionError"):
        decoders.decode(content(samples()["png"]))
