"""What a detector found, read from COCO files: boxes with labels and scores, by picture.

Any detector will do that writes COCO: a dataset with `images` and `annotations`, or the list of
results that evaluation tools read. Only the standard library is needed here.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from indexer.errors import SegsearchError
from indexer.library.paths import storable

XYXY = tuple[float, float, float, float]
_Id = int | str
_Parts = tuple[str, ...]
#: How a file names a picture: by its path, by a path without the extension, or by the number
#: that such a name is.
_Naming = Literal["path", "stem", "number"]

_FORMS = (
    'give {"images": […], "annotations": […], "categories": […]}, or a list of results: '
    '[{"image_id", "category_id", "bbox", "score"}]'
)
#: Names that an error message lists at most.
_SHOWN = 3
_BOX_LENGTH = 4
_shown = reprlib.repr


@dataclass(frozen=True, slots=True)
class Detection:
    """A box that a detector has drawn.

    Attributes:
        box: half-open (x0, y0, x1, y1) in pixels of the EXIF-transposed picture; it may reach
            beyond the picture, and have no width or height.
        label: what the detector calls it, or None.
        score: how sure the detector is, 0 to 1, or None.
    """

    box: XYXY
    label: str | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not all(map(math.isfinite, self.box)) or x1 < x0 or y1 < y0:
            raise ValueError(f"box {self.box} is not x0 ≤ x1, y0 ≤ y1 of finite numbers")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"score {self.score} is not between 0 and 1")


@dataclass(frozen=True)
class _Picture:
    """One picture as the file has it; `written` is its name or id in the file's own words."""

    naming: _Naming
    parts: _Parts
    written: str
    detections: tuple[Detection, ...]


class Detections:
    """The detections of many pictures; `len` is the number of pictures that have any."""

    def __init__(self, source: Path, pictures: Iterable[_Picture]) -> None:
        """Sort the pictures by their names and by every end of these; see `load_detections`."""
        self._source = source
        self._whole: dict[tuple[_Naming, _Parts], list[_Picture]] = {}
        self._ends: dict[tuple[_Naming, _Parts], list[_Picture]] = {}
        self._count = 0
        for picture in pictures:
            naming, parts = picture.naming, picture.parts
            self._whole.setdefault((naming, parts), []).append(picture)
            for start in range(len(parts)):
                self._ends.setdefault((naming, parts[start:]), []).append(picture)
            self._count += bool(picture.detections)

    def __len__(self) -> int:
        return self._count

    def of(self, path: str) -> tuple[Detection, ...]:
        """Return the detections of a picture; empty if the file has none for it.

        A name in the file belongs to the path if it is the path, or else if one of the two is
        the end of the other, in whole parts: "a.jpg" and "/data/trip/a.jpg" both belong to
        "trip/a.jpg", and "home/a.jpg" does not. The longest common end wins. Results without a
        `file_name` go by `image_id`: the name without its extension, or the number that it is,
        zeros in front or not.

        Args:
            path: relative to the library, "/" between the parts, as `indexer.records.File.path`.

        Raises:
            SegsearchError: several pictures of the file fit equally well and differ.
        """
        for naming, parts in _readings(path):
            found = self._named(naming, parts)
            if len(found) > 1 and len({picture.detections for picture in found}) > 1:
                names = [picture.written for picture in found]
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                raise SegsearchError(
                    f"{self._source}: the picture {path} can be any of "
                    f"{', '.join(names[:_SHOWN])}{more}",
                    "give each picture a file_name of its own, relative to the indexed folder",
                )
            if found:
                return found[0].detections
        return ()

    def digest(self, path: str) -> str | None:
        """Return 16 hex digits of the boxes, labels and scores of a picture, in any order.

        Args:
            path: see `of`.

        Returns:
            None where there are no detections.

        Raises:
            SegsearchError: see `of`.
        """
        detections = self.of(path)
        if not detections:
            return None
        plain = sorted(json.dumps([one.box, one.label, one.score]) for one in detections)
        return hashlib.sha256("\n".join(plain).encode("ascii")).hexdigest()[:16]

    def _named(self, naming: _Naming, parts: _Parts) -> list[_Picture]:
        """Return the pictures whose names fit best, all equally well."""
        if whole := self._whole.get((naming, parts)):
            return whole
        if longer := self._ends.get((naming, parts)):
            return longer
        for start in range(1, len(parts)):
            if shorter := self._whole.get((naming, parts[start:])):
                return shorter
        return []


