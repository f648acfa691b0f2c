"""Queries → hits → what a person can use.

``from search import Searcher`` is the Python API; heavy packages are imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.engine import Searcher
    from search.filters import Filters

__all__ = ["Filters", "Searcher"]


def __getattr__(name: str) -> object:
    if name == "Searcher":
        from search.engine import Searcher

        return Searcher
    if name == "Filters":
        from search.filters import Filters

        return Filters
    raise AttributeError(f"module 'search' has no attribute {name!r}")
