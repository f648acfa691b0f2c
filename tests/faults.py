"""Faults for tests to inject: disks that fill up or go away, at a moment of choice."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from indexer.report import Report

_SETPRIV = shutil.which("setpriv")
#: What a command begins with that runs as this user, and for which permissions mean something.
ORDINARY: tuple[str, ...] = ()
if os.geteuid() == 0 and _SETPRIV is not None:
    ORDINARY = (_SETPRIV, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
needs_permissions = pytest.mark.skipif(
    os.geteuid() == 0 and not ORDINARY, reason="needs setpriv: root may do anything"
)


def after(images: int, action: Callable[[], object]) -> Callable[[Report], None]:
    """Return what does something as soon as a run has indexed that many pictures."""
    done = False

    def look(report: Report) -> None:
        nonlocal done
        if report.images >= images and not done:
            done = True
            action()

    return look


def mounted(*arguments: str | Path) -> bool:
    """Mount something; return whether that could be done."""
    command = ["/bin/mount", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _mount(folder: Path, megabytes: int) -> bool:
    return mounted("-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder)


def take_away(disk: Path) -> None:
    """Unmount a disk, whoever still uses it."""
    subprocess.run(["/bin/umount", "-l", str(disk)], check=True)


def _can_mount() -> bool:
    if os.geteuid() != 0 or not Path("/bin/mount").exists():
        return False
    with tempfile.TemporaryDirectory() as folder:
        can = _mount(Path(folder), 1)
        if can:
            take_away(Path(folder))
        return can


needs_disks = pytest.mark.skipif(not _can_mount(), reason="needs to mount a small disk")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of this size at `folder`, which is made; unmount it in the end."""
    folder.mkdir()
    assert _mount(folder, megabytes)
    try:
        yield folder
    finally:
        if folder.is_mount():
            take_away(folder)


def fill(disk: Path, leave: int = 0) -> None:
    """Fill a disk with ballast, but for some bytes; `drain` makes room again."""
    size = shutil.disk_usage(disk).free - leave
    with (disk / "ballast").open("ab") as ballast:
        while size > 0:
            part = min(size, 2**20)
            ballast.write(bytes(part))
            size -= part


def drain(disk: Path) -> None:
    """Remove the ballast."""
    (disk / "ballast").unlink()