@dataclass(frozen=True)
class _Entry:
    """One object in the file, which knows where it stands."""

    place: str
    values: Mapping[str, object]

    def wrong(self, what: str, hint: str) -> SegsearchError:
        return SegsearchError(f"{self.place} {what}", hint)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        text = _storable(value)
        if value is not None and text is None:
            raise self.wrong(f"has the {key} {_shown(value)}", f"{key} is a text")
        return text

    def file_name(self) -> str | None:
        value = self.values.get("file_name")
        name = _storable(value)
        if value is not None and (name is None or not _parts(name)):
            raise self.wrong(
                f"has the file_name {_shown(value)}",
                "file_name is the picture's path, relative to the indexed folder",
            )
        return name

    def id(self, key: str) -> _Id | None:
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        text = _storable(value)
        if value is not None and text is None:
            raise self.wrong(f"has the {key} {_shown(value)}", f"{key} is a whole number or a text")
        return text

    def box(self) -> XYXY:
        value = self.values.get("bbox")
        if isinstance(value, list) and len(value) == _BOX_LENGTH and all(map(_is_finite, value)):
            x, y, width, height = map(float, value)
            corner = (x + width, y + height)
            if width >= 0 and height >= 0 and all(map(math.isfinite, corner)):
                return (x, y, *corner)
        raise self.wrong(
            "has no bbox" if value is None else f"has the bbox {_shown(value)}",
            "bbox is [x, y, width, height] in pixels, finite numbers, sizes not negative",
        )

    def score(self) -> float | None:
        value = self.values.get("score")
        if value is None:
            return None
        if isinstance(value, int | float) and _is_finite(value) and 0 <= value <= 1:
            return float(value)
        raise self.wrong(f"has the score {_shown(value)}", "score is a number from 0 to 1")

    def label(self, categories: Mapping[_Id, str] | None) -> str | None:
        category = self.id("category_id")
        if categories is None or category is None:
            return self.text("category_name") or (None if category is None else str(category))
        if category not in categories:
            raise self.wrong(
                f"has the category_id {_shown(category)}, which is not among the categories",
                "add that category, or leave `categories` out to use the ids as labels",
            )
        return categories[category]

    def detection(self, categories: Mapping[_Id, str] | None) -> Detection:
        return Detection(self.box(), self.label(categories), self.score())


