"""The Python API of searching: a text, a picture or segments in, hits out."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, get_args

from indexer.errors import QueryError
from indexer.index import Found, FoundImage, Index
from indexer.pixels import as_pixels
from indexer.profiles import profile_from
from indexer.recipe import require_same
from indexer.roots import locate
from indexer.store import open_store
from indexer.store.base import EVERYTHING, Filter
from search.filters import Filters
from search.hits import Hit

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.embedding import Embedder
    from indexer.records import Region, Vector
    from indexer.segmentation.segmenter import Prompt, Segmenter

By = Literal["segment", "image"]
NO_FILTERS = Filters()


class Searcher:
    """Searches an index with the models it was built with.

    Models are loaded when the first query needs them: CLIP for texts and pictures, SAM 2 for
    prompts, none for segments. Safe to use from many threads. Use it as a context manager, or
    call `close`.

    Attributes:
        where: the index's place, as given.

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
        self._device_name = device
        self._index = Index(open_store(self.where, create_ok=False), self.where)
        self._profile = profile_from(self._index.recipe.provenance["profile"])
        self._loading = threading.Lock()
        self._embedder: Embedder | None = None
        self._segmenter: Segmenter | None = None

    def text(
        self,
        words: str,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        by: By = "segment",
    ) -> list[Hit]:
        """Find what a text describes, best first.

        Args:
            words: put into the profile's sentence templates, whose vectors are averaged.
            limit: number of hits at most.
            offset: hits to leave out at the top, for paging.
            filters: what all hits fulfil.
            by: rank segments, or whole pictures.

        Raises:
            QueryError: the text is empty, or a filter makes no sense.
            ModelError: the index's models cannot be loaded.
        """
        if not words.strip():
            raise QueryError("the text is empty", "say what to look for")
        return self.ranked(
            self.embedder().text(words), limit=limit, offset=offset, filters=filters, by=by
        )

    def image(
        self,
        image: PIL.Image.Image | NDArray[np.uint8],
        prompt: Prompt | None = None,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        by: By = "segment",
    ) -> list[Hit]:
        """Find what looks like a picture, or like the object that a prompt points at in it.

        Args:
            image: RGB; an array has shape (H, W, 3) and dtype uint8.
            prompt: SAM 2 cuts the object out of the picture, which is then the query.
            limit: see `text`, like the rest.
            offset: see `text`.
            filters: see `text`.
            by: see `text`.

        Raises:
            QueryError: the prompt lies outside the picture or finds nothing, or a filter makes
                no sense.
            ModelError: the index's models cannot be loaded.
        """
        pixels = as_pixels(image)
        vector = self.image_vector(pixels, None if prompt is None else self.cut(pixels, prompt))
        return self.ranked(vector, limit=limit, offset=offset, filters=filters, by=by)

    def segment(
        self,
        *segment_ids: str,
        negatives: tuple[str, ...] = (),
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
    ) -> list[Hit]:
        """Find segments that look like these segments of the index, which are left out.

        Args:
            segment_ids: at least one; several are averaged.
            negatives: segments that the hits should not look like.
            limit: see `text`, like the rest.
            offset: see `text`.
            filters: see `text`.

        Raises:
            QueryError: there is no such segment, or a filter makes no sense.
        """
        examples = (*segment_ids, *negatives)
        known = {segment.id for segment in self._index.segments(list(filter(_is_id, examples)))}
        for segment_id in examples:
            if segment_id not in known:
                raise QueryError(
                    f"there is no segment {segment_id} in {self.where}",
                    "segment ids are in the results of other searches",
                )
        if not segment_ids:
            raise QueryError("no segment was given", "name at least one to look for")
        where = self._narrowed(filters)
        found = self._index.recommend(segment_ids, negatives, where, limit, offset)
        return self._hits(found)

    def ranked(
        self,
        vector: Vector,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Filters = NO_FILTERS,
        by: By = "segment",
    ) -> list[Hit]:
        """Find what is nearest to a vector of the index's own space, best first.

        Args:
            vector: float32, shape (dim,), length 1, as `image_vector` and the embedder give it.
            limit: see `text`, like the rest.
            offset: see `text`.
            filters: see `text`.
            by: see `text`.

        Raises:
            QueryError: a filter makes no sense.
        """
        if by not in get_args(By):
            raise QueryError(f"{by!r} is neither segment nor image", "rank by one of the two")
        where = self._narrowed(filters)
        if by == "segment":
            return self._hits(self._index.search(vector, where, limit, offset))
        filters.check_for_images()
        return self._hits(self._index.search_images(vector, where, limit, offset))

    def cut(self, image: PIL.Image.Image | NDArray[np.uint8], prompt: Prompt) -> Region:
        """Cut out of a picture what a prompt points at.

        Raises:
            QueryError: the prompt lies outside the picture, or finds nothing.
        """
        segmenter = self.segmenter()
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

        embedder = self.embedder()
        picture = PIL.Image.fromarray(as_pixels(image))
        if region is None:
            crop = embedder.crop_picture(picture)
        else:
            crop = embedder.crop_segment(picture, decode(region.rle), region.box)
        vector: Vector = embedder.vectors([crop])[0]
        return vector

    def embedder(self) -> Embedder:
        """Load the index's CLIP, once.

        Raises:
            ModelError: it cannot be built, or its weights cannot be had.
            RecipeMismatch: it is no longer the one that the index was built with.
        """
        with self._loading:
            if self._embedder is None:
                from indexer.embedding import Embedder
                from indexer.models import choose_device

                embedder = Embedder(self._profile.clip, choose_device(self._device_name))
                stored = self._index.recipe.vector_space
                require_same("CLIP", stored, embedder.vector_space(), self.where)
                self._embedder = embedder
            return self._embedder

    def segmenter(self) -> Segmenter:
        """Load the index's SAM 2, once.

        Raises:
            ModelError: it cannot be built, or its weights cannot be had.
        """
        with self._loading:
            if self._segmenter is None:
                from indexer.models import choose_device
                from indexer.segmentation.segmenter import Segmenter

                device = choose_device(self._device_name)
                self._segmenter = Segmenter(self._profile.sam2, self._profile.masks, device)
            return self._segmenter

    def close(self) -> None:
        """Let go of the index and the models."""
        self._index.close()
        self._embedder = self._segmenter = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _narrowed(self, filters: Filters) -> Filter:
        """Return the filter in the store's terms."""
        return EVERYTHING if filters == NO_FILTERS else filters.to_store(self._index.roots())

    def _hits(self, found: list[Found] | list[FoundImage]) -> list[Hit]:
        roots = self._index.roots()
        return [
            Hit(
                one.score,
                one.image,
                one.segment if isinstance(one, Found) else None,
                tuple(locate(path, roots) for path in one.image.paths),
            )
            for one in found
        ]


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
