"""What hits can become, and what is told about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from search.hits import Hit
    from search.pictures import Background


class Kind(StrEnum):
    """What hits can become.

    Pictures of one segment each: `mask` (PNG, mode L, 255 on it and 0 beside it, the whole frame),
    `cutout` (PNG, RGBA, alpha is the mask), `background` (JPEG, the object before something else),
    `crop` (JPEG, a square with the surroundings). `overlay` is the picture with the mask drawn
    (JPEG): of a query one a hit, of an index one a picture, with all its masks. The others are one
    file each: `sheet` (index.html), `coco` (coco.json), `parquet` (segments.parquet).
    """

    overlay = "overlay"
    mask = "mask"
    cutout = "cutout"
    background = "background"
    crop = "crop"
    sheet = "sheet"
    coco = "coco"
    parquet = "parquet"


#: The kinds that are many pictures.
PICTURES = (Kind.overlay, Kind.mask, Kind.cutout, Kind.background, Kind.crop)
#: The name of the one file of each other kind.
FILES = {Kind.sheet: "index.html", Kind.coco: "coco.json", Kind.parquet: "segments.parquet"}


@dataclass(frozen=True, eq=False)
class How:
    """How pictures are made.

    Attributes:
        trim: cut cut-outs to the segment's box, not the whole frame.
        background: what is put behind a segment, see `search.pictures.replace_background`.
        margin: side of a crop over the longer side of the segment's box, at least 1.
        size: side of a crop in pixels; None leaves the pixels as they are.
    """

    trim: bool = False
    background: Background | Literal["blur"] = (255, 255, 255)
    margin: float = 1.5
    size: int | None = None


@dataclass(frozen=True, eq=False)
class Written:
    """A file that was written.

    Attributes:
        kind: what it is.
        file: where it is.
        segments: how many segments it shows or holds.
        hit: the hit that it shows, the first of several in an overlay; None for a file of many
            pictures.
    """

    kind: Kind
    file: Path
    segments: int
    hit: Hit | None = None


@dataclass(frozen=True, eq=False)
class Missing:
    """A hit of which no picture could be made.

    Attributes:
        hit: the hit.
        why: in words: its picture is gone, or not what was indexed.
    """

    hit: Hit
    why: str
