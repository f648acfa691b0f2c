"""Stores: where records are kept, filtered and ranked.

`open_store` chooses the engine by the form of the location: a folder is an embedded index,
``http(s)://host:port/name`` the index `name` on a Qdrant server. All engines are a `base.Store`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from indexer.errors import IndexNotFound, StoreError
from indexer.store import edge_files, layout, owner
from indexer.store.base import Kind, Point, Store

#: See `strip`, the least harmful first.
PARTS = edge_files.PARTS


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


def mend(location: str) -> None:
    """Restore small files of the index at `location` from what else in it says the same.

    Does nothing where they are sound, where nothing says so, or on a server.

    Raises:
        StoreUnavailable: another program keeps using the index.
        StoreError: they cannot be written.
    """
    if not is_server(location):
        edge_files.mend(Path(location).expanduser())


def strip(location: str, kinds: Iterable[Kind], part: edge_files.Part) -> None:
    """Remove a part, which is made anew, of those kinds of records that cannot be read at all.

    Does nothing on a server.

    Raises:
        StoreUnavailable: another program keeps using the index.
    """
    if not is_server(location):
        edge_files.strip(Path(location).expanduser(), kinds, part)


def spare_roots(location: str) -> list[Point]:
    """Return the copy of the library folders' records that an index folder has beside them.

    None where it is damaged itself, or for an index on a server.
    """
    return [] if is_server(location) else layout.read_roots(Path(location).expanduser())


def expect(location: str) -> None:
    """Say that `open_store` will follow soon: what takes its time there starts in the background.

    Does nothing where there is no index, or where it cannot be used: `open_store` tells.
    """
    if is_server(location):
        return
    folder = Path(location).expanduser()
    with contextlib.suppress(OSError, StoreError):
        owner.refuse_foreign(folder)
        if (folder / layout.SETTINGS_FILE).exists():
            from indexer.store.hosted import start_host

            start_host(folder)


def is_server(location: str) -> bool:
    """Return whether the location is an index on a Qdrant server, not a folder."""
    return location.startswith(("http://", "https://"))


def _connected(location: str, *, create_ok: bool) -> Store:
    if is_server(location):
        from indexer.store.server import connect

        return connect(location)
    folder = Path(location).expanduser()
    owner.refuse_foreign(folder)
    if not create_ok and layout.read_settings(folder) is None:
        raise _not_found(location)  # before a host process leaves its files there
    from indexer.store.hosted import HostedStore

    return HostedStore(folder)


def _not_found(location: str) -> IndexNotFound:
    return IndexNotFound(
        f"there is no index at {location}",
        f"make one with: index PATH --index {location}",
    )
