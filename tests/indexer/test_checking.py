"""An index whose files were damaged: what is found, and what is made anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from indexer import Indexer
from indexer.checking import Findings
from indexer.errors import SegsearchError, StoreDamaged
from indexer.profiles import Profile
from indexer.repairing import Repaired
from indexer.store import layout, open_store
from indexer.store.base import Filter, HasId, Kind, Point
from indexer.store.storage import Storage
from tests.damage import WAYS, copy_index, damage, files_of
from tests.e2e.commands import records, run, write_profile
from tests.indexer.store.facade import Facade
from tests.pictures import write_scene

NAMES = ("a.png", "b.png", "trip/c.png")


@pytest.fixture(scope="module")
def quick(fast_profile: Profile) -> Profile:
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=2))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, quick: Profile) -> Path:
    """A folder with pictures and an index of them."""
    place = tmp_path_factory.mktemp("library")
    for seed, name in enumerate(NAMES):
        write_scene(place / "photos" / name, seed)
    with Indexer(place / "index", quick) as indexer:
        indexer.index(place / "photos")
    with closing(open_store(str(place / "index"), create_ok=False)) as store:
        store.optimise(Storage())  # so that the segments' pointer is there
    return place


@pytest.fixture
def index(place: Path, tmp_path: Path) -> Path:
    return copy_index(place / "index", tmp_path / "index")


@pytest.fixture
def whole(place: Path) -> dict[str, dict[str, Any]]:
    return records(place / "index")


def look(index: Path) -> Findings:
    with Indexer(index) as indexer:
        return indexer.check()[0]


def mend(index: Path, *folders: Path) -> tuple[Findings, Repaired]:
    with Indexer(index) as indexer:
        findings, repaired = indexer.check(repair=True, folders=folders)
    assert repaired is not None
    return findings, repaired


def data(index: Path) -> Path:
    (found,) = index.glob("shards-*")
    return found


def shard(index: Path, kind: Kind) -> Path:
    return layout.shard_folder(data(index), kind)


def without(index: Path, kind: Kind, name: str) -> str:
    """Delete one record of the picture of this name; return the picture's id."""
    with closing(open_store(str(index), create_ok=False)) as store:
        points = store.scroll(kind).points

        def is_its(point: Point) -> bool:
            paths = point.payload.get("paths") or [point.payload.get("path")]
            return any(str(path).endswith(name) for path in paths)

        point = next(filter(is_its, points))
        store.delete(kind, Filter((HasId((point.id,)),)))
        return str(point.payload.get("image_id", point.id))


def names(findings: Findings) -> list[list[str]]:
    return [[place.partition("/")[2] for place in image.places] for image in findings.damaged]


def test_a_sound_index(index: Path, whole: dict[str, dict[str, Any]]) -> None:
    findings = look(index)
    assert findings.is_sound
    counts = (findings.images, findings.segments, findings.files, findings.unsealed)
    assert counts == (3, len(whole["segments"]), 3, 0)
    with Indexer(index) as indexer:
        assert indexer.check(repair=True) == (findings, None)


