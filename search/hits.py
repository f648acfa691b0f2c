"""What a search returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from indexer.records import Image, Segment
from indexer.store.points import time_text


@dataclass(frozen=True, eq=False)
class Hit:
    """One search result.

    Attributes:
        score: cosine of its vector with the query's, -1 to 1; of a query for both a text and a
            picture, the mean of the cosines with either, less half of that with what of another
            kind is unwanted.
        image: the picture it is, or lies in.
        segment: what was found in it; None where whole pictures were searched.
        paths: absolute paths of the files with this picture.
        standard_score: how many standard deviations the score lies above the mean of the index,
            see `search.relevance`; None where it cannot be told.
        contrast: likewise, above what the segment scores with other words or segments.
        relevance: what hits are ordered and cut by, of the two; None where it cannot be told.
    """

    score: float
    image: Image
    segment: Segment | None
    paths: tuple[Path, ...]
    standard_score: float | None = None
    contrast: float | None = None
    relevance: float | None = None

    @property
    def path(self) -> Path:
        """The first of the files with this picture that is there; the first if none is."""
        return next((path for path in self.paths if path.exists()), self.paths[0])

    def to_plain(self) -> dict[str, Any]:
        """Return the hit as plain data, for JSON; see docs/formats.md."""
        picture = self.image.picture
        plain: dict[str, Any] = {
            "segment_id": None,
            "image_id": self.image.id,
            "path": str(self.path),  # bytes that are not UTF-8 stay surrogate escapes
            "paths": [str(path) for path in self.paths],
            "score": self.score,
            "standard_score": self.standard_score,
            "contrast": self.contrast,
            "relevance": self.relevance,
            "width": picture.width,
            "height": picture.height,
            "format": picture.format,
            "taken_at": time_text(picture.taken_at),
            "camera": picture.camera,
            "gps": picture.gps,
            "n_segments": self.image.n_segments,
        }
        if self.segment is not None:
            region = self.segment.region
            plain |= {
                "segment_id": self.segment.id,
                "box": list(region.box),
                "area_px": region.area_px,
                "area_fraction": region.area_fraction,
                "predicted_iou": region.predicted_iou,
                "stability_score": region.stability_score,
                "point": region.point,
                "parent_id": self.segment.parent_id,
                "depth": region.depth,
                "label": region.label,
                "label_score": region.label_score,
                "label_source": region.label_source,
                "rle": {"size": list(region.rle.size), "counts": region.rle.counts},
            }
        return plain


@dataclass(frozen=True, eq=False)
class Answer(Sequence[Hit]):
    """What a search found, best first; a sequence of its hits.

    Attributes:
        hits: the hits asked for: one page of all.
        least: relevance that the best of all hits had to have; None if everything counts, or
            nothing could be told.
        nearest: if nothing was found because nothing was relevant enough, the best of what there
            is; else None.
    """

    hits: tuple[Hit, ...]
    least: float | None = None
    nearest: Hit | None = None

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...

    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)
