"""Index runs through the Python API, on the real models and the real embedded store."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer import Indexer
from indexer.errors import RecipeMismatch, SegsearchError, StoreError
from indexer.index import Index
from indexer.profiles import Profile
from indexer.records import Status, image_id
from indexer.report import Report
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt
from indexer.store import open_store
from tests.pictures import SIZE, scene, write_scene


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three different pictures."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(("a.png", "b.png", "trip/c.png")):
        write_scene(folder / name, seed)
    return folder


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "index")


@contextmanager
def opened(where: str) -> Iterator[Index]:
    index = Index(open_store(where, create_ok=False), where)
    yield index
    index.close()


def status(where: str) -> Status:
    with opened(where) as index:
        return index.status()


def segment_ids(where: str) -> dict[str, list[str]]:
    """Return path → ids of its segments."""
    with opened(where) as index:
        return {i.paths[0]: [s.id for s in index.segments_of(i.id)] for i in index.all_images()}


def counts(report: Report) -> dict[str, int]:
    """Return what is not zero."""
    names = ("files", "unchanged", "images", "copies", "failed", "known_failures")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def test_a_folder_is_indexed_once(photos: Path, where: str, fast_profile: Profile) -> None:
    seen: list[Report] = []
    with Indexer(where, fast_profile) as indexer:
        report = indexer.index([photos], on_progress=seen.append)
        assert counts(report) == {"files": 3, "images": 3}
        assert report.complete
        assert counts(indexer.index([photos])) == {"files": 3, "unchanged": 3}
    assert [r.images for r in seen] == sorted(r.images for r in seen)
    assert (seen[0].files, seen[0].pending, seen[0].complete) == (3, 3, False)
    assert (seen[-1].files, seen[-1].pending, seen[-1].complete) == (3, 0, True)
    assert {r.current.name for r in seen if r.current} == {"a.png", "b.png", "c.png"}
    assert report.segments > 3
    assert {"read", "decode", "segment", "crop", "embed", "write"} <= report.stages.keys()
    assert report.peak_memory_bytes > 100e6
    assert status(where) == Status(files=3, images=3, segments=report.segments, failed=0)


def test_every_segment_fits_its_picture(photos: Path, where: str, fast_profile: Profile) -> None:
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos])
    with opened(where) as index:
        for image in index.all_images():
            segments = index.segments_of(image.id)
            assert len(segments) == image.n_segments
            by_id = {segment.id: segment for segment in segments}
            for segment in segments:
                region = segment.region
                mask = masks.decode(region.rle)
                assert mask.shape == SIZE[::-1]
                assert region.area_px == mask.sum()
                rows, columns = np.nonzero(mask)
                tight = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert region.box == tight
                if segment.parent_id is not None:
                    assert region.depth == by_id[segment.parent_id].region.depth + 1


def test_two_runs_give_the_same_ids(
    photos: Path, tmp_path: Path, where: str, fast_profile: Profile
) -> None:
    other = str(tmp_path / "other")
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos])
    with Indexer(other, fast_profile) as indexer:
        indexer.index([photos], limit=1)
        indexer.index([photos])
    assert segment_ids(where) == segment_ids(other)


def test_a_copy_adds_a_file_and_no_segment(photos: Path, where: str, fast_profile: Profile) -> None:
    with Indexer(where, fast_profile) as indexer:
        before = indexer.index([photos])
        shutil.copy(photos / "a.png", photos / "trip" / "same.png")
        assert counts(indexer.index([photos])) == {"files": 4, "unchanged": 3, "copies": 1}
    assert status(where) == Status(files=4, images=3, segments=before.segments, failed=0)


def test_copies_in_one_run_are_embedded_once(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    shutil.copy(photos / "a.png", photos / "aa.png")
    with Indexer(where, fast_profile) as indexer:
        assert counts(indexer.index([photos])) == {"files": 4, "images": 3, "copies": 1}
    with opened(where) as index:
        (both,) = [image for image in index.all_images() if len(image.paths) == 2]
        assert [path.rpartition("/")[2] for path in both.paths] == ["a.png", "aa.png"]


def test_two_folders_with_the_same_names_do_not_collide(
    tmp_path: Path, where: str, fast_profile: Profile
) -> None:
    write_scene(tmp_path / "one" / "x.png", 1)
    write_scene(tmp_path / "two" / "x.png", 2)
    with Indexer(where, fast_profile) as indexer:
        indexer.index([tmp_path / "one", tmp_path / "two"])
    assert (status(where).files, status(where).images) == (2, 2)


def test_a_subfolder_indexed_later_is_not_recorded_twice(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos / "trip"])
        indexer.index([photos])
        assert counts(indexer.index([photos / "trip", photos])) == {"files": 3, "unchanged": 3}
        assert counts(indexer.index([photos / "a.png"])) == {"files": 1, "unchanged": 1}
    assert (status(where).files, status(where).images) == (3, 3)


def test_bad_files_are_recorded_and_the_run_goes_on(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    (photos / "0.jpg").write_bytes(b"")
    (photos / "text.png").write_text("not a picture")
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:300])
    with Indexer(where, fast_profile) as indexer:
        assert counts(indexer.index([photos])) == {"files": 6, "images": 3, "failed": 3}
        again = {"files": 6, "unchanged": 3, "known_failures": 3}
        assert counts(indexer.index([photos])) == again
    with opened(where) as index:
        reasons = {f.path: f.failure.reason for f in index.failures() if f.failure is not None}
    assert reasons == {"0.jpg": "empty", "text.png": "unsupported_format", "cut.png": "corrupt"}


def test_a_file_that_is_mended_is_indexed(photos: Path, where: str, fast_profile: Profile) -> None:
    (photos / "new.png").write_bytes(b"")
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos])
        write_scene(photos / "new.png", 7)
        assert counts(indexer.index([photos])) == {"files": 4, "unchanged": 3, "images": 1}
    assert status(where).failed == 0


def test_a_changed_file_replaces_its_old_picture(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos])
        write_scene(photos / "a.png", 9)
        assert counts(indexer.index([photos])) == {"files": 3, "unchanged": 2, "images": 1}
    with opened(where) as index:
        total = sum(image.n_segments for image in index.all_images())
        assert (index.status().images, index.status().segments) == (3, total)
    store = open_store(where, create_ok=False)
    assert store.count("segments") == total
    store.close()


def test_a_picture_that_became_unusable_is_taken_out(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos])
        (photos / "a.png").write_bytes(b"")
        assert counts(indexer.index([photos])) == {"files": 3, "unchanged": 2, "failed": 1}
    assert (status(where).images, status(where).failed) == (2, 1)


def test_an_unreadable_folder_is_reported_until_it_is_readable(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    (photos / "link.png").symlink_to(photos / "nowhere.png")
    with Indexer(where, fast_profile) as indexer:
        assert indexer.index([photos]).failed == 1
        assert indexer.index([photos]).failed == 1
        assert status(where).failed == 1
        (photos / "link.png").unlink()
        assert indexer.index([photos]).failed == 0
    assert status(where) == replace(status(where), failed=0, files=3)


def test_a_picture_without_masks_is_still_indexed(
    tmp_path: Path, where: str, fast_profile: Profile
) -> None:
    strict = replace(fast_profile, masks=replace(fast_profile.masks, pred_iou_thresh=1.0))
    write_scene(tmp_path / "photos" / "x.png", 1)
    with Indexer(where, strict) as indexer:
        assert counts(indexer.index([tmp_path / "photos"])) == {"files": 1, "images": 1}
    assert status(where) == Status(files=1, images=1, segments=0, failed=0)


def test_limit_and_exclude(photos: Path, where: str, fast_profile: Profile) -> None:
    with Indexer(where, fast_profile) as indexer:
        first = indexer.index([photos], exclude=["trip"], limit=1)
        assert (first.images, first.complete) == (1, False)
        assert counts(indexer.index([photos], exclude=["trip"])) == {
            "files": 2,
            "unchanged": 1,
            "images": 1,
        }


def test_stopping_leaves_the_picture_at_hand_for_the_next_run(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    seen: list[str] = []

    def note(report: Report) -> None:
        if report.current is not None:
            seen.append(report.current.name)

    with Indexer(where, fast_profile) as indexer:
        report = indexer.index([photos], on_progress=note, stopped=lambda: "b.png" in seen)
        assert (report.files, report.images, report.complete) == (3, 1, False)
        assert counts(indexer.index([photos])) == {"files": 3, "unchanged": 1, "images": 2}


def test_names_that_are_not_utf_8(tmp_path: Path, where: str, fast_profile: Profile) -> None:
    path = tmp_path / "photos" / os.fsdecode(b"caf\xe9.png")
    write_scene(path, 1)
    with Indexer(where, fast_profile) as indexer:
        assert indexer.index([tmp_path / "photos"]).images == 1
        assert counts(indexer.index([tmp_path / "photos"])) == {"files": 1, "unchanged": 1}


def test_an_index_built_otherwise_is_refused(
    photos: Path, where: str, fast_profile: Profile
) -> None:
    other = replace(fast_profile, clip=replace(fast_profile.clip, crop_margin=2.0))
    finer = replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=7))
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos], limit=1)
    with pytest.raises(RecipeMismatch, match=r"crop_margin: the index has 1.2, this run 2.0"):
        Indexer(where, other).index([photos])
    with pytest.raises(RecipeMismatch, match=r"points_per_side: the index has 4, this run 7"):
        Indexer(where, finer).index([photos])
    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos])
    with pytest.raises(RecipeMismatch, match="merge_iou_thresh"):  # also with nothing new
        Indexer(where, fast_profile, merge=False).index([photos])
    loaded = Indexer(where, finer)
    loaded.models()
    with pytest.raises(RecipeMismatch, match="points_per_side"):
        loaded.index([photos])


def test_one_path_may_be_given_as_it_is(photos: Path, where: str, fast_profile: Profile) -> None:
    with Indexer(where, fast_profile) as indexer:
        assert indexer.index(photos / "trip").images == 1
        assert indexer.index(str(photos / "a.png")).images == 1
        assert indexer.index(photos, limit=0).complete is False
        assert indexer.index(photos, exclude="b.*").unchanged == 2


def test_nothing_to_index_makes_no_index(tmp_path: Path, where: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SegsearchError, match="there is no picture in"):
        Indexer(where, "demo").index([tmp_path / "empty"])
    with pytest.raises(SegsearchError, match="there is no file or folder"):
        Indexer(where, "demo").index([tmp_path / "absent"])
    assert not Path(where).exists()


def test_one_writer_at_a_time(photos: Path, where: str, fast_profile: Profile) -> None:
    with Indexer(where, fast_profile) as first, Indexer(where, fast_profile) as second:

        def try_too(_: Report) -> None:
            with pytest.raises(StoreError, match="another index run is writing"):
                second.index([photos])

        assert first.index([photos], on_progress=try_too).images == 3


def test_pieces_for_callers_who_bring_their_own_pictures(fast_profile: Profile) -> None:
    with Indexer("unused", fast_profile) as indexer:
        picture = scene(3)
        regions = indexer.segments(picture)
        vectors = indexer.vectors(np.asarray(picture), regions)
        assert vectors.shape == (len(regions), 128)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
        region = indexer.prompted(picture, Prompt(box=(10, 10, 60, 60)))
        assert region is not None
        assert region.rle.size == (72, 96)
        with pytest.raises(SegsearchError, match="must be RGB"):
            indexer.segments(picture.convert("RGBA"))
        with pytest.raises(SegsearchError, match=r"mask of 96×72 pixels .* picture of 48×36"):
            indexer.vectors(picture.resize((48, 36)), regions)


def test_the_image_id_is_its_bytes(photos: Path, where: str, fast_profile: Profile) -> None:
    import hashlib

    with Indexer(where, fast_profile) as indexer:
        indexer.index([photos / "a.png"])
    sha256 = hashlib.sha256((photos / "a.png").read_bytes()).hexdigest()
    with opened(where) as index:
        assert len(index.images([image_id(sha256)])) == 1


def test_importing_the_package_is_cheap() -> None:
    import subprocess

    code = "import indexer, search, sys; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
