"""Runs that end at any of their writes, and what the next run, or a search, makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer
from indexer.profiles import Profile
from indexer.store import edge, open_store
from indexer.store.base import KINDS
from search import Searcher
from tests.pictures import write_scene

WRITES = ("upsert", "delete", "set_payload")


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.png", "b.png", "trip/c.png")):
        write_scene(tmp_path / "photos" / name, seed)
    return tmp_path / "photos"


@pytest.fixture
def quick(fast_profile: Profile) -> Profile:
    """A profile with very few points, and hosts are not needed."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=1))


@pytest.fixture
def indexer(tmp_path: Path, quick: Profile, monkeypatch: pytest.MonkeyPatch) -> Indexer:
    """An indexer on a store in this process, whose writes can be made to fail."""
    (tmp_path / "index").mkdir()
    monkeypatch.setattr("indexer.store.hosted.HostedStore", edge.EdgeStore)
    return Indexer(tmp_path / "index", quick)


def records(where: Path) -> dict[str, dict[str, Any]]:
    """Return kind → id → payload, but for when it was indexed."""
    with closing(open_store(str(where), create_ok=False)) as store:
        found: dict[str, dict[str, Any]] = {
            kind: {p.id: p.payload for p in store.scroll(kind, limit=1000).points} for kind in KINDS
        }
    for payload in found["images"].values():
        del payload["indexed_at"]
    return found


def change(photos: Path) -> None:
    write_scene(photos / "a.png", 20)


def copy_over(photos: Path) -> None:
    shutil.copy2(photos / "trip" / "c.png", photos / "a.png")


def rename(photos: Path) -> None:
    (photos / "a.png").rename(photos / "trip" / "z.png")


def remove(photos: Path) -> None:
    (photos / "a.png").unlink()


def add(photos: Path) -> None:
    write_scene(photos / "new.png", 21)
    shutil.copy2(photos / "new.png", photos / "new too.png")


@pytest.mark.parametrize("happen", [change, copy_over, rename, remove, add])
def test_a_run_killed_at_any_write_ends_like_another(
    photos: Path,
    indexer: Indexer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    happen: Callable[[Path], None],
) -> None:
    index, before = tmp_path / "index", tmp_path / "before"
    indexer.index([photos])
    shutil.copytree(index, before)
    happen(photos)
    indexer.index([photos], prune=True)
    expected = records(index)
    for number in range(1, 100):
        shutil.rmtree(index)
        shutil.copytree(before, index)
        if not _killed(indexer, photos, number, monkeypatch):
            break
        with Searcher(index) as searcher:
            for hit in searcher.text("x", limit=100):
                assert hit.path
        indexer.index([photos], prune=True)
        assert records(index) == expected, f"killed at write {number}"
    assert number > 3


def test_what_was_half_written_goes_with_its_file(
    photos: Path, indexer: Indexer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture killed before its file's record was complete, and then removed."""
    index, before = tmp_path / "index", tmp_path / "before"
    indexer.index([photos])
    expected = records(index)
    shutil.copytree(index, before)
    for number in range(1, 100):
        shutil.rmtree(index)
        shutil.copytree(before, index)
        add(photos)
        died = _killed(indexer, photos, number, monkeypatch)
        (photos / "new.png").unlink()
        (photos / "new too.png").unlink()
        indexer.index([photos], prune=True)
        assert records(index) == expected, f"killed at write {number}"
        if not died:
            break
    assert number > 3


def test_a_file_that_comes_back_after_a_killed_prune(
    photos: Path, indexer: Indexer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, before = tmp_path / "index", tmp_path / "before"
    indexer.index([photos])
    expected = records(index)
    shutil.copytree(index, before)
    for number in range(1, 100):
        shutil.rmtree(index)
        shutil.copytree(before, index)
        (photos / "a.png").rename(tmp_path / "a.png")
        died = _killed(indexer, photos, number, monkeypatch)
        (tmp_path / "a.png").rename(photos / "a.png")
        indexer.index([photos], prune=True)
        assert records(index) == expected, f"killed at write {number}"
        if not died:
            break
    assert number > 3


def _killed(indexer: Indexer, photos: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Index, and die before the given write; return False if there was none so late."""
    left = number
    with monkeypatch.context() as patched:
        for name in WRITES:
            plain = getattr(edge.EdgeStore, name)

            def write(*arguments: Any, plain: Any = plain) -> None:  # noqa: ANN401
                nonlocal left
                left -= 1
                if left <= 0:
                    raise Killed
                plain(*arguments)

            patched.setattr(edge.EdgeStore, name, write)
        try:
            indexer.index([photos], prune=True)
        except Killed:
            return True
    return False
