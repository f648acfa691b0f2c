"""Objects, their kinds and sizes, and the pictures they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from indexer.errors import SegsearchError
from indexer.segmentation import masks
from search.evaluation.coco import Annotation, Id, Instances, Listed
from search.evaluation.truth import Truth, read_truth, size_of


def annotation(
    segmentation: object, category: str = "star", *, crowd: bool = False, **attributes: str
) -> Annotation:
    return Annotation("truth.json: annotations[0]", category, crowd, segmentation, attributes)


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def truth_of(
    folder: Path,
    *annotations: Annotation,
    name: str = "a.png",
    **options: Any,  # noqa: ANN401
) -> Truth:
    """Read the truth about one picture of 100 × 50 pixels, whose file is there."""
    (folder / "a.png").touch()
    listed = Listed(7, name, 100, 50)
    return read_truth(Instances([listed], {7: annotations}, ["field"]), folder, **options)


@pytest.mark.parametrize(
    ("share", "size"),
    [(0.0099, "small"), (0.01, "medium"), (0.0499, "medium"), (0.05, "large"), (1, "large")],
)
def test_sizes(share: float, size: str) -> None:
    assert size_of(share) == size


def test_objects(tmp_path: Path) -> None:
    crowd = annotation(square(80, 10, 20), crowd=True)
    truth = truth_of(tmp_path, annotation(square(10, 20, 5)), annotation(square(40, 0, 20)), crowd)
    (picture,) = truth.pictures
    assert picture.path == tmp_path / "a.png"
    small, large = picture.objects
    assert (small.kind, small.category, small.box, small.size) == (
        *("star", "star"),
        *((10, 20, 15, 25), "small"),
    )
    assert (large.box, large.size, masks.area(large.rle)) == ((40, 0, 60, 20), "large", 400)
    (undecided,) = picture.undecided
    assert undecided.category == "star"
    assert masks.tight_box(undecided.rle) == (80, 10, 100, 30)
    assert truth.backgrounds == ("field",)
    assert truth.without_mask == 0


def test_attributes_make_kinds(tmp_path: Path) -> None:
    one = annotation(square(0, 0, 9), colour="red", pattern="striped")
    plain = annotation(square(20, 0, 9), pattern="plain")
    (picture,) = truth_of(tmp_path, one, plain, attributes=["colour"]).pictures
    assert [each.kind for each in picture.objects] == ["red star"]
    assert picture.objects[0].category == "star"
    assert [each.category for each in picture.undecided] == ["star"]
    (picture,) = truth_of(tmp_path, one, plain, attributes=["pattern", "colour"]).pictures
    assert [each.kind for each in picture.objects] == ["striped red star"]


def test_annotations_without_a_pixel_are_left_out(tmp_path: Path) -> None:
    nothing = annotation([[200, 200, 190, 200, 190, 190]])  # wholly beside the picture
    truth = truth_of(
        tmp_path, annotation([]), annotation(None), nothing, annotation(square(0, 0, 4))
    )
    assert len(truth.pictures[0].objects) == 1
    assert truth.without_mask == 3


@pytest.mark.parametrize(
    "name", ["a.png", "images/a.png", "/data/images/a.png", "C:\\data\\a.png", "../x/../a.png"]
)
def test_where_a_picture_lies(tmp_path: Path, name: str) -> None:
    truth = truth_of(tmp_path, annotation(square(0, 0, 4)), name=name)
    assert truth.pictures[0].path == tmp_path / "a.png"


def test_a_name_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").touch()
    (tmp_path / "pictures").mkdir()
    with pytest.raises(SegsearchError, match="none of the 1 pictures"):
        truth_of(tmp_path / "pictures", annotation(square(0, 0, 4)), name="../secret.png")


def test_a_limit_counts_pictures_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "b.png").touch()
    (tmp_path / "c.png").touch()
    listed = [Listed(number, f"{name}.png", 100, 50) for number, name in enumerate("abcd")]
    each: dict[Id, list[Annotation]] = {
        number: [annotation(square(0, 0, 4))] for number in range(4)
    }
    truth = read_truth(Instances(listed, each, []), tmp_path, limit=1)
    assert [(one.name, one.path is None) for one in truth.pictures] == [
        *(("a.png", True), ("b.png", False)),
    ]
    assert len(read_truth(Instances(listed, each, []), tmp_path).pictures) == 4


@pytest.mark.parametrize(
    ("annotations", "options", "message"),
    [
        ([annotation("x")], {}, r"annotations\[0\] has a segmentation that cannot be used"),
        ([annotation({"size": [100, 50], "counts": "0"})], {}, "an RLE of the size"),
        ([], {}, "have no objects"),
        ([annotation(square(0, 0, 4), crowd=True)], {}, "have no objects"),
        ([annotation(square(0, 0, 4), hue="red")], {"attributes": ["colour"]}, "known: hue"),
        ([annotation(square(0, 0, 4))], {"attributes": ["colour"]}, "leave --attribute out"),
    ],
)
def test_mistakes(
    tmp_path: Path, annotations: list[Annotation], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SegsearchError) as raised:
        truth_of(tmp_path, *annotations, **options)
    assert raised.match(message)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SegsearchError, match="there is no folder"):
        read_truth(Instances([], {}, []), tmp_path / "none")
