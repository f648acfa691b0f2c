"""The library of scenes: the pictures and the truth about them in COCO's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pycocotools.mask
import pytest

from indexer.demo.scenes import CLASSES, draw_scene, write_library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "library"
    paths = write_library(folder, 3)
    assert paths == [folder / f"scene-00{number}.jpg" for number in range(3)]
    return folder


@pytest.fixture(scope="module")
def truth(library: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((library / "annotations.json").read_text("utf-8"))
    return loaded


def test_the_files_decode_to_the_scenes_pixels(library: Path, truth: dict[str, Any]) -> None:
    names = ["annotations.json", "scene-000.jpg", "scene-001.jpg", "scene-002.jpg"]
    assert sorted(path.name for path in library.iterdir()) == names
    for seed, image in enumerate(truth["images"]):
        picture = PIL.Image.open(library / image["file_name"])
        assert picture.size == (image["width"], image["height"]) == (640, 512)
        assert np.array_equal(np.asarray(picture), draw_scene(seed).pixels)


def test_masks_and_depth_come_back_from_the_file(truth: dict[str, Any]) -> None:
    scene, names = draw_scene(1), {each["id"]: each["name"] for each in truth["categories"]}
    image = truth["images"][1]["id"]
    found = [each for each in truth["annotations"] if each["image_id"] == image]
    things = [each for each in found if "attributes" in each]
    things.sort(key=lambda each: int(each["attributes"]["depth"]))
    assert len(found) - len(things) == len(scene.regions)
    for depth, (each, drawn) in enumerate(zip(things, scene.objects, strict=True)):
        mask = pycocotools.mask.decode(each["segmentation"]).astype(bool)
        assert np.array_equal(mask, drawn.mask)
        assert names[each["category_id"]] == drawn.name
        looks = {"colour": drawn.colour, "pattern": drawn.pattern, "size": drawn.size}
        assert each["attributes"] == {**looks, "depth": depth}


def test_boxes_and_areas_are_those_of_the_masks(truth: dict[str, Any]) -> None:
    for each in truth["annotations"]:
        mask = pycocotools.mask.decode(each["segmentation"])
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top, width, height = each["bbox"]
        assert (left, left + width) == (columns[0], columns[-1] + 1)
        assert (top, top + height) == (rows[0], rows[-1] + 1)
        assert each["area"] == int(mask.sum())


def test_regions_have_a_category_of_their_own_that_is_no_thing(truth: dict[str, Any]) -> None:
    things = [each["name"] for each in truth["categories"] if each["isthing"] == 1]
    stuff = [each for each in truth["categories"] if each["isthing"] == 0]
    assert things == list(CLASSES)
    assert [each["name"] for each in stuff] == ["background"]
    regions = [each for each in truth["annotations"] if each["category_id"] == stuff[0]["id"]]
    assert {each["image_id"] for each in regions} == {1, 2, 3}


def test_annotation_ids_are_unique(truth: dict[str, Any]) -> None:
    ids = [each["id"] for each in truth["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
