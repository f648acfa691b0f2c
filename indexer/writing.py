"""The last stage of a run: what was found becomes records, written in an order that a kill spares.

Before anything about a file changes, its own record is marked unfinished; what it says then is
written last. So every place of an image always has a file record that names the image, and
whatever is killed half way is taken up again by the next run, or removed with its file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from indexer import follow, library, records
from indexer.candidates import Candidate
from indexer.index import Index
from indexer.records import Failure, File, Image, Picture, Region, Segment, Vector
from indexer.store.points import image_point, segment_point
from indexer.store.room import Floor

#: What a record takes on the disk, over the bytes of its vector and of its payload as JSON:
#: payload indexes, identifiers, room to grow. Measured on the embedded engine with 512-d vectors:
#: 1.95 with 30,000 segments, 2.4 with 6,000.
_STORED_FACTOR = 2.0


@dataclass(frozen=True)
class Failed:
    """A file that could not be indexed, and why.

    Attributes:
        candidate: the file.
        failure: why.
        image_id: of the picture that it holds, where that is known.
    """

    candidate: Candidate
    failure: Failure
    image_id: str | None = None


@dataclass(frozen=True)
class Known:
    """A file whose picture is indexed, or will be when the writer gets to this."""

    candidate: Candidate
    image_id: str


@dataclass(frozen=True, eq=False)
class Embedded:
    """A picture that is ready.

    Attributes:
        candidate: the file it was read from.
        picture: what the file says about itself.
        regions: what was cut out of it, parents before their parts.
        vectors: float32, shape (len(regions) + 1, dim): of the regions, then of the whole picture.
    """

    candidate: Candidate
    picture: Picture
    regions: list[Region]
    vectors: Vector


Ready = Failed | Known | Embedded


class Writer:
    """Writes what is ready, in the order of the scan.

    Attributes:
        under_way: ids of the pictures that some stage works on and that are not written yet.
    """

    def __init__(self, index: Index, floor: Floor) -> None:
        """Write to this index, as long as enough of its disk is free."""
        self.under_way: set[str] = set()
        self._index = index
        self._floor = floor
        self._again: list[Candidate] = []

    def write(self, item: Ready) -> dict[str, int]:
        """Write the records of one file; return by how much which figures of the report grow.

        Raises:
            StoreFull: there is too little room; nothing of the file was written.
        """
        self._floor.check()
        match item:
            case Failed():
                return self._write_failure(item)
            case Known(candidate, image_id):
                return self._write_known(candidate, image_id)
            case Embedded():
                return self._write_picture(item)

    def take_again(self) -> list[Candidate]:
        """Return, once, the files whose picture was let go of before they could be its place."""
        again, self._again = self._again, []
        return again

    def _write_failure(self, item: Failed) -> dict[str, int]:
        """Record a failure; a picture that merely cannot be read today stays indexed."""
        known, failure = item.candidate.known, item.failure
        before = None if known is None else known.image_id
        same = item.image_id in (None, before)
        self.under_way.discard(item.image_id or "")
        if before is None or not failure.retryable or not same:
            self._let_go(item.candidate, None)
            self._index.write_file(file_record(item.candidate, failure=failure))
        return {"failed": 1}

    def _write_known(self, candidate: Candidate, image_id: str) -> dict[str, int]:
        """Give an indexed picture one more place, or another one where it was renamed."""
        present = self._index.images([image_id])
        if not present:  # another file of this run has let go of it, or it failed
            self.under_way.discard(image_id)
            self._again.append(candidate)
            return {}
        self._begin(candidate, image_id)
        renamed = follow.renamed(self._index, present[0], candidate.place)
        if not renamed:
            self._index.add_path(present[0], candidate.place)
        self._index.write_file(file_record(candidate, image_id=image_id))
        if candidate.known is not None and candidate.known.image_id == image_id:
            return {"unchanged": 1}  # touched, but the same
        return {"renamed": 1} if renamed else {"copies": 1}

    def _write_picture(self, item: Embedded) -> dict[str, int]:
        candidate, picture = item.candidate, item.picture
        image_id = records.image_id(picture.sha256)
        self._begin(candidate, image_id)
        paths = (candidate.place, *self._index.recorded_paths(image_id))
        image, segments = image_records(
            picture, item.regions, item.vectors, paths, self._index.recipe.segmentation_id
        )
        self._index.write_image(image, segments)
        self._index.write_file(file_record(candidate, image_id=image_id))
        self.under_way.discard(image_id)
        points = [image_point(image), *map(segment_point, segments)]
        payload = sum(len(json.dumps(point.payload)) for point in points)
        size = round(_STORED_FACTOR * (payload + item.vectors.nbytes))
        return {"images": 1, "segments": len(segments), "stored_bytes": size}

    def _begin(self, candidate: Candidate, image_id: str) -> None:
        """Mark a file's record unfinished, for its new image, after its old one has let go.

        It keeps the old detections, so that the next run sees that they have changed.
        """
        self._let_go(candidate, image_id)
        new, known = file_record(candidate, image_id=image_id), candidate.known
        before = new.detections if known is None else known.detections
        self._index.write_file(replace(new, size=records.UNFINISHED, detections=before))

    def _let_go(self, candidate: Candidate, image_id: str | None) -> None:
        """Let the picture that a file was before no longer lie there, if it is another one."""
        known = candidate.known
        if known is not None and known.image_id is not None and known.image_id != image_id:
            self._index.write_file(replace(known, size=records.UNFINISHED))
            self._index.remove_path(known.image_id, library.full_path(known.root, known.path))


def file_record(
    candidate: Candidate, *, image_id: str | None = None, failure: Failure | None = None
) -> File:
    """Return the record of a file that was indexed, or why it was not."""
    found = candidate.found
    size, mtime_ns = (found.size, found.mtime_ns) if isinstance(found, library.Found) else (0, 0)
    return File(
        candidate.root,
        candidate.path,
        size,
        mtime_ns,
        image_id,
        failure,
        candidate.detections,
    )


def image_records(
    picture: Picture,
    regions: Sequence[Region],
    vectors: Vector,
    paths: Sequence[str],
    segmentation_id: str,
) -> tuple[Image, list[Segment]]:
    """Return the records of a picture and its segments.

    Args:
        picture: what the file says about itself.
        regions: what was cut out of it, parents before their parts.
        vectors: shape (len(regions) + 1, dim): of the regions, then of the whole picture.
        paths: where it lies, each "<root id>/<relative path>"; may repeat.
        segmentation_id: see `Recipe.segmentation_id`.
    """
    image = records.image_id(picture.sha256)
    places = tuple(dict.fromkeys(paths))
    ids = [records.segment_id(image, segmentation_id, ordinal) for ordinal in range(len(regions))]
    segments = [
        Segment(
            id=id_,
            image_id=image,
            region=region,
            parent_id=None if region.parent is None else ids[region.parent],
            paths=places,
            taken_at=picture.taken_at,
            gps=picture.gps,
            format=picture.format,
            camera=picture.camera,
            vector=np.ascontiguousarray(vector),
        )
        for id_, region, vector in zip(ids, regions, vectors[:-1], strict=True)
    ]
    now, vector = datetime.now(UTC), np.ascontiguousarray(vectors[-1])
    return Image(image, picture, places, len(segments), now, vector), segments
