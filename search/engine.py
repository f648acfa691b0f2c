"""The Python API of searching: a text, a picture or segments in, hits out."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from indexer.errors import QueryError
from indexer.index import Index
from indexer.pixels import as_pixels
from indexer.roots import locate
from indexer.store import open_store
from search.asking import DEFAULT, NO_FILTERS, Asker, By, Look
from search.filters import Filters
from search.globs import Glob
from search.hits import Answer, Hit
from search.models import Models
from search.queries import Example, Part, Picture, Query, Sense, Stored, Text, parts
from search.ranking import Ranking
from search.scenes import Scene, SceneAnswer, find_scene

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.embedding import Embedder
    from indexer.records import Image, Region, Segment, Vector
    from indexer.segmentation.segmenter import Prompt, Segmenter


class Searcher:
    """Searches an index with the models it was built with.

    Models are loaded when the first query needs them: CLIP for texts and pictures, SAM 2 for
    prompts, none for segments. Safe to use from many threads. Use it as a context manager, or
    call `close`.

    Attributes:
        where: the index's place, as given.
        index: the open index.
        models: what the index was built with.

    Example:
        >>> with Searcher("./idx") as searcher:
        ...     hits = searcher.text("red mug", limit=5)
    """

    def __init__(self, index: str | Path, device: str = "auto") -> None:
        """Open an index.

        Args:
            index: a folder, or ``http(s)://host:port/name``.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

        Raises:
            IndexNotFound: there is none.
            StoreError: it cannot be opened.
        """
        self.where = str(index)
        self.index = Index(open_store(self.where, create_ok=False), self.where)
        self.models = Models(self.index.recipe, self.where, device)
        self._asker = Asker(self.index)

    def text(
        self,
        words: str,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        by: By = "segment",
        ranking: Ranking = DEFAULT,
    ) -> Answer:
        """Find what a text describes, best first.

        Args:
            words: put into the profile's sentence templates, whose vectors are averaged.
            limit: number of hits at most.
            offset: hits to leave out at the top, for paging.
            filters: what all hits fulfil.
            by: rank segments, or whole pictures. Whole pictures are not cut by relevance.
            ranking: how relevant hits must be, and how they are arranged.

        Raises:
            QueryError: the text is empty, or a filter makes no sense.
            ModelError: the index's models cannot be loaded.
        """
        query = Query((Text(words),))
        return self.find(query, limit=limit, offset=offset, filters=filters, by=by, ranking=ranking)

    def image(
        self,
        image: PIL.Image.Image | NDArray[np.uint8],
        prompt: Prompt | None = None,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        by: By = "segment",
        ranking: Ranking = DEFAULT,
    ) -> Answer:
        """Find what looks like a picture, or like the object that a prompt points at in it.

        Args:
            image: RGB; an array has shape (H, W, 3) and dtype uint8.
            prompt: SAM 2 cuts the object out of the picture, which is then the query.
            limit: see `text`, like the rest.
            offset: see `text`.
            filters: see `text`.
            by: see `text`.
            ranking: see `text`.

        Raises:
            QueryError: the prompt lies outside the picture or finds nothing, or a filter makes
                no sense.
            ModelError: the index's models cannot be loaded.
        """
        query = Query((Picture(image, prompt),))
        return self.find(query, limit=limit, offset=offset, filters=filters, by=by, ranking=ranking)

    def segment(
        self,
        *segment_ids: str,
        negatives: tuple[str, ...] = (),
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        ranking: Ranking = DEFAULT,
    ) -> Answer:
        """Find segments that look like these segments of the index, which are left out.

        Args:
            segment_ids: at least one; several are averaged.
            negatives: segments that the hits should not look like.
            limit: see `text`, like the rest.
            offset: see `text`.
            filters: see `text`.
            ranking: see `text`.

        Raises:
            QueryError: there is no such segment, or a filter makes no sense.
        """
        query = Query(tuple(map(Stored, segment_ids)), tuple(map(Stored, negatives)))
        return self.find(query, limit=limit, offset=offset, filters=filters, ranking=ranking)

    def find(
        self,
        query: Query,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        by: By = "segment",
        ranking: Ranking = DEFAULT,
    ) -> Answer:
        """Find what is like several examples of any kind, and unlike others.

        Args:
            query: the examples.
            limit: see `text`, like the rest.
            offset: see `text`.
            filters: see `text`.
            by: see `text`.
            ranking: see `text`.

        Raises:
            QueryError: an example, a filter or a page makes no sense.
            ModelError: the index's models cannot be loaded.
        """
        look = Look(limit, offset, filters, by, ranking)
        return self._ranked(self.parts(query), look, query.stored_ids())

    def scene(
        self,
        scene: Scene,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        ranking: Ranking = DEFAULT,
    ) -> SceneAnswer:
        """Find pictures that show several things, lying to each other as asked, best first.

        Args:
            scene: the things and the relations.
            limit: pictures at most; see `text` for the rest.
            offset: see `text`.
            filters: what all the segments fulfil.
            ranking: of the segments of each thing; without `per_image` and `diversity`.

        Raises:
            QueryError: a thing, a filter or the ranking makes no sense.
            ModelError: the index's models cannot be loaded.
        """
        return find_scene(self, scene, Look(limit, offset, filters, ranking=ranking))

    def ranked(
        self,
        vector: Vector,
        sense: Sense = "picture",
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        by: By = "segment",
        ranking: Ranking = DEFAULT,
    ) -> Answer:
        """Find what is nearest to a vector of the index's own space, best first.

        Args:
            vector: float32, shape (dim,), length 1, as `image_vector` and the embedder give it.
            sense: what the vector is of.
            limit: see `text`, like the rest.
            offset: see `text`.
            filters: see `text`.
            by: see `text`.
            ranking: see `text`.

        Raises:
            QueryError: a filter makes no sense.
        """
        return self._ranked([Part(vector, sense)], Look(limit, offset, filters, by, ranking))

    def everything(self, filters: Filters = NO_FILTERS, *, vectors: bool = False) -> Iterator[Hit]:
        """Iterate over all segments of the index that fulfil the filters, with a score of 0.

        Raises:
            QueryError: a filter makes no sense.
        """
        roots = self.index.roots()
        fits = None if filters.glob is None else Glob(filters.glob).matcher()
        for segment, image in self.index.all_segments(filters.to_store(roots), vectors=vectors):
            paths = tuple(locate(path, roots) for path in image.paths)
            if fits is None or any(fits(str(path)) for path in paths):
                yield Hit(0.0, image, segment, paths)

    def segments(self, *segment_ids: str, vectors: bool = False) -> list[Hit]:
        """Return these segments of the index, in the order asked, with a score of 0.

        Raises:
            QueryError: there is no such segment.
        """
        found = self._segments(segment_ids, vectors=vectors)
        roots = self.index.roots()
        hits = []
        for segment, image in map(found.__getitem__, segment_ids):
            paths = tuple(locate(path, roots) for path in image.paths)
            hits.append(Hit(0.0, image, segment, paths))
        return hits

    def parts(self, query: Query) -> list[Part]:
        """Return the vectors that a query compares hits with.

        Raises:
            QueryError: an example makes no sense, or the examples cancel each other out.
            ModelError: the index's models cannot be loaded.
        """
        found = self._segments(query.stored_ids(), vectors=True)
        stored = {id_: segment.vector for id_, (segment, _) in found.items()}

        def senses(examples: Sequence[Example]) -> list[tuple[Sense, Vector]]:
            return [self._sense(example, stored) for example in examples]

        return parts(senses(query.positives), senses(query.negatives))

    def cut(self, image: PIL.Image.Image | NDArray[np.uint8], prompt: Prompt) -> Region:
        """Cut out of a picture what a prompt points at.

        Raises:
            QueryError: the prompt lies outside the picture, or finds nothing.
        """
        segmenter = self.models.segmenter()
        region = segmenter.prompt(segmenter.embed(as_pixels(image)), prompt).region(prompt)
        if region is None:
            raise QueryError(
                "SAM 2 found no object there", "try another point, more points, or a box"
            )
        return region

    def image_vector(
        self, image: PIL.Image.Image | NDArray[np.uint8], region: Region | None = None
    ) -> Vector:
        """Embed a picture, or one region of it; float32, shape (dim,), length 1."""
        import PIL.Image

        from indexer.segmentation.masks import decode

        embedder = self.models.embedder()
        picture = PIL.Image.fromarray(as_pixels(image))
        if region is None:
            crop = embedder.crop_picture(picture)
        else:
            crop = embedder.crop_segment(picture, decode(region.rle), region.box)
        vector: Vector = embedder.vectors([crop])[0]
        return vector

    def embedder(self) -> Embedder:
        """Load the index's CLIP, once; see `Models.embedder`."""
        return self.models.embedder()

    def segmenter(self) -> Segmenter:
        """Load the index's SAM 2, once; see `Models.segmenter`."""
        return self.models.segmenter()

    def close(self) -> None:
        """Let go of the index and the models."""
        self.index.close()
        self.models.unload()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ranked(self, wanted: Sequence[Part], look: Look, excluded: tuple[str, ...] = ()) -> Answer:
        words = self.models.words() if any(part.sense == "text" for part in wanted) else None
        return self._asker.answer(wanted, look, words, excluded)

    def _sense(self, example: Example, stored: dict[str, Vector | None]) -> tuple[Sense, Vector]:
        match example:
            case Text(words):
                return "text", self.models.embedder().text(words)
            case Picture(image, prompt):
                pixels = as_pixels(image)
                region = None if prompt is None else self.cut(pixels, prompt)
                return "picture", self.image_vector(pixels, region)
            case Stored(segment_id):
                vector = stored[segment_id]
                if vector is None:
                    raise QueryError(f"segment {segment_id} has no vector", "index it again")
                return "picture", vector

    def _segments(
        self, segment_ids: Sequence[str], *, vectors: bool
    ) -> dict[str, tuple[Segment, Image]]:
        ids = list(filter(_is_id, segment_ids))
        pairs = self.index.segments_in_images(ids, vectors=vectors)
        found = {segment.id: (segment, image) for segment, image in pairs}
        for segment_id in segment_ids:
            if segment_id not in found:
                raise QueryError(
                    f"there is no segment {segment_id} in {self.where}",
                    "segment ids are in the results of other searches",
                )
        return found


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
