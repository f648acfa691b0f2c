"""What can be looked for: examples of any kind, and what speaks against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from indexer.errors import QueryError

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.records import Region, Vector
    from indexer.segmentation.segmenter import Prompt

Sense = Literal["text", "picture"]


@dataclass(frozen=True)
class Text:
    """What is described by words.

    Attributes:
        words: put into the profile's sentence templates, whose vectors are averaged.
    """

    words: str

    def __post_init__(self) -> None:
        if not self.words.strip():
            raise QueryError("the text is empty", "say what to look for")


@dataclass(frozen=True, eq=False)
class Picture:
    """What a picture looks like, or the object in it that a prompt points at.

    Attributes:
        image: RGB; an array has shape (H, W, 3) and dtype uint8.
        prompt: SAM 2 cuts the object out of the picture, which is then the example.
    """

    image: PIL.Image.Image | NDArray[np.uint8]
    prompt: Prompt | None = None


@dataclass(frozen=True)
class Stored:
    """What a segment of the index looks like.

    Attributes:
        segment_id: as the results of other searches have it.
    """

    segment_id: str


@dataclass(frozen=True)
class StoredImage:
    """What a whole picture of the index looks like.

    Attributes:
        image_id: as the results of other searches have it.
    """

    image_id: str


@dataclass(frozen=True, eq=False)
class Cut:
    """What an object looks like that was cut out of a picture already.

    Attributes:
        image: RGB; an array has shape (H, W, 3) and dtype uint8.
        region: with a mask of that size.
    """

    image: PIL.Image.Image | NDArray[np.uint8]
    region: Region


Example = Text | Picture | Cut | Stored | StoredImage


@dataclass(frozen=True)
class Query:
    """Several examples at once.

    Attributes:
        positives: what hits should be like; at least one. Pictures and segments are averaged,
            texts are, and a hit has to be like both averages.
        negatives: what hits should not be like.
    """

    positives: tuple[Example, ...]
    negatives: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        if not self.positives:
            raise QueryError("nothing to look for was given", "give at least one positive example")

    def stored_ids(self) -> tuple[str, ...]:
        """Return the ids of the examples that are segments of the index."""
        every = (*self.positives, *self.negatives)
        return tuple(each.segment_id for each in every if isinstance(each, Stored))

    def stored_image_ids(self) -> tuple[str, ...]:
        """Return the ids of the examples that are pictures of the index."""
        every = (*self.positives, *self.negatives)
        return tuple(each.image_id for each in every if isinstance(each, StoredImage))


@dataclass(frozen=True, eq=False)
class Part:
    """One vector that hits are compared with.

    Attributes:
        vector: float32, shape (dim,), length 1.
        sense: what it was made of, which decides what it competes with, see `relevance`.
        wanted: whether hits should be like it, or unlike it.
    """

    vector: Vector
    sense: Sense
    wanted: bool = True


def parts(
    positives: Sequence[tuple[Sense, Vector]], negatives: Sequence[tuple[Sense, Vector]]
) -> list[Part]:
    """Turn examples into the vectors that hits are compared with, the wanted ones first.

    Examples of one sense become one vector: mean(positives), or 2·mean(positives) −
    mean(negatives), which is Qdrant's `average_vector` strategy. Senses are kept apart, as the
    cosines of CLIP's texts and pictures live on different scales; negatives of a sense without
    positives are a part of their own.

    Raises:
        QueryError: the examples of a sense cancel each other out.
    """
    import numpy as np

    found: list[Part] = []
    for sense in ("text", "picture"):
        for_it = [vector for its, vector in positives if its == sense]
        against = [vector for its, vector in negatives if its == sense]
        if not for_it and not against:
            continue
        mean = np.mean(for_it or against, axis=0)
        if for_it and against:
            mean = 2 * mean - np.mean(against, axis=0)
        length = float(np.linalg.norm(mean))
        if length < _LEAST_LENGTH:
            raise QueryError("the examples cancel each other out", "leave one of them away")
        found.append(Part((mean / length).astype(np.float32), sense, bool(for_it)))
    return sorted(found, key=lambda part: not part.wanted)


_LEAST_LENGTH = 1e-3
