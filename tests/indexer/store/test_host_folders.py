"""Hosts and folders that are copied or replaced while one lives."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from indexer.store.host import GRACE_S
from indexer.store.hosted import HostedStore
from indexer.store.layout import disk_usage
from tests.indexer.store.samples import DIM, RECIPE, segment, vec

X = vec(1, 0, 0)


def test_a_copy_made_while_the_host_lives_is_an_index_of_its_own(tmp_path: Path) -> None:
    original = HostedStore(tmp_path / "original")
    original.create(RECIPE, DIM)
    shutil.copytree(
        tmp_path / "original", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock")
    )
    copy = HostedStore(tmp_path / "copy")
    copy.upsert("segments", [segment(1, X)])
    assert (copy.count("segments"), original.count("segments")) == (1, 0)
    copy.close()
    original.close()


def test_an_old_host_leaves_a_new_one_alone(tmp_path: Path) -> None:
    """The folder is removed and made again while a client still holds the old one's host."""
    folder = tmp_path / "index"
    old = HostedStore(folder)
    old.create(RECIPE, DIM)
    shutil.rmtree(folder)
    new = HostedStore(folder)
    new.create(RECIPE, DIM)
    old.close()
    time.sleep(GRACE_S + 1)
    third = HostedStore(folder)
    third.upsert("segments", [segment(1, X)])
    assert new.count("segments") == 1
    third.close()
    new.close()


def test_disk_usage_while_folders_come_and_go(tmp_path: Path) -> None:
    """As while an index is replaced."""
    (tmp_path / "kept").write_bytes(b"x" * 8192)
    ending = threading.Event()

    def churn() -> None:
        while not ending.is_set():
            (tmp_path / "a" / "b" / "c").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(tmp_path / "a")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(300):
            assert disk_usage(tmp_path) >= 8192
    finally:
        ending.set()
        thread.join()
