"""The server engine: a Qdrant server or cluster, reached over REST or gRPC by qdrant-client.

An index `name` is four collections behind the aliases `<name>_images`, `_segments`, `_files`,
`_roots`. Recipe, dimension and storage are metadata of the last one. What qdrant-client is asked
for, and how its answers become ours, is in the modules `server_*`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from qdrant_client import QdrantClient

from indexer.errors import IndexNotFound, StoreError, StoreUnavailable
from indexer.store import server_collections, server_link, settings
from indexer.store.base import KINDS, Store
from indexer.store.server_client import client_for
from indexer.store.server_link import TIMEOUT_S, Link
from indexer.store.server_records import ServerRecords
from indexer.store.settings import Settings
from indexer.store.storage import DEFAULT_STORAGE, Storage

#: How long a replaced index stays, for requests that were sent to it already, seconds.
GRACE_S = 1.0

_P = ParamSpec("_P")
_R = TypeVar("_R")


def connect(location: str, *, timeout_s: int = TIMEOUT_S) -> ServerStore:
    """Return the index at ``http(s)://host:port/name``; nothing is sent yet.

    Args:
        location: the port is 6333 if left out; the name is of letters, digits, ``_``, ``-``, ``.``.
        timeout_s: for each request, seconds.

    Key, certificates and protocol come from the environment, see `server_client`.

    Raises:
        StoreError: this is not such an address, or the environment makes no sense.
    """
    address = server_link.parse(location)
    client = client_for(address, timeout_s)
    return ServerStore(client, address.name, place=location, patience_s=2 * timeout_s)


def discard(location: str) -> None:
    """Remove the index on a server, whole or half made; see `indexer.store.discard`."""
    with closing(connect(location)) as store:
        store.discard()


def _by_records(
    method: Callable[Concatenate[Any, _P], _R], *, steady: bool = False
) -> Callable[Concatenate[ServerStore, _P], _R]:
    """Give a method of `Store` a body that lets the records do the work.

    Args:
        method: of `Store`.
        steady: whether it makes several requests that must see the same index.
    """

    @wraps(method)
    def call(self: ServerStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        def work(known: Settings) -> _R:
            records = self._steady_records() if steady else self._records(known)
            return cast("_R", getattr(records, method.__name__)(*args, **kwargs))

        known = self._known()
        try:
            return work(known)
        except StoreUnavailable:
            raise
        except StoreError:
            now = self._read()
            if now is None or now.data == known.data:
                raise
        return work(now)  # the index has been replaced since we looked

    return call


class ServerStore:
    """A `Store` on a Qdrant server; safe to use from many threads.

    Requests that fail because the server cannot be reached or reports an error of its own are
    repeated for a while; repeating any of them is safe.

    Dimension and storage are read once, and again when something fails: then another client may
    have replaced the index, and what failed is tried once more on the new one.
    """

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        *,
        place: str = "memory",
        patience_s: float = 2 * TIMEOUT_S,
    ) -> None:
        """Use the index `name` of the server behind `client`, which `close` closes.

        Args:
            client: REST, gRPC or in-memory.
            name: of the index; aliases and collections are named after it.
            place: the location of the index, for error messages and to know the server again.
            patience_s: no attempt starts later than this after the first one, seconds.
        """
        self._link = Link(client, place, patience_s)
        self._name = name
        self._settings: Settings | None = None

    upsert = _by_records(Store.upsert)
    delete = _by_records(Store.delete)
    set_payload = _by_records(Store.set_payload)
    update_payloads = _by_records(Store.update_payloads)
    get = _by_records(Store.get)
    get_in_images = _by_records(Store.get_in_images)
    search = _by_records(Store.search)
    nearest = _by_records(Store.nearest)
    scroll = _by_records(Store.scroll)
    count = _by_records(Store.count)
    facet = _by_records(Store.facet)
    optimising = _by_records(Store.optimising, steady=True)
    ids = _by_records(Store.ids)
    inspect = _by_records(Store.inspect)
    flush = _by_records(Store.flush)
    check = _by_records(Store.check, steady=True)
    _optimise = _by_records(Store.optimise, steady=True)

    def create(
        self, recipe: Mapping[str, Any], dim: int, storage: Storage = DEFAULT_STORAGE
    ) -> None:
        """See `Store.create`; what a crashed creation left behind is removed."""
        if self.recipe() is not None:
            raise StoreError(f"{self._link.place} is an index already")
        server_collections.clear_leftovers(self._link, self._name)
        fresh = Settings(dict(recipe), dim, storage=storage)
        made = server_collections.make(self._link, self._name, fresh)
        if server_collections.read_metadata(self._link, made["roots"]) is None:
            raise StoreError(
                f"the server of {self._link.place} does not keep metadata of collections",
                "use Qdrant 1.19 or later",
            )
        server_collections.point(self._link, self._name, made)

    def adopt(self, draft: str) -> None:
        """See `Store.adopt`; the old index is deleted `GRACE_S` seconds later."""
        source = server_link.parse(draft)
        if source.server != server_link.parse(self._link.place).server:
            raise StoreError(
                f"{draft} is not on the server of {self._link.place}", "build it on that server"
            )
        fresh = server_collections.targets(self._link, source.name)
        if len(fresh) < len(KINDS):
            raise IndexNotFound(f"there is no index at {draft} to take over", "build it first")
        old = server_collections.targets(self._link, self._name)
        server_collections.point(self._link, self._name, fresh, instead_of=source.name)
        self._read()
        time.sleep(GRACE_S)
        server_collections.remove(self._link, list(old.values()))
        for name in (self._name, source.name):
            server_collections.clear_leftovers(self._link, name)

    def discard(self) -> None:
        """Remove the index, whole or half made; see `indexer.store.discard`."""
        old = server_collections.targets(self._link, self._name)
        if old:
            server_collections.unpoint(self._link, self._name)
        self._settings = None
        server_collections.remove(self._link, list(old.values()))
        server_collections.clear_leftovers(self._link, self._name)

    def recipe(self) -> dict[str, Any] | None:
        """See `Store.recipe`."""
        found = self._read()
        return None if found is None else found.recipe

    def storage(self) -> Storage:
        """See `Store.storage`."""
        found = self._read()
        if found is None:
            raise self._missing()
        return found.storage

    def optimise(self, storage: Storage | None = None) -> None:
        """See `Store.optimise`; the server does it on its own, so this mostly waits.

        Raises:
            StoreError: the server cannot, or the storage has other shards or replicas.
        """
        self._optimise(storage)
        if storage is not None:
            self._read()

    def size_bytes(self) -> int | None:
        """Return None: a server does not tell."""
        self._known()
        return None

    def close(self) -> None:
        """See `Store.close`."""
        self._link.close()

    def _known(self) -> Settings:
        known = self._settings or self._read()
        if known is None:
            raise self._missing()
        return known

    def _missing(self) -> IndexNotFound:
        return IndexNotFound(f"there is no index at {self._link.place}", "create it first")

    def _read(self) -> Settings | None:
        """Return the settings as they are now, `data` being the collection that holds them."""
        found = None
        collection = server_collections.targets(self._link, self._name).get("roots")
        if collection is not None:
            # By the alias, which is never gone while the index is replaced.
            by_alias = server_collections.alias(self._name, "roots")
            text = server_collections.read_metadata(self._link, by_alias)
            if text is not None:
                found = replace(settings.parse(text, self._link.place), data=collection)
        self._settings = found
        return found

    def _records(self, known: Settings) -> ServerRecords:
        aliases = {kind: server_collections.alias(self._name, kind) for kind in KINDS}
        return ServerRecords(self._link, aliases, known)

    def _steady_records(self) -> ServerRecords:
        """Return the records of one index, also when another one takes its place."""
        collections = server_collections.targets(self._link, self._name)
        if len(collections) < len(KINDS):
            raise self._missing()
        text = server_collections.read_metadata(self._link, collections["roots"])
        found = settings.parse(text or "", self._link.place)
        return ServerRecords(self._link, collections, found)
