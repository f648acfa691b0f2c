"""An index keeps in step with a library whose files are renamed, moved, removed and rebuilt."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer
from indexer.errors import IndexNotFound, RecipeMismatch, SegsearchError
from indexer.index import Index
from indexer.profiles import Profile
from indexer.report import Report, Survey
from indexer.store import draft_location, open_store
from indexer.store.base import KINDS, Kind
from tests.pictures import write_scene


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four different pictures in two folders."""
    for seed, name in enumerate(("a.png", "b.png", "trip/c.png", "trip/d.png")):
        write_scene(tmp_path / "photos" / name, seed)
    return tmp_path / "photos"


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "index")


@pytest.fixture
def quick(fast_profile: Profile) -> Profile:
    """A profile with very few points."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=2))


@pytest.fixture
def indexer(photos: Path, where: str, quick: Profile) -> Indexer:
    """An indexer that has indexed the four pictures."""
    indexer = Indexer(where, quick)
    assert indexer.index([photos]).images == 4
    return indexer


def done(report: Report) -> dict[str, int]:
    """Return what is not zero."""
    names = ("unchanged", "images", "copies", "renamed", "failed", "gone", "pruned")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def places(where: str) -> list[str]:
    """Return every place of every image, as "root's name/relative path"."""
    with closing(open_store(where, create_ok=False)) as store:
        index = Index(store, where)
        roots = {id_: path.name for id_, path in index.roots().items()}
        found = [path.split("/", 1) for image in index.all_images() for path in image.paths]
        return sorted(f"{roots[root]}/{path}" for root, path in found)


def records(where: str, kind: Kind) -> dict[str, Any]:
    """Return id → payload of every record of a kind."""
    with closing(open_store(where, create_ok=False)) as store:
        return {point.id: point.payload for point in store.scroll(kind, limit=10_000).points}


def test_a_renamed_file_keeps_its_segments(indexer: Indexer, photos: Path, where: str) -> None:
    before = records(where, "segments").keys()
    (photos / "a.png").rename(photos / "trip" / "renamed.png")
    assert done(indexer.index([photos])) == {"unchanged": 3, "renamed": 1}
    assert records(where, "segments").keys() == before
    assert places(where) == [f"photos/{n}" for n in ("b.png", *(f"trip/{c}.png" for c in "cd"))] + [
        "photos/trip/renamed.png"
    ]
    assert len(records(where, "files")) == 4
    assert done(indexer.index([photos])) == {"unchanged": 4}


def test_a_renamed_folder(indexer: Indexer, photos: Path, where: str) -> None:
    (photos / "trip").rename(photos / "journey")
    assert done(indexer.index([photos])) == {"unchanged": 2, "renamed": 2}
    assert "photos/journey/d.png" in places(where)
    assert len(records(where, "files")) == 4


def test_a_moved_library_is_one_changed_record(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path
) -> None:
    before = {kind: records(where, kind) for kind in KINDS}
    photos.rename(tmp_path / "elsewhere")
    assert done(indexer.index([tmp_path / "elsewhere"])) == {"unchanged": 4}
    after = {kind: records(where, kind) for kind in KINDS}
    assert [kind for kind in KINDS if before[kind] != after[kind]] == ["roots"]
    assert [r["path"] for r in after["roots"].values()] == [str(tmp_path / "elsewhere")]


def test_a_library_that_was_copied_is_another_one(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "copy")
    assert done(indexer.index([tmp_path / "copy"])) == {"copies": 4}
    assert len(places(where)) == 8


def test_another_library_at_the_place_of_a_moved_one(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "moved")
    indexer.index([tmp_path / "moved"])
    write_scene(photos / "a.png", 20)
    assert done(indexer.index([photos])) == {"images": 1}
    assert places(where)[:2] == ["moved/a.png", "moved/b.png"]
    assert places(where)[-1] == "photos/a.png"


def test_swapped_names(indexer: Indexer, photos: Path, where: str) -> None:
    (photos / "a.png").rename(photos / "x.png")
    (photos / "b.png").rename(photos / "a.png")
    (photos / "x.png").rename(photos / "b.png")
    for name in "ab":
        os.utime(photos / f"{name}.png", ns=(1, 1))
    report = indexer.index([photos])
    assert report.complete
    assert len(places(where)) == 4
    assert len(records(where, "images")) == 4
    assert done(indexer.index([photos])) == {"unchanged": 4}


def test_a_touched_file_is_unchanged(indexer: Indexer, photos: Path) -> None:
    os.utime(photos / "a.png", ns=(1, 1))
    assert done(indexer.index([photos])) == {"unchanged": 4}
    assert indexer.survey([photos]) == Survey(files=4, unchanged=4)


def test_what_is_gone_is_reported_and_pruned(indexer: Indexer, photos: Path, where: str) -> None:
    (photos / "a.png").unlink()
    shutil.rmtree(photos / "trip")
    assert done(indexer.index([photos])) == {"unchanged": 1, "gone": 3}
    assert len(places(where)) == 4
    assert done(indexer.index([photos], prune=True)) == {"unchanged": 1, "gone": 3, "pruned": 3}
    assert places(where) == ["photos/b.png"]
    (image,) = records(where, "images").values()
    assert len(records(where, "segments")) == image["n_segments"]
    assert done(indexer.index([photos])) == {"unchanged": 1}


def test_pruning_keeps_to_the_paths_given(indexer: Indexer, photos: Path, where: str) -> None:
    (photos / "a.png").unlink()
    (photos / "trip" / "c.png").unlink()
    assert done(indexer.index([photos / "trip"], prune=True)) == {
        "unchanged": 1,
        "gone": 1,
        "pruned": 1,
    }
    assert places(where) == ["photos/a.png", "photos/b.png", "photos/trip/d.png"]


def test_pruning_leaves_what_is_merely_excluded(indexer: Indexer, photos: Path) -> None:
    assert done(indexer.index([photos], exclude="trip", prune=True)) == {"unchanged": 2}
    assert done(indexer.index([photos])) == {"unchanged": 4}


def test_pruning_keeps_the_other_copy(indexer: Indexer, photos: Path, where: str) -> None:
    shutil.copy(photos / "a.png", photos / "z.png")
    indexer.index([photos])
    (photos / "z.png").unlink()
    assert done(indexer.index([photos], prune=True)) == {"unchanged": 4, "gone": 1, "pruned": 1}
    assert len(places(where)) == 4


def test_an_empty_mount_point_prunes_nothing(indexer: Indexer, photos: Path, where: str) -> None:
    shutil.rmtree(photos)
    with pytest.raises(SegsearchError, match="there is no file or folder"):
        indexer.index([photos], prune=True)
    photos.mkdir()
    with pytest.raises(
        SegsearchError, match=r"no recorded picture of .* is there any more"
    ) as caught:
        indexer.index([photos], prune=True)
    assert caught.value.hint.endswith(f"segsearch forget {photos}")
    assert len(places(where)) == 4
    with pytest.raises(SegsearchError, match="no recorded picture"):
        indexer.index(rebuild=True)


def test_forgetting(indexer: Indexer, photos: Path, where: str, tmp_path: Path) -> None:
    shutil.rmtree(photos / "trip")
    assert indexer.forget(photos / "trip") == 2
    assert places(where) == ["photos/a.png", "photos/b.png"]
    with pytest.raises(SegsearchError, match="elsewhere is not in the library"):
        indexer.forget([tmp_path / "elsewhere"])
    assert indexer.forget([photos]) == 2
    assert [len(records(where, kind)) for kind in KINDS] == [0, 0, 0, 0]
    assert done(indexer.index([photos])) == {"images": 2}


def test_a_survey_reads_and_writes_nothing(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path, quick: Profile
) -> None:
    write_scene(photos / "new.png", 9)
    (photos / "b.png").unlink()
    (photos / "a.png").write_bytes(b"")
    (photos / "link.png").symlink_to(photos / "nowhere.png")
    before = {kind: records(where, kind) for kind in KINDS}
    found = Survey(files=5, new=1, changed=1, retry=1, unchanged=2, gone=1)
    assert indexer.survey([photos]) == replace(
        found, pending_bytes=(photos / "new.png").stat().st_size
    )
    assert {kind: records(where, kind) for kind in KINDS} == before
    absent = Indexer(tmp_path / "absent", quick)
    assert absent.survey(photos / "trip").new == 2
    assert not (tmp_path / "absent").exists()


def test_without_paths_the_indexs_own_folders_are_meant(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path, quick: Profile
) -> None:
    write_scene(photos / "new.png", 9)
    assert done(indexer.index()) == {"unchanged": 4, "images": 1}
    with pytest.raises(IndexNotFound, match="no index") as caught:
        Indexer(tmp_path / "absent", quick).index()
    assert caught.value.hint == "name the folders that are to be indexed"


def test_without_a_profile_the_indexs_own_is_meant(
    indexer: Indexer, photos: Path, where: str
) -> None:
    write_scene(photos / "new.png", 9)
    assert done(Indexer(where).index([photos])) == {"unchanged": 4, "images": 1}
    with pytest.raises(RecipeMismatch, match="segmentation"):
        Indexer(where, "demo").index([photos])


def test_a_rebuild_replaces_the_index_when_it_is_complete(
    indexer: Indexer, photos: Path, where: str, quick: Profile, fast_profile: Profile
) -> None:
    write_scene(photos / "new.png", 9)
    (photos / "a.png").unlink()
    before = {kind: records(where, kind) for kind in KINDS}
    other = Indexer(where, replace(quick, clip=replace(quick.clip, crop_margin=2.0)))
    first = other.index(rebuild=True, limit=2)
    assert (first.complete, first.images) == (False, 2)
    assert {kind: records(where, kind) for kind in KINDS} == before
    assert done(indexer.index([photos / "trip"])) == {"unchanged": 2}  # the old one serves on

    second = other.index(rebuild=True)
    assert done(second) == {"unchanged": 2, "images": 2}
    assert places(where) == [
        f"photos/{n}" for n in ("b.png", "new.png", "trip/c.png", "trip/d.png")
    ]
    assert records(where, "roots") == before["roots"]
    assert not Path(draft_location(where)).exists()
    assert done(other.index([photos])) == {"unchanged": 4}
    with pytest.raises(RecipeMismatch, match="crop_margin"):
        indexer.index([photos])


def test_a_rebuild_with_another_recipe_starts_its_draft_anew(
    indexer: Indexer, photos: Path, where: str, quick: Profile
) -> None:
    def with_margin(margin: float) -> Indexer:
        return Indexer(where, replace(quick, clip=replace(quick.clip, crop_margin=margin)))

    assert with_margin(2.0).index(rebuild=True, limit=3).images == 3
    assert done(with_margin(3.0).index(rebuild=True)) == {"images": 4}


def test_a_rebuild_needs_an_index(photos: Path, where: str, quick: Profile) -> None:
    with pytest.raises(IndexNotFound):
        Indexer(where, quick).index([photos], rebuild=True)


def test_boxes_of_a_detector(photos: Path, where: str, quick: Profile, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"

    def detect(*found: dict[str, Any]) -> None:
        boxes.write_text(json.dumps(list(found)), encoding="utf-8")

    star = {"file_name": "a.png", "bbox": [10, 10, 40, 30], "category_name": "star", "score": 0.9}
    cup = {"file_name": "trip/c.png", "bbox": [5, 5, 60, 50], "category_name": "cup", "score": 0.5}
    detect(star, cup)
    indexer = Indexer(where, quick, boxes=boxes, grid=False)
    report = indexer.index([photos])
    assert (report.images, report.segments) == (4, 2)
    labels = sorted((s["label"], s["label_score"]) for s in records(where, "segments").values())
    assert labels == [("cup", 0.5), ("star", 0.9)]

    assert done(indexer.index([photos])) == {"unchanged": 4}
    detect(star, cup | {"category_name": "mug"})  # only that picture is cut anew
    assert done(indexer.index([photos])) == {"unchanged": 3, "images": 1}
    assert sorted(s["label"] for s in records(where, "segments").values()) == ["mug", "star"]
    assert len(places(where)) == 4

    with pytest.raises(RecipeMismatch, match="prompts: the index has 'boxes', this run 'grid'"):
        Indexer(where, quick).index([photos])
    with pytest.raises(SegsearchError, match="without the grid"):
        Indexer(where, quick, grid=False)


def test_new_boxes_keep_the_other_places_of_a_picture(
    photos: Path, where: str, quick: Profile, tmp_path: Path
) -> None:
    shutil.copy(photos / "a.png", photos / "z.png")
    boxes = tmp_path / "boxes.json"
    star = {"file_name": "a.png", "bbox": [10, 10, 40, 30], "category_name": "star"}
    boxes.write_text(json.dumps([star]), encoding="utf-8")
    indexer = Indexer(where, quick, boxes=boxes)
    assert done(indexer.index([photos])) == {"images": 4, "copies": 1}
    boxes.write_text(json.dumps([star | {"category_name": "sun"}]), encoding="utf-8")
    assert done(indexer.index([photos])) == {"unchanged": 4, "images": 1}
    assert {"photos/a.png", "photos/z.png"} <= set(places(where))
    assert len(records(where, "images")) == 4


def test_a_survey_is_plain_data() -> None:
    found = Survey(files=3, new=1, retry=1, unchanged=1, pending_bytes=10)
    assert found.pending == 2
    assert set(asdict(found)) >= {"files", "new", "changed", "gone", "pending_bytes"}


def test_a_misspelt_path_changes_nothing(indexer: Indexer, photos: Path, where: str) -> None:
    before = records(where, "roots")
    with pytest.raises(SegsearchError, match="there is no file or folder"):
        indexer.index([photos.parent / "phtoos"])
    with pytest.raises(SegsearchError, match="there is no file or folder"):
        indexer.index([photos.parent / "phtoos"], rebuild=True)
    assert records(where, "roots") == before
    assert done(indexer.index(rebuild=True)) == {"images": 4}
    assert records(where, "roots") == before


def test_a_single_file_does_not_bring_its_folder(indexer: Indexer, tmp_path: Path) -> None:
    for seed, name in enumerate("xyz", start=10):
        write_scene(tmp_path / "other" / f"{name}.png", seed)
    assert done(indexer.index(tmp_path / "other" / "y.png")) == {"images": 1}
    assert done(indexer.index()) == {"unchanged": 5}
    assert done(indexer.index(rebuild=True)) == {"images": 5}
    (tmp_path / "other" / "y.png").rename(tmp_path / "y.png")
    assert done(indexer.index(prune=True)) == {"unchanged": 4, "gone": 1, "pruned": 1}
    (tmp_path / "y.png").rename(tmp_path / "other" / "y.png")
    assert done(indexer.index(tmp_path / "other")) == {"images": 3}
    assert done(indexer.index()) == {"unchanged": 7}


def test_a_library_whose_drive_is_away_was_not_renamed(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "backup")
    shutil.rmtree(photos)
    photos.mkdir()  # an empty mount point
    assert done(indexer.index(tmp_path / "backup")) == {"copies": 4}
    assert len(places(where)) == 8


def test_what_is_behind_a_link_that_leads_nowhere_is_not_gone(
    photos: Path, where: str, quick: Profile, tmp_path: Path
) -> None:
    write_scene(tmp_path / "drive" / "x.png", 10)
    (photos / "link").symlink_to(tmp_path / "drive")
    indexer = Indexer(where, quick)
    assert indexer.index(photos).images == 5
    (tmp_path / "drive").rename(tmp_path / "unplugged")
    assert done(indexer.index(photos, prune=True)) == {"unchanged": 4, "failed": 1}
    assert "photos/link/x.png" in places(where)
    with pytest.raises(SegsearchError, match="link cannot be read now, so the old index was not"):
        indexer.index(rebuild=True)
    (tmp_path / "unplugged").rename(tmp_path / "drive")
    assert done(indexer.index(photos, prune=True)) == {"unchanged": 5}


def test_a_library_behind_a_link_now(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "big")
    photos.symlink_to(tmp_path / "big")
    assert done(indexer.index(photos)) == {"unchanged": 4}
    assert len(places(where)) == 4


def test_a_stopped_rebuild_does_not_remember_what_was_forgotten(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path
) -> None:
    write_scene(tmp_path / "other" / "x.png", 10)
    indexer.index(tmp_path / "other")
    indexer.index(rebuild=True, limit=3)
    indexer.forget(tmp_path / "other")
    indexer.index(rebuild=True)
    assert len(places(where)) == 4
    assert len(records(where, "roots")) == 1


def test_a_folder_that_is_away_does_not_keep_the_others_waiting(
    indexer: Indexer, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_scene(tmp_path / "other" / "x.png", 10)
    indexer.index(tmp_path / "other")
    photos.rename(tmp_path / "away")
    assert done(indexer.index()) == {"unchanged": 1}
    assert caplog.messages == [f"skipped, for it is not there: {photos}"]
    (tmp_path / "other").rename(tmp_path / "away too")
    with pytest.raises(SegsearchError, match="none of the index's own folders is there"):
        indexer.index()


def test_a_survey_knows_of_moves_and_rebuilds(
    indexer: Indexer, photos: Path, tmp_path: Path
) -> None:
    assert indexer.survey(rebuild=True).new == 4
    photos.rename(tmp_path / "moved")
    assert indexer.survey(tmp_path / "moved") == Survey(files=4, unchanged=4)


def test_boxes_of_the_first_place_count_for_copies(
    photos: Path, where: str, quick: Profile, tmp_path: Path
) -> None:
    shutil.copy(photos / "a.png", photos / "z.png")
    boxes = tmp_path / "boxes.json"

    def detect(first: str, last: str) -> None:
        box = {"bbox": [10, 10, 40, 30]}
        both = {"a.png": first, "z.png": last}
        found = [box | {"file_name": name, "category_name": both[name]} for name in both]
        boxes.write_text(json.dumps(found), encoding="utf-8")

    detect("one", "two")
    Indexer(where, quick, boxes=boxes, grid=False).index(photos)
    for batch_size in (64, 1):
        detect(f"three {batch_size}", f"four {batch_size}")
        with Indexer(where, quick, boxes=boxes, grid=False, batch_size=batch_size) as indexer:
            assert indexer.index(photos).images == 1
        labels = [segment["label"] for segment in records(where, "segments").values()]
        assert labels == [f"three {batch_size}"]


def test_a_link_below_a_nested_root_that_leads_somewhere_again(
    photos: Path, where: str, quick: Profile, tmp_path: Path
) -> None:
    write_scene(tmp_path / "drive" / "x.png", 10)
    (photos / "trip" / "link").symlink_to(tmp_path / "drive")
    indexer = Indexer(where, quick)
    indexer.index(photos / "trip")
    indexer.index(photos)
    (tmp_path / "drive").rename(tmp_path / "unplugged")
    with pytest.raises(SegsearchError, match="link cannot be read now"):
        indexer.index(rebuild=True)
    (tmp_path / "unplugged").rename(tmp_path / "drive")
    assert indexer.index(rebuild=True).complete
    assert len(places(where)) == 5


def test_a_library_moved_to_where_a_single_file_was_indexed(
    indexer: Indexer, photos: Path, where: str, tmp_path: Path
) -> None:
    write_scene(tmp_path / "new" / "x.png", 10)
    indexer.index(tmp_path / "new" / "x.png")
    for path in photos.iterdir():
        path.rename(tmp_path / "new" / path.name)
    photos.rmdir()
    report = indexer.index(tmp_path / "new")
    assert (report.images, report.complete) == (0, True)
    assert len(records(where, "images")) == 5
    assert len({root["path"] for root in records(where, "roots").values()}) == 2
