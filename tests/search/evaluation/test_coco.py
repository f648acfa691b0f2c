"""Reading COCO files, and what is said of malformed ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from indexer.errors import SegsearchError
from search.evaluation.coco import read_captions, read_instances

IMAGE = {"id": 7, "file_name": "a.png", "width": 8, "height": 6}
STAR = {"id": 1, "name": "star"}
FIELD = {"id": 2, "name": "field", "isthing": 0}
TRIANGLE = [[0, 0, 4, 0, 4, 4]]


def instances(annotation: Any, image: Any = IMAGE, category: Any = STAR) -> dict[str, Any]:  # noqa: ANN401
    return {"images": [image], "annotations": [annotation], "categories": [category, FIELD]}


def written(folder: Path, data: object) -> Path:
    path = folder / "truth.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def test_instances(tmp_path: Path) -> None:
    looks = {"colour": "red", "count": 3, "weight": 0.5, "parts": ["a"]}
    star = {"image_id": 7, "category_id": 1, "segmentation": TRIANGLE, "attributes": looks}
    field = {"image_id": 7, "category_id": 2, "segmentation": TRIANGLE}
    data = instances(star)
    data["annotations"] += [field, star | {"iscrowd": 1, "attributes": None}]
    read = read_instances(written(tmp_path, data))
    (image,) = read.images
    assert (image.id, image.file_name, image.width, image.height) == (7, "a.png", 8, 6)
    one, crowd = read.annotations[7]
    assert (one.category, one.is_crowd, one.segmentation) == ("star", False, TRIANGLE)
    assert one.attributes == {"colour": "red", "count": "3"}
    assert (crowd.is_crowd, dict(crowd.attributes)) == (True, {})
    assert read.backgrounds == ["field"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "is no JSON file"),
        ([], "holds no object"),
        ({"images": []}, "has no list of categories"),
        ({"images": [5]}, r"images\[0\] is 5"),
        (instances({}), r"annotations\[0\] has the image_id None"),
        (instances({"image_id": 8, "category_id": 1}), "not among the images"),
        (instances({"image_id": 7, "category_id": 9}), "not among the categories"),
        (instances({"image_id": 7, "category_id": 1, "iscrowd": 2}), "has the iscrowd 2"),
        (instances({}, IMAGE | {"width": 0}), r"images\[0\] has the width 0"),
        (instances({}, IMAGE | {"file_name": None}), "has the file_name None"),
        (instances({}, category={"id": True, "name": "x"}), "has the id True"),
        (instances({}, category=STAR | {"id": 2}), r"categories\[1\] has the id 2 of another"),
        (instances({}, category=STAR | {"name": "\ud83d"}), r"has the name '\\ud83d'"),
        ({"images": [IMAGE, IMAGE]}, "have the same id"),
    ],
)
def test_malformed_instances(tmp_path: Path, data: object, message: str) -> None:
    with pytest.raises(SegsearchError, match=message):
        read_instances(written(tmp_path, data))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SegsearchError, match="cannot be read: No such file"):
        read_instances(tmp_path / "none.json")


def test_captions(tmp_path: Path) -> None:
    listed = [{"image_id": 7, "caption": " a star \n"}, {"image_id": 7, "caption": "one more"}]
    read = read_captions(written(tmp_path, {"annotations": listed}))
    assert read == {7: ["a star", "one more"]}
    with pytest.raises(SegsearchError, match=r"annotations\[0\] has the caption ' '"):
        read_captions(written(tmp_path, {"annotations": [{"image_id": 7, "caption": " "}]}))
