"""The files of an embedded index folder: which there are, and how they are written.

::

    segsearch.json       recipe, dimension and layout version; written last: no file, no index
    segsearch.creating   there while an index is being made
    images/ segments/ files/ roots/     one Edge shard per kind
    host.json            socket and key of the host process, mode 0600, while there is one
    host-<pid>.sock      the socket, unless the folder's path is too long for one
    host.lock            held by the host process as long as it lives
    host.log             what the host process had to say
"""

from __future__ import annotations

import os
from pathlib import Path

from indexer.errors import StoreDamaged, StoreError
from indexer.store import settings
from indexer.store.settings import Settings

SETTINGS_FILE = "segsearch.json"
CREATING_FILE = "segsearch.creating"
HOST_FILE = "host.json"
LOCK_FILE = "host.lock"
LOG_FILE = "host.log"


def read_settings(folder: Path) -> Settings | None:
    """Return the settings of the index in `folder`, or None if there is no index.

    Raises:
        StoreDamaged: the file is there and cannot be understood.
        StoreError: it cannot be read, or another version of segsearch wrote it.
    """
    path = folder / SETTINGS_FILE
    try:
        return settings.parse(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise StoreDamaged(f"{path} is not text: {error}", settings.START_AFRESH) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the path") from error


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that others see all of it or nothing. Raises `OSError`."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def disk_usage(folder: Path) -> int:
    """Return the bytes that the files below `folder` take on the disk; sparse ones take few."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # Edge replaces files while it runs
    return total
