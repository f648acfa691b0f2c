"""Every picture that bites ends as what is promised of it, soon, and in little memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import PictureError
from indexer.library import Decoded, Decoders, Found, read, scan
from tests.bad_pictures import Promise, corpus, write, write_strange_files

#: For any of them on a slow machine: the largest has 64 million pixels.
SECONDS = 20.0
#: Likewise, of the process that decodes.
MEMORY = 1 << 30
#: What compression changes of a colour.
TOLERANCE = 25


def outcome(decoders: Decoders, path: Path) -> Decoded | PictureError:
    try:
        return decoders.decode(read(path))
    except PictureError as error:
        return error


def check(decoders: Decoders, path: Path, promise: Promise) -> bool:
    """Compare a file's outcome with its promise, and say whether it was decoded."""
    started = time.monotonic()
    decoded = outcome(decoders, path)
    assert time.monotonic() - started < SECONDS, path.name
    if isinstance(decoded, PictureError):
        assert decoded.reason in promise.reasons, (path.name, decoded.message)
        assert decoded.message.isprintable(), path.name
        return False
    assert promise.indexed, path.name
    picture = decoded.picture
    assert decoded.pixels.shape == (picture.height, picture.width, 3)
    if promise.size is not None:
        assert (picture.width, picture.height) == promise.size, path.name
    if promise.first is not None:
        first = decoded.pixels[0, 0].astype(int)
        np.testing.assert_allclose(first, promise.first, atol=TOLERANCE, err_msg=path.name)
    assert picture.camera is None or picture.camera.isprintable()
    return True


@pytest.mark.parametrize("seed", [1, 2])
def test_every_file_ends_as_promised(tmp_path: Path, seed: int) -> None:
    promises = write(corpus(seed), tmp_path)
    with Decoders(2) as decoders:
        decoded = sum(check(decoders, tmp_path / name, each) for name, each in promises.items())
        if sys.platform == "linux":
            for child in decoders._children:
                assert peak_bytes(child._process.pid) < MEMORY
    assert 200 < decoded < len(promises) - 100


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_equal_seeds_make_equal_files() -> None:
    once, again, other = (
        [case for case in corpus(seed) if not case.name.endswith("frames.avif")]  # has the time
        for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other


def test_strange_files_are_found_and_end_as_promised(tmp_path: Path) -> None:
    folder = tmp_path / "strange"
    promises = write_strange_files(folder)
    found = {entry.path: entry for entry in scan(folder)}
    assert found.keys() == promises.keys()
    with Decoders(1) as decoders:
        for path, entry in found.items():
            if isinstance(entry, Found):
                check(decoders, entry.location, promises[path])
            else:
                assert entry.reason in promises[path].reasons


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 60))
def test_many_seeds(tmp_path: Path, seed: int) -> None:
    promises = write(corpus(seed), tmp_path)
    with Decoders(2) as decoders:
        for name, promise in promises.items():
            check(decoders, tmp_path / name, promise)
