"""Transfers that are killed, again and again, until one gets to its end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.errors import IndexNotFound
from indexer.store import open_store
from indexer.store.archive import draft_folder
from indexer.store.archive.reading import ArchiveRecords
from indexer.store.transfer import transfer
from tests.indexer.store.facade import Facade
from tests.indexer.store.transferring import assert_same, build, content, is_there, records

#: Transfers argv[1] to argv[2] in a process that is killed after argv[3] batches, or, if that is
#: negative, just before it renames a file for the so-manieth time.
DOOMED = """
import json, os, signal, sys
from indexer.store.archive import writing
from indexer.store.transfer import transfer
writing.GROUP_ROWS, writing.PART_ROWS = 20, 20
source, target, left, options = *sys.argv[1:3], int(sys.argv[3]), json.loads(sys.argv[4])
batches, renames = (left, 0) if left >= 0 else (0, -left)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def count(progress):
    global batches
    if progress.stage == "copying":
        batches -= 1
        batches or die()

def step(event, args):
    global renames
    if event == "os.rename":
        renames -= 1
        renames or die()

sys.addaudithook(step)
report = transfer(source, target, batch=10, on_progress=count, **options)
print(report.copied)
"""


def killed(source: str, target: str, left: int, **options: bool) -> int | None:
    """Return how many records the transfer copied, or None if it was killed."""
    command = [sys.executable, "-c", DOOMED, source, target, str(left), json.dumps(options)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode == -signal.SIGKILL:
        return None
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.fixture
def source(tmp_path: Path) -> str:
    build(str(tmp_path / "source"), records(30))
    transfer(str(tmp_path / "source"), str(tmp_path / "source.parquet"))
    return str(tmp_path / "source.parquet")


def invisible(target: str) -> bool:
    if not target.startswith("http"):
        return not is_there(target)
    try:
        open_store(target, create_ok=False).close()
    except IndexNotFound:
        return True
    return False


@pytest.mark.parametrize("kind", ["archive", "server", "folder"])
def test_killed_again_and_again(kind: str, source: str, tmp_path: Path, facade: Facade) -> None:
    places = {"server": f"{facade.url}/photos", "folder": str(tmp_path / "index")}
    target = places.get(kind, str(tmp_path / "a.parquet"))
    runs = 0
    while (copied := killed(source, target, 10)) is None:
        assert invisible(target)
        runs += 1
    assert runs >= 2
    assert 0 < copied < 100  # of 181
    undisturbed = records(30)
    if kind == "archive":
        transfer(target, f"{facade.url}/back")
        target = f"{facade.url}/back"
    assert_same(content(target), undisturbed)


def test_killed_before_each_rename(source: str, tmp_path: Path) -> None:
    """Those of the parts, of the manifest, and of the archives that change places."""
    old, target = tmp_path / "old.parquet", tmp_path / "a.parquet"
    build(str(tmp_path / "small"), records(1))
    transfer(str(tmp_path / "small"), str(old))
    copied: int | None = None
    outcomes: list[int] = []
    while copied is None:
        for left in (target, draft_folder(target)):
            shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(old, target)
        copied = killed(source, str(target), -len(outcomes) - 1, replace=True)
        outcomes.append(images(target))
        transfer(source, str(target), replace=True)
        assert images(target) == 30
        assert not draft_folder(target).exists()
    assert outcomes == [1] * (len(outcomes) - 2) + [0, 30]  # none between the last two renames
    assert len(outcomes) > 10


def images(archive: Path) -> int:
    """Return how many there are; 0 without an archive."""
    return ArchiveRecords(archive).counts()["images"] if is_there(archive) else 0
