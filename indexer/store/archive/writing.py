"""Writing an archive: as a draft beside its place, which it takes when it is complete.

::

    name.parquet.rebuild/transfer.json   what the draft is to become; without it, no draft of ours
    name.parquet.rebuild/<kind>/         the parts so far; `.new` at the end: not complete
    name.parquet.rebuild/replaced/       for a moment, the archive that was there before
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from indexer.errors import StoreError, StoreFull
from indexer.store import layout
from indexer.store.archive import columns, draft_folder, part_name, reading
from indexer.store.archive.manifest import Head, Manifest, dump, head_plain
from indexer.store.base import KINDS, VECTOR_KINDS, Kind, Point

#: Rows that are compressed, and can be read, by themselves: with vectors of 512 floats, 30 MB.
GROUP_ROWS = 10_000
#: Most rows of a file: five times that, or somewhat more.
PART_ROWS = 50_000

HEAD_FILE = "transfer.json"
_REPLACED = "replaced"
_NEW = ".new"


class ArchiveDraft:
    """An archive in the making; only one may write it at a time.

    What is appended goes into files of which only complete ones have their names, so that what
    is there after a kill is a beginning of what was appended.
    """

    def __init__(self, archive: Path, head: Head) -> None:
        """Go on with the draft of `archive` if it has this head, or begin a new one.

        Raises:
            StoreError: the draft's place is taken by something else, or cannot be written.
        """
        self._archive = archive
        self._folder = draft_folder(archive)
        self._head = head
        self._part: _Part | None = None
        with writable(self._folder):
            self._prepare()

    def counts(self) -> dict[Kind, int]:
        """Return how many records of each kind are in complete parts. Raises `StoreDamaged`."""
        parts = self._parts()
        return {kind: sum(part.rows for part in parts.parts[kind]) for kind in KINDS}

    def pages(
        self, kind: Kind, *, after: str | None = None, limit: int, vectors: bool
    ) -> Iterator[list[Point]]:
        """Iterate over the records in complete parts, see `ArchiveRecords.pages`."""
        return reading.pages(self._files(kind), kind, after=after, limit=limit, vectors=vectors)

    def append(self, kind: Kind, points: Sequence[Point]) -> None:
        """Add points, whose ids are greater than all before of this kind.

        Raises:
            StoreFull: the disk is full.
            StoreError: nothing can be written.
        """
        with writable(self._folder):
            if self._part is not None and self._part.kind != kind:
                self._end_part()
            if self._part is None:
                path = self._folder / kind / part_name(len(self._files(kind)))
                self._part = _Part(path, kind, self._head)
            self._part.add(points)
            if self._part.rows >= PART_ROWS:
                self._end_part()

    def settle(self) -> None:
        """Complete the file at hand, so that all that was appended stays. Raises `StoreError`."""
        with writable(self._folder):
            self._end_part()

    def finish(self, building: Callable[[float | None], None]) -> None:  # noqa: ARG002
        """Write the manifest, and take the archive's place, in which there may be another.

        `building` is what an index would tell: an archive has no search structures.

        Of the two renames that replacing takes, only the first may be done when the process is
        killed; a new draft with the same head then finds all that was written.

        Raises:
            StoreError: it cannot be written or renamed.
        """
        with writable(self._folder):
            self._end_part()
            layout.write_file(self._folder / layout.SETTINGS_FILE, dump(self._parts()))
            for name in (HEAD_FILE, layout.WRITER_FILE):
                (self._folder / name).unlink(missing_ok=True)
            replaced = self._folder / _REPLACED
            if (self._archive / layout.SETTINGS_FILE).exists():
                if replaced.exists():
                    shutil.rmtree(replaced)
                layout.move(self._archive, replaced)
            layout.move(self._folder, self._archive)
            shutil.rmtree(self._archive / _REPLACED, ignore_errors=True)

    def discard(self) -> None:
        """Remove the draft; an archive that it was about to replace goes back to its place."""
        with writable(self._folder):
            if self._part is not None:
                self._part.abandon()
                self._part = None
            _discard(self._folder, self._archive)

    def close(self) -> None:
        """Leave what is complete for a draft to come."""
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def _prepare(self) -> None:
        head, manifest = self._folder / HEAD_FILE, self._folder / layout.SETTINGS_FILE
        if _is_foreign(self._folder):
            raise StoreError(
                f"{self._folder} is in the way: the archive is written there first",
                "move it elsewhere, or give the archive another name",
            )
        known = manifest if manifest.exists() else head  # the manifest has all that a head has
        if known.exists() and not _has_head(known, self._head):
            _discard(self._folder, self._archive)
        self._folder.mkdir(parents=True, exist_ok=True)
        # first: with it, the rest is known to be ours
        layout.write_file(head, json.dumps(head_plain(self._head), ensure_ascii=False))
        for kind in KINDS:
            (self._folder / kind).mkdir(exist_ok=True)
            for unfinished in (self._folder / kind).glob("*" + _NEW):
                unfinished.unlink()
        manifest.unlink(missing_ok=True)

    def _files(self, kind: Kind) -> list[Path]:
        found = sorted((self._folder / kind).glob(part_name(0).replace("00000", "*")))
        return [path for number, path in enumerate(found) if path.name == part_name(number)]

    def _parts(self) -> Manifest:
        folder = self._folder
        return Manifest(
            self._head,
            {k: tuple(reading.part_of(folder, path) for path in self._files(k)) for k in KINDS},
        )

    def _end_part(self) -> None:
        if self._part is not None:
            self._part.end()
            self._part = None


class _Part:
    """One file, which has its name when it is complete."""

    def __init__(self, path: Path, kind: Kind, head: Head) -> None:
        self.kind: Kind = kind
        self.rows = 0
        self._path = path
        self._new = path.with_name(path.name + _NEW)
        self._head = head
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        schema = columns.schema(kind, head)
        unlike = {"id", "payload", "rle_counts", "vector"}  # of which a dictionary is a waste
        # DuckDB reads split bytes of float32 only
        split = kind in VECTOR_KINDS and head.dtype == "float32"
        self._writer = pq.ParquetWriter(
            self._new,
            schema,
            compression="zstd",
            use_dictionary=[name for name in schema.names if name not in unlike],
            use_byte_stream_split=["vector.list.element"] if split else False,
            write_page_checksum=True,
        )

    def add(self, points: Sequence[Point]) -> None:
        self._waiting.append(columns.table(self.kind, points, self._head))
        self._waiting_rows += len(points)
        self.rows += len(points)
        if self._waiting_rows >= GROUP_ROWS:
            self._write()

    def end(self) -> None:
        self._write()
        self._writer.close()
        descriptor = os.open(self._new, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        layout.move(self._new, self._path)

    def abandon(self) -> None:
        with suppress(OSError, pa.ArrowException):  # such as a full disk, which has been reported
            self._writer.close()
        self._new.unlink(missing_ok=True)

    def _write(self) -> None:
        if self._waiting:
            rows = pa.concat_tables(self._waiting)
            self._waiting, self._waiting_rows = [], 0
            self._writer.write_table(rows, row_group_size=max(len(rows), 1))


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn what fails when files below `folder` are written into errors of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
            raise StoreFull(
                f"the disk is full under {folder}",
                "free some space and run the command again; what was written before is kept",
            ) from error
        raise StoreError(f"cannot write {folder}: {error}", "make the folder writable") from error


def _is_foreign(draft: Path) -> bool:
    ours = (HEAD_FILE, layout.SETTINGS_FILE)
    if not draft.exists() or any((draft / name).exists() for name in ours):
        return False
    begun = (layout.WRITER_FILE, HEAD_FILE + _NEW)
    return any(each.name not in begun for each in draft.iterdir())


def _has_head(path: Path, head: Head) -> bool:
    try:
        known = json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return all(known.get(key) == value for key, value in head_plain(head).items())


def _discard(draft: Path, archive: Path) -> None:
    replaced = draft / _REPLACED
    if replaced.exists() and not archive.exists():
        layout.move(replaced, archive)
    for each in draft.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        elif each.name not in (HEAD_FILE, layout.WRITER_FILE):
            each.unlink()
    (draft / HEAD_FILE).unlink(missing_ok=True)  # last, see `_prepare`
