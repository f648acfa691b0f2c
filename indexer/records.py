"""The records of segsearch: what an image, a segment and a file are.

All are frozen and validated once, at construction. Pixel coordinates are in the frame of the
EXIF-transposed picture, x to the right and y down, with (0, 0) the outer corner of the first
pixel. Boxes are half-open: (x0, y0, x1, y1) covers the pixels x0 ≤ x < x1, y0 ≤ y < y1.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # a run with nothing new has no vectors
    import numpy as np
    from numpy.typing import NDArray

#: Namespace of all ids that segsearch derives: UUIDv5 of the URL namespace and "segsearch".
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "segsearch")

Box = tuple[int, int, int, int]
Vector: TypeAlias = "NDArray[np.float32]"

#: The size in a file's record that no file has: whatever interrupts a change of several records,
#: the next run takes the file up again.
UNFINISHED = -1

#: Largest latitude and longitude, degrees.
_MAX_LATITUDE, _MAX_LONGITUDE = 90, 180
#: How far the norm of a stored vector may be from 1.
_NORM_TOLERANCE = 1e-3


def image_id(sha256: str) -> str:
    """Return the id of the picture whose bytes have this SHA-256 (64 hex digits)."""
    return str(uuid.uuid5(NAMESPACE, f"image:{sha256}"))


def segment_id(image: str, segmentation: str, ordinal: int) -> str:
    """Return the id of an image's `ordinal`-th segment under one segmentation recipe."""
    return str(uuid.uuid5(NAMESPACE, f"segment:{image}:{segmentation}:{ordinal}"))


def file_id(root: str, path: str) -> str:
    """Return the id of the file at `path` relative to the library root with id `root`."""
    return str(uuid.uuid5(NAMESPACE, f"file:{root}:{path}"))


def root_id(path: str) -> str:
    """Return the id of a library root from the absolute path where it was first seen."""
    return str(uuid.uuid5(NAMESPACE, f"root:{path}"))


@dataclass(frozen=True)
class Rle:
    """A mask in COCO's compressed run-length encoding.

    Attributes:
        size: (height, width) in pixels.
        counts: the column-major runs, as pycocotools packs them, ASCII.
    """

    size: tuple[int, int]
    counts: str

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"an RLE needs a positive size, not {self.size}")


@dataclass(frozen=True)
class Region:
    """A mask that was cut out of one picture, with what is known about it.

    Attributes:
        rle: the mask, of the whole picture's size.
        box: the tight half-open box around the mask, pixels.
        area_px: number of pixels in the mask, at least 1.
        predicted_iou: the model's own estimate of the mask's IoU with an object, about 0 to 1.
        stability_score: IoU of the mask at a raised and a lowered threshold, 0 to 1;
            None for prompted masks, where it is not computed.
        point: the (x, y) pixel that prompted the mask, if a single one did.
        parent: position, in the same list of regions, of the smallest region that contains
            this one; None at the top.
        depth: number of regions around this one: 0 at the top.
        label: what it is called; None if nobody gave it a name.
        label_score: how sure the label is, 0 to 1, or None.
        label_source: who gave the label: "detector", or "vocabulary" (the words of a user,
            compared with the segment's vector); None without a label.
    """

    rle: Rle
    box: Box
    area_px: int
    predicted_iou: float
    stability_score: float | None
    point: tuple[float, float] | None = None
    parent: int | None = None
    depth: int = 0
    label: str | None = None
    label_score: float | None = None
    label_source: str | None = None

    def __post_init__(self) -> None:
        height, width = self.rle.size
        check_box(self.box, width, height)
        x0, y0, x1, y1 = self.box
        if not 1 <= self.area_px <= (x1 - x0) * (y1 - y0):
            raise ValueError(f"area {self.area_px} does not fit into box {self.box}")
        if self.parent is not None and self.depth == 0:
            raise ValueError("a region with a parent cannot be at the top")
        if self.label_score is not None and not 0 <= self.label_score <= 1:
            raise ValueError(f"a label's score lies between 0 and 1, not at {self.label_score}")

    @property
    def area_fraction(self) -> float:
        """Share of the picture's pixels that the mask covers, above 0 and at most 1."""
        return self.area_px / (self.rle.size[0] * self.rle.size[1])


