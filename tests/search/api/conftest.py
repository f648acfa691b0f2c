from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.api.settings import Settings
from search.client import Client
from tests.serving import Served, serving


@pytest.fixture(scope="session")
def served(where: str, library_folder: Path) -> Iterator[Served]:
    """The library of five pictures, served without keys."""
    with serving(Settings(where, folders=(library_folder,))) as served:
        yield served


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[Client]:
    with Client(served.url) as client:
        yield client
