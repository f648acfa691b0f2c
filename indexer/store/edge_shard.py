"""The records of one kind in an embedded index: a Qdrant Edge shard, and what is written to it.

A shard lives in `<data>/<kind>`, or in the folder beside it that `<data>/<kind>.at` names, once a
better built one has taken its place. Changing that file is the one step that replaces it; a
folder that nothing names is left over.
"""

from __future__ import annotations

import errno
import os
import pickle
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import qdrant_edge as qe

from indexer.errors import StoreDamaged
from indexer.stages import SharedLock
from indexer.store import checksums, layout
from indexer.store.base import Filter, HasId, Kind, Payload, Point
from indexer.store.edge_errors import translated
from indexer.store.edge_models import create_shard, filter_from
from indexer.store.settings import REPAIR
from indexer.store.storage import Storage

#: Writes that came meanwhile and are caught up with while others wait, at most.
_LAST_WRITES = 20
_COPIED_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class Upsert:
    """See `Store.upsert`."""

    points: Sequence[Point]


@dataclass(frozen=True)
class Delete:
    """See `Store.delete`."""

    where: Filter


@dataclass(frozen=True)
class SetPayload:
    """See `Store.set_payload`."""

    payload: Payload
    where: Filter


@dataclass(frozen=True)
class UpdatePayloads:
    """See `Store.update_payloads`."""

    payloads: Mapping[str, Payload]


Write = Upsert | Delete | SetPayload | UpdatePayloads


class Shard:
    """One kind's records; opened when first used, and replaced while they are used.

    Safe to use from many threads.
    """

    def __init__(self, data: Path, kind: Kind) -> None:
        """Use the records of `kind` in the folder `data`; nothing is opened yet."""
        self._data = data
        self._kind = kind
        self._shard: qe.EdgeShard | None = None
        self._loading = threading.Lock()
        self._using = SharedLock()
        self._writing = threading.Lock()
        self._journal: BinaryIO | None = None

    @property
    def folder(self) -> Path:
        """Where the records are now."""
        return layout.shard_folder(self._data, self._kind)

    def create(self, dim: int, storage: Storage) -> None:
        """Make an empty shard."""
        self._shard = create_shard(str(self.folder), self._kind, dim, storage)

    def open(self) -> qe.EdgeShard:
        """Open the shard, if need be. Raises `StoreDamaged`."""
        with self._loading, translated(self._data.parent, otherwise=StoreDamaged):
            if self._shard is None:
                folder = self.folder
                self._clear_leftovers(folder)
                self._shard = qe.EdgeShard.load(str(folder))
            return self._shard

    @contextmanager
    def reading(self) -> Iterator[qe.EdgeShard]:
        """Use the shard, which stays open meanwhile."""
        with self._using.shared(), translated(self._data.parent):
            yield self.open()

    def write(self, change: Write) -> None:
        """Do this, here and in the shard that is being built meanwhile."""
        with self._writing, self.reading() as shard:
            _apply(shard, change)
            if self._journal is not None:
                pickle.dump(change, self._journal)

    def flush(self) -> None:
        """Write out what has been written."""
        with self.reading() as shard:
            shard.flush()

    def close(self) -> None:
        """Write everything out and let go of the files; no call may be in progress."""
        shard, self._shard = self._shard, None
        if shard is not None:
            with translated(self._data.parent):
                shard.flush()
                shard.close()

    @contextmanager
    def copied(self, copy: Path, journal: Path) -> Iterator[None]:
        """Copy the shard to the new folder `copy`; meanwhile and then, note what is written.

        Writes wait for the copy, reads do not. The notes end with the block.
        """
        with self._writing:
            with self.reading() as shard:
                shard.flush()
                source = self.folder
            shutil.copytree(source, copy, copy_function=_copy_sparse)
            self._journal = journal.open("wb")
        try:
            yield
        finally:
            with self._writing:
                self._journal.close()
                self._journal = None

    def replace(self, built: Path, journal: Path) -> None:
        """Let the shard in the folder `built` take the place of this one, within `copied`.

        Catches up with what was written since it was copied, at last while writes wait. A reader
        sees the one or the other.
        """
        with translated(self._data.parent):
            fresh = qe.EdgeShard.load(str(built))
            try:
                with journal.open("rb") as notes:
                    while self._catch_up(fresh, notes) > _LAST_WRITES:
                        pass
                    with self._writing:
                        self._catch_up(fresh, notes)
                        fresh.flush()
                        self._switch(fresh, built)
            except BaseException:
                if self._shard is not fresh:
                    fresh.close()
                raise

    def _catch_up(self, fresh: qe.EdgeShard, notes: BinaryIO) -> int:
        """Write what has been noted and not been read yet; return how much that was."""
        if self._journal is not None:
            self._journal.flush()
        count = 0
        while True:
            before = notes.tell()
            try:
                change = pickle.load(notes)  # noqa: S301 - this process wrote it
            except (EOFError, pickle.UnpicklingError):  # the rest of it is still to come
                notes.seek(before)
                return count
            _apply(fresh, change)
            count += 1

    def _switch(self, fresh: qe.EdgeShard, folder: Path) -> None:
        old_folder = self.folder
        with self._using.alone():
            pointer = self._data / layout.POINTER_FILE.format(self._kind)
            layout.write_file(pointer, folder.name)
            old, self._shard = self._shard, fresh
        if old is not None:
            old.close()
        shutil.rmtree(old_folder, ignore_errors=True)  # what stays is cleared by the next opening

    def new_folder(self) -> Path:
        """Return a folder, not there yet, for a shard that is to take the place of this one."""
        return self._data / f"{self._kind}-{secrets.token_hex(4)}"

    def _clear_leftovers(self, used: Path) -> None:
        if not used.is_dir():
            raise StoreDamaged(
                f"the index {self._data.parent} has lost its {self._kind}: {used}", REPAIR
            )
        for path in (self._data / self._kind, *self._data.glob(f"{self._kind}-*")):
            if path != used and path.is_dir():
                shutil.rmtree(path)
            elif path != used:
                path.unlink(missing_ok=True)


def _apply(shard: qe.EdgeShard, change: Write) -> None:
    match change:
        case Upsert(points):
            stored = [
                qe.Point(p.id, {} if p.vector is None else p.vector.tolist(), p.payload)
                for p in map(checksums.sealed, points)
            ]
            shard.update(qe.UpdateOperation.upsert_points(stored))
        case Delete(where):
            shard.update(qe.UpdateOperation.delete_points_by_filter(filter_from(where)))
        case SetPayload(payload, where):
            fields = checksums.change(payload)
            shard.update(qe.UpdateOperation.set_payload_by_filter(filter_from(where), fields))
        case UpdatePayloads(payloads):
            for each, payload in payloads.items():
                # by its id, an absent one is an error
                only = filter_from(Filter((HasId((each,)),)))
                fields = checksums.change(payload)
                shard.update(qe.UpdateOperation.set_payload_by_filter(only, fields))


def _copy_sparse(source: str, target: str) -> None:
    """Copy a file without filling its holes: Edge's files are large, and mostly empty at first."""
    with Path(source).open("rb") as reading, Path(target).open("wb") as writing:
        size = os.fstat(reading.fileno()).st_size
        start = 0
        while start < size:
            try:
                start = os.lseek(reading.fileno(), start, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nothing but holes follows
                    raise
                break
            stop = os.lseek(reading.fileno(), start, os.SEEK_HOLE)
            reading.seek(start)
            writing.seek(start)
            while start < stop:
                block = reading.read(min(_COPIED_BYTES, stop - start))
                writing.write(block)
                start += len(block)
        writing.truncate(size)