@dataclass(frozen=True, eq=False)
class Segment:
    """One region of an indexed image, as stored.

    Attributes:
        id: UUIDv5 of (image id, segmentation id, ordinal).
        image_id: the image it lies in.
        region: mask, box and scores; `region.parent` is not stored, `parent_id` is.
        parent_id: id of the smallest segment that contains this one, or None.
        paths: where the image lies, see `Image.paths`.
        taken_at: see `Picture.taken_at`.
        gps: see `Picture.gps`.
        format: see `Picture.format`.
        camera: see `Picture.camera`.
        vector: float32, shape (dim,), L2-normalised; None where it was not asked for.
    """

    id: str
    image_id: str
    region: Region
    parent_id: str | None
    paths: tuple[str, ...] = ()
    taken_at: datetime | None = None
    gps: tuple[float, float] | None = None
    format: str | None = None
    camera: str | None = None
    vector: Vector | None = None

    def __post_init__(self) -> None:
        if (self.parent_id is None) != (self.region.depth == 0):
            raise ValueError("exactly the segments at the top have no parent")
        check_unit(self.vector)


@dataclass(frozen=True)
class Picture:
    """What a decoded file says about itself.

    Attributes:
        sha256: of the file's bytes, 64 hex digits.
        width: pixels, after the EXIF orientation was applied.
        height: pixels, likewise.
        format: as Pillow names it: "JPEG", "PNG", …
        frames: number of frames or pages; only the first is used.
        taken_at: when, from EXIF, as naive local time; None if unknown.
        camera: maker and model from EXIF, or None.
        gps: (latitude, longitude) in degrees from EXIF, or None.
    """

    sha256: str
    width: int
    height: int
    format: str
    frames: int = 1
    taken_at: datetime | None = None
    camera: str | None = None
    gps: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise ValueError(f"a picture needs a positive size, not {self.width}×{self.height}")
        if self.gps is not None and not (
            abs(self.gps[0]) <= _MAX_LATITUDE and abs(self.gps[1]) <= _MAX_LONGITUDE
        ):
            raise ValueError(f"not a latitude and longitude: {self.gps}")


@dataclass(frozen=True, eq=False)
class Image:
    """One distinct picture of the index.

    Attributes:
        id: UUIDv5 of the SHA-256 of its bytes.
        picture: what the file says about itself.
        paths: where it lies, each "<root id>/<relative path>", see `indexer.library.paths`.
        n_segments: how many segments it has; may be 0.
        indexed_at: when its record was written, UTC.
        vector: of the whole picture, float32, shape (dim,), L2-normalised; None where it was
            not asked for.
    """

    id: str
    picture: Picture
    paths: tuple[str, ...]
    n_segments: int
    indexed_at: datetime
    vector: Vector | None = None

    def __post_init__(self) -> None:
        check_unit(self.vector)


@dataclass(frozen=True, eq=False)
class Found:
    """One ranked segment with the image it lies in; `score` is the cosine with the query."""

    segment: Segment
    image: Image
    score: float


@dataclass(frozen=True, eq=False)
class FoundImage:
    """One ranked image; `score` is the cosine of its whole-image vector with the query."""

    image: Image
    score: float


@dataclass(frozen=True)
class Status:
    """How much there is.

    Attributes:
        files: file records, failed ones included.
        images: distinct pictures that are indexed.
        segments: segments of those.
        failed: files that could not be indexed.
    """

    files: int
    images: int
    segments: int
    failed: int


@dataclass(frozen=True)
class Failure:
    """Why a file could not be indexed.

    Attributes:
        reason: a short stable code, see `indexer.library.REASONS`.
        message: in words.
        retryable: whether the next run should try the unchanged file again.
    """

    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class File:
    """One file of a library, indexed or failed.

    Attributes:
        root: id of its library root.
        path: relative to the root, "/" between the parts, as storable text.
        size: bytes; `UNFINISHED` while what is recorded of the file is being changed.
        mtime_ns: modification time, nanoseconds since the epoch.
        image_id: the image that its bytes are, or None if they are none.
        failure: why there is no image, or None.
        detections: digest of the detections that its image was indexed with, see
            `indexer.detections.Detections.digest`; None without any.
    """

    root: str
    path: str
    size: int
    mtime_ns: int
    image_id: str | None = None
    failure: Failure | None = None
    detections: str | None = None

    def __post_init__(self) -> None:
        if (self.image_id is None) == (self.failure is None):
            raise ValueError("a file has either an image or a failure")

    @property
    def id(self) -> str:
        """UUIDv5 of the root's id and the relative path."""
        return file_id(self.root, self.path)


def check_box(box: Box, width: int, height: int) -> None:
    """Raise `ValueError` unless the half-open box has pixels and lies inside the picture."""
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"box {box} does not lie inside a picture of {width}×{height} pixels")


def check_unit(vector: Vector | None) -> None:
    """Raise `ValueError` unless the vector is absent or has length 1."""
    if vector is None:
        return
    norm = float(vector @ vector) ** 0.5
    if not abs(norm - 1.0) <= _NORM_TOLERANCE:
        raise ValueError(f"a vector has norm {norm:.4f}, not 1")
