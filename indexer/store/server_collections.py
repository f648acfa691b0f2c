"""The collections of an index on a Qdrant server, and the names it is found under.

What an index is asked for goes through four aliases: `<name>_images`, `_segments`, `_files` and
`_roots`. The collections behind them have names of their own, never used twice:
`<name>_images_<8 hex>` and so on, with the name that the index had when it was made. The aliases
change in one request: they make an index, replace it, or end it. A collection without an alias is
left over from something that was killed, or is still being made.
"""

from __future__ import annotations

import re
import secrets
import warnings
from collections.abc import Mapping, Sequence
from functools import partial

from qdrant_client import models

from indexer.errors import StoreError
from indexer.store import server_models
from indexer.store.base import KINDS, VECTOR_KINDS, Kind
from indexer.store.schema import INDEXES
from indexer.store.server_link import Link
from indexer.store.settings import Settings, dump

#: The collections of one index.
Targets = Mapping[Kind, str]

_METADATA_KEY = "segsearch"


def alias(name: str, kind: Kind) -> str:
    """Return the name under which these records of the index `name` are asked for."""
    return f"{name}_{kind}"


def targets(link: Link, name: str) -> dict[Kind, str]:
    """Return the collections that are the index `name` now; none if there is no such index."""
    by_alias = _aliases(link)
    return {kind: by_alias[alias(name, kind)] for kind in KINDS if alias(name, kind) in by_alias}


def read_metadata(link: Link, collection: str) -> str | None:
    """Return the text that `make` put into the collection of roots."""
    kept = link.ask(lambda: link.client.get_collection(collection)).config.metadata or {}
    return str(kept[_METADATA_KEY]) if _METADATA_KEY in kept else None


def write_metadata(link: Link, collection: str, text: str) -> None:
    """Put the text into the collection of roots."""
    kept = {_METADATA_KEY: text}
    link.ask(lambda: link.client.update_collection(collection, metadata=kept))


def make(link: Link, name: str, settings: Settings) -> dict[Kind, str]:
    """Make the four collections of a new index, empty; they have no aliases yet."""
    token = secrets.token_hex(4)
    made = {kind: f"{alias(name, kind)}_{token}" for kind in KINDS}
    for kind, collection in made.items():
        _make_collection(link, collection, kind, settings)
    text = dump(settings.recipe, settings.dim, storage=settings.storage)
    write_metadata(link, made["roots"], text)
    return made


def point(link: Link, name: str, to: Targets, *, instead_of: str = "") -> None:
    """Make these collections the index `name`, and the index `instead_of` none, in one step."""
    changes: list[models.AliasOperations] = [
        models.CreateAliasOperation(
            create_alias=models.CreateAlias(alias_name=alias(name, kind), collection_name=target)
        )
        for kind, target in to.items()
    ]
    if instead_of:
        changes.extend(_removals(instead_of))
    link.ask(lambda: link.client.update_collection_aliases(changes))


def unpoint(link: Link, name: str) -> None:
    """Make the index `name` none, in one step; its collections are left over."""
    link.ask(lambda: link.client.update_collection_aliases(_removals(name)))


def remove(link: Link, collections: Sequence[str]) -> None:
    """Delete these collections."""
    for collection in collections:
        link.ask(partial(link.client.delete_collection, collection))


def clear_leftovers(link: Link, name: str) -> None:
    """Delete the collections made for the index `name` that no index uses.

    Raises:
        StoreError: another version of segsearch made an index of this name.
    """
    there = [each.name for each in link.ask(link.client.get_collections).collections]
    for kind in KINDS:
        if alias(name, kind) in there:
            raise StoreError(
                f"{link.place}: there is a collection {alias(name, kind)}, which is in the way",
                "if an earlier segsearch made it, delete it; else use another name for the index",
            )
    used = set(_aliases(link).values())
    ours = re.compile(rf"{re.escape(name)}_({'|'.join(KINDS)})_[0-9a-f]{{8}}")
    remove(link, [each for each in there if ours.fullmatch(each) and each not in used])


def _aliases(link: Link) -> dict[str, str]:
    answer = link.ask(link.client.get_aliases)
    return {each.alias_name: each.collection_name for each in answer.aliases}


def _removals(name: str) -> list[models.AliasOperations]:
    return [
        models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias(name, kind)))
        for kind in KINDS
    ]


def _make_collection(link: Link, collection: str, kind: Kind, settings: Settings) -> None:
    storage = settings.storage
    vectors: models.VectorParams | dict[str, models.VectorParams] = {}
    if kind in VECTOR_KINDS:
        vectors = server_models.vector_params(settings.dim, storage)

    def recreate() -> bool:
        if link.client.collection_exists(collection):
            link.client.delete_collection(collection)  # the answer to the first attempt was lost
        return link.client.create_collection(
            collection,
            vectors_config=vectors,
            payload=models.PayloadStorageParams(memory=models.Memory.COLD),
            shard_number=storage.shards,
            replication_factor=storage.replicas,
            # what most replicas have outlives any one of them
            write_consistency_factor=storage.replicas // 2 + 1,
        )

    link.ask(recreate)
    with warnings.catch_warnings():
        # The in-memory engine needs no indexes and says so.
        warnings.filterwarnings("ignore", message="Payload indexes have no effect")
        for name, index in INDEXES[kind].items():
            params = server_models.INDEX_PARAMS[index]
            request = partial(link.client.create_payload_index, collection, name, params)
            link.ask(partial(request, wait=True))
