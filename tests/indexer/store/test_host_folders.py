"""Hosts and folders that are copied or replaced while one lives."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from indexer.store.host import GRACE_S
from indexer.store.hosted import HostedStore
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
