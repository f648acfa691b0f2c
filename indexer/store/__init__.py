"""Stores: where records are kept, filtered and ranked.

`open_store` chooses the engine by the form of the location: a folder is an embedded index,
``http(s)://host:port/name`` the index `name` on a Qdrant server. All engines are a `base.Store`.
"""

from __future__ import annotations

from pathlib import Path

from indexer.errors import IndexNotFound
from indexer.store import layout
from indexer.store.base import Store


def open_store(location: str, *, create_ok: bool) -> Store:
    """Open the index at `location`; the caller closes it.

    Args:
        location: a folder, or ``http(s)://host:port/name``.
        create_ok: whether there may be no index yet, for the caller to `create`.

    Raises:
        IndexNotFound: there is no index, and `create_ok` is False.
        StoreError: the store cannot be opened, see its kinds.
    """
    store = _connected(location, create_ok=create_ok)
    if store.recipe() is None and not create_ok:
        store.close()
        raise _not_found(location)
    return store


def is_server(location: str) -> bool:
    """Return whether the location is an index on a Qdrant server, not a folder."""
    return location.startswith(("http://", "https://"))


def _connected(location: str, *, create_ok: bool) -> Store:
    if is_server(location):
        from indexer.store.server import connect

        return connect(location)
    folder = Path(location).expanduser()
    if not create_ok and layout.read_settings(folder) is None:
        raise _not_found(location)  # before a host process leaves its files there
    from indexer.store.hosted import HostedStore

    return HostedStore(folder)


def _not_found(location: str) -> IndexNotFound:
    return IndexNotFound(
        f"there is no index at {location}",
        f"make one with: index PATH --index {location}",
    )
