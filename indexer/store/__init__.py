"""Stores: where records are kept, filtered and ranked.

`open_store` chooses the engine by the form of the location: a folder is an embedded index,
``http(s)://host:port/name`` the index `name` on a Qdrant server. All engines are a `base.Store`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from indexer.errors import IndexNotFound
from indexer.store import edge_files, layout
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


def draft_location(location: str) -> str:
    """Return where the replacement of the index at `location` is built.

    An index like any other, for `Store.adopt` of the one it is to replace: inside its folder, or
    beside it on its server.
    """
    if is_server(location):
        return f"{location.rstrip('/')}.{layout.DRAFT_FOLDER}"
    return str(Path(location) / layout.DRAFT_FOLDER)


def discard(location: str) -> None:
    """Remove the index at `location`, whole or half made, and do nothing if there is none.

    In a folder, only what belongs to an index is removed, its draft included, and the folder if
    it is empty then.

    Raises:
        StoreUnavailable: another program keeps using the index, or the server does not answer.
        StoreError: it cannot be removed.
    """
    if is_server(location):
        from indexer.store import server

        server.discard(location)
    else:
        edge_files.discard(Path(location).expanduser())


def expect(location: str) -> None:
    """Say that `open_store` will follow soon: what takes its time there starts in the background.

    Does nothing where there is no index, or where it cannot be used: `open_store` tells.
    """
    folder = Path(location).expanduser()
    if is_server(location) or not (folder / layout.SETTINGS_FILE).exists():
        return
    from indexer.store.hosted import start_host

    with contextlib.suppress(OSError):
        start_host(folder)


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
