"""`open_store`: which engine a location means, and what happens where there is no index."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from indexer.errors import IndexNotFound, StoreDamaged, StoreError
from indexer.store import open_store
from indexer.store.hosted import HostedStore
from indexer.store.server import ServerStore
from tests.indexer.store.facade import Facade
from tests.indexer.store.samples import DIM, RECIPE


def test_a_folder_is_an_embedded_index(tmp_path: Path) -> None:
    location = str(tmp_path / "index")
    with closing(open_store(location, create_ok=True)) as store:
        assert isinstance(store, HostedStore)
        store.create(RECIPE, DIM)
    with closing(open_store(location, create_ok=False)) as store:
        assert store.recipe() == RECIPE


def test_a_url_is_an_index_on_a_server(facade: Facade) -> None:
    location = f"{facade.url}/photos"
    with closing(open_store(location, create_ok=True)) as store:
        assert isinstance(store, ServerStore)
        store.create(RECIPE, DIM)
    with closing(open_store(location, create_ok=False)) as store:
        assert store.recipe() == RECIPE


def test_a_folder_without_index_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFound, match="index PATH --index"):
        open_store(str(tmp_path), create_ok=False)
    with pytest.raises(IndexNotFound):
        open_store(str(tmp_path / "absent"), create_ok=False)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_the_index_says_so(facade: Facade) -> None:
    with pytest.raises(IndexNotFound, match="no index at http"):
        open_store(f"{facade.url}/photos", create_ok=False)


def test_a_file_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for create_ok in (True, False):
        with pytest.raises(StoreError, match=str(path)):
            open_store(str(path), create_ok=create_ok)


def test_damage_shows_before_a_host_is_started(tmp_path: Path) -> None:
    (tmp_path / "segsearch.json").touch()
    with pytest.raises(StoreDamaged):
        open_store(str(tmp_path), create_ok=False)


def test_no_vendor_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; from indexer.store import open_store; "
        f"open_store({str(tmp_path / 'index')!r}, create_ok=True).close(); "
        "print([m for m in ('qdrant_edge', 'qdrant_client', 'torch') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
