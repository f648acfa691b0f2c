"""The truth about pictures: their objects, from a COCO file, in the frame that masks have here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import SegsearchError
from indexer.records import Box, Rle
from indexer.segmentation import masks
from search.evaluation.coco import Annotation, Id, Instances, Listed

#: Sizes by the share of the picture: the name of those below each limit, and of the others.
SIZE_LIMITS = {"small": 0.01, "medium": 0.05}
LARGEST = "large"
SIZES = (*SIZE_LIMITS, LARGEST)


@dataclass(frozen=True)
class TrueObject:
    """An object of a picture.

    Attributes:
        kind: what a text query for it says, such as "red star".
        category: its category alone.
        rle: its mask, of the whole picture's size.
        box: tight half-open box around the mask, pixels.
        size: one of `SIZES`.
    """

    kind: str
    category: str
    rle: Rle
    box: Box
    size: str


@dataclass(frozen=True)
class Undecided:
    """A region where answers for a category are neither right nor wrong.

    Attributes:
        category: the name.
        rle: its mask, of the whole picture's size.
    """

    category: str
    rle: Rle


@dataclass(frozen=True)
class TruePicture:
    """A picture and what is in it.

    Attributes:
        id: in the COCO file.
        name: of the file, as the COCO file has it.
        path: where it lies; None if it is not there.
        width: pixels, as the COCO file says.
        height: pixels, likewise.
        objects: those that have a pixel.
        undecided: crowds, and objects without a kind.
    """

    id: Id
    name: str
    path: Path | None
    width: int
    height: int
    objects: tuple[TrueObject, ...]
    undecided: tuple[Undecided, ...]


@dataclass(frozen=True)
class Truth:
    """The truth about the pictures that are evaluated.

    Attributes:
        pictures: in the order of the COCO file.
        backgrounds: names of categories that are left out.
        without_mask: how many annotations were left out for they have no pixel.
    """

    pictures: tuple[TruePicture, ...]
    backgrounds: tuple[str, ...]
    without_mask: int


def size_of(share: float) -> str:
    """Return the size of an object that covers that share of its picture, one of `SIZES`."""
    return next((name for name, limit in SIZE_LIMITS.items() if share < limit), LARGEST)


def read_truth(
    instances: Instances, folder: Path, attributes: Sequence[str] = (), limit: int | None = None
) -> Truth:
    """Put together the truth about the pictures of a folder.

    Args:
        instances: what the COCO file says.
        folder: where the pictures are; a `file_name` is looked for below it, if need be without
            its first folders.
        attributes: names of attributes whose values make kinds of a category, in this order.
        limit: of the pictures that are there, only so many, the first ones.

    Raises:
        SegsearchError: an annotation's mask is malformed, no picture is there, none has an
            object, or no object has such an attribute.
    """
    if not folder.is_dir():
        raise SegsearchError(f"there is no folder {folder}", "name the one with the pictures")
    found: list[TruePicture] = []
    without = there = 0
    for image in instances.images:
        if there == limit:
            break
        annotations = instances.annotations[image.id]
        found.append(_picture(image, annotations, _locate(folder, image.file_name), attributes))
        there += found[-1].path is not None
        without += len(annotations) - len(found[-1].objects) - len(found[-1].undecided)
    _check(found, folder, instances, attributes)
    return Truth(tuple(found), tuple(instances.backgrounds), without)


def _check(
    found: Sequence[TruePicture], folder: Path, instances: Instances, attributes: Sequence[str]
) -> None:
    there = [one for one in found if one.path is not None]
    if not there:
        example = f", such as {found[0].name}" if found else ""
        raise SegsearchError(
            f"none of the {len(found)} pictures of the annotations is in {folder}{example}",
            "name the folder that their file_name is relative to",
        )
    if any(one.objects for one in there):
        return
    if attributes and any(one.undecided for one in there):
        known = {n for each in instances.annotations.values() for a in each for n in a.attributes}
        raise SegsearchError(
            f"no object has the attributes {', '.join(attributes)}",
            f"these are known: {', '.join(sorted(known))}" if known else "leave --attribute out",
        )
    raise SegsearchError(
        "the pictures that are there have no objects", "give annotations with masks"
    )


def _picture(
    image: Listed, annotations: Sequence[Annotation], path: Path | None, attributes: Sequence[str]
) -> TruePicture:
    objects: list[TrueObject] = []
    undecided: list[Undecided] = []
    for annotation in annotations:
        rle = _mask(annotation, image)
        if rle is None:
            continue
        values = [annotation.attributes.get(name) for name in attributes]
        if annotation.is_crowd or None in values:
            undecided.append(Undecided(annotation.category, rle))
            continue
        kind = " ".join([*(value for value in values if value), annotation.category])
        share = masks.area(rle) / (image.width * image.height)
        box = masks.tight_box(rle)
        objects.append(TrueObject(kind, annotation.category, rle, box, size_of(share)))
    size = (image.width, image.height)
    return TruePicture(image.id, image.file_name, path, *size, tuple(objects), tuple(undecided))


def _mask(annotation: Annotation, image: Listed) -> Rle | None:
    """Return the annotation's mask, or None if it has no pixel."""
    if not annotation.segmentation:
        return None
    try:
        rle = masks.from_coco(annotation.segmentation, (image.height, image.width))
    except ValueError as error:
        raise SegsearchError(
            f"{annotation.place} has a segmentation that cannot be used: {error}",
            "it is a list of polygons, or an RLE of the picture's size",
        ) from error
    return rle if masks.area(rle) else None


def _locate(folder: Path, name: str) -> Path | None:
    """Return the path of the file below the folder, if need be without its first folders."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    paths = (folder.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in paths if path.is_file()), None)
