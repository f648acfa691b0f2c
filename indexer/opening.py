"""How a run opens an index for itself: alone, with its library roots, or as a draft."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from indexer import follow, library
from indexer.errors import StoreError
from indexer.index import Index
from indexer.recipe import Recipe
from indexer.roots import owner
from indexer.store import discard, is_server, layout, open_store
from indexer.store.base import Store
from indexer.store.schema import TRANSFER_MARK
from indexer.store.storage import Storage


@contextlib.contextmanager
def only_writer(where: str) -> Iterator[None]:
    """Keep a second index run out of an index folder; a server has no such lock."""
    if is_server(where):
        yield
        return
    with (Path(where).expanduser() / layout.WRITER_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another index run is writing to {where}", "wait for it, or stop it"
            ) from None
        yield


def claim(index: Index, path: Path) -> None:
    """Give a path a root, maybe one that was moved, and forget failures that will be retried.

    The folder of a single file is a root too, but not one that is followed as a whole.
    """
    base, folders = library.root_folder(path), index.folders()
    single = base != path
    here = {id_: at for id_, at in index.roots().items() if at == base}
    if owner(base, folders | here if single else folders) is None:
        moved = next(iter(here), None) or follow.moved_root(index, base)
        if moved is None:
            index.add_root(base, whole=not single)
        else:
            index.move_root(moved, base, whole=not single or moved in folders)
    for place in follow.places(index, [path]):
        index.forget_retryable(*place)


def draft(place: str, recipe: Recipe, storage: Storage) -> Store:
    """Open the draft of an earlier run that was stopped, or make a new one, kept as `storage`."""
    store = open_store(place, create_ok=True)
    plain = store.recipe()
    parts = ("format", "vector_space", "segmentation")
    new = recipe.to_plain()
    if plain is not None and (
        any(plain[part] != new[part] for part in parts) or store.get("roots", [TRANSFER_MARK])
    ):
        store.close()
        discard(place)
        store, plain = open_store(place, create_ok=True), None
    if plain is None:
        store.create(new, recipe.dim, storage)
    return store
