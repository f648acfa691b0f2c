"""What an index was built with, and whether something else fits to it.

`vector_space` must match for any query, `segmentation` for an index run. `provenance` says where
models came from and on what they ran; it is recorded, never compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexer.errors import RecipeMismatch, StoreDamaged
from indexer.models import plain_fingerprint
from indexer.store.schema import FORMAT
from indexer.store.storage import Storage

Plain = Mapping[str, Any]

#: What is read from a stored recipe, beyond comparing it.
_NEEDED = {
    "vector_space": ("dim", "model"),
    "segmentation": ("model",),
    "provenance": ("profile",),
}


@dataclass(frozen=True)
class Recipe:
    """The three parts, as plain data.

    Attributes:
        vector_space: CLIP model, weights, preprocessing and crop.
        segmentation: SAM 2 model, weights and mask settings.
        provenance: the profile (for loading the same models again), device and versions.
    """

    vector_space: Plain
    segmentation: Plain
    provenance: Plain

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.vector_space["dim"])

    @property
    def storage(self) -> Storage:
        """How the profile has a new index keep its vectors."""
        return Storage.from_plain(self.provenance["profile"].get("storage", {}))

    @property
    def segmentation_id(self) -> str:
        """Short digest of the segmentation, part of every segment id."""
        return plain_fingerprint(self.segmentation)

    def to_plain(self) -> dict[str, Any]:
        """Return what the store keeps."""
        return {
            "format": FORMAT,
            "vector_space": dict(self.vector_space),
            "segmentation": dict(self.segmentation),
            "provenance": dict(self.provenance),
        }


def recipe_from(plain: Plain, where: str) -> Recipe:
    """Read back what the store kept for the index at `where`.

    Raises:
        RecipeMismatch: it was written by another version of segsearch.
        StoreDamaged: parts are missing.
    """
    found = plain.get("format")
    if found != FORMAT:
        raise RecipeMismatch(
            f"the index {where} has format {found}, this segsearch reads {FORMAT}",
            "index into another place with --index, or use the version that wrote it",
        )
    for part, keys in _NEEDED.items():
        for key in keys:
            if key not in plain.get(part, {}):
                raise StoreDamaged(
                    f"the recipe of the index {where} lacks {part}.{key}",
                    "restore the index from a backup, or index into another place",
                )
    return Recipe(plain["vector_space"], plain["segmentation"], plain["provenance"])


def require_same(part: str, stored: Plain, given: Plain, where: str) -> None:
    """Refuse to mix what was built differently.

    Raises:
        RecipeMismatch: naming the first differences, the index's side and this run's.
    """
    keys = [key for key in sorted({*stored, *given}) if stored.get(key) != given.get(key)]
    if keys:
        sides = "; ".join(
            f"{key}: the index has {stored.get(key)!r}, this run {given.get(key)!r}" for key in keys
        )
        raise RecipeMismatch(
            f"the index {where} was built with another {part}: {sides}",
            "use the profile it was built with, or build another index with --index",
        )
