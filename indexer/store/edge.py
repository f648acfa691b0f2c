"""The embedded engine: Qdrant Edge, one shard per kind, in one folder.

Only one process can have the folder open, so the commands reach it through `hosted`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from indexer.errors import IndexNotFound, StoreDamaged, StoreError
from indexer.store import answers, edge_files, layout, settings
from indexer.store.base import Store
from indexer.store.edge_errors import translated
from indexer.store.edge_shards import EdgeShards
from indexer.store.storage import DEFAULT_STORAGE, Progress, Storage

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _by_shards(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[EdgeStore, _P], _R]:
    """Give a method of `Store` a body that lets the present shards do the work."""

    @wraps(method)
    def call(self: EdgeStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._using() as shards:
            return cast("_R", getattr(shards, method.__name__)(*args, **kwargs))

    return call


class EdgeStore:
    """A `Store` in a folder of this machine, for one process; safe to use from many threads.

    Each call uses the same shards from its start to its end. `adopt` and `close` wait for the
    calls in progress, which Edge would fail if their shards were closed.

    Edge holds Python's global lock while it works; `optimise` builds in another process.
    """

    def __init__(self, folder: Path) -> None:
        """Open the index in `folder`, which need not be one yet.

        What a killed creation or adoption left behind is cleared away.

        Raises:
            StoreUnavailable: another process has it open.
            StoreDamaged: its files cannot be read; of most of them, the first call says so.
        """
        self._folder = folder
        self._changing = threading.Lock()
        self._state = threading.Condition()
        self._calls: Counter[EdgeShards] = Counter()
        self._closed = False
        self._shards: EdgeShards | None = None
        with translated(folder):
            edge_files.put_back(folder)
            found = layout.read_settings(folder)
            if found is not None:
                self._open(found)

    upsert = _by_shards(Store.upsert)
    delete = _by_shards(Store.delete)
    set_payload = _by_shards(Store.set_payload)
    update_payloads = _by_shards(Store.update_payloads)
    get = _by_shards(Store.get)
    get_in_images = _by_shards(Store.get_in_images)
    search = _by_shards(Store.search)
    nearest = _by_shards(Store.nearest)
    scroll = _by_shards(Store.scroll)
    count = _by_shards(Store.count)
    facet = _by_shards(Store.facet)
    flush = _by_shards(Store.flush)
    ids = _by_shards(Store.ids)
    inspect = _by_shards(Store.inspect)

    def create(
        self, recipe: Mapping[str, Any], dim: int, storage: Storage = DEFAULT_STORAGE
    ) -> None:
        """See `Store.create`; what a crashed creation left behind is removed."""
        with self._changing, translated(self._folder):
            self._check_open()
            if self._shards is not None:
                raise StoreError(f"{self._folder} is an index already")
            self._folder.mkdir(parents=True, exist_ok=True)
            edge_files.clear_leftovers(self._folder)
            data, path = edge_files.new_data(self._folder), self._folder / layout.SETTINGS_FILE
            text = settings.dump(recipe, dim, data.name, storage)
            made = EdgeShards.create(data, settings.parse(text, str(path)))
            # before the file: whoever has seen it must find the recipe here
            self._switch(made)
            try:
                layout.write_settings(self._folder, text, data.name)
            except BaseException:
                self._switch(None)
                raise

    def adopt(self, draft: str) -> None:
        """See `Store.adopt`; the draft's settings file, moving in, makes it the index."""
        source = Path(draft).expanduser()
        wanted = edge_files.read_draft(source).data
        with self._changing, translated(self._folder):
            self._check_open()
            if self._shards is not None and self._shards.settings.data == wanted:
                return  # done meanwhile, for a client that was killed while it waited
            self._folder.mkdir(parents=True, exist_ok=True)
            with edge_files.held(source):
                self._take_over(source)
                edge_files.remove(source)

    def _open(self, found: settings.Settings) -> None:
        # Loaded first: whoever can do so is alone with the folder.
        shards = EdgeShards.load(self._folder / found.data, found)
        try:
            edge_files.clear_leftovers(self._folder, keep=found.data)
        except BaseException:
            shards.close()
            raise
        self._shards = shards

    def _take_over(self, source: Path) -> None:
        edge_files.put_back(source)
        found = edge_files.read_draft(source)  # again, now that nobody else can change it
        fetched, data = source / found.data, self._folder / found.data
        layout.move(fetched, data)
        try:
            fresh = EdgeShards.load(data, found)
            try:
                fresh.open()
                layout.move(source / layout.SETTINGS_FILE, self._folder / layout.SETTINGS_FILE)
            except BaseException:
                fresh.close()
                raise
        except BaseException:
            layout.move(data, fetched)
            raise
        self._switch(fresh)
        edge_files.clear_leftovers(self._folder, keep=found.data)

    def recipe(self) -> dict[str, Any] | None:
        """See `Store.recipe`."""
        self._check_open()
        shards = self._shards
        return None if shards is None else shards.settings.recipe

    def storage(self) -> Storage:
        """See `Store.storage`."""
        with self._using() as shards:
            return shards.settings.storage

    def optimise(self, storage: Storage | None = None) -> None:
        """See `Store.optimise`; `adopt` and `close` wait for it."""
        with self._using() as shards:
            shards.optimise(storage)
            if storage is None or storage == shards.settings.storage:
                return
            with self._changing, translated(self._folder):
                if shards is self._shards:
                    self._write_storage(shards, storage)

    def optimising(self) -> Progress | None:
        """See `Store.optimising`."""
        with self._using() as shards:
            return shards.optimising()

    def _write_storage(self, shards: EdgeShards, storage: Storage) -> None:
        known = shards.settings
        text = settings.dump(known.recipe, known.dim, known.data, storage)
        layout.write_settings(self._folder, text, known.data)
        shards.keep_as(replace(known, storage=storage))

    def check(self) -> None:
        """See `Store.check`; reads every record."""
        with self._changing, self._using() as shards:
            changed = layout.read_settings(self._folder) != shards.settings
        if changed:
            path = self._folder / layout.SETTINGS_FILE
            raise StoreDamaged(f"{path} has changed since it was opened", settings.REPAIR)
        with self._using() as shards:
            answers.verify(shards)

    def size_bytes(self) -> int | None:
        """See `Store.size_bytes`; with the draft, while there is one."""
        self._check_open()
        return layout.disk_usage(self._folder)

    def close(self) -> None:
        """See `Store.close`; waits for calls in progress, and flushes."""
        with self._changing:
            self._closed = True
            self._switch(None)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the index {self._folder} was closed", "open it again")

    @contextmanager
    def _using(self) -> Iterator[EdgeShards]:
        with self._state:
            self._check_open()
            shards = self._shards
            if shards is None:
                raise IndexNotFound(f"there is no index in {self._folder}", "create it first")
            self._calls[shards] += 1
        try:
            yield shards
        finally:
            with self._state:
                self._calls[shards] -= 1
                self._state.notify_all()

    def _switch(self, fresh: EdgeShards | None) -> None:
        """Let later calls use these shards, and close the old ones after the calls before."""
        with self._state:
            old, self._shards = self._shards, fresh
            if old is not None:
                self._state.wait_for(lambda: not self._calls[old])
                del self._calls[old]
        if old is not None:
            old.close()
