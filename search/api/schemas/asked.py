"""What the API takes, as JSON."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    model_validator,
)

from search.api.schemas.rows import row

#: Largest coordinate of a prompt: that of the largest picture that is decoded.
_MOST_PX = 65_535
_MOST_EXAMPLES, _MOST_PICTURES, _MOST_POINTS, _MOST_THINGS, _MOST_VALUES = 32, 8, 64, 8, 50
#: Hits on one page, and hits that can be paged through.
MOST_HITS, MOST_OFFSET = 200, 10_000
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _storable(text: str) -> str:
    """Refuse what cannot be in a path, a name or a query: control characters, half characters."""
    if any(c < " " or "\ud800" <= c <= "\udfff" or c == "\x7f" for c in text):
        raise ValueError("control characters are not allowed here")
    return text


def _number(given: object) -> object:
    """Refuse what Pydantic would take for a number: true and false."""
    if isinstance(given, bool):
        raise ValueError("a number is meant, not true or false")  # noqa: TRY004 - Pydantic's way
    return given


def _digits(given: object) -> object:
    """Refuse text, which Pydantic would take for a number: in JSON, numbers are written so."""
    if isinstance(given, str):
        raise ValueError("a number is meant, not text")  # noqa: TRY004 - Pydantic's way
    return _number(given)


def _written(given: object) -> object:
    """Refuse what Pydantic would take for a date: seconds since 1970."""
    if isinstance(given, date) or (isinstance(given, str) and _DAY.fullmatch(given)):
        return given
    raise ValueError("write a day as YYYY-MM-DD")


_Numeric, _Numeral = BeforeValidator(_number), BeforeValidator(_digits)
Day = Annotated[date, BeforeValidator(_written)]
Words = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_storable)]
Name = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_storable)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), _Numeric]
Pixel = Annotated[float, Field(ge=0, le=_MOST_PX, allow_inf_nan=False), _Numeral]
Corner = Annotated[int, Field(ge=0, le=_MOST_PX), _Numeral]
Count = Annotated[int, Field(ge=0, le=1_000_000), _Numeric]
XY = Annotated[tuple[Pixel, Pixel], row("number", 2, minimum=0, maximum=_MOST_PX)]
Box = Annotated[
    tuple[Corner, Corner, Corner, Corner], row("integer", 4, minimum=0, maximum=_MOST_PX)
]
#: A circle on the earth: degrees and kilometres.
Near = Annotated[
    str,
    Field(
        pattern=r"^-?[0-9]{1,3}(\.[0-9]{1,9})?,-?[0-9]{1,3}(\.[0-9]{1,9})?,[0-9]{1,5}(\.[0-9]{1,9})?$",
        description="LATITUDE,LONGITUDE,RADIUS in degrees and kilometres",
        examples=["48.2,16.4,25"],
    ),
]
UploadId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{22}$", examples=["kJ3s0Zq1u9wX2yB4dE6fGh"])
]
Points = Annotated[list[XY], Field(max_length=_MOST_POINTS)]


class Model(BaseModel):
    """Takes what it knows, and refuses everything else."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptIn(Model):
    """Where an object lies in a picture: in a box, at points, not at others."""

    box: Box | None = None
    points: Points = []
    not_points: Points = []

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return self.box is None and not self.points and not self.not_points


class Example(PromptIn):
    """Something hits are like, or unlike: exactly one of a text, a segment, an image, an upload.

    Of an image or an upload, a box or points say which object is meant; without them, all of it.
    """

    text: Words | None = None
    segment_id: UUID | None = None
    image_id: UUID | None = None
    upload_id: UploadId | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Example:
        given = (self.text, self.segment_id, self.image_id, self.upload_id)
        if sum(each is not None for each in given) != 1:
            raise ValueError("give exactly one of text, segment_id, image_id and upload_id")
        if not self.is_empty and self.image_id is None and self.upload_id is None:
            raise ValueError("a box or points belong to an image or an upload")
        return self

    @property
    def needs_pixels(self) -> bool:
        """Whether a picture has to be read to know what it looks like."""
        return self.upload_id is not None or not self.is_empty


class Thing(Model):
    """One thing of a scene: an example, its name in relations, and how many there have to be."""

    name: Words
    example: Example
    count: Annotated[int, Field(ge=1, le=20), _Numeral] = 1


class SceneIn(Model):
    """Several things in one picture.

    Things are texts such as "dog" or "at least 3 mugs", or examples with a name; relations are
    "dog left-of frisbee", with left-of, right-of, above, below, inside or near.
    """

    things: Annotated[list[Words | Thing], Field(min_length=1, max_length=_MOST_THINGS)]
    relations: Annotated[list[Words], Field(max_length=2 * _MOST_THINGS)] = []


