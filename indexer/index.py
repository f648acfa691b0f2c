"""An index: the records of a library in a store, and the order in which they are written.

An image is indexed when, and only when, its image record is there. It is written last and
deleted first, so that whatever interrupts a run, no search shows half an image; segments whose
image record is absent are invisible to every method here but `Index.nearest`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from indexer.errors import IndexNotFound
from indexer.library import as_path, full_path, original, storable
from indexer.recipe import Recipe, recipe_from
from indexer.records import (
    UNFINISHED,
    File,
    Found,
    FoundImage,
    Image,
    Segment,
    Status,
    Vector,
    file_id,
    root_id,
)
from indexer.store.base import (
    EVERYTHING,
    AnyOf,
    Condition,
    Filter,
    HasId,
    Kind,
    Match,
    Point,
    Prefix,
    Ranked,
    ScoredPoint,
    Store,
)
from indexer.store.points import (
    file_from,
    file_point,
    image_from,
    image_point,
    label_payload,
    segment_from,
    segment_point,
)

#: Most different values that a facet gives.
MOST_VALUES = 1_000_000
#: Answers asked for beyond those wanted, in case some belong to an unfinished image.
_SPARE = 10


class Index:
    """The records of a library in a store.

    Attributes:
        recipe: what the index was built with.
    """

    def __init__(self, store: Store, where: str) -> None:
        """Open an index that exists.

        Raises:
            IndexNotFound: the store holds none.
            RecipeMismatch: it was written by another version of segsearch.
        """
        plain = store.recipe()
        if plain is None:
            raise IndexNotFound(
                f"there is no index at {where}", "make one with: index FOLDER --index " + where
            )
        self.recipe: Recipe = recipe_from(plain, where)
        self._plain = plain
        self._store = store

    def roots(self) -> dict[str, Path]:
        """Return the library roots: id → absolute path."""
        return {point.id: root_path(point) for point in self._all("roots")}

    def folders(self) -> dict[str, Path]:
        """Return those library roots that are followed as a whole: id → absolute path."""
        whole = (point for point in self._all("roots") if point.payload.get("whole", True))
        return {point.id: root_path(point) for point in whole}

    def add_root(self, path: Path, *, whole: bool = True) -> str:
        """Remember a library root by its absolute path and return its id.

        Args:
            path: absolute.
            whole: whether the folder was asked for, not only single files in it.
        """
        known = self.roots()
        new = root_id(storable(str(path)))
        while known.get(new, path) != path:  # of a root that has moved elsewhere since
            new = root_id(new)
        self.move_root(new, path, whole=whole)
        return new

    def move_root(self, root: str, path: Path, *, whole: bool = True) -> None:
        """Remember that the library root with this id is at this absolute path."""
        self._store.upsert("roots", [Point(root, {"path": storable(str(path)), "whole": whole})])

    def remove_root(self, root: str) -> None:
        """Forget a library root that no file belongs to any more."""
        self._store.delete("roots", Filter((HasId((root,)),)))

    def files(self, root: str, paths: Sequence[str]) -> dict[str, File]:
        """Return those of the files at these relative paths that have a record."""
        points = self._store.get("files", [file_id(root, path) for path in paths])
        return {point.payload["path"]: file_from(point.payload) for point in points}

    def failures(self) -> Iterator[File]:
        """Iterate over the files that could not be indexed."""
        for point in self._all("files", Filter((Match("failed", (True,)),))):
            yield file_from(point.payload)

    def files_below(self, root: str, path: str) -> Iterator[File]:
        """Iterate over the file records at or below a relative path; "" is the whole root."""
        for point in self._all("files", Filter(_below(root, path))):
            yield file_from(point.payload)

    def count_files(self, root: str, path: str) -> int:
        """Count the file records at or below a relative path; "" is the whole root."""
        return self._store.count("files", Filter(_below(root, path)))

    def write_file(self, file: File) -> None:
        """Insert or replace a file record."""
        self._store.upsert("files", [file_point(file)])

    def forget_file(self, root: str, path: str) -> None:
        """Delete the record of one file; what its picture's record says is left alone."""
        self._store.delete("files", Filter((HasId((file_id(root, path),)),)))

    def remove_file(self, file: File) -> None:
        """Delete a file's record, after its picture has let go of it."""
        if file.image_id is not None:
            self.write_file(replace(file, size=UNFINISHED))
            self.remove_path(file.image_id, full_path(file.root, file.path))
        self.forget_file(file.root, file.path)

    def forget_retryable(self, root: str, path: str) -> None:
        """Drop the failures at or below a relative path that the next scan will try again."""
        below = _below(root, path)
        if self._store.facet("files", "reason", where=Filter(below), limit=1):
            self._store.delete("files", Filter((*below, Match("retryable", (True,)))))

    def write_image(self, image: Image, segments: Sequence[Segment]) -> None:
        """Write an image with all its segments, the image record last.

        One that is indexed already is invisible meanwhile. Segments that an interrupted or
        different run left behind are removed.
        """
        self._store.delete("images", Filter((HasId((image.id,)),)))
        if segments:
            self._store.upsert("segments", [segment_point(segment) for segment in segments])
        stale = Filter(
            must=(Match("image_id", (image.id,)),),
            must_not=(HasId(tuple(segment.id for segment in segments)),) if segments else (),
        )
        self._store.delete("segments", stale)
        self._store.upsert("images", [image_point(image)])

    def add_path(self, image: Image, path: str) -> None:
        """Let an indexed image lie at one more place."""
        if path not in image.paths:
            self.set_paths(image, (*image.paths, path))

    def recorded_paths(self, image_id: str) -> tuple[str, ...]:
        """Return where an image lies as the file records have it, sorted."""
        files = self._files_of(image_id)
        return tuple(sorted(full_path(file.root, file.path) for file in files))

    def remove_path(self, image_id: str, path: str) -> None:
        """Let an image no longer lie at a place; without any, it is deleted."""
        for image in self.images([image_id]):
            paths = tuple(other for other in image.paths if other != path)
            if paths:
                self.set_paths(image, paths)
                return
        # also without an image record: what deleted it may have been killed before the rest
        for file in self._files_of(image_id):
            if full_path(file.root, file.path) != path:
                self.write_file(replace(file, size=UNFINISHED))  # has to be indexed again
        self._store.delete("images", Filter((HasId((image_id,)),)))
        self._store.delete("segments", Filter((Match("image_id", (image_id,)),)))

    def set_paths(self, image: Image, paths: tuple[str, ...]) -> None:
        """Set where an indexed image lies."""
        payload = {"paths": list(paths)}
        self._store.set_payload("segments", payload, Filter((Match("image_id", (image.id,)),)))
        self._store.set_payload("images", payload, Filter((HasId((image.id,)),)))

    def images(self, ids: Sequence[str], *, vectors: bool = False) -> list[Image]:
        """Return the images with these ids, in the order asked; absent ones are left out."""
        points = self._store.get("images", ids, vectors=vectors) if ids else []
        return [image_from(p.id, p.payload, p.vector) for p in points]

    def all_images(self, where: Filter = EVERYTHING, *, vectors: bool = False) -> Iterator[Image]:
        """Iterate over the indexed images that a filter lets through, by rising id."""
        for page in self._pages("images", where, vectors=vectors):
            for point in page:
                yield image_from(point.id, point.payload, point.vector)

    def image_page(
        self, where: Filter, limit: int, after: str | None
    ) -> tuple[list[Image], str | None]:
        """Return images that a filter lets through, by rising id, and where the next page begins.

        Args:
            where: the filter.
            limit: most images.
            after: what was returned with the page before; None for the first page.
        """
        page = self._store.scroll("images", where=where, limit=limit, after=after)
        return [image_from(p.id, p.payload) for p in page.points], page.next

    def segments(self, ids: Sequence[str], *, vectors: bool = False) -> list[Segment]:
        """Return the segments with these ids, in the order asked; absent ones are left out."""
        return [segment for segment, _ in self.segments_in_images(ids, vectors=vectors)]

    def segments_in_images(
        self, ids: Sequence[str], *, vectors: bool | Mapping[str, Vector] = False
    ) -> list[tuple[Segment, Image]]:
        """Return the segments with these ids and their images, as `segments` does.

        `vectors` may also be those that `nearest` gave, by id: to read them again takes a while.
        """
        known = {} if isinstance(vectors, bool) else vectors
        pairs = self._store.get_in_images(ids, vectors=vectors is True) if ids else []
        images = {id_: image_from(id_, p) for id_, p in {i.id: i.payload for _, i in pairs}.items()}
        return [
            (segment_from(p.id, p.payload, known.get(p.id, p.vector)), images[image.id])
            for p, image in pairs
        ]

    def segments_of(self, image_id: str) -> list[Segment]:
        """Return all segments of an indexed image, parents before their parts."""
        if not self.images([image_id]):
            return []
        of_image = Filter((Match("image_id", (image_id,)),))
        found = [segment_from(p.id, p.payload) for p in self._all("segments", of_image)]
        return sorted(found, key=lambda s: (-s.region.area_px, s.region.box, s.region.rle.counts))

    def all_segments(
        self, where: Filter = EVERYTHING, *, vectors: bool = False
    ) -> Iterator[tuple[Segment, Image]]:
        """Iterate over the segments that a filter lets through and their images, by rising id.

        Ids are digests, so that the first ones are a sample of all without any bias.
        """
        for page in self._pages("segments", where, vectors=vectors):
            present = self._images_of(page)
            for p in page:
                image = present.get(p.payload["image_id"])
                if image is not None:
                    yield segment_from(p.id, p.payload, p.vector), image

    def facet(self, kind: Kind, key: str, where: Filter = EVERYTHING) -> dict[str, int]:
        """Count the values of an indexed field, most first, without what is half written."""
        if kind == "segments":
            where = replace(where, must_not=(*where.must_not, *self._unfinished()))
        return self._store.facet(kind, key, where=where, limit=MOST_VALUES)

    def count(self, kind: Kind, where: Filter = EVERYTHING, *, exact: bool = True) -> int:
        """Count the records that a filter lets through.

        Without what is half written, unless `exact` is False, which is quicker.
        """
        if exact and kind == "segments":
            where = replace(where, must_not=(*where.must_not, *self._unfinished()))
        return self._store.count(kind, where)

    def label(self, labels: Mapping[str, tuple[str, float] | None], source: str) -> None:
        """Set, or with None take away, the labels of segments.

        Args:
            labels: segment id → label and how sure it is, 0 to 1.
            source: who gave them, see `Region.label_source`.
        """
        self._store.update_payloads(
            "segments", {each: label_payload(label, source) for each, label in labels.items()}
        )

    def search(self, vector: Vector, where: Filter = EVERYTHING, limit: int = 20) -> list[Found]:
        """Rank the segments by cosine with a vector."""
        count = limit + _SPARE
        while True:
            points = self._store.search("segments", vector, where=where, limit=count)
            images = self._images_of(points)
            found = [
                Found(segment_from(point.id, point.payload), image, point.score)
                for point in points
                if (image := images.get(point.payload["image_id"])) is not None
            ]
            if len(found) >= limit or len(points) < count:
                return found[:limit]
            count *= 2

    def search_images(
        self, vector: Vector, where: Filter = EVERYTHING, limit: int = 20
    ) -> list[FoundImage]:
        """Rank the images by cosine of their whole-image vectors with a vector."""
        points = self._store.search("images", vector, where=where, limit=limit)
        return [FoundImage(image_from(p.id, p.payload), p.score) for p in points]

    def nearest(
        self, kind: Kind, vector: Vector, where: Filter = EVERYTHING, limit: int = 20
    ) -> Ranked:
        """Rank records by cosine with a vector.

        Segments of images that are half written are among them: `segments_in_images` tells.
        """
        return self._store.nearest(kind, vector, where=where, limit=limit)

    def status(self) -> Status:
        """Count what is there, without what is half written."""
        per_image = self._store.facet("images", "n_segments", limit=MOST_VALUES)
        return Status(
            files=self._store.count("files"),
            images=self._store.count("images"),
            segments=sum(int(n) * images for n, images in per_image.items()),
            failed=self._store.count("files", Filter((Match("failed", (True,)),))),
        )

    def is_current(self) -> bool:
        """Return whether the index still has the recipe that it was opened with."""
        return self._store.recipe() == self._plain

    def size_bytes(self) -> int | None:
        """Return the disk space in use, or None where the store cannot tell."""
        return self._store.size_bytes()

    def optimise(self) -> None:
        """Build the store's search structures."""
        self._store.optimise()

    def flush(self) -> None:
        """Return when everything written so far would survive a power cut."""
        self._store.flush()

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _files_of(self, image_id: str) -> list[File]:
        of_image = Filter((Match("image_id", (image_id,)),))
        return [file_from(point.payload) for point in self._all("files", of_image)]

    def _images_of(self, points: Sequence[Point] | Sequence[ScoredPoint]) -> dict[str, Image]:
        """Return the images that segments lie in, those that are there, by id."""
        ids = list(dict.fromkeys(point.payload["image_id"] for point in points))
        return {image.id: image for image in self.images(ids)}

    def _unfinished(self) -> tuple[Condition, ...]:
        """Return conditions that hold for segments of images that are half written.

        Looking for them means counting by image; hardly ever are there any, which costs two
        counts to find out.
        """
        counted = self._store.count("segments")
        if counted == self.status().segments:
            return ()
        per_image = self._store.facet("segments", "image_id", limit=MOST_VALUES)
        there = {image.id for image in self.images(list(per_image))}
        absent = tuple(id_ for id_ in per_image if id_ not in there)
        return (Match("image_id", absent),) if absent else ()

    def _all(self, kind: Kind, where: Filter = EVERYTHING) -> Iterator[Point]:
        for page in self._pages(kind, where):
            yield from page

    def _pages(
        self, kind: Kind, where: Filter = EVERYTHING, *, vectors: bool = False
    ) -> Iterator[list[Point]]:
        after: str | None = None
        while True:
            page = self._store.scroll(kind, where=where, after=after, vectors=vectors)
            yield page.points
            if page.next is None:
                return
            after = page.next


def root_path(point: Point) -> Path:
    """Return the absolute path that the record of a library root has."""
    return as_path(original(point.payload["path"]))


def _below(root: str, path: str) -> tuple[Condition, ...]:
    """Return the conditions for files at or below a relative path; "" is the whole root."""
    within: tuple[Condition, ...] = (Match("root", (root,)),)
    if path:
        within = (*within, AnyOf((Match("path", (path,)), Prefix("path", f"{path}/"))))
    return within
