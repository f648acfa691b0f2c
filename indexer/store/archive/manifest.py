"""The manifest of an archive: what it holds, and which files it consists of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from indexer.errors import IndexNotFound, ProfileError, StoreDamaged, StoreError
from indexer.store import layout
from indexer.store.archive import FORMAT
from indexer.store.base import KINDS, Kind
from indexer.store.storage import Storage

#: Raised when older versions of segsearch can no longer read what is written.
VERSION = 1

Dtype = Literal["float32", "float16"]


@dataclass(frozen=True)
class Head:
    """What holds for the whole archive.

    Attributes:
        recipe: of the index.
        dim: length of the vectors.
        storage: how the index keeps its vectors.
        dtype: of the vectors in the files.
    """

    recipe: dict[str, Any]
    dim: int
    storage: Storage
    dtype: Dtype


@dataclass(frozen=True)
class Part:
    """One file of an archive.

    Attributes:
        file: relative to the archive.
        rows: records in it.
        bytes: its size.
    """

    file: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What is in an archive: its head, and the parts of each kind, in their order."""

    head: Head
    parts: Mapping[Kind, tuple[Part, ...]]

    def counts(self) -> dict[Kind, int]:
        """Return how many records of each kind there are."""
        return {kind: sum(part.rows for part in self.parts[kind]) for kind in KINDS}


def head_plain(head: Head) -> dict[str, Any]:
    """Return a head as plain data."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "dim": head.dim,
        "dtype": head.dtype,
        "recipe": head.recipe,
        "storage": head.storage.to_plain(),
    }


def dump(manifest: Manifest) -> str:
    """Return a manifest as text."""
    parts = {kind: [asdict(part) for part in manifest.parts[kind]] for kind in KINDS}
    plain = {**head_plain(manifest.head), "counts": manifest.counts(), "parts": parts}
    return json.dumps(plain, ensure_ascii=False, indent=2)


def read(folder: Path) -> Manifest:
    """Return the manifest of the archive in `folder`.

    Raises:
        IndexNotFound: there is none.
        StoreDamaged: it cannot be understood.
        StoreError: it cannot be read, or another version of segsearch wrote it.
    """
    path = folder / layout.SETTINGS_FILE
    try:
        plain = json.loads(path.read_text("utf-8"))
        if plain["format"] == FORMAT and plain["version"] != VERSION:
            raise StoreError(
                f"{path} has version {plain['version']}, this segsearch reads version {VERSION}",
                "use the version of segsearch that wrote the archive",
            )
        return _parse(plain)
    except (FileNotFoundError, NotADirectoryError):
        raise IndexNotFound(
            f"there is no archive at {folder}: {path} is missing",
            "a transfer that was stopped goes on when it is run again",
        ) from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, ProfileError) as error:
        raise StoreDamaged(f"{path} is no manifest of an archive: {error!r}", REPLACE) from error


#: What to do about a damaged archive.
REPLACE = "restore the archive from a backup, or make it again from the index"


def _parse(plain: Mapping[str, Any]) -> Manifest:
    dtype = plain["dtype"]
    if plain["format"] != FORMAT or dtype not in get_args(Dtype):
        raise ValueError(f"format {plain['format']!r}, dtype {dtype!r}")
    head = Head(
        dict(plain["recipe"]), int(plain["dim"]), Storage.from_plain(plain["storage"]), dtype
    )
    parts = {
        kind: tuple(
            Part(str(part["file"]), int(part["rows"]), int(part["bytes"]))
            for part in plain["parts"][kind]
        )
        for kind in KINDS
    }
    found = Manifest(head, parts)
    if plain["counts"] != found.counts():
        raise ValueError(f"its counts are {plain['counts']}, its parts have {found.counts()}")
    return found
