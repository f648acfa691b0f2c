"""Libraries that go away, change or cannot be read while they are indexed, and come back."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer
from indexer.errors import SegsearchError
from indexer.index import Index
from indexer.profiles import Profile
from indexer.records import Failure
from indexer.store import open_store
from tests.e2e.commands import images_in, records
from tests.faults import after, mounted, needs_disks, take_away
from tests.pictures import write_scene


@pytest.fixture(scope="module")
def quick(fast_profile: Profile) -> Profile:
    """A profile with a single point."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=1))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve pictures, half of them in folders."""
    for seed in range(12):
        folder = "" if seed < 6 else f"trip{seed // 3}/"
        write_scene(tmp_path / "photos" / f"{folder}{seed:02d}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def indexer(tmp_path: Path, quick: Profile) -> Iterator[Indexer]:
    """An indexer that looks not far ahead."""
    with Indexer(tmp_path / "idx", quick, batch_size=1, workers=1) as indexer:
        yield indexer


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return tmp_path / "idx"


def undisturbed(photos: Path, tmp_path: Path, quick: Profile) -> dict[str, dict[str, Any]]:
    """Return what a run that nothing disturbs makes of a library."""
    with Indexer(tmp_path / "undisturbed", quick) as indexer:
        indexer.index(photos)
    return records(tmp_path / "undisturbed")


def failures(where: Path) -> dict[str, Failure]:
    """Return relative path → why a file failed."""
    with closing(open_store(str(where), create_ok=False)) as store:
        failed = Index(store, str(where)).failures()
        return {file.path: file.failure for file in failed if file.failure is not None}


def test_a_library_that_vanishes_in_a_run_is_complete_when_it_is_back(
    indexer: Indexer, photos: Path, where: Path, tmp_path: Path, quick: Profile
) -> None:
    away = tmp_path / "away"
    report = indexer.index(photos, prune=True, on_progress=after(2, lambda: photos.rename(away)))
    assert report.images >= 2
    assert report.failed > 0
    failed = failures(where)
    assert {failure.reason for failure in failed.values()} == {"vanished"}
    assert all(failure.retryable for failure in failed.values())
    assert images_in(where) == report.images
    for paths in ([photos], []):
        with pytest.raises(SegsearchError, match=r"there is no file|folders is there"):
            indexer.index(paths, prune=True)
    away.rename(photos)
    again = indexer.index(photos, prune=True)
    assert (again.images + report.images, again.failed, again.pruned) == (12, 0, 0)
    assert failures(where) == {}
    assert records(where) == undisturbed(photos, tmp_path, quick)


def test_pruning_a_library_that_vanishes_in_the_run_is_refused(
    indexer: Indexer, photos: Path, where: Path, tmp_path: Path
) -> None:
    """Though the survey, while all was there, found one picture that is really gone."""
    indexer.index(photos)
    before = records(where)["images"].keys()
    (photos / "00.png").unlink()
    write_scene(photos / "12.png", 12)
    away = tmp_path / "away"
    with pytest.raises(SegsearchError, match=r"no recorded picture of .* is there any more"):
        indexer.index(photos, prune=True, on_progress=after(1, lambda: photos.rename(away)))
    assert before < records(where)["images"].keys()
    away.rename(photos)
    assert indexer.index(photos, prune=True).pruned == 1
    assert images_in(where) == 12


@needs_disks
def test_a_drive_that_is_unmounted_in_a_run_loses_nothing(
    indexer: Indexer, photos: Path, where: Path, tmp_path: Path, quick: Profile
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    assert mounted("--bind", photos, drive)
    report = indexer.index(drive, prune=True, on_progress=after(2, lambda: take_away(drive)))
    assert report.images >= 2
    assert {failure.reason for failure in failures(where).values()} == {"vanished"}
    with pytest.raises(SegsearchError, match="no recorded picture") as caught:  # an empty folder
        indexer.index(drive, prune=True)
    assert "mount its drive" in caught.value.hint
    assert images_in(where) == report.images
    assert mounted("--bind", photos, drive)
    try:
        assert indexer.index(drive, prune=True).complete
        assert records(where) == undisturbed(drive, tmp_path, quick)
    finally:
        take_away(drive)


@needs_disks
def test_a_drive_within_a_library_that_was_indexed_by_itself_is_not_pruned(
    indexer: Indexer, photos: Path, where: Path, tmp_path: Path
) -> None:
    card = photos / "card"
    card.mkdir()
    write_scene(tmp_path / "card" / "x.png", 20)
    assert mounted("--bind", tmp_path / "card", card)
    try:
        indexer.index(card)
        indexer.index(photos)
    finally:
        take_away(card)
    (photos / "00.png").unlink()
    with pytest.raises(SegsearchError, match=f"no recorded picture of {card} is there"):
        indexer.index(photos, prune=True)
    assert images_in(where) == 13


@needs_disks
def test_a_library_that_cannot_be_written_is_indexed(
    indexer: Indexer, photos: Path, where: Path, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    assert mounted("--bind", photos, drive)
    try:
        assert mounted("-o", "remount,bind,ro", drive)
        with pytest.raises(OSError, match="Read-only"):
            (drive / "x").touch()
        assert indexer.index(drive, prune=True).images == 12
    finally:
        take_away(drive)
    assert images_in(where) == 12


def test_files_that_change_before_they_are_read(
    indexer: Indexer, photos: Path, where: Path, tmp_path: Path, quick: Profile
) -> None:
    kept = shutil.copytree(photos, tmp_path / "kept")
    trip = photos / "trip3"
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set():
            with (trip / "11.png").open("ab") as file:
                file.write(b"more")

    growing = threading.Thread(target=grow)

    def change() -> None:
        growing.start()
        (trip / "09.png").write_bytes((trip / "09.png").read_bytes()[:-600])
        (trip / "10.png").unlink()
        (trip / "10.png").mkdir()
        (photos / "trip2" / "08.png").unlink()
        os.mkfifo(photos / "trip2" / "08.png")
        (photos / "trip2" / "07.png").unlink()
        write_scene(photos / "trip2" / "06.png", 30)

    report = indexer.index(photos, prune=True, on_progress=after(1, change))
    stop.set()
    growing.join()
    assert report.complete
    failed = failures(where)
    reasons = {path[-6:-4]: failure.reason for path, failure in failed.items()}
    grown = reasons.pop("11", "unreadable")
    assert grown in ("unreadable", "corrupt")  # or it was read between two changes
    assert reasons == {
        "07": "vanished",
        "08": "unreadable",
        "09": "corrupt",
        "10": "unreadable",
    }
    (trip / "10.png").rmdir()
    shutil.rmtree(photos)
    shutil.copytree(kept, photos)  # with the times of before
    again = indexer.index(photos, prune=True)
    assert (again.failed, again.pruned) == (0, 0)
    assert records(where) == undisturbed(photos, tmp_path, quick)


def test_a_picture_that_is_replaced_in_a_run_is_taken_up_by_the_next(
    indexer: Indexer, photos: Path, where: Path, tmp_path: Path, quick: Profile
) -> None:
    """And one that was read already, which the run cannot know."""

    def change() -> None:
        write_scene(photos / "00.png", 30)
        write_scene(photos / "trip3" / "11.png", 31)

    indexer.index(photos, on_progress=after(1, change))
    again = indexer.index(photos)
    assert again.failed == 0
    assert records(where) == undisturbed(photos, tmp_path, quick)
