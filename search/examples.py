"""What examples look like: texts, pictures, objects in them and stored records, as vectors."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from indexer.errors import QueryError, UnknownId
from indexer.index import Index
from indexer.pixels import as_pixels
from search.models import Models
from search.queries import (
    Cut,
    Example,
    Part,
    Picture,
    Query,
    Sense,
    Stored,
    StoredImage,
    Text,
    parts,
)

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.records import Image, Region, Segment, Vector
    from indexer.segmentation.segmenter import Prompt, Prompted


class Examples:
    """Turns the examples of queries into vectors. Safe to use from many threads."""

    def __init__(self, index: Index, models: Models) -> None:
        """Use an open index and the models it was built with."""
        self._index = index
        self._models = models

    def parts(self, query: Query) -> list[Part]:
        """Return the vectors that a query compares hits with.

        Raises:
            QueryError: an example makes no sense, or the examples cancel each other out.
            ModelError: the index's models cannot be loaded.
        """
        found = self.segments(query.stored_ids(), vectors=True)
        stored = {id_: segment.vector for id_, (segment, _) in found.items()}
        stored |= {image.id: image.vector for image in self.images(query.stored_image_ids())}

        def senses(examples: Sequence[Example]) -> list[tuple[Sense, Vector]]:
            return [self._sense(example, stored) for example in examples]

        return parts(senses(query.positives), senses(query.negatives))

    def cut(self, image: PIL.Image.Image | NDArray[np.uint8], prompt: Prompt) -> Region:
        """Cut out of a picture what a prompt points at.

        Raises:
            QueryError: the prompt lies outside the picture, or finds nothing.
        """
        segmenter = self._models.segmenter()
        return pointed_at(segmenter.prompt(segmenter.embed(as_pixels(image)), prompt), prompt)

    def image_vector(
        self, image: PIL.Image.Image | NDArray[np.uint8], region: Region | None = None
    ) -> Vector:
        """Embed a picture, or one region of it; float32, shape (dim,), length 1."""
        import PIL.Image

        from indexer.segmentation.masks import decode

        embedder = self._models.embedder()
        picture = PIL.Image.fromarray(as_pixels(image))
        if region is None:
            crop = embedder.crop_picture(picture)
        else:
            crop = embedder.crop_segment(picture, decode(region.rle), region.box)
        return self._models.crop(crop)

    def segments(
        self, segment_ids: Sequence[str], *, vectors: bool
    ) -> dict[str, tuple[Segment, Image]]:
        """Return segments of the index with their images, by id.

        Raises:
            UnknownId: there is no such segment.
        """
        ids = list(filter(_is_id, segment_ids))
        pairs = self._index.segments_in_images(ids, vectors=vectors)
        found = {segment.id: (segment, image) for segment, image in pairs}
        for segment_id in segment_ids:
            if segment_id not in found:
                raise UnknownId("segment", segment_id)
        return found

    def images(self, image_ids: Sequence[str]) -> list[Image]:
        """Return these pictures of the index with their vectors, in the order asked.

        Raises:
            UnknownId: there is no such picture.
        """
        ids = list(filter(_is_id, image_ids))
        found = {image.id: image for image in self._index.images(ids, vectors=True)}
        for image_id in image_ids:
            if image_id not in found:
                raise UnknownId("image", image_id)
        return [found[image_id] for image_id in image_ids]

    def _sense(self, example: Example, stored: dict[str, Vector | None]) -> tuple[Sense, Vector]:
        match example:
            case Text(words):
                return "text", self._models.text(words)
            case Picture(image, prompt):
                pixels = as_pixels(image)
                region = None if prompt is None else self.cut(pixels, prompt)
                return "picture", self.image_vector(pixels, region)
            case Cut(image, region):
                return "picture", self.image_vector(image, region)
            case Stored(id_) | StoredImage(id_):
                vector = stored[id_]
                if vector is None:
                    raise QueryError(f"there is no vector of {id_}", "index its picture again")
                return "picture", vector


def pointed_at(answer: Prompted, prompt: Prompt) -> Region:
    """Return what SAM 2 has cut out.

    Raises:
        QueryError: that is nothing.
    """
    region = answer.region(prompt)
    if region is None:
        raise QueryError("SAM 2 found no object there", "try another point, more points, or a box")
    return region


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
