"""The models that an index was built with, loaded when a query needs them."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from indexer.profiles import profile_from
from indexer.recipe import Recipe, require_same
from search.caching import Coalescer

if TYPE_CHECKING:
    from indexer.crops import Crop
    from indexer.embedding import Embedder
    from indexer.records import Vector
    from indexer.segmentation.segmenter import Segmenter

#: Texts, and crops, that CLIP takes at once where many threads ask.
_MOST_AT_ONCE = 32
#: Parameters below which a CLIP runs on one core: its operations are so short that to share them
#: among cores takes longer, and very much longer where another program has one of the cores.
_SMALL = 20_000_000
K = TypeVar("K")


class Models:
    """CLIP for texts and pictures, SAM 2 for prompts. Safe to use from many threads."""

    def __init__(self, recipe: Recipe, where: str, device: str) -> None:
        """Load nothing yet.

        Args:
            recipe: of the index.
            where: the index's place, for errors.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        """
        self._recipe = recipe
        self._where = where
        self._device = device
        self._profile = profile_from(recipe.provenance["profile"])
        self._loading = threading.RLock()
        self._embedder: Embedder | None = None
        self._is_small = False
        self._segmenter: Segmenter | None = None
        self._words: Vector | None = None
        self._texts = Coalescer[str, "Vector"](
            lambda texts: self._embed(self.embedder().queries, texts), _MOST_AT_ONCE
        )
        self._crops = Coalescer["Crop", "Vector"](
            lambda crops: self._embed(self.embedder().vectors, crops), _MOST_AT_ONCE
        )

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

                embedder = Embedder(self._profile.clip, choose_device(self._device))
                stored = self._recipe.vector_space
                require_same("CLIP", stored, embedder.vector_space(), self._where)
                self._embedder = embedder
                self._is_small = sum(p.numel() for p in embedder.upstream.parameters()) < _SMALL
            return self._embedder

    def text(self, words: str) -> Vector:
        """Embed a query; float32, shape (dim,), length 1. Concurrent calls share a pass.

        Raises:
            ModelError: see `embedder`.
        """
        return self._texts(words)

    def crop(self, crop: Crop) -> Vector:
        """Embed what `Embedder.crop_segment` or `crop_picture` cut out, as `text` does."""
        return self._crops(crop)

    def segmenter(self) -> Segmenter:
        """Load the index's SAM 2, once.

        Raises:
            ModelError: it cannot be built, or its weights cannot be had.
        """
        with self._loading:
            if self._segmenter is None:
                from indexer.models import choose_device
                from indexer.segmentation.segmenter import Segmenter

                device = choose_device(self._device)
                self._segmenter = Segmenter(self._profile.sam2, self._profile.masks, device)
            return self._segmenter

    def words(self) -> Vector | None:
        """Embed the words of the profile's vocabulary, once: float32, shape (n, dim).

        Each is put into the first sentence template only: all of them rank no better. None, and a
        warning, if the file of the words is not there any more.

        Raises:
            ModelError: see `embedder`.
        """
        with self._loading:
            if self._words is None:
                from indexer.models import find_file
                from search.labelling import read_vocabulary

                name = self._profile.clip.vocabulary
                path = find_file(name)
                if path is None:
                    _say_once(
                        f"the vocabulary {name} of the index's profile is not there, so that "
                        "relevance cannot hold texts against other words"
                    )
                    return None
                phrases = [phrase for word in read_vocabulary(path) for phrase in word.phrases]
                template = self._profile.clip.templates[0]
                sentences = [template.replace("{}", phrase) for phrase in phrases]
                self._words = self.embedder().texts(sentences)
            return self._words

    def unload(self) -> None:
        """Let go of the models."""
        with self._loading:
            self._embedder = self._segmenter = self._words = None

    def _embed(self, embed: Callable[[list[K]], Vector], items: list[K]) -> list[Vector]:
        """Embed items: float32, shape (dim,) each."""
        if not self._is_small:
            return list(embed(items))
        from indexer.segmentation import workers

        (vectors,) = workers.spread(embed, [items])
        return list(vectors)


@functools.cache
def _say_once(what: str) -> None:
    logging.getLogger(__name__).warning(what)
