"""How a Qdrant server is told to keep vectors another way, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial

from qdrant_client import models

from indexer.errors import StoreError, StoreFull
from indexer.store import server_collections, server_models
from indexer.store.base import KINDS, VECTOR_KINDS, Kind
from indexer.store.server_link import Link
from indexer.store.settings import Settings, dump
from indexer.store.storage import Progress, Stage, Storage

_POLL_S = 0.5
#: A change waits for what the server is at, seconds.
_CHANGE_S = 600
#: A server begins with a change some time after it has agreed to it, and is green until then.
_GREENS = 3
#: How often a server that has been restarted is asked to go on.
_REMINDERS = 20

_Status = models.CollectionStatus


def optimise(
    link: Link, collections: Mapping[Kind, str], settings: Settings, storage: Storage | None
) -> None:
    """Change how the vectors are kept, if that is asked for, and wait until they are so.

    Raises:
        StoreFull: the server's disk has no room for it.
        StoreError: the server cannot, or shards or replicas are to change.
    """
    greens = 1
    if storage is not None and storage != settings.storage:
        _change(link, collections, settings, storage)
        greens = _GREENS
    for kind in KINDS:
        _wait(link, collections[kind], greens if kind in VECTOR_KINDS else 1)


def progress(link: Link, collections: Mapping[Kind, str]) -> Progress | None:
    """Return how many of the points are where they are to be; None if all are."""
    infos = {name: _info(link, name) for name in (collections[kind] for kind in VECTOR_KINDS)}
    busy = [name for name, info in infos.items() if info.status in (_Status.YELLOW, _Status.GREY)]
    if not busy:
        return None
    reports = [link.ask(partial(link.client.get_optimizations, name)) for name in busy]
    points = sum(info.points_count or 0 for info in infos.values())
    left = sum(_points_left(report) for report in reports)
    stage: Stage = "building" if any(report.running for report in reports) else "waiting"
    return Progress(stage, min(1.0, max(0.0, 1 - left / points)) if points else None)


def _change(
    link: Link, collections: Mapping[Kind, str], settings: Settings, storage: Storage
) -> None:
    now = settings.storage
    if (storage.shards, storage.replicas) != (now.shards, now.replicas):
        raise StoreError(
            f"{link.place} has {now.shards} shards and {now.replicas} replicas, which stay as they "
            f"are, not {storage.shards} and {storage.replicas}",
            "build it anew with: index --rebuild",
        )
    vectors = {"": server_models.vector_changes(storage)}
    for kind in VECTOR_KINDS:
        change = partial(link.client.update_collection, collections[kind], vectors_config=vectors)
        link.ask(partial(change, timeout=_CHANGE_S))
    # last: what breaks off before is not taken for done
    text = dump(settings.recipe, settings.dim, storage=storage)
    server_collections.write_metadata(link, collections["roots"], text)


def _wait(link: Link, collection: str, greens: int) -> None:
    """Return when the server has said so many times in a row that there is nothing to do."""
    reminders = seen = 0
    while True:
        info = _info(link, collection)
        seen = seen + 1 if info.status == _Status.GREEN else 0
        if seen == greens:
            return
        if info.status == _Status.RED:
            raise _failure(link.place, info)
        if info.status == _Status.GREY:  # since it was started it waits for a change
            reminders += 1
            if reminders > _REMINDERS:
                return
            nothing = models.OptimizersConfigDiff()
            remind = partial(link.client.update_collection, collection, optimizers_config=nothing)
            link.ask(partial(remind, timeout=_CHANGE_S))
        time.sleep(_POLL_S)


def _failure(place: str, info: models.CollectionInfo) -> StoreError:
    status = info.optimizer_status
    said = status.error if isinstance(status, models.OptimizersStatusOneOf1) else "it does not say"
    if "space" in said.lower():
        return StoreFull(f"the disk of the server of {place} is full: {said}", "make room on it")
    return StoreError(f"the server of {place} cannot optimise it: {said}", "its log says more")


def _points_left(report: models.OptimizationsResponse) -> float:
    left = float(report.summary.queued_points)
    for running in report.running:
        points = sum(segment.points_count for segment in running.segments)
        parts = [(node.done or 0, node.total) for node in _nodes(running.progress) if node.total]
        total = sum(total for _, total in parts)
        left += points * (1 - sum(done for done, _ in parts) / total if total else 1.0)
    return left


def _nodes(tree: models.ProgressTree) -> Iterator[models.ProgressTree]:
    yield tree
    for child in tree.children or ():
        yield from _nodes(child)


def _info(link: Link, collection: str) -> models.CollectionInfo:
    return link.ask(partial(link.client.get_collection, collection))
