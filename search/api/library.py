"""The index that is served: opened when it is there, and again when another takes its place."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from indexer.errors import IndexNotFound, PictureError, SegsearchError, UnknownId
from indexer.records import Image, Segment
from indexer.roots import locate
from search.api.places import Places
from search.api.problems import Refused
from search.engine import Searcher
from search.hits import Hit

#: How often it is looked whether the index was replaced, seconds.
_LOOK_S = 2.0


@dataclass(frozen=True, eq=False)
class Opened:
    """The open index, and what its roots are called."""

    searcher: Searcher
    places: Places


class Library:
    """The index at one place. Safe to use from many threads."""

    def __init__(self, where: str, device: str, *, links: bool = False) -> None:
        """Open nothing yet.

        Args:
            where: a folder, or ``http(s)://host:port/name``.
            device: where the models run.
            links: whether files are read that only a link in the library leads to.
        """
        self._where = where
        self._device = device
        self._links = links
        self._looking = threading.Lock()
        self._opened: Opened | None = None
        self._looked = -math.inf
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether an index was there when it was last looked for."""
        return self._opened is not None

    def opened(self) -> Opened:
        """Return the index as it was at most two seconds ago; one caller looks for all.

        Raises:
            IndexNotFound: there is none yet.
            StoreError: it cannot be opened.
        """
        if self._is_old() and self._looking.acquire(blocking=self._opened is None):
            try:
                if self._is_old():
                    self._look()
            finally:
                self._looking.release()
        opened = self._opened
        if opened is None:
            raise IndexNotFound(f"there is no index at {self._where}")
        return opened

    def load_models(self) -> None:
        """Load the index's models, which the first requests would wait for.

        Raises:
            ModelError: they cannot be loaded.
        """
        models = self.opened().searcher.models
        models.embedder()
        models.segmenter()
        models.words()

    def warm(self) -> None:
        """Load the models where they can be; who cannot have them then is told why."""
        with contextlib.suppress(SegsearchError):
            self.load_models()

    def renew(self) -> None:
        """Look at the index anew with the next call."""
        self._looked = -math.inf

    def image(self, image_id: UUID) -> Hit:
        """Return an image of the index, as a hit.

        Raises:
            UnknownId: there is none with this id.
        """
        opened = self.opened()
        for image in opened.searcher.index.images([str(image_id)]):
            return _hit(opened, image, None)
        raise UnknownId("image", str(image_id))

    def segment(self, segment_id: UUID) -> Hit:
        """Return a segment of the index with its image, as a hit.

        Raises:
            UnknownId: there is none with this id.
        """
        opened = self.opened()
        found = opened.searcher.index.segments_in_images([str(segment_id)])
        for segment, image in found:
            return _hit(opened, image, segment)
        raise UnknownId("segment", str(segment_id))

    def readable(self, hit: Hit) -> Hit:
        """Return an image with those of its paths that may be read: not through links, unless told.

        Raises:
            Refused: there is none.
        """
        if self._links:
            return hit
        roots = [os.path.realpath(root) for root in self.opened().places.roots.values()]
        paths = tuple(path for path in hit.paths if _lies_in(os.path.realpath(path), roots))
        if not paths:
            raise Refused(
                "picture-gone",
                "only a link leads to its file, which lies outside of the library",
                "serve with --links, or index the folder that it lies in",
            )
        return replace(hit, paths=paths)

    def close(self) -> None:
        """Let go of the index."""
        self._closed = True
        if self._opened is not None:
            self._opened.searcher.close()
        self._opened = None

    def _is_old(self) -> bool:
        return not self._closed and time.monotonic() - self._looked > _LOOK_S

    def _look(self) -> None:
        """Open the index if it is there, or again if it is another one now."""
        searcher = None if self._opened is None else self._opened.searcher
        if searcher is None or not searcher.index.is_current():
            # requests in progress may still use the old one: it is let go of with the last of them
            self._opened = None
            try:
                searcher = Searcher(self._where, self._device)
            except IndexNotFound:
                return
        self._opened = Opened(searcher, Places(searcher.index.roots()))
        self._looked = time.monotonic()


def _lies_in(path: str, roots: Sequence[str]) -> bool:
    return any(Path(path).is_relative_to(root) for root in roots)


def _hit(opened: Opened, image: Image, segment: Segment | None) -> Hit:
    paths = tuple(locate(path, opened.places.roots) for path in image.paths)
    return Hit(0.0, image, segment, paths)


def gone(error: PictureError) -> Refused:
    """Return how it is said that an image's file cannot be shown."""
    return Refused("picture-gone", error.message, "index the library again")
