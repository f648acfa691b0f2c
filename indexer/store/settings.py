"""What is kept with an index: its recipe, the vectors' dimension and storage, the layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexer.errors import ProfileError, StoreDamaged, StoreError
from indexer.store.schema import FORMAT
from indexer.store.storage import DEFAULT_STORAGE, Storage

START_AFRESH = "restore the index from a backup, or index the pictures again into another one"
REPAIR = "find out what is damaged, and rebuild it, with: segsearch check --repair"


@dataclass(frozen=True)
class Settings:
    """What is kept with an index.

    Attributes:
        recipe: as given to `Store.create`.
        dim: of the vectors.
        data: in an index folder, the name of the folder with the records; empty on a server.
        storage: how the vectors are kept.
    """

    recipe: dict[str, Any]
    dim: int
    data: str = ""
    storage: Storage = DEFAULT_STORAGE


def dump(
    recipe: Mapping[str, Any], dim: int, data: str = "", storage: Storage = DEFAULT_STORAGE
) -> str:
    """Return the settings of an index as text."""
    stored = {
        "format": FORMAT,
        "dim": dim,
        "storage": storage.to_plain(),
        "recipe": dict(recipe),
    }
    if data:
        stored["data"] = data
    return json.dumps(stored, ensure_ascii=False, indent=2)


def parse(text: str, place: str) -> Settings:
    """Return the settings that `dump` wrote, found at `place`.

    Raises:
        StoreDamaged: the text cannot be understood.
        StoreError: another version of segsearch wrote it.
    """
    try:
        stored = json.loads(text)
        layout, data = stored["format"], str(stored.get("data", ""))
        storage = Storage.from_plain(stored.get("storage", {}))  # older ones do not say
        settings = Settings(dict(stored["recipe"]), int(stored["dim"]), data, storage)
    except (ValueError, KeyError, TypeError, AttributeError, ProfileError) as error:
        raise StoreDamaged(f"{place} holds no settings: {error!r}", START_AFRESH) from error
    if layout != FORMAT:
        raise StoreError(
            f"{place} has layout {layout}, this segsearch reads layout {FORMAT}",
            "use the version of segsearch that made it, or another index",
        )
    return settings
