"""Where a transfer goes: whether it can, and that nobody else writes there meanwhile."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from indexer.errors import StoreError, StoreFull
from indexer.opening import only_writer
from indexer.store import draft_location, is_server, layout
from indexer.store.archive import draft_folder, is_archive
from indexer.store.archive.manifest import Head
from indexer.store.transfer_ends import archive_folder


def check_places(source: str, target: str, *, float16: bool) -> None:
    """Raise `StoreError` where source and target do not go together."""
    if _place(source) in (_place(target), _place(draft_location(target))):
        raise StoreError(f"{source} cannot be transferred to itself", "name another target")
    if float16 and not is_archive(target):
        raise StoreError(
            f"{target} is no archive, and an index keeps float32",
            "leave --float16 out, or name an archive: a folder that ends with .parquet",
        )


def check_room(target: str, vectors: int, head: Head) -> None:
    """Raise `StoreFull` if this many vectors cannot fit on the disk that the target goes to."""
    if is_server(target):
        return
    above = Path(target).expanduser().absolute()
    free = shutil.disk_usage(next(p for p in (above, *above.parents) if p.exists())).free
    needed = vectors * head.dim * np.dtype(head.dtype).itemsize
    if needed > free:
        raise StoreFull(
            f"the vectors alone take {needed / 1e9:.3f} GB, and {free / 1e9:.3f} GB are free where "
            f"{target} goes",
            "free some space, or choose a place on another disk",
        )


@contextlib.contextmanager
def reserved(target: str) -> Iterator[None]:
    """Keep other runs away from a target folder, which is gone afterwards if nothing got there."""
    if is_server(target):
        yield
        return
    folder = Path(target).expanduser()
    if is_archive(target):
        folder = draft_folder(archive_folder(target))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {folder}: {error.strerror}", "check the path") from error
    with only_writer(str(folder)):
        try:
            yield
        finally:
            if [each.name for each in _listed(folder)] == [layout.WRITER_FILE]:
                (folder / layout.WRITER_FILE).unlink()
                folder.rmdir()


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []  # a finished archive's draft is gone


def _place(location: str) -> object:
    if is_server(location):
        from indexer.store import server_link

        return server_link.parse(location)
    return Path(location).expanduser().resolve()
