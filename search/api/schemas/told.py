"""What the API gives, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel

from search.api.schemas.rows import row
from search.facets import By as FacetBy

Size = Annotated[tuple[int, int], row("integer", 2)]
Box = Annotated[tuple[int, int, int, int], row("integer", 4)]
Numbers = Annotated[tuple[float, float], row("number", 2)]


class Rle(BaseModel):
    """A mask as COCO's compressed RLE: size is height and width."""

    size: Size
    counts: str


class Region(BaseModel):
    """A mask with what is known about it."""

    box: Box
    area_px: int
    area_fraction: float
    predicted_iou: float
    stability_score: float | None
    point: Numbers | None
    rle: Rle


class Segment(Region):
    """One region of an indexed image."""

    id: str
    image_id: str
    parent_id: str | None
    depth: int
    label: str | None
    label_score: float | None
    label_source: str | None


class Image(BaseModel):
    """One distinct picture; `path` begins with the name of its library folder."""

    id: str
    path: str
    paths: list[str]
    width: int
    height: int
    format: str
    taken_at: str | None
    camera: str | None
    gps: Numbers | None
    n_segments: int


class Hit(BaseModel):
    """One result; see docs/formats.md for the scores. `segment` is null where images are ranked."""

    image: Image
    segment: Segment | None
    score: float
    standard_score: float | None
    contrast: float | None
    relevance: float | None


class SceneHit(BaseModel):
    """One picture that shows a scene: the segments that are each of its things."""

    image: Image
    relevance: float
    things: dict[str, list[Hit]]


class SearchResponse(BaseModel):
    """One page of hits, or of scenes.

    `least` is the relevance that the best hit must have; where none has it, there are no hits,
    and `nearest` is the best of what there is. `absent` names the things of a scene that are in no
    picture. `next_offset` is null on the last page.
    """

    kind: Literal["segments", "images", "scenes"]
    hits: list[Hit] = []
    scenes: list[SceneHit] = []
    next_offset: int | None = None
    least: float | None = None
    nearest: Hit | None = None
    absent: list[str] = []
    upload_id: str | None = None
    took_ms: float


class Upload(BaseModel):
    """A picture that was uploaded, kept in memory for a while under an id that nobody guesses."""

    id: str
    width: int
    height: int
    expires_at: datetime


class SegmentResponse(BaseModel):
    """What SAM 2 cuts out, best first; none where it finds nothing there."""

    width: int
    height: int
    regions: list[Region]
    took_ms: float


class ImagePage(BaseModel):
    """Images by rising id; `next` is the `after` of the following page, null on the last one."""

    images: list[Image]
    next: str | None


class ImageSegments(BaseModel):
    """All segments of an image, parents before their parts."""

    image: Image
    segments: list[Segment]


class SegmentInImage(BaseModel):
    """A segment and the image it lies in."""

    segment: Segment
    image: Image


class FacetValue(BaseModel):
    """A value and how many have it."""

    value: str
    count: int


class Facet(BaseModel):
    """What there is of a property; `without` have none, `more` is true if values were left out."""

    by: FacetBy
    of: str
    values: list[FacetValue]
    without: int
    more: bool


class Facets(BaseModel):
    """The facets asked for."""

    facets: list[Facet]


class Progress(BaseModel):
    """How far an index run is: `done` files, `pending` still to come, `seconds` since it began."""

    files: int = 0
    unchanged: int = 0
    pending: int = 0
    done: int = 0
    images: int = 0
    segments: int = 0
    failed: int = 0
    pruned: int = 0
    seconds: float = 0.0
    seconds_to_go: float | None = None
    current: str | None = None


class IndexRun(BaseModel):
    """The index run that is going on, or the last one; `never` before the first."""

    state: Literal["never", "running", "stopping", "done", "stopped", "failed"]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = None
    progress: Progress = Progress()


class Access(BaseModel):
    """What the caller may do."""

    role: Literal["read", "admin"]
    files: bool
    can_index: bool


class Holdings(BaseModel):
    """What the index holds, and the models it was built with; zeros where there is none yet."""

    exists: bool
    files: int = 0
    images: int = 0
    segments: int = 0
    failed: int = 0
    size_bytes: int | None = None
    roots: list[str] = []
    clip: str | None = None
    sam2: str | None = None


class Stats(Holdings):
    """What there is, what the caller may do, and how the index run stands."""

    access: Access
    run: IndexRun
    version: str


class Problem(BaseModel):
    """An error, after RFC 9457. `code` is stable; `hint` says what to do next."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    request_id: str
    errors: list[dict[str, str]] = []
