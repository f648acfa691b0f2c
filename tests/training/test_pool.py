"""Crops for training: what is known about them is what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.demo.scenes import COLOURS
from training import pool, scenes
from training.pool import GRID, NO_COLOUR, NO_NAME, SIDE, Pool, PoolCrop, crops_of
from training.scenes import FIRST_OBJECT
from training.sentences import BACKGROUND, OBJECT, OPEN, PIECE, SEVERAL

RED, BLUE = list(COLOURS).index("red"), list(COLOURS).index("blue")
STAR, FISH = 0, 3


@pytest.fixture
def shown() -> list[PoolCrop]:
    """The crops of a gray picture with a flat red star at the left and a blue fish beside it."""
    labels = np.zeros((200, 300), dtype=np.uint8)
    labels[60:140, 20:100] = FIRST_OBJECT
    labels[60:140, 150:230] = FIRST_OBJECT + 1
    tones = np.full((256, 3), 128, dtype=np.uint8)
    tones[FIRST_OBJECT : FIRST_OBJECT + 2] = (200, 0, 0), (0, 0, 200)
    objects = [
        {"name": "star", "colour": "red", "pattern": "plain", "size": "small"},
        {"name": "fish", "colour": "blue", "pattern": "plain", "size": "small"},
    ]
    rngs = [np.random.default_rng(seed) for seed in range(20)]
    return [crop for rng in rngs for crop in crops_of(tones[labels], labels, objects, rng)]


def test_every_kind_is_shown(shown: list[PoolCrop]) -> None:
    kinds = {int(crop.codes[0]) for crop in shown}
    assert kinds == {OBJECT, PIECE, BACKGROUND, SEVERAL}
    assert all(crop.pixels.shape == (SIDE, SIDE, 3) for crop in shown)
    assert all(crop.places.shape == (3, GRID, GRID) for crop in shown)


def test_places_say_what_lies_under_the_patches_centres(shown: list[PoolCrop]) -> None:
    right = []
    for crop in shown:
        names, colours, _ = crop.places
        assert set(np.unique(names)) <= {STAR, FISH, NO_NAME}
        assert set(np.unique(colours)) <= {RED, BLUE, NO_COLOUR}
        at = crop.pixels[1 :: SIDE // GRID, 1 :: SIDE // GRID].astype(int)
        right += (names[at[..., 0] - at[..., 2] > 120] == STAR).tolist()
        right += (colours[at[..., 2] - at[..., 0] > 120] == BLUE).tolist()
    assert np.mean(right) > 0.95  # scaling blurs the edges


def test_objects_are_shown_with_narrow_and_wide_margins(shown: list[PoolCrop]) -> None:
    margins = [crop.margin for crop in shown if crop.codes[0] == OBJECT]
    assert 0.3 < np.mean(np.array(margins) <= 1.25) < 0.6
    assert max(margins) > 2


def test_the_subject_of_a_crop_is_its_object(shown: list[PoolCrop]) -> None:
    for crop in (crop for crop in shown if crop.codes[0] in (OBJECT, PIECE)):
        names, _, subject = crop.places
        assert subject.any()
        assert (names[subject == 1] == crop.codes[1]).all()
        mask = np.unpackbits(crop.mask, axis=1)
        assert np.array_equal(mask[1 :: SIDE // GRID, 1 :: SIDE // GRID], subject)


def test_pictures_of_several_name_them(shown: list[PoolCrop]) -> None:
    for crop in shown:
        named = {tuple(thing) for thing in crop.things.tolist() if thing[0] != OPEN}
        assert named <= {(STAR, RED), (FISH, BLUE)}
        assert bool(named) == (crop.codes[0] == SEVERAL)


def test_a_pool_is_read_back_as_it_was_cut(few_scenes: Path, few_crops: Path) -> None:
    found = Pool(few_crops)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "PER_SHARD", 2)
        shards = scenes.Shards(few_scenes)
        cut = [
            crop
            for scene in range(4)
            for crop in crops_of(*shards.scene(scene), np.random.default_rng([pool._SEED, scene]))
        ]
    assert len(found.codes) == len(cut)
    rows = np.array([0, len(cut) // 3, len(cut) - 1])
    assert np.array_equal(found.pixels(rows), np.stack([cut[row].pixels for row in rows]))
    for row in rows:
        assert np.array_equal(found.codes[row], cut[row].codes)
        assert np.array_equal(found.places[row], cut[row].places)


def test_an_empty_folder_is_no_pool(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no crops"):
        Pool(tmp_path)
