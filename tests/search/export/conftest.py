from __future__ import annotations

import pytest

from indexer.index import Index
from indexer.recipe import Recipe
from indexer.roots import locate
from indexer.store import open_store
from search.hits import Hit


@pytest.fixture(scope="session")
def indexed(where: str) -> tuple[list[Hit], Recipe]:
    """All segments of the index with their vectors, picture by picture, and its recipe."""
    index = Index(open_store(where, create_ok=False), where)
    try:
        roots = index.roots()
        hits = [
            Hit(0.0, image, segment, tuple(locate(path, roots) for path in image.paths))
            for segment, image in index.all_segments(vectors=True)
        ]
    finally:
        index.close()
    return sorted(hits, key=lambda hit: hit.image.id), index.recipe


@pytest.fixture(scope="session")
def hits(indexed: tuple[list[Hit], Recipe]) -> list[Hit]:
    return indexed[0]


@pytest.fixture(scope="session")
def recipe(indexed: tuple[list[Hit], Recipe]) -> Recipe:
    return indexed[1]