def load_detections(path: Path) -> Detections:
    """Read what a detector found from a COCO file.

    Either a dataset: `images` with `id` and `file_name`, `annotations` with `image_id`,
    `category_id`, `bbox` and perhaps `score`, and perhaps `categories` with `id` and `name`; or
    a list of results like those annotations, with `file_name` and `category_name` where the
    detector writes them. The label is the category's name, or its id where there are no names.

    Args:
        path: the JSON file.

    Raises:
        SegsearchError: it cannot be read, or an entry of it is malformed.
    """
    try:
        data: object = json.loads(path.read_bytes())
    except OSError as error:
        raise SegsearchError(
            f"the detections {path} cannot be read: {error.strerror}", "give another file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SegsearchError(f"{path} is no JSON file: {error}", _FORMS) from error
    if isinstance(data, list):
        return Detections(path, _results(path, data))
    if isinstance(data, dict):
        return Detections(path, _dataset(path, data))
    raise SegsearchError(f"{path} holds neither an object nor a list", _FORMS)


def _dataset(source: Path, data: Mapping[str, object]) -> Iterator[_Picture]:
    """Read an object with `images`, `annotations` and perhaps `categories`."""
    names = _images(source, data.get("images"))
    categories = _categories(source, data["categories"]) if "categories" in data else None
    found: dict[_Id, list[Detection]] = {image: [] for image in names}
    for entry in _entries(source, "annotations", data.get("annotations")):
        image = entry.id("image_id")
        if image is None or image not in found:
            raise entry.wrong(
                f"has the image_id {_shown(image)}, which is not among the images",
                "every image_id is the id of one of `images`",
            )
        found[image].append(entry.detection(categories))
    for image, detections in found.items():
        yield _named_by_path(names[image], tuple(detections))


def _images(source: Path, value: object) -> dict[_Id, str]:
    names: dict[_Id, str] = {}
    for entry in _entries(source, "images", value):
        image, name = entry.id("id"), entry.file_name()
        if image is None or name is None:
            missing = "id" if image is None else "file_name"
            raise entry.wrong(f"has no {missing}", "an image has an id and a file_name")
        if image in names:
            raise entry.wrong(f"has the id {_shown(image)} of another", "give each image its own")
        names[image] = name
    return names


def _categories(source: Path, value: object) -> dict[_Id, str]:
    names: dict[_Id, str] = {}
    for entry in _entries(source, "categories", value):
        category, name = entry.id("id"), entry.text("name")
        if category is None or name is None:
            missing = "id" if category is None else "name"
            raise entry.wrong(f"has no {missing}", "a category has an id and a name")
        if category in names:
            raise entry.wrong(
                f"has the id {_shown(category)} of another", "give each category its own"
            )
        names[category] = name
    return names


def _results(source: Path, data: list[object]) -> Iterator[_Picture]:
    """Read a list of results."""
    found: dict[tuple[_Id | None, str | None], list[Detection]] = {}
    for entry in _entries(source, "results", data):
        image, name = entry.id("image_id"), entry.file_name()
        if name is None and (image is None or not _parts(str(image))):
            raise entry.wrong(
                "does not say of which picture it is", "give it an image_id or a file_name"
            )
        found.setdefault((image, name), []).append(entry.detection(None))
    for (image, name), detections in found.items():
        if name is not None:
            yield _named_by_path(name, tuple(detections))
        else:
            naming: _Naming = "number" if isinstance(image, int) else "stem"
            written = f"image_id {_shown(image)}"
            yield _Picture(naming, _parts(str(image)), written, tuple(detections))


def _entries(source: Path, name: str, value: object) -> Iterator[_Entry]:
    if not isinstance(value, list):
        what = f"has no {name}" if value is None else f"has no list of {name}: {_shown(value)}"
        raise SegsearchError(f"{source} {what}", _FORMS)
    for place, values in enumerate(value):
        if not isinstance(values, dict):
            raise SegsearchError(f"{source}: {name}[{place}] is {_shown(values)}", _FORMS)
        yield _Entry(f"{source}: {name}[{place}]", values)


def _named_by_path(name: str, detections: tuple[Detection, ...]) -> _Picture:
    return _Picture("path", _parts(name), name, detections)


def _readings(path: str) -> Iterator[tuple[_Naming, _Parts]]:
    """Return the names under which a file may have a picture, the most certain first."""
    parts = _parts(path)
    if not parts:
        return
    stem = PurePosixPath(parts[-1]).stem
    yield "path", parts
    yield "stem", (*parts[:-1], stem)
    yield "number", (*parts[:-1], stem.lstrip("0") or "0")


def _parts(path: str) -> _Parts:
    """Return the parts of a path; detectors on Windows write backslashes."""
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def _is_finite(value: object) -> bool:
    """Whether a JSON value is a number that fits into a finite float."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and abs(value) <= sys.float_info.max


def _storable(value: object) -> str | None:
    """Return a JSON text in the form that can be stored, or None: JSON can hold half a character.

    Names that are no UTF-8 come as Python's surrogate escapes, which have such a form.
    """
    try:
        return storable(value) if isinstance(value, str) else None
    except UnicodeEncodeError:
        return None
