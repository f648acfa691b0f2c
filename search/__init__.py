"""Queries → hits → what a person can use.

``from search import Searcher`` is the Python API; heavy packages are imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.segmentation.segmenter import Prompt
    from search.client import ApiError, Client
    from search.engine import Searcher
    from search.filters import Filters, Place
    from search.hits import Answer, Hit
    from search.queries import Cut, Picture, Query, Stored, StoredImage, Text
    from search.ranking import Ranking
    from search.relations import Relation
    from search.scenes import Scene

__all__ = [
    "Answer", "ApiError", "Client", "Cut", "Filters", "Hit", "Picture", "Place", "Prompt", "Query",
    "Ranking", "Relation", "Scene", "Searcher", "Stored", "StoredImage", "Text",
]  # fmt: skip

_HOMES = {
    "Prompt": "indexer.segmentation.segmenter",
    "Searcher": "search.engine",
    "Filters": "search.filters",
    "Place": "search.filters",
    "Answer": "search.hits",
    "ApiError": "search.client",
    "Client": "search.client",
    "Cut": "search.queries",
    "Hit": "search.hits",
    "Picture": "search.queries",
    "Query": "search.queries",
    "Stored": "search.queries",
    "StoredImage": "search.queries",
    "Text": "search.queries",
    "Ranking": "search.ranking",
    "Relation": "search.relations",
    "Scene": "search.scenes",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
