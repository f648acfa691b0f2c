"""Transfers between folders, a server and archives."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.errors import (
    IndexNotFound,
    RecipeMismatch,
    Stopped,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from indexer.opening import only_writer
from indexer.store import draft_location, open_store, room
from indexer.store.archive import draft_folder, writing
from indexer.store.base import Filter, HasId, Point, Store
from indexer.store.transfer import TransferProgress, transfer
from tests.indexer.store.facade import Facade, Fault
from tests.indexer.store.transferring import (
    RECIPE,
    STORAGE,
    assert_same,
    build,
    content,
    is_there,
    records,
    uid,
)


@pytest.fixture
def source(tmp_path: Path) -> str:
    build(str(tmp_path / "source"), records(30))
    return str(tmp_path / "source")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GROUP_ROWS", 10)
    monkeypatch.setattr(writing, "PART_ROWS", 25)


def stop_after(copied: int) -> tuple[Callable[[TransferProgress], None], Callable[[], bool]]:
    """Return what stops a transfer that has copied this many records, for its two arguments."""
    seen: list[int] = [0]

    def note(progress: TransferProgress) -> None:
        if progress.stage == "copying":
            seen.append(progress.done)

    return note, lambda: seen[-1] >= copied


def test_round_about(source: str, tmp_path: Path, facade: Facade, small_parts: None) -> None:
    archive, server = str(tmp_path / "a.parquet"), f"{facade.url}/photos"
    half, back = str(tmp_path / "half.parquet"), str(tmp_path / "back")
    stages: list[str] = []
    places = [source, archive, server, half, back]
    for start, end in itertools.pairwise(places):
        report = transfer(
            start,
            end,
            batch=7,
            float16=end == half,
            on_progress=lambda progress: stages.append(progress.stage),
        )
        assert (report.source, report.target) == (start, end)
        counts = (report.images, report.segments, report.files, report.roots)
        assert counts == (30, 120, 30, 1)
        assert report.copied == report.verified == 181
        assert report.least_cosine is not None
        assert report.least_cosine > 1 - 1e-6
        assert (report.bytes is None) == (end == server)
    assert set(stages) == {"copying", "verifying", "building"}
    assert_same(content(server), records(30))
    assert_same(content(back), records(30), vectors_to=1e-3)
    with closing(open_store(back, create_ok=False)) as store:
        assert store.storage() == STORAGE
    assert not Path(draft_location(back)).exists()
    assert not list(tmp_path.glob("*.rebuild"))


def test_nothing_to_do_the_second_time(source: str, tmp_path: Path) -> None:
    for target in (str(tmp_path / "a.parquet"), str(tmp_path / "index")):
        assert transfer(source, target).copied == 181
        again = transfer(source, target)
        assert (again.copied, again.verified) == (0, 181)


def test_an_empty_index(tmp_path: Path) -> None:
    build(str(tmp_path / "empty"), {})
    transfer(str(tmp_path / "empty"), str(tmp_path / "a.parquet"))
    report = transfer(str(tmp_path / "a.parquet"), str(tmp_path / "back"))
    assert (report.verified, report.least_cosine, report.segments) == (0, None, 0)
    assert_same(content(str(tmp_path / "back")), records(0) | {"roots": []})


def test_segments_without_their_image_come_too(source: str, tmp_path: Path) -> None:
    with closing(open_store(source, create_ok=False)) as store:
        store.delete("images", Filter((HasId((uid(3),)),)))
    before = content(source)
    assert transfer(source, str(tmp_path / "copy")).images == 29
    assert_same(content(str(tmp_path / "copy")), before)


def test_another_index_is_not_replaced_unasked(source: str, tmp_path: Path) -> None:
    for target in (str(tmp_path / "index"), str(tmp_path / "a.parquet")):
        transfer(source, target)
    with closing(open_store(source, create_ok=False)) as store:
        store.update_payloads("segments", {uid(3, 1): {"label": "jug"}})
    for target in (str(tmp_path / "index"), str(tmp_path / "a.parquet")):
        with pytest.raises(StoreError, match=f"{uid(3, 1)} has another payload") as refused:
            transfer(source, target)
        assert "--replace" in refused.value.hint
        assert transfer(source, target, replace=True).copied == 181
        assert transfer(source, target).copied == 0
    with pytest.raises(StoreError, match="float32, not float16"):
        transfer(source, str(tmp_path / "a.parquet"), float16=True)
    assert {path.name for path in (tmp_path / "a.parquet").iterdir()} == {
        *("segsearch.json", "images", "segments", "files", "roots")
    }


def test_the_old_index_serves_until_it_is_replaced(source: str, tmp_path: Path) -> None:
    old, target = records(3), str(tmp_path / "old")
    build(target, old)
    seen = []
    with closing(open_store(target, create_ok=False)) as store:

        def look(progress: TransferProgress) -> None:
            seen.append((progress.stage, store.count("segments")))

        transfer(source, target, replace=True, batch=20, on_progress=look)
        assert store.count("segments") == 120
    assert {count for _, count in seen} == {12}


def test_places_that_make_no_sense(source: str, tmp_path: Path) -> None:
    for target in (source, draft_location(source)):
        with pytest.raises(StoreError, match="itself"):
            transfer(source if target == source else draft_location(source), source)
    with pytest.raises(StoreError, match="no archive, and an index keeps float32"):
        transfer(source, str(tmp_path / "index"), float16=True)
    with pytest.raises(IndexNotFound):
        transfer(str(tmp_path / "nothing"), str(tmp_path / "index"))
    with pytest.raises(IndexNotFound, match="no archive"):
        transfer(str(tmp_path / "nothing.parquet"), str(tmp_path / "index"))
    (tmp_path / "file.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="no archive") as refused:
        transfer(source, str(tmp_path / "file.parquet"))
    assert "another name" in refused.value.hint
    (tmp_path / "a.parquet.rebuild").mkdir()
    (tmp_path / "a.parquet.rebuild" / "holiday.jpg").touch()
    with pytest.raises(StoreError, match="in the way"):
        transfer(source, str(tmp_path / "a.parquet"))
    assert (tmp_path / "a.parquet.rebuild" / "holiday.jpg").exists()
    assert not (tmp_path / "index").exists()


def test_an_index_of_another_version(tmp_path: Path) -> None:
    place = str(tmp_path / "other")
    with closing(open_store(place, create_ok=True)) as store:
        store.create(RECIPE | {"format": 2}, 8)
    with pytest.raises(RecipeMismatch, match="format 2"):
        transfer(place, str(tmp_path / "a.parquet"))


def test_nobody_else_writes(source: str, tmp_path: Path) -> None:
    target = str(tmp_path / "index")

    def try_to_write(_: TransferProgress) -> None:
        for place in (source, target):
            with pytest.raises(StoreError, match="another index run"), only_writer(place):
                pass

    transfer(source, target, on_progress=try_to_write)
    with only_writer(source), pytest.raises(StoreError, match="another index run"):
        transfer(source, str(tmp_path / "other"))


def test_a_source_that_changes_meanwhile(source: str, tmp_path: Path, facade: Facade) -> None:
    server, target = f"{facade.url}/photos", str(tmp_path / "a.parquet")
    transfer(source, server)
    with closing(open_store(server, create_ok=False)) as store:

        def write(progress: TransferProgress) -> None:
            if progress.kind == "images":
                store.upsert("files", [Point(uid("new"), {"path": "new.jpg"})])

        with pytest.raises(StoreError, match="changed while it was transferred"):
            transfer(server, target, on_progress=write)
    assert not is_there(target)
    assert transfer(server, target).files == 31


def test_a_stopped_transfer_goes_on(source: str, tmp_path: Path, small_parts: None) -> None:
    for target in (str(tmp_path / "a.parquet"), str(tmp_path / "index")):
        note, stopped = stop_after(100)
        with pytest.raises(Stopped, match="run the same command again"):
            transfer(source, target, batch=10, on_progress=note, stopped=stopped)
        assert not is_there(target)
        report = transfer(source, target, batch=10)
        assert report.copied == 181 - 101  # one root, then tens
    assert_same(content(str(tmp_path / "index")), records(30))


def test_a_source_that_changed_between_is_copied_anew(
    source: str, tmp_path: Path, facade: Facade
) -> None:
    targets = (str(tmp_path / "a.parquet"), f"{facade.url}/photos")
    for number, target in enumerate(targets):
        note, stopped = stop_after(100)
        with pytest.raises(Stopped):
            transfer(source, target, batch=10, on_progress=note, stopped=stopped)
        with closing(open_store(source, create_ok=False)) as store:
            first = store.scroll("segments", limit=1).points[0].id
            store.update_payloads("segments", {first: {"label": f"jug {number}"}})
        assert transfer(source, target).copied == 181
    assert_same(content(targets[1]), content(source))


def test_the_draft_of_another_source_is_not_used(
    source: str, tmp_path: Path, facade: Facade
) -> None:
    other, target = f"{facade.url}/other", f"{facade.url}/photos"
    build(other, records(2))
    note, stopped = stop_after(100)
    with pytest.raises(Stopped):
        transfer(source, target, batch=10, on_progress=note, stopped=stopped)
    assert transfer(other, target).copied == 13
    assert_same(content(target), records(2))


def at_the_end_of_copying(do: Callable[[], object]) -> Callable[[TransferProgress], None]:
    def note(progress: TransferProgress) -> None:
        if progress.stage == "copying" and progress.done == progress.total:
            do()

    return note


def test_a_vector_or_record_gone_wrong_is_noticed(source: str, facade: Facade) -> None:
    target = f"{facade.url}/photos"
    draft = draft_location(target)

    def spoil(do: Callable[[Store], object]) -> None:
        with closing(open_store(draft, create_ok=False)) as store:
            do(store)

    def flip(store: Store) -> None:
        (point,) = store.get("segments", [uid(3, 1)], vectors=True)
        assert point.vector is not None
        store.upsert("segments", [Point(point.id, point.payload, -point.vector)])

    changes: list[tuple[str, Callable[[Store], object]]] = [
        (f"the vector of {uid(3, 1)} has cosine -1", flip),
        ("119 segments, not 120", lambda s: s.delete("segments", Filter((HasId((uid(3, 1),)),)))),
        (
            f"of the files, {uid('file', 2)} has another payload",
            lambda s: s.update_payloads("files", {uid("file", 2): {"size": 12345.0}}),
        ),
    ]
    for message, change in changes:
        spoiled = at_the_end_of_copying(lambda change=change: spoil(change))  # type: ignore[misc]
        with pytest.raises(StoreError, match=message):
            transfer(source, target, on_progress=spoiled)
        for place in (target, draft):  # nor does the next run go on with it
            with pytest.raises(IndexNotFound):
                open_store(place, create_ok=False)
    assert transfer(source, target).copied == 181


def test_a_part_gone_wrong_is_noticed(source: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.parquet"
    part = draft_folder(archive) / "segments" / "part-00000.parquet"

    def tamper() -> None:
        rows = pq.read_table(part)
        (values,) = rows.column("vector").chunks
        flipped = np.array(values.flatten(), np.float32)
        flipped[:8] *= -1
        column = pa.FixedSizeListArray.from_arrays(pa.array(flipped), type=values.type)
        pq.write_table(
            rows.set_column(rows.schema.get_field_index("vector"), "vector", column), part
        )

    for damage, message in (
        (tamper, "has cosine -1"),
        (lambda: part.write_bytes(part.read_bytes()[:-9]), "cannot be read"),
        (lambda: pq.write_table(pq.read_table(part).slice(1), part), "119 segments, not 120"),
    ):
        with pytest.raises(StoreError, match=message):
            transfer(source, str(archive), on_progress=at_the_end_of_copying(damage))
        assert not archive.exists()
    assert transfer(source, str(archive)).copied == 181


def test_a_sample_of_many(tmp_path: Path) -> None:
    source, archive = str(tmp_path / "source"), str(tmp_path / "a.parquet")
    build(source, records(1100, each=2))
    report = transfer(source, archive)
    assert report.segments == 2200
    assert 3001 <= report.verified < 3200
    again = transfer(archive, str(tmp_path / "half.parquet"), float16=True)
    assert again.verified == report.verified  # the same ones
    assert again.least_cosine is not None
    assert 1 - 1e-6 < again.least_cosine < 1


def test_errors_of_the_server(source: str, tmp_path: Path, facade: Facade) -> None:
    server = f"{facade.url}/photos"
    with pytest.raises(StoreUnavailable):
        transfer(source, "http://127.0.0.1:1/photos")
    facade.faults.append(Fault("status", 503, on="PUT"))
    assert transfer(source, server).copied == 181  # repeated
    facade.faults.append(Fault("status", 400, on="POST /collections"))
    with pytest.raises(StoreError, match="injected 400"):
        transfer(server, str(tmp_path / "a.parquet"))
    assert not is_there(tmp_path / "a.parquet")


def test_too_little_room(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setenv(room.VARIABLE, "0")
    monkeypatch.setattr("indexer.store.transfer_places.shutil.disk_usage", lambda _: full)
    for target in (tmp_path / "a.parquet", tmp_path / "index"):
        with pytest.raises(StoreFull, match="the vectors alone take"):
            transfer(source, str(target))
        assert not is_there(target)
    monkeypatch.undo()
    (tmp_path / "full.parquet.rebuild").mkdir()
    (tmp_path / "full.parquet.rebuild" / "roots").mkdir()
    (tmp_path / "full.parquet.rebuild" / "transfer.json").write_text("{}")
    real = writing._Part._write

    def no_room(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing._Part, "_write", no_room)
    with pytest.raises(StoreFull, match="the disk is full under"):
        transfer(source, str(tmp_path / "full.parquet"))
    monkeypatch.setattr(writing._Part, "_write", real)
    assert transfer(source, str(tmp_path / "full.parquet")).copied == 181


def test_no_model_and_no_torch(source: str, tmp_path: Path) -> None:
    code = (
        "import sys; from indexer.store.transfer import transfer\n"
        "transfer(sys.argv[1], sys.argv[2]); print(*sys.modules)"
    )
    seen = {}
    for target in ("index", "a.parquet"):
        command = [sys.executable, "-c", code, source, str(tmp_path / target)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        seen[target] = set(ran.stdout.split())
        assert not seen[target] & {"torch", "sam2", "open_clip", "qdrant_edge"}
    assert "pyarrow" not in seen["index"]
    assert "pyarrow" in seen["a.parquet"]
