"""The index that is served: opened when it is there, and again when another takes its place."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from indexer.errors import IndexNotFound, PictureError
from indexer.records import Image, Segment
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

    def __init__(self, where: str, device: str) -> None:
        """Open nothing yet."""
        self._where = where
        self._device = device
        self._lock = threading.Lock()
        self._searcher: Searcher | None = None
        self._places = Places({})
        self._looked = 0.0

    def opened(self) -> Opened:
        """Return the index as it is now.

        Raises:
            IndexNotFound: there is none yet.
            StoreError: it cannot be opened.
        """
        with self._lock:
            if time.monotonic() - self._looked > _LOOK_S:
                self._look()
            if self._searcher is None:
                raise IndexNotFound(f"there is no index at {self._where}")
            return Opened(self._searcher, self._places)

    def load_models(self) -> None:
        """Load the index's models, which the first requests would wait for.

        Raises:
            ModelError: they cannot be loaded.
        """
        models = self.opened().searcher.models
        models.embedder()
        models.segmenter()
        models.words()

    def renew(self) -> None:
        """Look at the index anew with the next call."""
        with self._lock:
            self._looked = 0.0

    def image(self, image_id: UUID) -> Hit:
        """Return an image of the index, as a hit.

        Raises:
            Refused: there is none with this id.
        """
        opened = self.opened()
        for image in opened.searcher.index.images([str(image_id)]):
            return _hit(opened, image, None)
        raise Refused(
            "no-such-image", f"there is no image {image_id}", "it may have been removed since"
        )

    def segment(self, segment_id: UUID) -> Hit:
        """Return a segment of the index with its image, as a hit.

        Raises:
            Refused: there is none with this id.
        """
        opened = self.opened()
        found = opened.searcher.index.segments_in_images([str(segment_id)])
        for segment, image in found:
            return _hit(opened, image, segment)
        raise Refused(
            "no-such-segment", f"there is no segment {segment_id}", "it may have been removed since"
        )

    def close(self) -> None:
        """Let go of the index."""
        with self._lock:
            if self._searcher is not None:
                self._searcher.close()
            self._searcher = None

    def _look(self) -> None:
        """Open the index if it is there, or again if it is another one now."""
        if self._searcher is None or not self._searcher.index.is_current():
            # requests in progress may still use the old one, which closes when the last is done
            self._searcher = None
            try:
                self._searcher = Searcher(self._where, self._device)
            except IndexNotFound:
                return
        self._places = Places(self._searcher.index.roots())
        self._looked = time.monotonic()


def _hit(opened: Opened, image: Image, segment: Segment | None) -> Hit:
    from indexer.roots import locate

    paths: tuple[Path, ...] = tuple(locate(path, opened.places.roots) for path in image.paths)
    return Hit(0.0, image, segment, paths)


def gone(error: PictureError) -> Refused:
    """Return how it is said that an image's file cannot be shown."""
    return Refused("picture-gone", error.message, "index the library again")
