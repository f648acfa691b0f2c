"""The files of an embedded index folder: which there are, and how they are written.

::

    segsearch.json       recipe, dimension, layout version, and which folder holds the records;
                         written last: no file, no index
    shards-<8 hex>/      the records: images/ segments/ files/ roots/, one Edge shard per kind; a
                         copy of segsearch.json, and one of the roots, roots.json
    rebuild/             while there is one, the index that is to replace this one: a folder alike
    host.json            socket and key of the host process, mode 0600, while there is one
    host-<pid>.sock      the socket, unless the folder's path is too long for one
    host.lock            held by the host process as long as it lives
    writer.lock          held by the index run that writes
    host.log             what the host process had to say

A folder of records that `segsearch.json` does not name is left over from something that was
killed; `edge_files` clears it away.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from indexer.errors import StoreDamaged, StoreError
from indexer.store import settings
from indexer.store.base import Kind, Point
from indexer.store.settings import Settings

SETTINGS_FILE = "segsearch.json"
DATA_FOLDER = "shards-{}"
DRAFT_FOLDER = "rebuild"
HOST_FILE = "host.json"
SOCKET_FILE = "host-{}.sock"
POINTER_FILE = "{}.at"
ROOTS_FILE = "roots.json"
LOCK_FILE = "host.lock"
WRITER_FILE = "writer.lock"
LOG_FILE = "host.log"

_DATA_NAME = re.compile(r"shards-[0-9a-f]{8}")


def is_data_name(name: str) -> bool:
    """Return whether a folder of records can have this name."""
    return _DATA_NAME.fullmatch(name) is not None


def read_settings(folder: Path) -> Settings | None:
    """Return the settings of the index in `folder`, or None if there is no index.

    Raises:
        StoreDamaged: the file cannot be understood, or is missing beside its records.
        StoreError: it cannot be read, or another version of segsearch wrote it.
    """
    path = folder / SETTINGS_FILE
    try:
        found = settings.parse(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        if (folder / DRAFT_FOLDER).exists() or not copies_of_settings(folder):
            return None
        raise StoreDamaged(f"{path} is missing, its records are there", settings.REPAIR) from None
    except StoreDamaged as error:
        raise StoreDamaged(error.message, settings.REPAIR) from error
    except UnicodeDecodeError as error:
        raise StoreDamaged(f"{path} is not text: {error}", settings.REPAIR) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the path") from error
    if not is_data_name(found.data):
        raise StoreError(
            f"{path} does not say where its records are: another version of segsearch made it",
            "use that version, or index the pictures again into another folder",
        )
    return found


def write_settings(folder: Path, text: str, data: str) -> None:
    """Write the settings of the index in `folder`, and a copy to its records in the folder `data`.

    Raises `OSError`.
    """
    write_file(folder / SETTINGS_FILE, text)
    write_file(folder / data / SETTINGS_FILE, text)


def copies_of_settings(folder: Path) -> list[Path]:
    """Return the copies of an index's settings that lie beside its records."""
    found = folder.glob(f"{DATA_FOLDER.format('*')}/{SETTINGS_FILE}")
    return [path for path in found if is_data_name(path.parent.name)]


def shard_folder(data: Path, kind: Kind) -> Path:
    """Return where the records of a kind are, see `edge_shard`. Raises `StoreDamaged`."""
    pointer = data / POINTER_FILE.format(kind)
    try:
        name = pointer.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return data / kind
    if Path(name).name != name or name.split("-")[0] != kind:
        raise StoreDamaged(f"{pointer} names no folder: {name!r}", settings.REPAIR)
    return data / name


def write_roots(data: Path, roots: Sequence[Point]) -> None:
    """Write a copy of the library folders' records beside them. Raises `OSError`."""
    write_file(data / ROOTS_FILE, json.dumps({point.id: point.payload for point in roots}))


def read_roots(folder: Path) -> list[Point]:
    """Return what `write_roots` wrote for the index in `folder`; nothing where it is damaged."""
    with contextlib.suppress(OSError, ValueError, AttributeError, StoreError):
        found = read_settings(folder)
        if found is not None:
            stored = json.loads((folder / found.data / ROOTS_FILE).read_text("utf-8"))
            return [Point(id_, payload) for id_, payload in stored.items() if "path" in payload]
    return []


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that others see all of it or nothing. Raises `OSError`."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    move(fresh, path)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder so that it stays renamed after a power cut. Raises `OSError`."""
    source.replace(target)
    for folder in {source.parent, target.parent}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def disk_usage(folder: Path) -> int:
    """Return the bytes that the files below `folder` take on the disk; sparse ones take few."""
    total = 0
    for above, folders, files in os.walk(folder):  # passes over folders that go meanwhile
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):  # Edge replaces files while it runs
                total += Path(above, name).lstat().st_blocks * 512
    return total
