"""COCO files, read back by pycocotools and by the readers of this project."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools.coco import COCO

from indexer.detections import load_detections
from indexer.segmentation import masks
from search.evaluation.coco import read_instances
from search.export import Kind, Written
from search.export.export import export
from search.hits import Hit
from tests.search.export.made import Mask, block, made_hit

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MASKS = SIZES.flatmap(lambda size: arrays.arrays(np.bool_, size)).filter(np.any)


def written(hits: Sequence[Hit], folder: Path, *, ranked: bool = False) -> Path:
    (one,) = export(hits, folder, "All of it", kinds=[Kind.coco], ranked=ranked)
    assert isinstance(one, Written)
    assert (one.kind, one.segments, one.hit) == (Kind.coco, len(hits), None)
    return one.file


def loaded(file: Path, capsys: pytest.CaptureFixture[str]) -> COCO:
    coco = COCO(str(file))
    capsys.readouterr()  # it talks
    return coco


def test_an_index_as_pycocotools_sees_it(
    hits: list[Hit], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = loaded(written(hits, tmp_path), capsys)
    assert len(coco.imgs) == 5
    assert len(coco.anns) == len(hits)
    for hit, annotation in zip(hits, coco.loadAnns(coco.getAnnIds()), strict=True):
        assert hit.segment is not None
        region = hit.segment.region
        image = coco.imgs[annotation["image_id"]]
        assert image["sha256"] == hit.image.picture.sha256
        assert (image["width"], image["height"]) == (96, 72)
        mask = masks.decode(region.rle)
        np.testing.assert_array_equal(coco.annToMask(annotation), mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y, x + width, y + height) == region.box
        assert annotation["area"] == mask.sum()
        assert annotation["segsearch_id"] == hit.segment.id
        assert annotation["attributes"]["depth"] == region.depth
        assert annotation["attributes"].get("parent_id") == hit.segment.parent_id
        assert 0 <= annotation["score"] <= 1
        assert "similarity" not in annotation


def test_annotations_are_results_too(
    hits: list[Hit], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = loaded(written(hits, tmp_path), capsys)
    again = coco.loadRes(coco.loadAnns(coco.getAnnIds()))
    for annotation in again.loadAnns(again.getAnnIds())[:5]:
        np.testing.assert_array_equal(
            again.annToMask(annotation), coco.annToMask(coco.anns[annotation["id"]])
        )


def test_names_are_relative_to_the_library(
    hits: list[Hit], library_folder: Path, tmp_path: Path
) -> None:
    images = json.loads(written(hits, tmp_path).read_bytes())["images"]
    names = {image["file_name"] for image in images}
    assert {"2024/plain.png", "2024/may.jpg", "2024-old/june.jpg"} <= names
    assert all((library_folder / name).is_file() for name in names)  # also what is no text
    dated = {image["file_name"]: image.get("date_captured") for image in images}
    assert dated["2024/may.jpg"] == "2024-05-01 23:30:00"
    assert dated["2024/plain.png"] is None


def test_names_of_several_roots_are_told_apart(tmp_path: Path) -> None:
    mask = block(slice(1, 3), slice(1, 3))
    roots = (tmp_path / "x" / "photos", tmp_path / "y" / "photos")
    hits = [made_hit(root, "a.png", mask, seed=i) for i, root in enumerate(roots)]
    images = json.loads(written(hits, tmp_path).read_bytes())["images"]
    assert [image["file_name"] for image in images] == ["x/photos/a.png", "y/photos/a.png"]


def test_boxes_and_labels_are_detections_again(tmp_path: Path) -> None:
    first = made_hit(
        tmp_path, "a.png", block(slice(2, 5), slice(3, 9)), label="mug", label_score=0.75
    )
    second = made_hit(tmp_path, "b/c.png", block(slice(0, 9), slice(0, 2)), seed=1, score=-0.5)
    detections = load_detections(written([first, second], tmp_path, ranked=True))
    (mug,) = detections.of("a.png")
    assert (mug.box, mug.label, mug.score) == ((3, 2, 9, 5), "mug", 0.75)
    (unnamed,) = detections.of("b/c.png")
    assert (unnamed.box, unnamed.label, unnamed.score) == ((0, 0, 2, 9), "object", 1.0)


@given(MASKS)
@settings(max_examples=20)
def test_masks_are_read_back_for_evaluation(
    tmp_path_factory: pytest.TempPathFactory, mask: Mask
) -> None:
    folder = tmp_path_factory.getbasetemp() / "round-trip"
    hit = made_hit(folder, "a.png", mask, label="Mug <big>")
    instances = read_instances(written([hit], folder))
    (image,) = instances.images
    (annotation,) = instances.annotations[image.id]
    assert (annotation.category, annotation.is_crowd) == ("Mug <big>", False)
    rle = masks.from_coco(annotation.segmentation, (mask.shape[0], mask.shape[1]))
    np.testing.assert_array_equal(masks.decode(rle), mask)


def test_a_query_says_how_similar(tmp_path: Path) -> None:
    mask = block(slice(1, 3), slice(1, 3))
    names = (("a.png", 0, "mug"), ("b.png", 1, None), ("c.png", 2, "mug"), ("d.png", 3, " "))
    hits = [
        made_hit(tmp_path, name, mask, seed=seed, score=0.25, label=label)
        for name, seed, label in names
    ]
    hits[3] = replace(hits[3], standard_score=4.0, contrast=-1.0, relevance=-1.0)
    data: dict[str, Any] = json.loads(written(hits, tmp_path, ranked=True).read_bytes())
    assert [one["similarity"] for one in data["annotations"]] == [0.25] * 4
    told = [one for one in data["annotations"] if "relevance" in one]
    assert [(one["id"], one["standard_score"], one["contrast"]) for one in told] == [(4, 4.0, -1.0)]
    assert [one["category_id"] for one in data["annotations"]] == [1, 2, 1, 2]
    named = [(one["id"], one["name"]) for one in data["categories"]]
    assert named == [(1, "mug"), (2, "object")]
    assert data["info"] == {"description": "All of it"}


def test_nothing_is_a_data_set_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = loaded(written([], tmp_path), capsys)
    assert (coco.imgs, coco.anns, coco.cats) == ({}, {}, {})
