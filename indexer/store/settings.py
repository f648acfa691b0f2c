"""What is kept with an index: its recipe, the vectors' dimension, the version of the layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexer.errors import StoreDamaged, StoreError
from indexer.store.schema import FORMAT

START_AFRESH = "restore the index from a backup, or index the pictures again into another one"


@dataclass(frozen=True)
class Settings:
    """What is kept with an index.

    Attributes:
        recipe: as given to `Store.create`.
        dim: of the vectors.
        data: in an index folder, the name of the folder with the records; empty on a server.
    """

    recipe: dict[str, Any]
    dim: int
    data: str = ""


def dump(recipe: Mapping[str, Any], dim: int, data: str = "") -> str:
    """Return the settings of a new index as text."""
    stored = {"format": FORMAT, "dim": dim, "recipe": dict(recipe)}
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
        settings = Settings(dict(stored["recipe"]), int(stored["dim"]), data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreDamaged(f"{place} holds no settings: {error!r}", START_AFRESH) from error
    if layout != FORMAT:
        raise StoreError(
            f"{place} has layout {layout}, this segsearch reads layout {FORMAT}",
            "use the version of segsearch that made it, or another index",
        )
    return settings
