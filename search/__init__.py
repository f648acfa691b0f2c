"""Queries → hits → what a person can use.

``from search import Searcher`` is the Python API; heavy packages are imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.engine import Searcher
    from search.filters import Filters, Place
    from search.hits import Answer, Hit
    from search.queries import Picture, Query, Stored, Text
    from search.ranking import Ranking
    from search.relations import Relation
    from search.scenes import Scene

__all__ = [
    "Answer", "Filters", "Hit", "Picture", "Place", "Query", "Ranking", "Relation", "Scene",
    "Searcher", "Stored", "Text",
]  # fmt: skip

_HOMES = {
    "Searcher": "engine",
    "Filters": "filters",
    "Place": "filters",
    "Answer": "hits",
    "Hit": "hits",
    "Picture": "queries",
    "Query": "queries",
    "Stored": "queries",
    "Text": "queries",
    "Ranking": "ranking",
    "Relation": "relations",
    "Scene": "scenes",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(import_module(f"search.{_HOMES[name]}"), name)
