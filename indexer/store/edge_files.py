"""Index folders as a whole: held against their hosts, replaced by one another, removed.

Folders of records have names of their own, never used twice, so that one can be moved from a draft
into the index that it replaces and, when that broke off half way, back again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from indexer.errors import IndexNotFound, StoreDamaged, StoreError, StoreUnavailable
from indexer.store import layout, settings, wire
from indexer.store.base import KINDS, Kind
from indexer.store.settings import Settings

#: How long to wait until nobody uses a folder that is to be moved or removed, seconds.
PATIENCE_S = 30.0

_POLL_S = 0.05

#: What can be removed from a shard that cannot be opened: the structures of searches, which are
#: made anew, or the log of the last writes, with those of them that had not been written out.
Part = Literal["indexes", "log"]
_STRIPPED: dict[Part, tuple[str, ...]] = {
    "indexes": ("segments/*/payload_index/*", "segments/*/vector_index*"),
    "log": ("wal",),
}
PARTS = tuple(_STRIPPED)


def new_data(folder: Path) -> Path:
    """Return where the records of a new index in `folder` go; nothing is there yet."""
    return folder / layout.DATA_FOLDER.format(secrets.token_hex(4))


def read_draft(draft: Path) -> Settings:
    """Return the settings of the index in `draft`. Raises `IndexNotFound` if there is none."""
    found = layout.read_settings(draft)
    if found is None:
        raise IndexNotFound(f"there is no index in {draft}", "build it first")
    return found


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every host away from the existing `folder`, once the present one has ended.

    Raises:
        StoreUnavailable: it did not end within `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while (lock := wire.take_lock(folder)) is None:
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"the index {folder} is still in use after {PATIENCE_S:.0f} s",
                "end the programs that use it, then run the command again",
            )
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        os.close(lock)


def put_back(folder: Path) -> None:
    """Give the draft in `folder` its records back, if an unfinished `Store.adopt` has them.

    The draft's settings move last, so they still name the records. Only for who holds the folder
    or its parent. Raises `OSError`.
    """
    if folder.name != layout.DRAFT_FOLDER or not (folder / layout.SETTINGS_FILE).is_file():
        return
    named = (folder / layout.SETTINGS_FILE).read_bytes()
    for data in _data_folders(folder.parent):
        if data.name.encode() in named and not (folder / data.name).exists():
            with suppress(FileNotFoundError):  # opening the other one of the two has just done it
                layout.move(data, folder / data.name)


def clear_leftovers(folder: Path, keep: str = "") -> None:
    """Remove all records in `folder` but those named `keep`; a draft gets back what is its own.

    Raises `OSError`.
    """
    put_back(folder / layout.DRAFT_FOLDER)
    for data in _data_folders(folder):
        if data.name != keep:
            _remove_data(data)


def remove(folder: Path) -> None:
    """Remove an index and its draft, and the folder if nothing else is in it.

    Only for who holds the folder. Killed meanwhile, it leaves no index. Raises `OSError`.
    """
    for path in (*layout.copies_of_settings(folder), folder / layout.SETTINGS_FILE):
        path.unlink(missing_ok=True)
    discard(folder / layout.DRAFT_FOLDER)
    clear_leftovers(folder)
    for path in _host_files(folder):
        path.unlink()
    _remove_if_empty(folder)


def discard(folder: Path) -> None:
    """Remove the index in `folder`, whole or half made; see `indexer.store.discard`."""
    try:
        if _belongs_to_an_index(folder):
            with held(folder):
                remove(folder)
        elif folder.is_dir():
            _remove_if_empty(folder)  # all that was left to do
    except OSError as error:
        raise StoreError(
            f"cannot remove the index {folder}: {error}", "make the folder writable"
        ) from error


def mend(folder: Path) -> None:
    """Restore the settings of the index in `folder` and its pointers; see `indexer.store.mend`."""
    changes = _settings_to_restore(folder) or _pointers_to_restore(folder)
    if not changes:
        return
    try:
        with held(folder):
            for path, text in changes.items():
                layout.write_file(path, text)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error}", "make the folder writable") from error
    mend(folder)  # with its settings, the pointers can be told


def strip(folder: Path, kinds: Iterable[Kind], part: Part) -> None:
    """Remove what Edge makes anew from shards that it cannot open; see `indexer.store.strip`."""
    with held(folder):
        data = folder / read_draft(folder).data
        for kind in kinds:
            shard = layout.shard_folder(data, kind)
            for pattern in _STRIPPED[part]:
                for path in filter(Path.is_dir, shard.glob(pattern)):
                    shutil.rmtree(path)


def _settings_to_restore(folder: Path) -> dict[Path, str]:
    try:
        layout.read_settings(folder)
    except StoreDamaged:
        pass
    else:
        return {}
    known = {}
    for copy in layout.copies_of_settings(folder):
        with suppress(StoreError, OSError, UnicodeDecodeError):
            text = copy.read_text("utf-8")
            if settings.parse(text, str(copy)).data == copy.parent.name:
                known[text] = folder / layout.SETTINGS_FILE
    return {path: text for text, path in known.items()} if len(known) == 1 else {}


def _pointers_to_restore(folder: Path) -> dict[Path, str]:
    """Return pointer → the only folder that there is, where it says anything else."""
    found = layout.read_settings(folder)
    if found is None:
        return {}
    changes = {}
    for kind in KINDS:
        pointer = folder / found.data / layout.POINTER_FILE.format(kind)
        there = [path.name for path in pointer.parent.glob(f"{kind}*") if _is_shard(path, kind)]
        named = pointer.read_bytes() if pointer.exists() else kind.encode()
        if len(there) == 1 and named != there[0].encode():
            changes[pointer] = there[0]
    return changes


def _is_shard(path: Path, kind: Kind) -> bool:
    return path.is_dir() and (path.name == kind or path.name.startswith(f"{kind}-"))


def _belongs_to_an_index(folder: Path) -> bool:
    settings, draft = folder / layout.SETTINGS_FILE, folder / layout.DRAFT_FOLDER
    if not folder.is_dir():
        return False
    ours = [*_data_folders(folder), *_host_files(folder)]
    return bool(ours) or settings.exists() or _belongs_to_an_index(draft)


def _data_folders(folder: Path) -> list[Path]:
    found = folder.glob(layout.DATA_FOLDER.format("*"))
    return [path for path in found if layout.is_data_name(path.name)]


def _host_files(folder: Path) -> list[Path]:
    """Return what hosts and unfinished writes leave in a folder, the lock last."""
    names = (layout.SETTINGS_FILE + ".new", layout.HOST_FILE + ".new", layout.HOST_FILE)
    paths = [
        folder / name for name in (*names, layout.LOG_FILE, layout.WRITER_FILE, layout.LOCK_FILE)
    ]
    return [*folder.glob(layout.SOCKET_FILE.format("*")), *(p for p in paths if p.exists())]


def _remove_data(data: Path) -> None:
    for kind in KINDS:
        for path in (
            *data.glob(kind),
            *data.glob(f"{kind}-*"),
            *data.glob(layout.POINTER_FILE.format(kind)),
        ):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in (layout.SETTINGS_FILE, layout.ROOTS_FILE):
        (data / name).unlink(missing_ok=True)
        (data / f"{name}.new").unlink(missing_ok=True)
    _remove_if_empty(data)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
