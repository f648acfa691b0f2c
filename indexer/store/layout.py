"""The files of an embedded index folder: which there are, and how they are written.

::

    segsearch.json       recipe, dimension and layout version; written last: no file, no index
    segsearch.creating   there while an index is being made
    images/ segments/ files/ roots/     one Edge shard per kind
    host.json            socket and key of the host process, mode 0600, while there is one
    host.lock            held by the host process as long as it lives
    host.log             what the host process had to say
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.errors import StoreDamaged, StoreError
from indexer.store.schema import FORMAT

SETTINGS_FILE = "segsearch.json"
CREATING_FILE = "segsearch.creating"
HOST_FILE = "host.json"
LOCK_FILE = "host.lock"
LOG_FILE = "host.log"

START_AFRESH = "restore the folder from a backup, or index the pictures again into another folder"


@dataclass(frozen=True)
class Settings:
    """What `segsearch.json` holds: the recipe, and the dimension of the vectors."""

    recipe: dict[str, Any]
    dim: int


def read_settings(folder: Path) -> Settings | None:
    """Return the settings of the index in `folder`, or None if there is no index.

    Raises:
        StoreDamaged: the file is there and cannot be understood.
        StoreError: it cannot be read, or another version of segsearch wrote it.
    """
    path = folder / SETTINGS_FILE
    try:
        stored = json.loads(path.read_text("utf-8"))
        layout, settings = stored["format"], Settings(stored["recipe"], int(stored["dim"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"{path} is not a settings file: {error}", START_AFRESH) from error
    if layout != FORMAT:
        raise StoreError(
            f"{folder} has layout {layout}, this segsearch reads layout {FORMAT}",
            "use the version of segsearch that made it, or index into another folder",
        )
    return settings


def write_settings(folder: Path, recipe: Mapping[str, Any], dim: int) -> None:
    """Make `folder` an index, surviving a power cut. Raises `OSError`."""
    stored = {"format": FORMAT, "dim": dim, "recipe": dict(recipe)}
    write_file(folder / SETTINGS_FILE, json.dumps(stored, ensure_ascii=False, indent=2))


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
