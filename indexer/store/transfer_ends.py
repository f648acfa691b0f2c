"""The two ends of a transfer: what is read, and the draft that is written.

An end is an index, in a folder or on a server, or an archive (`indexer.store.archive`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Protocol

from indexer.errors import IndexNotFound, StoreDamaged, StoreError
from indexer.recipe import recipe_from
from indexer.store import discard, draft_location, open_store
from indexer.store.archive import is_archive
from indexer.store.archive.manifest import Head
from indexer.store.base import EVERYTHING, KINDS, Filter, HasId, Kind, Point, Store
from indexer.store.schema import TRANSFER_MARK

_POLL_S = 1.0


class Records(Protocol):
    """Records that can be read."""

    def counts(self) -> dict[Kind, int]:
        """Return how many records of each kind there are."""

    def pages(
        self, kind: Kind, *, after: str | None = None, limit: int, vectors: bool
    ) -> Iterator[list[Point]]:
        """Iterate over the records by rising id, at most `limit` at a time, from the id `after` on.

        Vectors are float32, shape (dim,), of length 1; None unless asked for.
        """

    def close(self) -> None:
        """Let go of them."""


class Origin(Records, Protocol):
    """An index or archive that is there."""

    @property
    def head(self) -> Head:
        """What holds for all of it; the dtype of an index is float32."""

    def size_bytes(self) -> int | None:
        """Return the disk space it takes, or None where that cannot be told."""


class Draft(Records, Protocol):
    """What is to become the target. What was appended and settled is there after a kill."""

    def append(self, kind: Kind, points: Sequence[Point]) -> None:
        """Add points, whose ids are greater than all before of this kind."""

    def settle(self) -> None:
        """Return when all that was appended can be read back, and would survive a power cut."""

    def finish(self, building: Callable[[float | None], None]) -> None:
        """Take the target's place; `building` is told how far search structures are built."""

    def discard(self) -> None:
        """Remove the draft."""


def open_origin(location: str) -> Origin:
    """Open what is at `location`; the caller closes it.

    Raises:
        IndexNotFound: nothing is there.
        RecipeMismatch: another version of segsearch made it.
        StoreError: it cannot be opened, see its kinds.
    """
    if is_archive(location):
        from indexer.store.archive.reading import ArchiveRecords

        records = ArchiveRecords(archive_folder(location))
        recipe_from(records.head.recipe, location)
        return records
    store = open_store(location, create_ok=False)
    try:
        return _StoreOrigin(store, _head(store, location))
    except BaseException:
        store.close()
        raise


def is_there(location: str) -> bool:
    """Return whether there is an index or an archive. Raises `StoreError`."""
    if is_archive(location):
        from indexer.store.archive import manifest

        folder = archive_folder(location)
        try:
            manifest.read(folder)
        except IndexNotFound:
            if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
                raise StoreError(
                    f"{folder} is there already, and no archive", "give the archive another name"
                ) from None
            return False
        return True
    try:
        open_store(location, create_ok=False).close()
    except IndexNotFound:
        return False
    return True


def open_draft(location: str, head: Head, source: str) -> Draft:
    """Open the draft of the index or archive at `location`, or begin one.

    One that is to become something else is removed first.

    Args:
        location: of what the draft will be.
        head: what will hold for all of it.
        source: what is transferred, for who looks into the draft.
    """
    if not is_archive(location):
        return _StoreDraft(location, head, source)
    from indexer.store.archive.writing import ArchiveDraft

    return ArchiveDraft(archive_folder(location), head)


def archive_folder(location: str) -> Path:
    """Return the folder of an archive, itself and no link to it."""
    return Path(location).expanduser().resolve()


def _head(store: Store, where: str) -> Head:
    recipe = store.recipe()
    if recipe is None:
        raise IndexNotFound(f"the index {where} is gone", "check where it is")
    return Head(recipe, recipe_from(recipe, where).dim, store.storage(), "float32")


class _StoreRecords:
    def __init__(self, store: Store) -> None:
        self._store = store

    def counts(self) -> dict[Kind, int]:
        return {kind: self._store.count(kind, self._where(kind)) for kind in KINDS}

    def pages(
        self, kind: Kind, *, after: str | None = None, limit: int, vectors: bool
    ) -> Iterator[list[Point]]:
        where = self._where(kind)
        while True:
            page = self._store.scroll(kind, where=where, limit=limit, after=after, vectors=vectors)
            yield page.points
            if page.next is None:
                return
            after = page.next

    def close(self) -> None:
        self._store.close()

    def _where(self, kind: Kind) -> Filter:  # noqa: ARG002 - drafts hide one
        return EVERYTHING


class _StoreOrigin(_StoreRecords):
    def __init__(self, store: Store, head: Head) -> None:
        super().__init__(store)
        self.head = head

    def size_bytes(self) -> int | None:
        return self._store.size_bytes()


class _StoreDraft(_StoreRecords):
    def __init__(self, location: str, head: Head, source: str) -> None:
        self._target = location
        self._place = draft_location(location)
        store = _begun(self._place, head)
        if store is None:
            discard(self._place)
            store = open_store(self._place, create_ok=True)
            store.create(head.recipe, head.dim, head.storage)
        store.upsert("roots", [Point(TRANSFER_MARK, {"transfer": source})])
        super().__init__(store)

    def append(self, kind: Kind, points: Sequence[Point]) -> None:
        self._store.upsert(kind, points)

    def settle(self) -> None:
        self._store.flush()

    def finish(self, building: Callable[[float | None], None]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="optimise") as pool:
            work = pool.submit(self._store.optimise)
            while not wait([work], _POLL_S).done:
                progress = self._store.optimising()
                building(None if progress is None else progress.done)
            work.result()
        self._store.delete("roots", Filter((HasId((TRANSFER_MARK,)),)))
        self._store.flush()
        self._store.close()
        with closing(open_store(self._target, create_ok=True)) as target:
            target.adopt(self._place)

    def discard(self) -> None:
        self._store.close()
        discard(self._place)

    def _where(self, kind: Kind) -> Filter:
        return Filter(must_not=(HasId((TRANSFER_MARK,)),)) if kind == "roots" else EVERYTHING


def _begun(place: str, head: Head) -> Store | None:
    """Open the draft at `place` if it can be used and has this head."""
    try:
        store = open_store(place, create_ok=False)
    except (IndexNotFound, StoreDamaged):
        return None
    if (store.recipe(), store.storage()) == (head.recipe, head.storage):
        return store
    store.close()
    return None
