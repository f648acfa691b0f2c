from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from indexer.detections import Detection, Detections, load_detections
from indexer.errors import SegsearchError
from indexer.library.paths import storable

MUG = Detection((10.0, 20.0, 40.0, 60.0), "mug", 0.75)


def load(folder: Path, data: object) -> Detections:
    path = folder / "found.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return load_detections(path)


def dataset(*names: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A picture of each name; the n-th has one box, n pixels wide, of the category n."""
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    annotations = [
        {"image_id": n, "category_id": n, "bbox": [0, 0, n, 5]} for n in range(len(names))
    ]
    return {"images": images, "annotations": annotations, **more}


def result(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    plain = {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.75}
    return {**plain, **changes}


def widths(found: Detections, path: str) -> list[float]:
    return [one.box[2] for one in found.of(path)]


def test_a_dataset(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {
            "info": {"year": 2026},
            "images": [
                {"id": 1, "file_name": "trip/a.jpg", "width": 640},
                {"id": "two", "file_name": "b.jpg"},
                {"id": 3, "file_name": "nothing.jpg"},
            ],
            "annotations": [
                {"image_id": 1, "category_id": 9, "bbox": [10, 20, 30, 40], "score": 0.75},
                {"image_id": "two", "category_id": 2, "bbox": [0.5, 1.5, 2, 0], "id": 5},
                {"image_id": 1, "category_id": 2, "bbox": [-3, 0, 700, 480], "score": 1},
                {"image_id": "two", "bbox": [0, 0, 1, 1], "score": None},
            ],
            "categories": [{"id": 9, "name": "mug"}, {"id": 2, "name": "tree"}],
        },
    )
    assert found.of("trip/a.jpg") == (MUG, Detection((-3.0, 0.0, 697.0, 480.0), "tree", 1.0))
    assert found.of("b.jpg") == (
        Detection((0.5, 1.5, 2.5, 1.5), "tree"),
        Detection((0.0, 0.0, 1.0, 1.0)),
    )
    assert found.of("nothing.jpg") == found.of("absent.jpg") == found.of("") == ()
    assert len(found) == 2


def test_without_categories_their_ids_are_the_labels(tmp_path: Path) -> None:
    found = load(tmp_path, dataset("a.jpg", "b.jpg"))
    assert [one.label for one in found.of("b.jpg")] == ["1"]


def test_a_list_of_results(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        [
            result(file_name="trip/a.jpg", category_name="mug"),
            result(file_name="trip/a.jpg"),
            result(file_name="trip/a.jpg", category_id=None),
            result(file_name="b.jpg", image_id=None),
        ],
    )
    assert found.of("trip/a.jpg") == (
        MUG,
        Detection(MUG.box, "3", 0.75),
        Detection(MUG.box, None, 0.75),
    )
    assert len(found.of("b.jpg")) == 1
    assert len(found) == 2


@pytest.mark.parametrize(
    ("image_id", "path", "belongs"),
    [
        (42, "42.jpg", True),
        (42, "trip/000000000042.jpg", True),  # as COCO's own pictures are called
        (0, "000.png", True),
        (42, "42b.jpg", False),
        (42, "142.jpg", False),
        (-5, "-5.jpg", True),
        ("DSC_0042", "trip/DSC_0042.jpg", True),
        ("0042", "0042.jpg", True),
        ("42", "0042.jpg", False),
        ("a.b", "a.b.png", True),
        ("a", "a.b.png", False),
        ("trip/a", "x/trip/a.png", True),
        ("trip/a", "home/a.png", False),
        ("caf\udce9", storable(b"caf\xe9.jpg"), True),
    ],
)
def test_results_without_a_file_name_go_by_the_image_id(
    tmp_path: Path, image_id: int | str, path: str, *, belongs: bool
) -> None:
    found = load(tmp_path, [result(image_id=image_id)])
    assert bool(found.of(path)) == belongs


def test_the_name_is_worth_more_than_the_id(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        [
            result(image_id=5, bbox=[0, 0, 1, 1]),
            result(image_id="5", bbox=[0, 0, 2, 2]),
            result(image_id=9, file_name="x/5.jpg", bbox=[0, 0, 3, 3]),
        ],
    )
    assert widths(found, "x/5.jpg") == [3.0]
    assert widths(found, "5.png") == [2.0]
    assert widths(found, "05.png") == [1.0]
    assert found.of("x/9.jpg") == ()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("trip/a.jpg", [1.0]),
        ("2024/trip/a.jpg", [1.0]),  # the longest end
        ("home/a.jpg", [0.0]),  # only the bare name fits
        ("a.jpg", [0.0]),
        ("b.jpg", [2.0]),  # the folder that is indexed lies further down
        ("photos/b.jpg", [2.0]),
        ("other/b.jpg", []),  # the folders contradict each other
        ("strip/a.jpg", [0.0]),  # whole parts, not letters
        ("c.jpg", [3.0]),
        ("x/c.jpg", [3.0]),
        ("d.jpg", [4.0]),
        ("D.jpg", []),
    ],
)
def test_which_name_belongs_to_a_path(tmp_path: Path, path: str, expected: list[float]) -> None:
    names = ("a.jpg", "trip/a.jpg", "/data/photos/b.jpg", "./x//c.jpg", "C:\\data\\d.jpg")
    assert widths(load(tmp_path, dataset(*names)), path) == expected


def test_a_name_that_is_the_whole_path_wins_over_a_longer_one(tmp_path: Path) -> None:
    found = load(tmp_path, dataset("x/trip/a.jpg", "trip/a.jpg", "y/trip/a.jpg"))
    assert widths(found, "trip/a.jpg") == [1.0]
    assert widths(found, "x/trip/a.jpg") == [0.0]


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    found = load(tmp_path, dataset("caf\udce9.jpg"))
    assert widths(found, storable(b"caf\xe9.jpg")) == [0.0]


def test_names_that_fit_equally_well_are_an_error_only_when_asked_for(tmp_path: Path) -> None:
    found = load(tmp_path, dataset("p/a.jpg", "q/a.jpg", "r/a.jpg", "s/a.jpg", "t/a.jpg"))
    assert widths(found, "q/a.jpg") == [1.0]
    for ask in (found.of, found.digest):
        with pytest.raises(SegsearchError) as caught:
            ask("a.jpg")
        assert caught.value.message == (
            f"{tmp_path / 'found.json'}: the picture a.jpg can be any of "
            "p/a.jpg, q/a.jpg, r/a.jpg and 2 more"
        )
        assert "relative to the indexed folder" in caught.value.hint


def test_two_pictures_of_one_name(tmp_path: Path) -> None:
    found = load(tmp_path, dataset("a.jpg", "a.jpg"))
    with pytest.raises(SegsearchError, match=re.escape("can be any of a.jpg, a.jpg")):
        found.of("x/a.jpg")
    results = [result(file_name="a.jpg", image_id=n, bbox=[0, 0, n, 5]) for n in (1, 2)]
    with pytest.raises(SegsearchError, match=re.escape("can be any of a.jpg, a.jpg")):
        load(tmp_path, results).of("a.jpg")


def test_names_that_fit_equally_well_may_say_the_same(tmp_path: Path) -> None:
    same = [result(file_name=f"{folder}/a.jpg", image_id=folder) for folder in "pq"]
    assert len(load(tmp_path, same).of("a.jpg")) == 1


def test_the_digest_is_of_what_was_found_in_the_picture(tmp_path: Path) -> None:
    tree = result(file_name="a.jpg", category_name="tree")
    mug = result(file_name="a.jpg", category_name="mug")
    digest = load(tmp_path, [mug, tree]).digest("a.jpg")
    assert digest == "2af267f880559d87"
    assert load(tmp_path, [tree, mug]).digest("a.jpg") == digest
    elsewhere = result(file_name="b.jpg", image_id=8)
    assert load(tmp_path, [mug, elsewhere, tree]).digest("a.jpg") == digest
    changed: list[dict[str, Any]] = [
        {"bbox": [10, 20, 30, 41]},
        {"score": 0.76},
        {"score": None},
        {"category_name": "cup"},
    ]
    others = {load(tmp_path, [{**mug, **one}, tree]).digest("a.jpg") for one in changed}
    others |= {load(tmp_path, [mug]).digest("a.jpg"), load(tmp_path, [mug, mug]).digest("a.jpg")}
    assert len(others - {digest}) == len(changed) + 2


def test_no_detections_have_no_digest(tmp_path: Path) -> None:
    data = dataset("a.jpg", "b.jpg")
    del data["annotations"][0]
    found = load(tmp_path, data)
    assert (found.digest("a.jpg"), found.digest("absent.jpg")) == (None, None)
    assert found.digest("b.jpg") is not None
    assert len(found) == 1


def test_nothing_found_at_all(tmp_path: Path) -> None:
    data: list[object] = [[], {"images": [], "annotations": []}]
    for empty in data:
        found = load(tmp_path, empty)
        assert len(found) == 0
        assert found.of("a.jpg") == ()


def test_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([result()]).encode())
    assert len(load_detections(path).of("7.jpg")) == 1


def _without(key: str) -> dict[str, Any]:
    entry = result()
    del entry[key]
    return entry


@pytest.mark.parametrize(
    ("entry", "what", "hint"),
    [
        (_without("bbox"), "has no bbox", "[x, y, width, height]"),
        (result(bbox=[1, 2, 3]), "has the bbox [1, 2, 3]", "[x, y, width, height]"),
        (result(bbox=[1, 2, 3, "4"]), "has the bbox [1, 2, 3, '4']", "finite numbers"),
        (result(bbox=[1, 2, 3, True]), "has the bbox [1, 2, 3, True]", "finite numbers"),
        (result(bbox="1,2,3,4"), "has the bbox '1,2,3,4'", "[x, y, width, height]"),
        (result(bbox=[1, 2, -3, 4]), "has the bbox [1, 2, -3, 4]", "not negative"),
        (result(bbox=[1, 2, 3, -0.5]), "has the bbox [1, 2, 3, -0.5]", "not negative"),
        (result(bbox=[float("nan"), 2, 3, 4]), "has the bbox [nan, 2, 3, 4]", "finite"),
        (result(bbox=[1, 2, float("inf"), 4]), "has the bbox [1, 2, inf, 4]", "finite"),
        (result(bbox=[1e308, 2, 1e308, 4]), "has the bbox [1e+308, 2, 1e+308, 4]", "finite"),
        (result(bbox=[10**400, 2, 3, 4]), "has the bbox [1000", "finite"),
        (result(score="0.5"), "has the score '0.5'", "from 0 to 1"),
        (result(score=1.5), "has the score 1.5", "from 0 to 1"),
        (result(score=-0.1), "has the score -0.1", "from 0 to 1"),
        (result(score=float("nan")), "has the score nan", "from 0 to 1"),
        (result(score=False), "has the score False", "from 0 to 1"),
        (result(image_id=1.5), "has the image_id 1.5", "a whole number or a text"),
        (result(image_id=True), "has the image_id True", "a whole number or a text"),
        (result(image_id=None), "does not say of which picture", "an image_id or a file_name"),
        (result(image_id=""), "does not say of which picture", "an image_id or a file_name"),
        (result(category_id=[3]), "has the category_id [3]", "a whole number or a text"),
        (result(category_name=3), "has the category_name 3", "is a text"),
        (result(category_name="\ud800"), "has the category_name '\\ud800'", "is a text"),
        (result(file_name=3), "has the file_name 3", "the picture's path"),
        (result(file_name="/"), "has the file_name '/'", "the picture's path"),
        (result(file_name="\ud800.jpg"), "has the file_name '\\ud800.jpg'", "the picture's path"),
        (["box"], "is ['box']", "a list of results"),
    ],
)
def test_malformed_entries_are_named(tmp_path: Path, entry: object, what: str, hint: str) -> None:
    with pytest.raises(SegsearchError) as caught:
        load(tmp_path, [result(), entry])
    assert caught.value.message.startswith(f"{tmp_path / 'found.json'}: results[1] {what}")
    assert hint in caught.value.hint


CATEGORY = {"id": 3, "name": "mug"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"images": [{"id": 1}]}, ": images[0] has no file_name"),
        ({"images": [{"file_name": "a.jpg"}]}, ": images[0] has no id"),
        (
            {"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]},
            ": images[1] has the id 1 of another",
        ),
        ({"images": {"1": "a.jpg"}}, " has no list of images: {'1': 'a.jpg'}"),
        ({"images": None}, " has no images"),
        ({"annotations": None}, " has no annotations"),
        ({"annotations": [5]}, ": annotations[0] is 5"),
        (
            {"annotations": [result(image_id="1")]},
            ": annotations[0] has the image_id '1', which is not among the images",
        ),
        (
            {"annotations": [_without("image_id")]},
            ": annotations[0] has the image_id None, which is not among the images",
        ),
        (
            {"annotations": [result(image_id=1), result(image_id=1, category_id=4)]},
            ": annotations[1] has the category_id 4, which is not among the categories",
        ),
        ({"categories": [{"id": 3}]}, ": categories[0] has no name"),
        ({"categories": [{"name": "mug"}]}, ": categories[0] has no id"),
        ({"categories": [CATEGORY, CATEGORY]}, ": categories[1] has the id 3 of another"),
        ({"categories": ["mug"]}, ": categories[0] is 'mug'"),
        ({"categories": None}, " has no categories"),
    ],
)
def test_malformed_datasets(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    good: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [result(image_id=1)],
        "categories": [CATEGORY],
    }
    assert len(load(tmp_path, good)) == 1
    with pytest.raises(SegsearchError) as caught:
        load(tmp_path, {**good, **change})
    assert caught.value.message == f"{tmp_path / 'found.json'}{what}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is no JSON file"),
        (b"[{]", "is no JSON file"),
        (b"\xff\xfe\x00", "is no JSON file"),
        (b"[" * 100_000, "is no JSON file"),
        (b"9" * 5_000, "is no JSON file"),
        (b"5", "holds neither an object nor a list"),
        (b"{}", "has no images"),
    ],
)
def test_files_of_something_else(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(content)
    with pytest.raises(SegsearchError, match=re.escape(f"{path} {what}")) as caught:
        load_detections(path)
    assert '"annotations"' in caught.value.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "absent.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(SegsearchError, match=f"the detections {path} cannot be read: {why}"):
            load_detections(path)


@pytest.mark.parametrize("box", [(2, 0, 1, 1), (0, 2, 1, 1), (0, 0, float("inf"), 1)])
def test_boxes_that_are_none(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="of finite numbers"):
        Detection(box)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_scores_that_are_none(score: float) -> None:
    with pytest.raises(ValueError, match="is not between 0 and 1"):
        Detection((0, 0, 1, 1), score=score)


def test_models_are_not_needed() -> None:
    code = "import sys, indexer.detections; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
