"""Pictures → segments → vectors → store.

``from indexer import Indexer`` is the Python API; heavy packages are imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.indexer import Indexer

__all__ = ["Indexer"]


def __getattr__(name: str) -> object:
    if name == "Indexer":
        from indexer.indexer import Indexer

        return Indexer
    raise AttributeError(f"module 'indexer' has no attribute {name!r}")
