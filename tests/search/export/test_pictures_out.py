"""Pictures that are written, read back by Pillow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from indexer.crops import Pixels
from indexer.errors import PictureError, QueryError, SegsearchError
from search.export import PICTURES, How, Kind, Missing, Written, pictures_out
from search.export.export import export, save
from search.hits import Hit
from search.reading import read_picture
from tests.search.export.made import Mask, block, made_hit

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MASKS = SIZES.flatmap(lambda size: arrays.arrays(np.bool_, size)).filter(np.any)
MIDDLE = block(slice(3, 6), slice(4, 8))


def one(hit: Hit, folder: Path, kind: Kind, how: How) -> PIL.Image.Image:
    (written,) = save([hit], folder, "x", [kind], how)
    assert isinstance(written, Written)
    with PIL.Image.open(written.file) as picture:
        picture.load()
        return picture


@given(MASKS, st.booleans())
@settings(max_examples=30)
def test_alpha_is_the_mask_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, mask: Mask, trim: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "alpha"
    hit = made_hit(folder / "photos", "a.png", mask)
    assert hit.segment is not None
    x0, y0, x1, y1 = hit.segment.region.box if trim else (0, 0, mask.shape[1], mask.shape[0])
    picture = one(hit, folder, Kind.cutout, How(trim=trim))
    assert (picture.format, picture.mode) == ("PNG", "RGBA")
    cut = np.asarray(picture)
    np.testing.assert_array_equal(cut[..., 3], mask[y0:y1, x0:x1] * np.uint8(255))
    seen = mask[y0:y1, x0:x1]
    np.testing.assert_array_equal(cut[seen, :3], read_picture(hit)[y0:y1, x0:x1][seen])
    assert not cut[~seen].any()


def test_a_mask(tmp_path: Path) -> None:
    picture = one(made_hit(tmp_path, "a.png", MIDDLE), tmp_path, Kind.mask, How())
    assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (12, 9))
    np.testing.assert_array_equal(np.asarray(picture), MIDDLE * np.uint8(255))


def test_another_background(tmp_path: Path) -> None:
    hit = made_hit(tmp_path, "a.png", block(slice(0, 32), slice(0, 32), (64, 64)))
    composed = np.asarray(one(hit, tmp_path, Kind.background, How(background=(0, 0, 255))))
    assert composed.shape == (64, 64, 3)
    assert np.abs(composed[36:, 36:].astype(int) - (0, 0, 255)).max() < 12  # JPEG
    assert np.asarray(one(hit, tmp_path, Kind.background, How()))[40:, 40:].min() > 240


def test_crops_are_square(tmp_path: Path) -> None:
    hit = made_hit(tmp_path, "a.png", MIDDLE)  # its box is 4 wide
    assert one(hit, tmp_path, Kind.crop, How(margin=1.5)).size == (6, 6)
    assert one(hit, tmp_path, Kind.crop, How(margin=1)).size == (4, 4)
    assert one(hit, tmp_path, Kind.crop, How(size=32)).size == (32, 32)


def test_an_overlay_of_a_hit_has_its_mask_alone(tmp_path: Path) -> None:
    one_mask, other = (
        block(slice(0, 20), slice(0, 20), (60, 60)),
        block(slice(40, 60), slice(40, 60), (60, 60)),
    )
    hits = [made_hit(tmp_path / "photos", "a.png", mask) for mask in (one_mask, other)]
    ranked = save(hits, tmp_path / "ranked", "x", [Kind.overlay])
    assert [type(each) for each in ranked] == [Written, Written]
    (all_,) = export(hits, tmp_path / "all", "x", kinds=[Kind.overlay], ranked=False)
    assert isinstance(all_, Written)
    assert all_.segments == 2
    before = read_picture(hits[0]).astype(int)
    changed = np.abs(np.asarray(PIL.Image.open(all_.file)).astype(int) - before).mean(axis=2)
    assert isinstance(ranked[0], Written)
    alone = np.abs(np.asarray(PIL.Image.open(ranked[0].file)).astype(int) - before).mean(axis=2)
    assert (changed[one_mask].mean() > 20, changed[other].mean() > 20) == (True, True)
    assert (alone[one_mask].mean() > 20, alone[other].mean() > 10) == (True, False)


def test_every_kind_of_every_hit_has_a_file_of_its_own(tmp_path: Path) -> None:
    masks = [block(slice(row, row + 2), slice(2, 9)) for row in (0, 3, 6)]
    hits = [
        *(made_hit(tmp_path / "photos", "a.png", mask) for mask in masks),
        made_hit(tmp_path / "photos", "b/a.png", masks[0], seed=1),
    ]
    for ranked in (True, False):
        folder = tmp_path / f"out-{ranked}"
        done = list(export(hits, folder, "x", kinds=list(Kind), ranked=ranked))
        files = [each.file for each in done if isinstance(each, Written)]
        overlays = 4 if ranked else 2
        assert len(files) == len(set(files)) == overlays + 4 * 4 + 3
        assert sorted(files) == sorted(folder.iterdir())  # nothing else is left there
        again = list(export(hits, folder, "x", kinds=list(Kind), ranked=ranked))
        assert [each.file for each in again if isinstance(each, Written)] == files
        assert sorted(files) == sorted(folder.iterdir())


def test_a_picture_that_is_gone_does_not_end_it(tmp_path: Path) -> None:
    hits = [made_hit(tmp_path, f"{i}.png", MIDDLE, seed=i) for i in range(3)]
    hits[1].path.unlink()
    with hits[2].path.open("ab") as file:
        file.write(b"more")
    done = list(export(hits, tmp_path / "out", "x", kinds=list(Kind), ranked=False))
    missing = [(each.hit, each.why) for each in done if isinstance(each, Missing)]
    assert missing == [
        (hits[1], "the file is gone: run again"),
        (hits[2], "it has changed since it was indexed"),
    ]
    written = {each.kind: each.segments for each in done if isinstance(each, Written)}
    assert written == dict.fromkeys(PICTURES, 1) | {
        Kind.sheet: 3,
        Kind.coco: 3,
        Kind.parquet: 3,
    }


def test_what_needs_no_pictures_does_not_look_for_them(tmp_path: Path) -> None:
    hit = made_hit(tmp_path, "a.png", MIDDLE)
    hit.path.unlink()
    done = save([hit], tmp_path / "out", "x", [Kind.coco, Kind.parquet])
    assert [type(each) for each in done] == [Written, Written]


def test_whole_pictures(tmp_path: Path) -> None:
    whole = replace(made_hit(tmp_path, "a.png", MIDDLE), segment=None)
    overlay, sheet = save([whole], tmp_path / "out", "x")
    assert isinstance(overlay, Written)
    assert isinstance(sheet, Written)
    for kind in set(Kind) - {Kind.overlay, Kind.sheet}:
        with pytest.raises(QueryError, match="whole pictures have no masks"):
            save([whole], tmp_path / kind, "x", [kind])
        assert list((tmp_path / kind).iterdir()) == []


def test_given_up_and_failed_exports_leave_no_half_files(tmp_path: Path) -> None:
    hits = [made_hit(tmp_path, f"{i}.png", MIDDLE, seed=i) for i in range(3)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "coco.json").write_text("of before", encoding="utf-8")
    going = export(hits, tmp_path / "out", "x", kinds=list(Kind), ranked=True)
    for _ in range(5):
        next(going)
    del going
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 5 + 1
    assert names[-1] == "coco.json"
    assert (tmp_path / "out" / "coco.json").read_text(encoding="utf-8") == "of before"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegsearchError, match=r"cannot write to .*/file: File exists"):
        save([], tmp_path / "file", "x")


def test_the_last_pictures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [made_hit(tmp_path, f"{i}.png", MIDDLE, seed=i) for i in range(3)]
    monkeypatch.setattr(pictures_out, "_KEPT_BYTES", 2 * read_picture(hits[0]).nbytes)
    kept = pictures_out.recent()

    def of(hit: Hit) -> Pixels:
        return kept.get(hit.image.id, lambda: read_picture(hit))

    first = of(hits[0])
    of(hits[1])
    assert of(hits[0]) is first
    of(hits[2])
    assert of(hits[0]) is first
    hits[1].path.unlink()
    with pytest.raises(PictureError, match="gone"):
        of(hits[1])
