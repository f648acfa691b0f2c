"""A disk that is full, or almost, under an index that is written, opened, rebuilt or copied."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer
from indexer.errors import SegsearchError, StoreFull
from indexer.profiles import Profile
from indexer.store import draft_location, open_store, room
from indexer.store.room import Floor
from indexer.store.transfer import transfer
from search import Searcher
from tests.e2e.commands import photos, records, run
from tests.faults import after, drain, fill, needs_disks, small_disk

pytestmark = needs_disks
_MIB = 2**20


@pytest.fixture(autouse=True)
def no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small disks be used at all."""
    monkeypatch.setenv(room.VARIABLE, "0")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that has room for a few small indexes, and not much more."""
    with small_disk(tmp_path / "disk", 400) as disk:
        yield disk


@pytest.fixture(scope="module")
def quick(fast_profile: Profile) -> Profile:
    """A profile with very few points."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=2))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("library"), 6)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, library: Path, quick: Profile) -> Path:
    """An index of the library on another disk, made by a run that nothing disturbed."""
    where = tmp_path_factory.mktemp("undisturbed") / "idx"
    with Indexer(where, quick) as indexer:
        indexer.index(library)
    return where


@pytest.fixture(scope="module")
def whole(undisturbed: Path) -> dict[str, dict[str, Any]]:
    """What is in that index."""
    return records(undisturbed)


@pytest.fixture
def indexer(disk: Path, quick: Profile) -> Iterator[Indexer]:
    with Indexer(disk / "idx", quick, batch_size=1) as indexer:
        yield indexer


def images(where: Path) -> set[str]:
    return set(records(where)["images"])


def test_a_run_stops_before_the_disk_is_full_and_goes_on_later(
    disk: Path,
    indexer: Indexer,
    library: Path,
    whole: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(room.VARIABLE, "100")
    filling = after(2, lambda: fill(disk, leave=99 * _MIB))
    with pytest.raises(StoreFull, match=rf"mounted at {disk}; 100 MB have to stay free") as caught:
        indexer.index(library, on_progress=filling)
    assert "SEGSEARCH_MIN_FREE" in caught.value.hint
    done = images(disk / "idx")
    assert 2 <= len(done) < 6
    with pytest.raises(StoreFull):  # before a model is loaded
        indexer.index(library)
    drain(disk)
    report = indexer.index(library)
    assert (report.images, report.unchanged) == (6 - len(done), len(done))
    assert records(disk / "idx") == whole


@pytest.mark.parametrize("left", [0, pytest.param(40_000, marks=pytest.mark.slow)])
def test_a_disk_that_becomes_full_loses_nothing(
    disk: Path, indexer: Indexer, library: Path, whole: dict[str, dict[str, Any]], left: int
) -> None:
    """Without the floor: Edge then ends with its process, and this one must not."""
    with pytest.raises(StoreFull, match="disk is full") as caught:
        indexer.index(library, on_progress=after(2, lambda: fill(disk, left)))
    assert "free some space" in caught.value.hint
    assert isinstance(caught.value.__cause__, EOFError)  # the host has died
    drain(disk)
    assert len(images(disk / "idx")) >= 2
    with closing(open_store(str(disk / "idx"), create_ok=False)) as store:
        store.check()
    assert indexer.index(library).complete
    assert records(disk / "idx") == whole


def test_an_index_on_a_full_disk_opens_or_says_why(
    disk: Path, indexer: Indexer, library: Path, whole: dict[str, dict[str, Any]]
) -> None:
    indexer.index(library, limit=2)
    before = records(disk / "idx")
    time.sleep(4)  # its host has ended, so that the next command has to start one
    fill(disk)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(StoreFull, match="disk is full"), Searcher(disk / "idx") as searcher:
            searcher.text("red")
    done = run("segsearch", "status", "--index", disk / "idx", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the disk is full under the index")
    assert time.monotonic() - began < 20
    drain(disk)
    assert records(disk / "idx") == before
    indexer.index(library)
    assert records(disk / "idx") == whole


def test_a_rebuild_stops_too_and_the_index_serves_on(
    disk: Path, indexer: Indexer, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(room.VARIABLE, "10")
    indexer.index(library)
    before = records(disk / "idx")
    filling = after(2, lambda: fill(disk, leave=9 * _MIB))
    with pytest.raises(StoreFull):
        indexer.index(rebuild=True, on_progress=filling)
    assert records(disk / "idx") == before
    drain(disk)
    report = indexer.index(rebuild=True)
    assert (report.images, report.unchanged) == (4, 2)
    assert records(disk / "idx") == before
    assert not Path(draft_location(str(disk / "idx"))).exists()


@pytest.mark.parametrize("name", ["copy", pytest.param("copy.parquet", marks=pytest.mark.slow)])
def test_a_transfer_stops_too_and_goes_on_later(
    disk: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    source, target = str(undisturbed), str(disk / name)
    filled = False

    def fill_once(_: object) -> None:
        nonlocal filled
        if not filled:
            filled = True
            fill(disk, leave=9 * _MIB)

    monkeypatch.setenv(room.VARIABLE, "10")
    with pytest.raises(StoreFull, match="have to stay free"):
        transfer(source, target, batch=5, on_progress=fill_once)
    drain(disk)
    assert transfer(source, target, batch=5).images == 6
    transfer(target, str(tmp_path / "back"))
    assert records(tmp_path / "back") == records(undisturbed)


def test_without_the_variable_a_quarter_of_a_gigabyte_stays_free(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(room.VARIABLE)
    Floor(str(disk / "idx")).check()
    fill(disk, leave=255 * _MIB)
    with pytest.raises(StoreFull, match=r"255 MB are free .* 256 MB have to stay free"):
        Floor(str(disk / "idx")).check()


@pytest.mark.parametrize("given", ["much", "-1", "inf"])
def test_limits_that_make_no_sense(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(room.VARIABLE, given)
    with pytest.raises(SegsearchError, match="SEGSEARCH_MIN_FREE is"):
        Floor("idx")


def test_a_server_has_a_disk_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(room.VARIABLE, "1e15")
    Floor("http://localhost:6333/photos").check()
    with pytest.raises(StoreFull):
        Floor("idx").check()
