"""Whether an index holds what was put into it: every record is read, every structure is tried.

What is read is compared with its checksum, and records with each other: the number of segments that
an image has, the image that a file has, the root that a file lies in. Where all of that is right,
counts by payload field and searches by vector are tried (see `tallies`).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from indexer.errors import Stopped, StoreDamaged, StoreUnavailable
from indexer.index import Index, root_path
from indexer.library import full_path, split_path
from indexer.records import UNFINISHED, File, Image, segment_id
from indexer.store.base import KINDS, Inspected, Kind, Point, Store
from indexer.store.points import file_from, image_from, segment_from
from indexer.tallies import Tallies

#: Records that are read at once; of images, those whose segments are.
_AT_ONCE, IMAGES_AT_ONCE = 256, 16
#: How often reading a record may end the host process before its whole kind counts as unreadable.
_MOST_DEATHS = 10
_MISSING = "its record is missing"


@dataclass(frozen=True)
class DamagedImage:
    """An image that is not as it was written.

    Attributes:
        id: of the image.
        what: what is wrong with it.
        places: where it lies, each "<root id>/<relative path>"; empty where nothing says so.
    """

    id: str
    what: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What was found in an index.

    Attributes:
        images: sound images.
        segments: sound segments, those of damaged images too.
        files: sound records of files.
        unsealed: records of before there were checksums.
        leftover: segments without an image, left by a run that broke off; the next one removes
            those of images that it indexes.
        damaged: the damaged images, by id.
        lost_files: places whose record is damaged or missing, while their image is sound.
        damaged_files: records of files that are damaged, also of those that could not be indexed.
        lost_roots: ids of the library folders whose record is damaged or missing.
        structures: what is wrong with the search structures, where all records are sound.
        unreadable: kinds of which no record can be read, and why.
        roots: the library folders whose records are sound: id → absolute path.
    """

    images: int = 0
    segments: int = 0
    files: int = 0
    unsealed: int = 0
    leftover: int = 0
    damaged: tuple[DamagedImage, ...] = ()
    lost_files: tuple[str, ...] = ()
    damaged_files: int = 0
    lost_roots: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    unreadable: dict[Kind, str] = field(default_factory=dict)
    roots: dict[str, Path] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        records = (self.damaged, self.lost_files, self.damaged_files, self.lost_roots)
        return not any((*records, self.structures, self.unreadable))


