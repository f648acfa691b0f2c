"""COCO files: what is read from them, checked entry by entry."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import SegsearchError

Id = int | str
_FORM = 'give {"images": […], "annotations": […], "categories": […]} as COCO has it'
_shown = reprlib.repr


@dataclass(frozen=True)
class Listed:
    """A picture as a COCO file lists it.

    Attributes:
        id: that annotations name.
        file_name: as written.
        width: pixels.
        height: pixels.
    """

    id: Id
    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class Annotation:
    """An object, or a crowd of them, in a picture.

    Attributes:
        place: where it stands in the file, for messages.
        category: its category's name.
        is_crowd: whether it is a region of many objects.
        segmentation: polygons or RLE, unchecked.
        attributes: name → value, as text.
    """

    place: str
    category: str
    is_crowd: bool
    segmentation: object
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Instances:
    """The content of a COCO file of instances.

    Attributes:
        images: in the file's order.
        annotations: image id → its annotations.
        backgrounds: names of the categories that are no things (`isthing` 0), without annotations.
    """

    images: Sequence[Listed]
    annotations: Mapping[Id, Sequence[Annotation]]
    backgrounds: Sequence[str]


@dataclass(frozen=True)
class _Entry:
    """One object in the file, which knows where it stands."""

    place: str
    values: Mapping[str, object]

    def wrong(self, what: str, hint: str = _FORM) -> SegsearchError:
        return SegsearchError(f"{self.place} {what}", hint)

    def id(self, key: str) -> Id:
        value = self.values.get(key)
        if isinstance(value, int | str) and not isinstance(value, bool):
            return value
        raise self.wrong(f"has the {key} {_shown(value)}", f"{key} is a whole number or a text")

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if isinstance(value, str) and value.strip():
            return value
        raise self.wrong(f"has the {key} {_shown(value)}", f"{key} is a text")

    def words(self, key: str) -> str:
        """Return a text that can be a query: JSON can hold half a character."""
        words = self.text(key).strip()
        if not _is_whole(words):
            raise self.wrong(f"has the {key} {_shown(words)}", f"{key} is a text of Unicode")
        return words

    def length(self, key: str) -> int:
        value = self.values.get(key)
        if type(value) is int and value > 0:
            return value
        raise self.wrong(f"has the {key} {_shown(value)}", f"{key} is a number of pixels")

    def flag(self, key: str, default: int) -> bool:
        value = self.values.get(key, default)
        if value in (0, 1):
            return bool(value)
        raise self.wrong(f"has the {key} {_shown(value)}", f"{key} is 0 or 1")

    def attributes(self) -> dict[str, str]:
        value = self.values.get("attributes")
        if not isinstance(value, dict):
            return {}
        known = {name: str(one) for name, one in value.items() if isinstance(one, str | int)}
        return {name: one for name, one in known.items() if _is_whole(one)}


def read_instances(path: Path) -> Instances:
    """Read a COCO file of instances.

    Masks are not looked at: `indexer.segmentation.masks.from_coco` reads them.

    Raises:
        SegsearchError: it cannot be read, or an entry of it is malformed.
    """
    data = _read(path)
    images = [_listed(entry) for entry in _entries(path, data, "images")]
    annotations: dict[Id, list[Annotation]] = {image.id: [] for image in images}
    if len(annotations) < len(images):
        raise SegsearchError(f"two images of {path} have the same id", "give each image its own")
    names, backgrounds = _categories(path, data)
    for entry in _entries(path, data, "annotations"):
        image, category = entry.id("image_id"), entry.id("category_id")
        if image not in annotations:
            raise entry.wrong(f"has the image_id {_shown(image)}, which is not among the images")
        if category in backgrounds:
            continue
        if category not in names:
            raise entry.wrong(
                f"has the category_id {_shown(category)}, which is not among the categories"
            )
        annotations[image].append(_annotation(entry, names[category]))
    return Instances(images, annotations, list(backgrounds.values()))


def read_captions(path: Path) -> dict[Id, list[str]]:
    """Read a COCO file of captions: image id → its captions.

    Raises:
        SegsearchError: it cannot be read, or an entry of it is malformed.
    """
    captions: dict[Id, list[str]] = {}
    for entry in _entries(path, _read(path), "annotations"):
        captions.setdefault(entry.id("image_id"), []).append(entry.words("caption"))
    return captions


def _read(path: Path) -> Mapping[str, object]:
    try:
        data: object = json.loads(path.read_bytes())
    except OSError as error:
        raise SegsearchError(
            f"the annotations {path} cannot be read: {error.strerror}", "give another file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SegsearchError(f"{path} is no JSON file: {error}", _FORM) from error
    if not isinstance(data, dict):
        raise SegsearchError(f"{path} holds no object with annotations", _FORM)
    return data


def _entries(source: Path, data: Mapping[str, object], name: str) -> Iterator[_Entry]:
    value = data.get(name)
    if not isinstance(value, list):
        raise SegsearchError(f"{source} has no list of {name}", _FORM)
    for place, values in enumerate(value):
        if not isinstance(values, dict):
            raise SegsearchError(f"{source}: {name}[{place}] is {_shown(values)}", _FORM)
        yield _Entry(f"{source}: {name}[{place}]", values)


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _listed(entry: _Entry) -> Listed:
    size = entry.length("width"), entry.length("height")
    return Listed(entry.id("id"), entry.text("file_name"), *size)


def _categories(source: Path, data: Mapping[str, object]) -> tuple[dict[Id, str], dict[Id, str]]:
    """Return the names of the things and of the backgrounds, by their ids."""
    things: dict[Id, str] = {}
    backgrounds: dict[Id, str] = {}
    for entry in _entries(source, data, "categories"):
        category = entry.id("id")
        if category in things or category in backgrounds:
            raise entry.wrong(f"has the id {_shown(category)} of another", "give each its own")
        named = things if entry.flag("isthing", 1) else backgrounds
        named[category] = entry.words("name")
    return things, backgrounds


def _annotation(entry: _Entry, category: str) -> Annotation:
    return Annotation(
        entry.place,
        category,
        entry.flag("iscrowd", 0),
        entry.values.get("segmentation"),
        entry.attributes(),
    )