@pytest.mark.parametrize("byte", [0, 3])
def test_any_flipped_bit_of_a_vector_names_its_image(
    index: Path, whole: dict[str, dict[str, Any]], byte: int
) -> None:
    vectors = sorted(shard(index, "segments").glob("segments/*/vector_storage/**/*.mmap"))
    used = max(vectors, key=lambda path: path.stat().st_blocks)
    with used.open("r+b") as file:
        content = file.read()
        at = next(i for i in range(len(content)) if content[i : i + 4] != bytes(4))
        file.seek(at // 4 * 4 + byte)
        file.write(bytes([content[at // 4 * 4 + byte] ^ 1]))
    findings = look(index)
    assert [image.what.split(" of ")[0] for image in findings.damaged] == ["1"]
    found, repaired = mend(index)
    assert found.damaged == findings.damaged
    assert (repaired.kept, repaired.report.images) == (2, 1)
    assert records(index) == whole
    assert look(index).is_sound


@pytest.mark.parametrize(
    ("kind", "what"), [("images", "its record is missing"), ("segments", "1 of its ")]
)
def test_a_lost_record_names_its_image(
    index: Path, whole: dict[str, dict[str, Any]], kind: Kind, what: str
) -> None:
    image = without(index, kind, "b.png")
    findings = look(index)
    assert [found.id for found in findings.damaged] == [image]
    assert findings.damaged[0].what.startswith(what)
    assert names(findings) == [["b.png"]]
    assert mend(index)[1].report.images == 1
    assert records(index) == whole


def test_a_lost_file_is_recorded_again(index: Path, whole: dict[str, dict[str, Any]]) -> None:
    without(index, "files", "a.png")
    findings = look(index)
    assert [place.partition("/")[2] for place in findings.lost_files] == ["a.png"]
    _, repaired = mend(index)
    assert (repaired.kept, repaired.report.images) == (3, 0)
    assert records(index) == whole


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("images", marks=pytest.mark.slow),
        "segments",
        pytest.param("files", marks=pytest.mark.slow),
        "roots",
    ],
)
def test_a_kind_that_cannot_be_opened(
    index: Path, whole: dict[str, dict[str, Any]], kind: Kind
) -> None:
    (shard(index, kind) / "edge_config.json").write_bytes(b"{")
    findings = look(index)
    assert list(findings.unreadable) == [kind]
    assert len(findings.damaged) == (3 if kind in ("images", "segments") else 0)
    mend(index)
    assert records(index) == whole


def test_what_is_only_for_searches_is_made_anew_without_the_pictures(
    index: Path, whole: dict[str, dict[str, Any]]
) -> None:
    for path in shard(index, "segments").glob("segments/*/payload_index/*-null/*/status.dat"):
        path.write_bytes(b"")
    assert "segments" in look(index).unreadable
    _, repaired = mend(index)
    assert (repaired.kept, repaired.report.images) == (3, 0)
    assert records(index) == whole


def test_wrong_counts_are_found(index: Path, whole: dict[str, dict[str, Any]]) -> None:
    for path in shard(index, "images").glob("segments/*/payload_index/*-n_segmen-map/page_0.dat"):
        damage(path, "zero", Random(0))  # noqa: S311
    findings = look(index)
    assert [fault.partition(":")[0] for fault in findings.structures] == ["images by n_segments"]
    assert mend(index)[1].report.images == 0
    assert records(index) == whole
    assert look(index).is_sound


@pytest.mark.parametrize("content", [None, b"{}"])
def test_settings_are_restored(
    index: Path, whole: dict[str, dict[str, Any]], content: bytes | None
) -> None:
    settings = index / layout.SETTINGS_FILE
    before = settings.read_bytes()
    settings.unlink()
    if content is not None:
        settings.write_bytes(content)
    with pytest.raises(StoreDamaged, match="segsearch check --repair"):
        look(index)
    with Indexer(index) as indexer:
        assert indexer.check(repair=True)[0].is_sound
    assert settings.read_bytes() == before
    assert records(index) == whole


@pytest.mark.parametrize("content", [None, b"../../elsewhere"])
def test_a_lost_pointer_is_restored(
    index: Path, whole: dict[str, dict[str, Any]], content: bytes | None
) -> None:
    pointer = data(index) / layout.POINTER_FILE.format("segments")
    pointer.unlink()
    if content is not None:
        pointer.write_bytes(content)
    with Indexer(index) as indexer:
        assert indexer.check(repair=True)[0].is_sound
    assert records(index) == whole


def test_forgotten_folders_are_asked_for(
    index: Path, place: Path, whole: dict[str, dict[str, Any]]
) -> None:
    (shard(index, "roots") / "edge_config.json").write_bytes(b"{")
    (data(index) / layout.ROOTS_FILE).unlink()
    with pytest.raises(SegsearchError, match=r"forgotten .* segsearch check --repair FOLDER"):
        mend(index)
    mend(index, place / "photos")
    assert records(index) == whole


def test_an_image_without_a_file_is_told(index: Path, place: Path, tmp_path: Path) -> None:
    without(index, "segments", "b.png")
    hidden = tmp_path / "b.png"
    shutil.move(place / "photos" / "b.png", hidden)
    try:
        _, repaired = mend(index)
    finally:
        shutil.move(hidden, place / "photos" / "b.png")
    assert len(repaired.gone) == 1
    assert len(records(index)["images"]) == 2
    assert look(index).is_sound


def test_without_its_drive_nothing_is_dropped(index: Path, place: Path, tmp_path: Path) -> None:
    without(index, "segments", "b.png")
    shutil.move(place / "photos", tmp_path / "away")
    try:
        with pytest.raises(SegsearchError, match="mount its drive"):
            mend(index)
    finally:
        shutil.move(tmp_path / "away", place / "photos")
    assert len(records(index)["images"]) == 3


def test_the_command(index: Path, place: Path, quick: Profile, tmp_path: Path) -> None:
    write_profile(tmp_path / "quick.yaml", quick)
    assert run("segsearch", "check", "--index", index).stderr.endswith("all is sound\n")
    without(index, "segments", "trip/c.png")
    found = run("segsearch", "check", "--index", index, check=False)
    assert found.returncode == 3
    assert found.stdout.startswith(str(place / "photos" / "trip" / "c.png") + ": 1 of its ")
    mended = run("segsearch", "check", "--index", index, "--repair", "--format", "json")
    told = json.loads(mended.stdout)
    assert told["damaged"][0]["paths"] == [str(place / "photos" / "trip" / "c.png")]
    assert (told["repaired"]["kept"], told["repaired"]["indexed"]) == (2, 1)
    assert run("segsearch", "check", "--index", index, "-q").stderr == ""


def test_on_a_server_records_are_compared_with_each_other(place: Path, quick: Profile) -> None:
    with Facade() as facade, Indexer(f"{facade.url}/x", quick) as indexer:
        indexer.index(place / "photos")
        findings, _ = indexer.check()
        assert (findings.is_sound, findings.images) == (True, 3)
        with closing(open_store(f"{facade.url}/x", create_ok=False)) as store:
            lost = store.scroll("segments").points[0]
            store.delete("segments", Filter((HasId((lost.id,)),)))
            found, repaired = indexer.check(repair=True)
            assert [image.id for image in found.damaged] == [lost.payload["image_id"]]
            assert repaired is not None
            assert (repaired.kept, repaired.report.images) == (2, 1)
            assert store.get("segments", [lost.id])[0].payload == lost.payload
        assert indexer.check()[0].is_sound


def some_damage(index: Path, count: int, seed: int) -> Iterator[tuple[Path, str]]:
    rng = Random(seed)  # noqa: S311
    cases = [(path, way) for path in files_of(index) for way in WAYS]
    yield from rng.sample(cases, count)


@pytest.mark.parametrize(("count", "seed"), [(4, 0), pytest.param(100, 1, marks=pytest.mark.slow)])
def test_whatever_is_damaged_is_mended(
    place: Path, tmp_path: Path, whole: dict[str, dict[str, Any]], count: int, seed: int
) -> None:
    for number, (path, way) in enumerate(some_damage(place / "index", count, seed)):
        index = copy_index(place / "index", tmp_path / str(number))
        damage(index / path, way, Random(number))  # noqa: S311
        with Indexer(index) as indexer:
            indexer.check(repair=True)
            assert records(index) == whole, (path, way)
            assert indexer.check()[0].is_sound, (path, way)