def check(
    store: Store,
    index: Index,
    *,
    hosted: bool,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Findings:
    """Read an index closely. Nobody must write to it meanwhile.

    Args:
        store: the records.
        index: the same as an index.
        hosted: whether it has a host process, which reading a damaged record can end.
        on_progress: told how many records of how many have been read.
        stopped: asked often; True ends the check.

    Raises:
        Stopped: it was asked to stop.
        StoreError: the store as a whole cannot be used.
        StoreUnavailable: a server does not answer, which is no damage.
    """
    return _Check(store, index, on_progress, stopped, hosted=hosted).run()


def segment_ids(image: Image, cut: str) -> list[str]:
    """Return the ids of all segments that an image has; `cut` is `Recipe.segmentation_id`."""
    return [segment_id(image.id, cut, ordinal) for ordinal in range(image.n_segments)]


class CloseReader:
    """Reads records closely, and goes on where one of them ends the host process.

    Attributes:
        unreadable: kinds of which nothing (more) can be read, and why.
    """

    def __init__(self, store: Store, *, hosted: bool) -> None:
        """Read from `store`; only where it has a host process can a record end that."""
        self._hosted = hosted
        self.unreadable: dict[Kind, str] = {}
        self._store = store
        self._deaths = 0

    def pages(self, kind: Kind, at_once: int = _AT_ONCE) -> Iterator[Inspected]:
        """Read all records of a kind; what cannot be read is in `unreadable` afterwards."""
        after: str | None = None
        try:
            while True:
                ids, after = self._store.ids(kind, limit=at_once, after=after)
                yield self.inspect(kind, ids)
                if after is None:
                    return
        except StoreUnavailable as error:
            if not self._hosted:
                raise
            self.unreadable[kind] = error.message
        except StoreDamaged as error:
            self.unreadable[kind] = error.message

    def inspect(self, kind: Kind, ids: Sequence[str]) -> Inspected:
        """Read these records; where none of the kind can be read, all of them are broken."""
        if kind in self.unreadable:
            return Inspected([], dict.fromkeys(ids, "it cannot be read"))
        try:
            return _sensible(kind, self._store.inspect(kind, ids))
        except StoreUnavailable as error:
            if not self._hosted:
                raise
            self._store.recipe()  # raises, unless a new host can be had
            self._deaths += 1
            if self._deaths > _MOST_DEATHS:
                self.unreadable[kind] = f"reading them ended the host process: {error.message}"
        except StoreDamaged as error:
            self.unreadable[kind] = error.message
        if len(ids) == 1 or kind in self.unreadable:
            return Inspected([], dict.fromkeys(ids, "reading it ends the host process"))
        middle = len(ids) // 2
        return self.inspect(kind, ids[:middle]) + self.inspect(kind, ids[middle:])


class _Check:
    """One check."""

    def __init__(
        self,
        store: Store,
        index: Index,
        on_progress: Callable[[int, int], None],
        stopped: Callable[[], bool],
        *,
        hosted: bool,
    ) -> None:
        self._hosted = hosted
        self._unfinished: set[str] = set()
        self._store = store
        self._index = index
        self._reader = CloseReader(store, hosted=hosted)
        self._on_progress = on_progress
        self._stopped = stopped
        self._tallies = Tallies()
        self._done = self._total = self._unsealed = 0
        self._images = self._segments = self._files = self._wanted = 0
        self._wrong: dict[str, str] = {}
        self._places_of_wrong: defaultdict[str, list[str]] = defaultdict(list)
        self._sound: set[str] = set()
        self._image_at: dict[str, str] = {}
        self._roots: dict[str, Path] = {}
        self._damaged_files = 0

    def run(self) -> Findings:
        self._total = sum(self._count(kind) for kind in KINDS)
        for found in self._read("roots"):
            self._roots |= {point.id: root_path(point) for point in found.sound}
        for found in self._read("images", IMAGES_AT_ONCE):
            self._take_images(found)
        recorded = self._take_files()
        if "segments" in self._reader.unreadable:
            self._give_up_segments()
        return self._findings(recorded)

    def _findings(self, recorded: set[str]) -> Findings:
        lost_files = [p for p, image in self._image_at.items() if p not in recorded]
        places = itertools.chain(recorded, self._image_at)
        lost_roots = {split_path(place)[0] for place in places} - self._roots.keys()
        damaged = [
            DamagedImage(id_, what, tuple(dict.fromkeys(self._places_of_wrong[id_])))
            for id_, what in sorted(self._wrong.items())
        ]
        findings = Findings(
            self._images,
            self._segments,
            self._files,
            self._unsealed,
            damaged=tuple(damaged),
            lost_files=tuple(sorted(lost_files)),
            damaged_files=self._damaged_files,
            lost_roots=tuple(sorted(lost_roots)),
            unreadable=self._reader.unreadable,
            roots=self._roots,
        )
        if not findings.is_sound:
            return findings
        leftover = max(0, self._count("segments") - self._wanted)
        structures = tuple(self._tallies.faults(self._index))
        return replace(findings, leftover=leftover, structures=structures)

    def _read(self, kind: Kind, at_once: int = _AT_ONCE) -> Iterator[Inspected]:
        for found in self._reader.pages(kind, at_once):
            self._took(kind, found)
            yield found

    def _took(self, kind: Kind, found: Inspected) -> None:
        if self._stopped():
            raise Stopped("the check was stopped")
        for point in found.sound:
            self._tallies.add(kind, point)
        self._done += len(found.sound) + len(found.broken)
        self._unsealed += found.unsealed
        self._on_progress(self._done, max(self._total, self._done))

    def _take_images(self, found: Inspected) -> None:
        self._wrong |= {id_: f"its record: {what}" for id_, what in found.broken.items()}
        images = [image_from(point.id, point.payload) for point in found.sound]
        for image in images:
            self._image_at |= dict.fromkeys(image.paths, image.id)
        cut = self._index.recipe.segmentation_id
        wanted = {image.id: segment_ids(image, cut) for image in images}
        there = self._sound_segments([id_ for ids in wanted.values() for id_ in ids])
        for image in images:
            bad = [id_ for id_ in wanted[image.id] if there.get(id_) != image.id]
            if bad:
                self._wrong[image.id] = f"{len(bad)} of its {image.n_segments} segments"
                self._places_of_wrong[image.id] += image.paths
            else:
                self._sound.add(image.id)
        self._images += len(images) - sum(image.id in self._wrong for image in images)
        self._wanted += sum(map(len, wanted.values()))

    def _sound_segments(self, ids: Sequence[str]) -> dict[str, str]:
        """Return segment id → image id of those that are there and sound."""
        there: dict[str, str] = {}
        for start in range(0, len(ids), _AT_ONCE):
            found = self._reader.inspect("segments", ids[start : start + _AT_ONCE])
            self._took("segments", found)
            self._segments += len(found.sound)
            there |= {point.id: point.payload["image_id"] for point in found.sound}
        return there

    def _give_up_segments(self) -> None:
        """Count all images as damaged, as nothing is known of their segments."""
        for place, image in self._image_at.items():
            self._wrong[image] = "its segments cannot be read"
            self._places_of_wrong[image].append(place)
        self._images = 0
        self._sound.clear()

    def _take_files(self) -> set[str]:
        """Read the records of files; return the places that have one."""
        recorded: set[str] = set()
        for found in self._read("files"):
            self._files += len(found.sound)
            self._damaged_files += len(found.broken)
            for point in found.sound:
                self._take_file(file_from(point.payload), recorded)
        for image in self._unfinished:  # the next run writes their records
            if self._wrong.get(image) == _MISSING:
                del self._wrong[image]
        return recorded

    def _take_file(self, file: File, recorded: set[str]) -> None:
        place = full_path(file.root, file.path)
        recorded.add(place)
        if file.image_id is None:
            return
        if file.size == UNFINISHED:
            self._unfinished.add(file.image_id)
            return
        if file.image_id not in self._sound and file.image_id not in self._wrong:
            self._wrong[file.image_id] = _MISSING
        if file.image_id in self._wrong:
            self._places_of_wrong[file.image_id].append(place)

    def _count(self, kind: Kind) -> int:
        try:
            return self._store.count(kind)
        except StoreUnavailable:
            if not self._hosted:
                raise
            return 0
        except StoreDamaged:
            return 0


def _sensible(kind: Kind, found: Inspected) -> Inspected:
    """Return the same, with what makes no sense among the broken."""
    sound = [point for point in found.sound if _makes_sense(kind, point)]
    left = {point.id for point in found.sound} - {point.id for point in sound}
    return Inspected(sound, found.broken | dict.fromkeys(left, "it makes no sense"), found.unsealed)


def _makes_sense(kind: Kind, point: Point) -> bool:
    """Return whether a record has what a record of its kind has."""
    try:
        match kind:
            case "images":
                for place in image_from(point.id, point.payload, point.vector).paths:
                    split_path(place)
            case "segments":
                segment_from(point.id, point.payload, point.vector)
            case "files":
                file_from(point.payload)
            case _:
                str(point.payload["path"])
    except (KeyError, TypeError, ValueError, IndexError):
        return False
    return True
