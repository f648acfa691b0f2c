"""Pictures, or objects, that are there more than once.

Groups are stars, not chains: one record stands in the middle, the best of its group, and every
other is at least as near to it as the threshold says. Where groups grow from neighbour to
neighbour, a series of pictures ends up in one group whose ends have nothing in common, and nobody
could say that what is kept stands for what goes. Records are taken best first; each that is in no
group yet asks the store for its neighbours, and those that are in no group either are its own.

In memory are an id for every record, and the records of one page; vectors and masks are not kept.
The store does the comparing: with its search structures (`Index.optimise`) that is far less work
than comparing all with all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from indexer.errors import QueryError
from indexer.index import Index
from indexer.library.paths import full_path, split_path
from indexer.records import UNFINISHED, Box, File, Image, Segment, Vector
from indexer.roots import locate
from indexer.store.base import EVERYTHING, Filter

Of = Literal["images", "segments"]
Progress = Callable[[int, int], None]

#: Cosine from which two pictures, or two segments, count as duplicates. Chosen with the demo models
#: on drawn scenes and copies of them. Pictures that were compressed again or halved all reach it,
#: of those that lost 3 % at each border five of six, of other scenes none; of segments 92 %, 89 %,
#: 65 % and 2 % do. Other models have other cosines: look at the groups, and choose anew.
IMAGES_THRESHOLD, SEGMENTS_THRESHOLD = 0.95, 0.97
#: Scores have six decimals: equal vectors have at least this.
_EQUAL = 0.999999
#: Records that are read at once.
_PAGE = 256
#: Neighbours that are asked for first; and how many times more, as long as all are near enough.
_NEIGHBOURS, _MORE = 6, 4
#: Segments of one picture whose boxes share more than this of the smaller one overlap.
_OVERLAP = 0.1


@dataclass(frozen=True)
class Copy:
    """A file.

    Attributes:
        path: absolute.
        bytes: its size as the index knows it, or None.
        there: whether it is there now.
    """

    path: Path
    bytes: int | None
    there: bool


@dataclass(frozen=True, eq=False)
class Member:
    """One record of a group.

    Attributes:
        image: the picture it is, or lies in.
        segment: the object; None among pictures.
        score: cosine with the first of the group, -1 to 1; 1 for the first itself.
        files: with this picture, the one to keep first.
    """

    image: Image
    segment: Segment | None
    score: float
    files: tuple[Copy, ...]

    @property
    def id(self) -> str:
        """Of the segment, or of the image."""
        return self.image.id if self.segment is None else self.segment.id


@dataclass(frozen=True, eq=False)
class Group:
    """Duplicates of each other.

    Attributes:
        members: the best first, the others by falling score. A single one has several files.
    """

    members: tuple[Member, ...]

    @property
    def exact(self) -> bool:
        """Whether the pictures have the same bytes, or the segments equal vectors."""
        first, *others = self.members
        if first.segment is None:
            return not others
        return all(other.score >= _EQUAL for other in others)

    @property
    def files(self) -> list[tuple[Member, Copy]]:
        """All files of all members, the one to keep first."""
        return [(member, file) for member in self.members for file in member.files]

    @property
    def spare(self) -> list[Copy]:
        """The files that are there besides the first one that is."""
        return [file for _, file in self.files if file.there][1:]

    @property
    def spare_bytes(self) -> int:
        """What the spare files take, as far as the index knows their sizes."""
        return sum(file.bytes or 0 for file in self.spare)

    def to_plain(self) -> dict[str, Any]:
        """Return the group as plain data, for JSON."""
        kind = "exact" if self.exact else "near"
        if self.members[0].segment is not None:
            segments = [_plain_segment(each, each.segment) for each in self.members if each.segment]
            return {"kind": kind, "segments": segments}
        kept = next((file for _, file in self.files if file.there), None)
        files = [_plain_file(member, file, keep=file is kept) for member, file in self.files]
        return {"kind": kind, "spare_bytes": self.spare_bytes, "files": files}


def duplicates(
    index: Index,
    of: Of = "images",
    threshold: float | None = None,
    *,
    where: Filter = EVERYTHING,
    progress: Progress = lambda _done, _total: None,
) -> Iterator[Group]:
    """Iterate over the groups of pictures or of segments that are there more than once.

    Nothing is deleted. Of pictures, the best one has the most pixels, then the most bytes, then
    the first path; files that are gone come last. Of segments it is the largest. Segments of one
    picture whose boxes overlap, as those of an object and its parts, are none of each other.

    Args:
        index: to be asked.
        of: what is compared, "images" or "segments".
        threshold: least cosine with the first of a group, above 0, at most 1; without it
            `IMAGES_THRESHOLD` or `SEGMENTS_THRESHOLD`. 1 finds what is exactly the same.
        where: only what this filter lets through; of images, one that images can fulfil.
        progress: called with the records done and all there are.

    Raises:
        QueryError: the threshold makes no sense.
    """
    if threshold is None:
        threshold = IMAGES_THRESHOLD if of == "images" else SEGMENTS_THRESHOLD
    if not 0 < threshold <= 1:
        raise QueryError(f"a threshold of {threshold} is none", "give one above 0, at most 1")
    side: _Side = _Images(index, where) if of == "images" else _Segments(index, where)
    roots = index.roots()
    for star in _stars(side, min(threshold, _EQUAL), progress):
        if len(star) > 1 or (of == "images" and len(star[0].image.paths) > 1):
            yield Group(_members(index, star, roots))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A record with what is needed to compare it, and its cosine with what it was found for."""

    image: Image
    segment: Segment | None
    vector: Vector | None = None
    score: float = 1.0

    @property
    def id(self) -> str:
        return self.image.id if self.segment is None else self.segment.id


