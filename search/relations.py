"""How two segments of a picture lie to each other, and the words for it.

All of it is about what the picture shows, in its own plane: left and right are the viewer's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from indexer.errors import QueryError
from indexer.records import Box, Region, Rle
from indexer.segmentation import masks

How = Literal["left-of", "right-of", "above", "below", "inside", "near"]

#: Share of the narrower one's extent by which two things that lie side by side may overlap.
_OVERLAP = 0.25
#: Share of a segment's pixels that lie in another thing's outline where the one is inside of it.
_INSIDE = 0.8
#: How far near things are from each other at most, over the mean of their own extents.
_NEAR = 0.75

#: That the first thing ends with no space lets a row of them be tried once, not from each on.
_RELATION = re.compile(rf"(.*?\S)\s+({'|'.join(get_args(How))})\s+((?s:.+))", re.IGNORECASE)
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_AT_LEAST = re.compile(rf"at least (\d{{1,99}}|{'|'.join(_NUMBERS)})\s+(.+)", re.IGNORECASE)
_MOST = 100
_IRREGULAR = {
    "leaves": "leaf",
    "knives": "knife",
    "buses": "bus",
    "people": "person",
    "children": "child",
    "mice": "mouse",
}


@dataclass(frozen=True)
class Relation:
    """One thing and how it lies to another; both are named as the parts of a scene are.

    Attributes:
        thing: what lies somehow.
        how: how it lies.
        other: to what.
    """

    thing: str
    how: How
    other: str

    def __post_init__(self) -> None:
        if self.thing.casefold() == self.other.casefold():
            raise QueryError(
                f"{self.thing!r} cannot lie {self.how} itself", "name two different things"
            )

    @classmethod
    def parse(cls, text: str) -> Relation:
        """Read "dog left-of frisbee".

        Raises:
            QueryError: it is not of that form, or the two are the same.
        """
        found = _RELATION.fullmatch(text.strip())
        if found is None:
            raise QueryError(
                f"{text!r} is no relation",
                f"write A HOW B, with one of {', '.join(get_args(How))}: 'dog left-of frisbee'",
            )
        how = next(each for each in get_args(How) if each == found[2].lower())
        return cls(found[1], how, found[3])

    def holds(self, thing: Region, other: Region) -> bool:
        """Return whether it is true of two segments of one picture."""
        return _HOLDS[self.how](thing, other)


@dataclass(frozen=True)
class Count:
    """So many of a thing, at least.

    Attributes:
        thing: its name.
        number: how many, 1 or more.
    """

    thing: str
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Count:
        """Read "mug", or "at least 3 mugs", which means three of "mug".

        Raises:
            QueryError: the number is none, or more than a picture is likely to show, or a relation
                is in it.
        """
        if not is_count(text):
            return cls(text.strip())
        found = _AT_LEAST.fullmatch(text.strip())
        if found is None or _RELATION.fullmatch(found[2]):
            raise QueryError(
                f"{text!r} is not understood",
                "write 'at least 3 mugs', and what lies how as a relation of its own",
            )
        number = _NUMBERS.get(found[1].lower()) or int(found[1])
        if not 1 <= number <= _MOST:
            raise QueryError(f"at least {number} of a thing?", f"ask for 1 to {_MOST}")
        return cls(singular(found[2]) if number > 1 else found[2], number)


def is_count(text: str) -> bool:
    """Return whether a text begins as a number of things does."""
    return text.strip().casefold().startswith("at least ")


def singular(noun: str) -> str:
    """Return an English noun phrase in the singular, as far as its ending tells."""
    for plural, one in _IRREGULAR.items():
        if noun == plural or noun.endswith(f" {plural}"):
            return noun.removesuffix(plural) + one
    for ending, one in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("sses", "ss")):
        if noun.endswith(ending) and len(noun) > len(ending) + 1:
            return noun.removesuffix(ending) + one
    if noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun[:-1]
    return noun


@functools.lru_cache(maxsize=1 << 14)
def are_one(one: Region, other: Region) -> bool:
    """Return whether two segments show the same thing: half of what they cover is in both."""
    if _gap(one.box, other.box) > 0:
        return False
    return bool(masks.iou([one.rle, other.rle])[0, 1] >= 1 / 2)


def _left_of(one: Region, other: Region) -> bool:
    return _before(one.box, other.box, 0)


def _right_of(one: Region, other: Region) -> bool:
    return _before(other.box, one.box, 0)


def _above(one: Region, other: Region) -> bool:
    return _before(one.box, other.box, 1)


def _below(one: Region, other: Region) -> bool:
    return _before(other.box, one.box, 1)


def _before(one: Box, other: Box, axis: int) -> bool:
    """Return whether a box ends, but for a little, before another begins along an axis."""
    overlap = one[axis + 2] - other[axis]
    narrower = min(one[axis + 2] - one[axis], other[axis + 2] - other[axis])
    comes_first = one[axis] + one[axis + 2] < other[axis] + other[axis + 2]
    return comes_first and overlap <= _OVERLAP * narrower


def _inside(one: Region, other: Region) -> bool:
    """Return whether a segment lies in another's outline: what lies on a thing is cut out of it."""
    if one.area_px >= other.area_px or _gap(one.box, other.box) > 0:
        return False
    return bool(masks.share_inside([one.rle, _outlined(other)])[0, 1] >= _INSIDE)


@lru_cache(maxsize=256)  # of a photograph it takes tenths of a second, and many may be in a thing
def _outlined(region: Region) -> Rle:
    """Return the mask of a segment with its holes filled."""
    from indexer.segmentation.rough_masks import filled  # OpenCV, which few queries need

    mask = masks.decode(region.rle).copy()
    x0, y0, x1, y1 = region.box
    mask[y0:y1, x0:x1] = filled(mask[y0:y1, x0:x1])
    return masks.encode(mask)


def _near(one: Region, other: Region) -> bool:
    extents = [max(box[2] - box[0], box[3] - box[1]) for box in (one.box, other.box)]
    return _gap(one.box, other.box) <= _NEAR * sum(extents) / 2


def _gap(one: Box, other: Box) -> float:
    """Return the distance between two boxes, pixels; 0 where they overlap or touch."""
    across = max(one[0] - other[2], other[0] - one[2], 0)
    down = max(one[1] - other[3], other[1] - one[3], 0)
    return float((across**2 + down**2) ** 0.5)


_HOLDS: dict[How, Callable[[Region, Region], bool]] = {
    "left-of": _left_of,
    "right-of": _right_of,
    "above": _above,
    "below": _below,
    "inside": _inside,
    "near": _near,
}