class ImageFilters(Model):
    """Conditions on pictures; what is left out is no condition.

    Paths begin with the name of a library folder, as in `Image.path`: "photos/2024/" is all that
    lies in that folder, "photos/2024" all whose path begins so.
    """

    path: Name | None = None
    glob: Name | None = None
    since: Day | None = None
    until: Day | None = None
    near: Near | None = None
    format: Annotated[list[Name], Field(max_length=_MOST_VALUES)] = []
    camera: Annotated[list[Name], Field(max_length=_MOST_VALUES)] = []
    min_size: Count | None = None
    max_size: Count | None = None


class FiltersIn(ImageFilters):
    """Conditions on segments and their pictures; areas are shares of the picture."""

    min_area: Share | None = None
    max_area: Share | None = None
    min_depth: Count | None = None
    max_depth: Count | None = None
    label: Annotated[list[Name], Field(max_length=_MOST_VALUES)] = []
    min_label_score: Share | None = None


class LookIn(Model):
    """Which hits, how many, in which order; see docs/api.md."""

    filters: FiltersIn = FiltersIn()
    by: Literal["segment", "image"] = "segment"
    limit: Annotated[int, Field(ge=1, le=MOST_HITS), _Numeral] = 40
    offset: Annotated[int, Field(ge=0, le=MOST_OFFSET), _Numeral] = 0
    all: Annotated[StrictBool, Field(description="Show the nearest, however irrelevant.")] = False
    min_relevance: Annotated[
        float | None, Field(ge=-100, le=100, allow_inf_nan=False), _Numeral
    ] = None
    nested: Annotated[
        StrictBool, Field(description="Keep hits inside, or around, better ones.")
    ] = False
    per_image: Annotated[int | None, Field(ge=1, le=1000), _Numeral] = None
    diversity: Annotated[Share, _Numeral] = 0.0


class SearchRequest(LookIn):
    """A query: `text` alone, or examples, or a scene."""

    text: Words | None = None
    positives: Annotated[list[Example], Field(max_length=_MOST_EXAMPLES)] = []
    negatives: Annotated[list[Example], Field(max_length=_MOST_EXAMPLES)] = []
    scene: SceneIn | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> SearchRequest:
        examples = self.text is not None or bool(self.positives)
        if examples == (self.scene is not None):
            raise ValueError("give a text or positives, or a scene")
        if self.scene is not None and self.negatives:
            raise ValueError("a scene has no negatives")
        if self.pictures > _MOST_PICTURES:
            raise ValueError(f"at most {_MOST_PICTURES} examples can be pictures to be read")
        return self

    @property
    def pictures(self) -> int:
        """How many examples are pictures that have to be read."""
        things = () if self.scene is None else self.scene.things
        named = (thing.example for thing in things if isinstance(thing, Thing))
        return sum(each.needs_pixels for each in (*self.positives, *self.negatives, *named))


class UploadSearch(LookIn, PromptIn):
    """What to look for in an uploaded picture, and further examples; as `SearchRequest`."""

    text: Words | None = None
    positives: Annotated[list[Example], Field(max_length=_MOST_EXAMPLES - 1)] = []
    negatives: Annotated[list[Example], Field(max_length=_MOST_EXAMPLES)] = []

    def with_upload(self, upload_id: str) -> SearchRequest:
        """Return the request that names the uploaded picture as its first example.

        Raises:
            ValidationError: together they are too much.
        """
        plain = self.model_dump(exclude_unset=True)
        example = {name: plain.pop(name) for name in PromptIn.model_fields if name in plain}
        first = {"upload_id": upload_id, **example}
        plain["positives"] = [first, *plain.get("positives", [])]
        return SearchRequest.model_validate(plain)


class SegmentRequest(PromptIn):
    """A picture and where in it an object lies.

    A single point may mean a part or the whole: with `candidates`, up to three answers.
    """

    image_id: UUID | None = None
    upload_id: UploadId | None = None
    candidates: StrictBool = False

    @model_validator(mode="after")
    def _is_one(self) -> SegmentRequest:
        if (self.image_id is None) == (self.upload_id is None):
            raise ValueError("give either image_id or upload_id")
        if self.box is None and not self.points:
            raise ValueError("give a box, or a point on the object")
        return self


class IndexRequest(Model):
    """How the configured folders are indexed."""

    prune: Annotated[StrictBool, Field(description="Remove from the index what is gone.")] = False
    rebuild: Annotated[StrictBool, Field(description="Index everything anew.")] = False
