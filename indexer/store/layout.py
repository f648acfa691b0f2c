"""The files of an embedded index folder: which there are, and how they are written.

::

    segsearch.json       recipe, dimension, layout version, and which folder holds the records;
                         written last: no file, no index
    shards-<8 hex>/      the records: images/ segments/ files/ roots/, one Edge shard per kind
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
import os
import re
from pathlib import Path

from indexer.errors import StoreDamaged, StoreError
from indexer.store import settings
from indexer.store.settings import Settings

SETTINGS_FILE = "segsearch.json"
DATA_FOLDER = "shards-{}"
DRAFT_FOLDER = "rebuild"
HOST_FILE = "host.json"
SOCKET_FILE = "host-{}.sock"
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
        StoreDamaged: the file is there and cannot be understood.
        StoreError: it cannot be read, or another version of segsearch wrote it.
    """
    path = folder / SETTINGS_FILE
    try:
        found = settings.parse(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise StoreDamaged(f"{path} is not text: {error}", settings.START_AFRESH) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the path") from error
    if not is_data_name(found.data):
        raise StoreError(
            f"{path} does not say where its records are: another version of segsearch made it",
            "use that version, or index the pictures again into another folder",
        )
    return found


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
