"""Runs that end at any of their writes, and what the next run, or a search, makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from indexer import Indexer
from indexer.profiles import Profile
from indexer.store.base import KINDS, Filter, Kind, Payload, Point, Store
from indexer.store.server import ServerStore
from search import Searcher
from search.ranking import UNCUT
from tests.pictures import write_scene


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.png", "b.png", "trip/c.png")):
        write_scene(tmp_path / "photos" / name, seed)
    return tmp_path / "photos"


@pytest.fixture
def quick(fast_profile: Profile) -> Profile:
    """A profile with a single point."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=1))


class Library:
    """A store in this process, which can be put back to what it was, and written to no more."""

    def __init__(self) -> None:
        self.reset({kind: [] for kind in KINDS})
        self.recipe: dict[str, Any] | None = None
        self.writes_left: int | None = None

    def reset(self, points: dict[Kind, list[Point]]) -> None:
        """Start again with these records."""
        self.client = QdrantClient(":memory:")
        self.points = points

    def open(self, _folder: Path) -> Store:
        """Return the store as `open_store` does."""
        store = Mortal(self)
        if store.recipe() is None and self.recipe is not None:
            store.create(self.recipe, 128)
            for kind, points in self.points.items():
                store.upsert(kind, points)
        return store

    def contents(self) -> dict[Kind, list[Point]]:
        """Return all records."""
        store = self.open(Path())
        self.recipe = store.recipe()
        return {kind: store.scroll(kind, limit=1000, vectors=True).points for kind in KINDS}


class Mortal(ServerStore):
    """The real in-memory engine, whose process dies before a certain write."""

    def __init__(self, library: Library) -> None:
        super().__init__(library.client, "index")
        self._library = library

    def close(self) -> None:
        """Leave the engine to the next one who opens it."""

    def upsert(self, kind: Kind, points: Sequence[Point]) -> None:
        self._die_or_live()
        super().upsert(kind, points)

    def delete(self, kind: Kind, where: Filter) -> None:
        self._die_or_live()
        super().delete(kind, where)

    def set_payload(self, kind: Kind, payload: Payload, where: Filter) -> None:
        self._die_or_live()
        super().set_payload(kind, payload, where)

    def _die_or_live(self) -> None:
        if self._library.writes_left is not None:
            self._library.writes_left -= 1
            if self._library.writes_left < 0:
                raise Killed


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr("indexer.store.hosted.HostedStore", library.open)
    monkeypatch.setattr("indexer.store.layout.read_settings", lambda _: True)
    return library


@pytest.fixture
def indexer(tmp_path: Path, quick: Profile, library: Library) -> Indexer:
    (tmp_path / "index").mkdir()
    return Indexer(tmp_path / "index", quick)


def plain(points: dict[Kind, list[Point]]) -> dict[str, dict[str, Any]]:
    """Return kind → id → payload, but for when it was indexed."""
    found = {kind: {p.id: dict(p.payload) for p in points[kind]} for kind in KINDS}
    for payload in found["images"].values():
        del payload["indexed_at"]
    return {str(kind): payloads for kind, payloads in found.items()}


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


def test_new_boxes_killed_at_any_write(
    photos: Path, quick: Profile, library: Library, tmp_path: Path
) -> None:
    shutil.copy2(photos / "a.png", photos / "copy.png")
    (tmp_path / "index").mkdir()
    boxes = tmp_path / "boxes.json"

    def detect(label: str) -> Indexer:
        box = {"file_name": "a.png", "bbox": [10, 10, 40, 30], "category_name": label}
        boxes.write_text(json.dumps([box]), encoding="utf-8")
        return Indexer(tmp_path / "index", quick, boxes=boxes, grid=False)

    detect("star").index(photos)
    before = library.contents()
    detect("sun").index(photos)
    expected = plain(library.contents())
    number, died = 0, True
    while died:
        library.reset(before)
        died = killed(detect("sun"), photos, library, number)
        detect("sun").index(photos)
        assert plain(library.contents()) == expected, f"killed before write {number}"
        number += 1
    assert number > 3


def test_a_copy_whose_first_place_goes_after_a_kill(
    photos: Path, quick: Profile, library: Library, tmp_path: Path
) -> None:
    shutil.copy2(photos / "a.png", photos / "copy.png")
    (tmp_path / "index").mkdir()
    boxes = tmp_path / "boxes.json"
    box = {"file_name": "a.png", "bbox": [10, 10, 40, 30]}
    boxes.write_text(json.dumps([box]), encoding="utf-8")
    indexer = Indexer(tmp_path / "index", quick, boxes=boxes, grid=False)
    indexer.index(photos)
    before = library.contents()
    boxes.write_text(json.dumps([box | {"category_name": "sun"}]), encoding="utf-8")
    number, died = 0, True
    while died:
        library.reset(before)
        died = killed(indexer, photos, library, number)
        (photos / "a.png").rename(tmp_path / "a.png")
        indexer.index(photos, prune=True)
        indexer.index(photos, prune=True)
        assert len(library.contents()["images"]) == 3, f"killed before write {number}"
        (tmp_path / "a.png").rename(photos / "a.png")
        number += 1
    assert number > 3


@pytest.mark.parametrize("happen", [change, copy_over, rename, remove, add])
def test_a_run_killed_at_any_write_ends_like_another(
    photos: Path,
    indexer: Indexer,
    library: Library,
    tmp_path: Path,
    happen: Callable[[Path], None],
) -> None:
    indexer.index([photos])
    before = library.contents()
    happen(photos)
    indexer.index([photos], prune=True)
    expected = plain(library.contents())
    number, died = 0, True
    while died:
        library.reset(before)
        died = killed(indexer, photos, library, number)
        with Searcher(tmp_path / "index") as searcher:
            assert all(hit.path for hit in searcher.text("x", limit=100, ranking=UNCUT))
        indexer.index([photos], prune=True)
        assert plain(library.contents()) == expected, f"killed before write {number}"
        number += 1
    assert number > 3


def test_what_was_half_written_goes_with_its_file(
    photos: Path, indexer: Indexer, library: Library
) -> None:
    """A picture killed before its file's record was complete, and then removed."""
    indexer.index([photos])
    before = library.contents()
    number, died = 0, True
    while died:
        library.reset(before)
        add(photos)
        died = killed(indexer, photos, library, number)
        (photos / "new.png").unlink()
        (photos / "new too.png").unlink()
        indexer.index([photos], prune=True)
        assert plain(library.contents()) == plain(before), f"killed before write {number}"
        number += 1
    assert number > 3


def test_a_file_that_comes_back_after_a_killed_prune(
    photos: Path, indexer: Indexer, library: Library, tmp_path: Path
) -> None:
    indexer.index([photos])
    before = library.contents()
    number, died = 0, True
    while died:
        library.reset(before)
        (photos / "a.png").rename(tmp_path / "a.png")
        died = killed(indexer, photos, library, number)
        (tmp_path / "a.png").rename(photos / "a.png")
        indexer.index([photos], prune=True)
        assert plain(library.contents()) == plain(before), f"killed before write {number}"
        number += 1
    assert number > 3


def killed(indexer: Indexer, photos: Path, library: Library, writes: int) -> bool:
    """Index with so many writes; return whether that was too few."""
    library.open(Path())
    library.writes_left = writes
    try:
        indexer.index([photos], prune=True)
    except Killed:
        return True
    finally:
        library.writes_left = None
    return False
