"""The Python API of searching: a text, a picture or segments in, hits out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from indexer.index import Index
from indexer.roots import locate
from indexer.store import open_store
from search.asking import DEFAULT, NO_FILTERS, Asker, By, Look
from search.examples import Examples
from search.facets import By as FacetBy
from search.facets import Facet, facet, kind_of
from search.filters import Filters
from search.globs import Glob
from search.hits import Answer, Hit
from search.models import Models
from search.queries import (
    Part,
    Picture,
    Query,
    Sense,
    Stored,
    Text,
)
from search.ranking import Ranking
from search.scenes import Scene, SceneAnswer, find_scene

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.embedding import Embedder
    from indexer.records import Image, Region, Vector
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
        self._examples = Examples(self.index, self.models)
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
        return self.answer(query, Look(limit, offset, filters, by, ranking))

    def answer(self, query: Query, look: Look) -> Answer:
        """Return what `find` does, for a page described as a `Look`."""
        excluded = (*query.stored_ids(), *query.stored_image_ids())
        return self._ranked(self.parts(query), look, excluded)

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

    def image_page(
        self, filters: Filters = NO_FILTERS, limit: int = 50, after: str | None = None
    ) -> tuple[list[Image], str | None]:
        """Return pictures that fulfil the filters, by rising id, and where the next page begins.

        Args:
            filters: without conditions that only segments can fulfil.
            limit: most pictures.
            after: what was returned with the page before; None for the first page.

        Raises:
            QueryError: a filter makes no sense.
        """
        filters.check_for_images()
        return self.index.image_page(self._asker.where(filters), limit, after)

    def facet(self, by: FacetBy, filters: Filters = NO_FILTERS) -> Facet:
        """Count the values of a property, of what the filters leave; see `search.facets`.

        Conditions that only segments can fulfil do not count where pictures or files are counted.

        Raises:
            QueryError: a filter makes no sense.
        """
        of_images = kind_of(by) == "images"
        where = self._asker.where(filters.of_images() if of_images else filters)
        return facet(self.index, by, where)

    def segments(self, *segment_ids: str, vectors: bool = False) -> list[Hit]:
        """Return these segments of the index, in the order asked, with a score of 0.

        Raises:
            QueryError: there is no such segment.
        """
        found = self._examples.segments(segment_ids, vectors=vectors)
        roots = self.index.roots()
        hits = []
        for segment, image in map(found.__getitem__, segment_ids):
            paths = tuple(locate(path, roots) for path in image.paths)
            hits.append(Hit(0.0, image, segment, paths))
        return hits

    def parts(self, query: Query) -> list[Part]:
        """Return the vectors that a query compares hits with; see `Examples.parts`."""
        return self._examples.parts(query)

    def image_vector(
        self, image: PIL.Image.Image | NDArray[np.uint8], region: Region | None = None
    ) -> Vector:
        """Embed a picture, or one region of it; float32, shape (dim,), length 1."""
        return self._examples.image_vector(image, region)

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
