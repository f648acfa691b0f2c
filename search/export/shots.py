"""Which hits are shown together, and in which order."""

from __future__ import annotations

import itertools
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import QueryError
from indexer.records import Segment
from search.hits import Hit


@dataclass(frozen=True, eq=False)
class Shot:
    """Hits of one picture that are shown together.

    Attributes:
        hits: at least one; one exactly where there is a rank.
        rank: place among a query's hits, from 1; None where there is no order.
    """

    hits: tuple[Hit, ...]
    rank: int | None

    @property
    def first(self) -> Hit:
        """Any of the hits, for what they have in common: the picture."""
        return self.hits[0]


def shots(hits: Iterable[Hit], *, ranked: bool) -> Iterator[Shot]:
    """Iterate over what is shown together.

    Args:
        hits: consumed as they are needed.
        ranked: they are a query's, best first, and shown one by one; otherwise those of a picture
            follow each other, and are shown together.
    """
    if ranked:
        for rank, hit in enumerate(hits, start=1):
            yield Shot((hit,), rank)
    else:
        for _, of_picture in itertools.groupby(hits, key=lambda hit: hit.image.id):
            yield Shot(tuple(of_picture), None)


def segment_of(hit: Hit) -> Segment:
    """Return what was found in the picture.

    Raises:
        QueryError: it is the whole picture that was found.
    """
    if hit.segment is None:
        raise QueryError(
            "whole pictures have no masks, boxes or crops to write",
            "search for segments, or write overlays or a sheet only",
        )
    return hit.segment


def by_picture(hits: Iterable[Hit], folder: Path) -> Iterator[Hit]:
    """Bring hits into the order of their pictures' paths, each picture's largest segment first.

    Args:
        hits: in any order, as many as there are: they wait in a nameless file, not in memory.
        folder: where that file is.

    Raises:
        OSError: the folder has no room for it.
    """
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    with tempfile.TemporaryFile(dir=folder) as waiting:
        for hit in hits:
            area = 0 if hit.segment is None else hit.segment.region.area_px
            key = (str(hit.paths[0]), hit.image.id)
            places.setdefault(key, []).append((-area, waiting.tell()))
            pickle.dump(hit, waiting, pickle.HIGHEST_PROTOCOL)
        for key in sorted(places):
            for _, place in sorted(places.pop(key)):
                waiting.seek(place)
                yield pickle.load(waiting)  # noqa: S301 - what was put there above
