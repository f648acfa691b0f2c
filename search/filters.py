"""What hits are narrowed to, as the user says it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path

from indexer.errors import QueryError
from indexer.library import S3Path, as_path, is_folder
from indexer.roots import prefixes
from indexer.store.base import AnyOf, Condition, Filter, Match, Near, Prefix, Range
from indexer.store.points import time_text
from search.globs import Glob, check_path

Words = str | Sequence[str]

#: What people call formats, and what Pillow does.
_FORMATS = {"JPG": "JPEG", "TIF": "TIFF", "JP2": "JPEG2000", "HEIC": "HEIF"}
_MAX_LATITUDE, _MAX_LONGITUDE = 90, 180
#: The fields of `Filters` that pictures do not have.
_OF_SEGMENTS = ("min_area", "max_area", "min_depth", "max_depth", "label", "min_label_score")


@dataclass(frozen=True)
class Place:
    """A circle on the earth: latitude and longitude of its middle, degrees, and radius, km."""

    latitude: float
    longitude: float
    radius_km: float

    def __post_init__(self) -> None:
        values = (self.latitude, self.longitude, self.radius_km)
        if (
            not all(map(math.isfinite, values))
            or abs(self.latitude) > _MAX_LATITUDE
            or abs(self.longitude) > _MAX_LONGITUDE
            or self.radius_km <= 0
        ):
            raise QueryError(
                f"{self.latitude:g},{self.longitude:g} and {self.radius_km:g} km are no place",
                "give a latitude (-90 to 90), a longitude (-180 to 180) and a radius above 0",
            )


@dataclass(frozen=True)
class Filters:
    """Conditions that all hits fulfil; None is no condition.

    Attributes:
        path: a folder (one that exists, or any text that ends in "/") selects the pictures below
            it; anything else those whose path begins so. Relative to the working directory.
        glob: a pattern that one of the picture's paths matches, see `search.globs.Glob`.
        min_area: least share of the picture that the segment covers, 0 to 1.
        max_area: largest share, likewise.
        min_depth: least number of segments around the segment; 0 is the top.
        max_depth: largest number, likewise.
        since: first day on which the picture was taken, in the camera's local time.
        until: last day, likewise.
        near: where the picture was taken.
        format: "JPEG", "PNG", … as Pillow names it, in any case; one of several.
        camera: how maker and model begin, as EXIF has them; one of several.
        label: what the segment is called, exactly so; one of several.
        min_label_score: how sure the label is at least, 0 to 1.
        min_size: pixels that the picture's shorter side has at least.
        max_size: pixels that its longer side has at most.
    """

    path: str | Path | None = None
    glob: str | None = None
    min_area: float | None = None
    max_area: float | None = None
    min_depth: int | None = None
    max_depth: int | None = None
    since: date | None = None
    until: date | None = None
    near: Place | None = None
    format: Words | None = None
    camera: Words | None = None
    label: Words | None = None
    min_label_score: float | None = None
    min_size: int | None = None
    max_size: int | None = None

    def to_store(self, roots: dict[str, Path]) -> Filter:
        """Return the filter in the store's terms, without what only `glob` can tell.

        Args:
            roots: the library roots of the index, id → absolute path.

        Raises:
            QueryError: the path lies in no root, a range is empty, or a value makes no sense.
        """
        return Filter((*self._of_paths(roots), *self._of_segments(), *self._of_pictures()))

    def paths_to_store(self, roots: dict[str, Path]) -> Filter:
        """Return that part of `to_store` that is about paths."""
        return Filter(tuple(self._of_paths(roots)))

    def of_images(self) -> Filters:
        """Return the same without what only segments have."""
        return replace(self, **dict.fromkeys(_OF_SEGMENTS))

    def check_for_images(self) -> None:
        """Refuse what only segments have, where whole pictures are ranked.

        Raises:
            QueryError: there is a condition on the area, the depth or the label.
        """
        of_segments = {
            "area": (self.min_area, self.max_area),
            "depth": (self.min_depth, self.max_depth),
            "label": (self.label, self.min_label_score),
        }
        for name, values in of_segments.items():
            if any(value is not None for value in values):
                raise QueryError(f"whole pictures have no {name} to filter by", "leave it out")

    def _of_paths(self, roots: dict[str, Path]) -> list[Condition]:
        must: list[Condition] = []
        if self.path is not None:
            must.append(_below(self.path, roots))
        prefix = None if self.glob is None else Glob(self.glob).prefix
        if prefix is not None:
            must.append(_below(prefix, roots, literal=True))
        return must

    def _of_segments(self) -> list[Condition]:
        """Return the conditions that only segments can fulfil."""
        must: list[Condition] = []
        for share in (self.min_area, self.max_area):
            if share is not None and not 0 <= share <= 1:
                raise QueryError(f"an area of {share} is none", "give a share from 0 to 1")
        must += _range("area_fraction", self.min_area, self.max_area, "area")
        must += _range("depth", self.min_depth, self.max_depth, "depth")
        if self.label is not None:
            must.append(Match("label", _words(self.label, "label")))
        if self.min_label_score is not None:
            if not 0 <= self.min_label_score <= 1:
                raise QueryError(
                    f"a label's score is never {self.min_label_score}", "give one from 0 to 1"
                )
            must.append(Range("label_score", gte=self.min_label_score))
        return must

    def _of_pictures(self) -> list[Condition]:
        must: list[Condition] = []
        if self.since is not None or self.until is not None:
            _check_order(self.since, self.until, "date")
            first = None if self.since is None else datetime.combine(self.since, time.min)
            last = None if self.until is None else datetime.combine(self.until, time.max)
            must.append(Range("taken_at", gte=time_text(first), lte=time_text(last)))
        if self.near is not None:
            place = self.near
            must.append(Near("gps", place.latitude, place.longitude, 1000 * place.radius_km))
        if self.format is not None:
            named = (name.upper() for name in _words(self.format, "format"))
            must.append(Match("format", tuple(_FORMATS.get(name, name) for name in named)))
        if self.camera is not None:
            cameras = _words(self.camera, "camera")
            must.append(AnyOf(tuple(Prefix("camera", camera) for camera in cameras)))
        _check_order(self.min_size, self.max_size, "size")
        for side in ("width", "height"):
            must += _range(side, self.min_size, self.max_size, side)
        return must


def _below(path: str | Path, roots: dict[str, Path], *, literal: bool = False) -> Condition:
    """Return what selects the pictures in a folder, or (`literal`) whose path begins so."""
    check_path(str(path))
    absolute = as_path(path)
    if not isinstance(absolute, S3Path):
        # unlike their likes in pathlib: "~nobody" is a name as any other, links are kept
        absolute = Path(os.path.abspath(os.path.expanduser(absolute)))  # noqa: PTH100, PTH111
    # unlike its like in pathlib, this says nothing of names that are too long, or go round
    folder = str(path).endswith("/") or (not literal and is_folder(absolute))
    found = {*prefixes(absolute, roots, folder=folder)}
    if not isinstance(absolute, S3Path):
        # a link inside the library is indexed by its own path, one that leads there is not
        found |= {*prefixes(Path(os.path.realpath(absolute)), roots, folder=folder)}
    if not found:
        known = ", ".join(str(root) for root in roots.values())
        raise QueryError(f"{absolute} lies outside the library", f"its folders are: {known}")
    return AnyOf(tuple(Prefix("paths", prefix) for prefix in sorted(found)))


def _words(given: Words, what: str) -> tuple[str, ...]:
    words = (given,) if isinstance(given, str) else tuple(given)
    if not words:
        raise QueryError(f"the list of {what}s is empty", "name at least one")
    for word in words:
        if not _is_text(word):
            raise QueryError(f"{word!a} is the {what} of nothing", "leave out what is no character")
    return words


def _is_text(word: str) -> bool:
    """Whether a word can be stored at all: a half of a character cannot."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _range(field: str, low: float | None, high: float | None, what: str) -> list[Condition]:
    for number in (low, high):
        if number is not None and not 0 <= number < math.inf:
            raise QueryError(f"no {what} is {number}", "give a number from 0 on")
    _check_order(low, high, what)
    return [] if low is None and high is None else [Range(field, gte=low, lte=high)]


def _check_order(low: float | date | None, high: float | date | None, what: str) -> None:
    if low is not None and high is not None and low > high:  # type: ignore[operator]
        raise QueryError(f"the {what} range from {low} to {high} is empty", "swap its ends")