class _Side(Protocol):
    """What is compared, in the index."""

    def ranked(self) -> list[str]:
        """Return all ids, best first."""

    def get(self, ids: Sequence[str]) -> list[_Seen]:
        """Return these, with their vectors."""

    def near(self, vector: Vector, limit: int) -> list[_Seen]:
        """Return those with the highest scores, best first."""


class _Images:
    def __init__(self, index: Index, where: Filter) -> None:
        self._index, self._where, self._roots = index, where, index.roots()

    def ranked(self) -> list[str]:
        ranks = []
        for page in _pages(self._index.all_images(self._where)):
            for image, files in zip(page, _files(self._index, page, self._roots), strict=True):
                pixels, first = image.picture.width * image.picture.height, files[0]
                ranks.append((not first.there, -pixels, -(first.bytes or 0), first.path, image.id))
        return [rank[-1] for rank in sorted(ranks)]

    def get(self, ids: Sequence[str]) -> list[_Seen]:
        return [_Seen(each, None, each.vector) for each in self._index.images(ids, vectors=True)]

    def near(self, vector: Vector, limit: int) -> list[_Seen]:
        found = self._index.search_images(vector, self._where, limit)
        return [_Seen(each.image, None, score=each.score) for each in found]


class _Segments:
    def __init__(self, index: Index, where: Filter) -> None:
        self._index, self._where = index, where

    def ranked(self) -> list[str]:
        found = self._index.all_segments(self._where)
        return [id_ for _, id_ in sorted((-each.region.area_px, each.id) for each, _ in found)]

    def get(self, ids: Sequence[str]) -> list[_Seen]:
        found = self._index.segments(ids, vectors=True)
        images = self._index.images(list(dict.fromkeys(each.image_id for each in found)))
        by_id = {image.id: image for image in images}
        return [
            _Seen(by_id[each.image_id], each, each.vector)
            for each in found
            if each.image_id in by_id
        ]

    def near(self, vector: Vector, limit: int) -> list[_Seen]:
        found = self._index.search(vector, self._where, limit)
        return [_Seen(each.image, each.segment, score=each.score) for each in found]


