from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.errors import PictureError
from indexer.library import REASONS, read


def test_the_bytes_and_their_hash(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    content = read(tmp_path / "a.jpg", max_bytes=3)
    assert content.data == b"abc"
    assert content.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert repr(content) == f"Content(sha256={content.sha256!r})"


@pytest.mark.parametrize(
    ("kind", "reason", "retryable"),
    [
        ("empty", "empty", False),
        ("large", "too_large", False),
        ("missing", "vanished", True),
        ("below a file", "vanished", True),
        ("folder", "unreadable", True),
        ("pipe", "unreadable", True),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, kind: str, reason: str, retryable: bool) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(b"1234")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    location = tmp_path / ("large/below" if kind == "below a file" else kind)
    with pytest.raises(PictureError) as caught:
        read(location, max_bytes=3)
    assert (caught.value.reason, caught.value.retryable) == (reason, retryable)
    assert reason in REASONS
    assert str(tmp_path) not in caught.value.message


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PictureError, match="Permission denied") as caught:
        read(tmp_path / "a.jpg")
    assert (caught.value.reason, caught.value.retryable) == ("unreadable", True)


def test_a_file_that_grows_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12")
    before = path.stat()
    path.write_bytes(b"1234")
    monkeypatch.setattr(os, "fstat", lambda _: before)
    with pytest.raises(PictureError, match="changed") as caught:
        read(path)
    assert (caught.value.reason, caught.value.retryable) == ("unreadable", True)


def test_importing_the_package_imports_neither_pillow_nor_torch() -> None:
    code = "import indexer.library, sys; print({'PIL', 'torch', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
