"""Archives, and the parts of unfinished ones, as records."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from indexer.errors import StoreDamaged
from indexer.store import layout
from indexer.store.archive import columns
from indexer.store.archive.manifest import REPLACE, Head, Manifest, Part, read
from indexer.store.base import KINDS, Kind, Point


class ArchiveRecords:
    """The records of an archive.

    Attributes:
        head: what holds for all of it.
    """

    def __init__(self, folder: Path) -> None:
        """Open the archive in `folder`, and look at the size and the end of each file.

        Raises:
            IndexNotFound: there is none.
            StoreDamaged: a file is missing, or not what the manifest says; it is named.
            StoreError: another version of segsearch wrote it.
        """
        self._folder = folder
        self._manifest: Manifest = read(folder)
        self.head: Head = self._manifest.head
        for kind in KINDS:
            for part in self._manifest.parts[kind]:
                _check(folder / part.file, part, kind, self.head)

    def counts(self) -> dict[Kind, int]:
        """Return how many records of each kind there are."""
        return self._manifest.counts()

    def pages(
        self, kind: Kind, *, after: str | None = None, limit: int, vectors: bool
    ) -> Iterator[list[Point]]:
        """Iterate over the records by rising id, at most `limit` at a time, from the id `after` on.

        Raises:
            StoreDamaged: a file cannot be read; it is named.
        """
        files = [self._folder / part.file for part in self._manifest.parts[kind]]
        return pages(files, kind, after=after, limit=limit, vectors=vectors)

    def size_bytes(self) -> int:
        """Return the disk space that the archive takes."""
        return layout.disk_usage(self._folder)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def pages(
    files: Sequence[Path], kind: Kind, *, after: str | None, limit: int, vectors: bool
) -> Iterator[list[Point]]:
    """Iterate over the records in these parts, see `ArchiveRecords.pages`."""
    for path in files:
        with readable(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            groups = _groups_from(file, after or "")
            wanted = columns.needed(kind, vectors=vectors)
            for rows in file.iter_batches(limit, groups, wanted) if groups else ():
                skip = bisect.bisect_left(rows.column("id").to_pylist(), after) if after else 0
                if skip < len(rows):
                    yield columns.points_from(rows.slice(skip))


def part_of(archive: Path, path: Path) -> Part:
    """Return what the manifest says of a part. Raises `StoreDamaged`."""
    with readable(path), pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        return Part(path.relative_to(archive).as_posix(), rows, path.stat().st_size)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what fails when a part is read into `StoreDamaged`."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreDamaged(f"{path} is missing", REPLACE) from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise StoreDamaged(f"{path} cannot be read: {error}", REPLACE) from error


def _groups_from(file: pq.ParquetFile, after: str) -> list[int]:
    """Return the row groups that may hold ids from `after` on."""
    groups: Mapping[int, object] = {
        number: file.metadata.row_group(number).column(0).statistics
        for number in range(file.metadata.num_row_groups)
    }
    return [
        number
        for number, ids in groups.items()
        if ids is None or str(getattr(ids, "max", "~")) >= after
    ]


def _check(path: Path, part: Part, kind: Kind, head: Head) -> None:
    with readable(path):
        size = path.stat().st_size
        if size != part.bytes:
            raise ValueError(f"it has {size} bytes, and should have {part.bytes}")
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows != part.rows:
                raise ValueError(f"it has {file.metadata.num_rows} rows, should have {part.rows}")
            found, wanted = file.schema_arrow, columns.schema(kind, head)
        for name in columns.needed(kind, vectors=True):
            if name not in found.names or found.field(name).type != wanted.field(name).type:
                raise ValueError(f"its column {name} is not {wanted.field(name).type}")