def _stars(side: _Side, threshold: float, progress: Progress) -> Iterator[list[_Seen]]:
    """Yield each record that is in no group before, with its neighbours that are in none."""
    ids = side.ranked()
    taken: set[str] = set()
    for begin in range(0, len(ids), _PAGE):
        page = [id_ for id_ in ids[begin : begin + _PAGE] if id_ not in taken]
        for middle in side.get(page):
            if middle.id in taken or middle.vector is None:
                continue
            near = _neighbours(side, middle.vector, threshold)
            star = _apart([middle, *(each for each in near if each.id not in taken)])
            taken.update(each.id for each in star)
            yield star
        progress(min(begin + _PAGE, len(ids)), len(ids))


def _neighbours(side: _Side, vector: Vector, threshold: float) -> list[_Seen]:
    """Return all records whose score is at least the threshold, best first."""
    limit = _NEIGHBOURS
    while True:
        found = side.near(vector, limit)
        if len(found) < limit or found[-1].score < threshold:
            return [each for each in found if each.score >= threshold]
        limit *= _MORE


def _apart(star: Sequence[_Seen]) -> list[_Seen]:
    """Leave out what was there before, and what overlaps what is kept of the same picture."""
    kept: dict[str, _Seen] = {}
    of_image: dict[str, list[Box]] = {}
    for each in star:
        if each.id in kept:
            continue
        if each.segment is not None:
            others = of_image.setdefault(each.image.id, [])
            if any(_overlap(each.segment.region.box, other) for other in others):
                continue
            others.append(each.segment.region.box)
        kept[each.id] = each
    return list(kept.values())


def _overlap(one: Box, other: Box) -> bool:
    """Return whether the boxes share so much that CLIP has seen much the same of the picture."""
    (left, top, right, bottom), (x0, y0, x1, y1) = one, other
    shared = max(0, min(right, x1) - max(left, x0)) * max(0, min(bottom, y1) - max(top, y0))
    smaller = min((right - left) * (bottom - top), (x1 - x0) * (y1 - y0))
    return shared > _OVERLAP * smaller


def _members(index: Index, star: Sequence[_Seen], roots: dict[str, Path]) -> tuple[Member, ...]:
    files = _files(index, [each.image for each in star], roots)
    return tuple(
        Member(each.image, each.segment, each.score, of_image)
        for each, of_image in zip(star, files, strict=True)
    )


def _files(index: Index, images: Sequence[Image], roots: dict[str, Path]) -> list[tuple[Copy, ...]]:
    """Return the files of each image, those that are there first, then by path."""
    paths = {path: split_path(path) for image in images for path in image.paths}
    records: dict[str, File] = {}
    for root, of_root in itertools.groupby(sorted(paths.values()), key=lambda path: path[0]):
        known = index.files(root, [relative for _, relative in of_root])
        records |= {full_path(root, path): file for path, file in known.items()}
    copies = {path: _copy(locate(path, roots), records.get(path)) for path in paths}
    return [
        tuple(sorted((copies[path] for path in image.paths), key=lambda c: (not c.there, c.path)))
        for image in images
    ]


def _copy(path: Path, record: File | None) -> Copy:
    size = None if record is None or record.size == UNFINISHED else record.size
    try:
        now = path.stat()
    except OSError:
        return Copy(path, size, there=False)
    same = record is not None and (now.st_size, now.st_mtime_ns) == (record.size, record.mtime_ns)
    return Copy(path, size, there=same)


def _pages(images: Iterable[Image]) -> Iterator[list[Image]]:
    rest = iter(images)
    while page := list(itertools.islice(rest, _PAGE)):
        yield page


def _plain_file(member: Member, file: Copy, *, keep: bool) -> dict[str, Any]:
    picture = member.image.picture
    return {
        "keep": keep,
        "path": str(file.path),
        "there": file.there,
        "image_id": member.image.id,
        "score": member.score,
        "width": picture.width,
        "height": picture.height,
        "bytes": file.bytes,
    }


def _plain_segment(member: Member, segment: Segment) -> dict[str, Any]:
    region = segment.region
    return {
        "segment_id": segment.id,
        "image_id": member.image.id,
        "path": str(member.files[0].path),
        "score": member.score,
        "box": list(region.box),
        "area_px": region.area_px,
        "area_fraction": region.area_fraction,
        "label": region.label,
    }
