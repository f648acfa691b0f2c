"""The records of an index on a Qdrant server: four collections, under one name each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from qdrant_client import models

from indexer.store import answers, server_models, server_optimising
from indexer.store.base import (
    EVERYTHING,
    Filter,
    Inspected,
    Kind,
    Page,
    Payload,
    Point,
    Ranked,
    ScoredPoint,
    Vector,
)
from indexer.store.server_link import Link
from indexer.store.settings import Settings
from indexer.store.storage import Progress, Storage

#: What one request may hold; Qdrant refuses more than 32 MiB.
REQUEST_BYTES = 30 * 2**20
#: At most, of a number of a vector as text, and of a record beside its payload and vector.
_NUMBER_BYTES = 24
_RECORD_BYTES = 300

_T = TypeVar("_T")


class ServerRecords:
    """The reading and writing part of a `Store`, on the collections of these names.

    Writes return when every replica that is read from has applied them: one that failed to is
    taken out of use first. So reads ask one replica each, and go on with any that is left. Where
    there are several, writes go through one of them, so that all see them in the same order.
    """

    def __init__(self, link: Link, collections: Mapping[Kind, str], settings: Settings) -> None:
        """Use the collections, or what aliases of these names stand for at each request."""
        self._link = link
        self._collections = collections
        self._settings = settings
        self._dim = settings.dim
        self._ordering = models.WriteOrdering.MEDIUM if settings.storage.replicas > 1 else None

    def upsert(self, kind: Kind, points: Sequence[Point]) -> None:
        """See `Store.upsert`; what is too large for one request goes in several, in order."""
        answers.check_points(kind, points, self._dim)
        vector_bytes = self._dim * _NUMBER_BYTES
        sizes = [_size(p.payload) + (0 if p.vector is None else vector_bytes) for p in points]
        for part in batches(points, sizes, REQUEST_BYTES):
            stored = [
                models.PointStruct(
                    id=p.id, payload=p.payload, vector={} if p.vector is None else p.vector.tolist()
                )
                for p in part
            ]
            self._link.ask(
                partial(
                    self._link.client.upsert,
                    self._collections[kind],
                    stored,
                    wait=True,
                    ordering=self._ordering,
                )
            )

    def delete(self, kind: Kind, where: Filter) -> None:
        """See `Store.delete`."""
        answers.check_not_everything(where)
        self._link.ask(
            lambda: self._link.client.delete(
                self._collections[kind],
                server_models.filter_from(where),
                wait=True,
                ordering=self._ordering,
            )
        )

    def set_payload(self, kind: Kind, payload: Payload, where: Filter) -> None:
        """See `Store.set_payload`."""
        self._link.ask(
            lambda: self._link.client.set_payload(
                self._collections[kind],
                payload,
                server_models.filter_from(where),
                wait=True,
                ordering=self._ordering,
            )
        )

    def update_payloads(self, kind: Kind, payloads: Mapping[str, Payload]) -> None:
        """See `Store.update_payloads`."""
        answers.check_ids(list(payloads))
        # by their ids, an absent one is an error
        changes = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(
                    payload=fields,
                    filter=models.Filter(must=[models.HasIdCondition(has_id=[each])]),
                )
            )
            for each, fields in payloads.items()
        ]
        sizes = [_size(fields) for fields in payloads.values()]
        for part in batches(changes, sizes, REQUEST_BYTES):
            self._link.ask(
                partial(
                    self._link.client.batch_update_points,
                    self._collections[kind],
                    part,
                    wait=True,
                    ordering=self._ordering,
                )
            )

    def get(self, kind: Kind, ids: Sequence[str], *, vectors: bool = False) -> list[Point]:
        """See `Store.get`."""
        answers.check_ids(ids)
        records = self._link.ask(
            lambda: self._link.client.retrieve(
                self._collections[kind], list(ids), with_payload=True, with_vectors=vectors
            )
        )
        found = {str(record.id): record for record in records}
        return [server_models.point_from(found[wanted]) for wanted in ids if wanted in found]

    def get_in_images(
        self, ids: Sequence[str], *, vectors: bool = False
    ) -> list[tuple[Point, Point]]:
        """See `Store.get_in_images`."""
        return answers.in_images(self, ids, vectors=vectors)

    def search(
        self,
        kind: Kind,
        vector: Vector,
        *,
        where: Filter = EVERYTHING,
        limit: int = 20,
        offset: int = 0,
    ) -> list[ScoredPoint]:
        """See `Store.search`."""
        found = self._query(kind, vector, where, limit, offset, payloads=True)
        return [ScoredPoint(id_, score, hit.payload or {}) for id_, score, hit in found]

    def nearest(
        self, kind: Kind, vector: Vector, *, where: Filter = EVERYTHING, limit: int = 20
    ) -> Ranked:
        """See `Store.nearest`."""
        found = self._query(kind, vector, where, limit, payloads=False)
        return answers.ranked(found, lambda hit: hit.vector, self._dim)

    def _query(
        self,
        kind: Kind,
        vector: Vector,
        where: Filter,
        limit: int,
        offset: int = 0,
        *,
        payloads: bool,
    ) -> list[answers.Scored[models.ScoredPoint]]:
        """Rank points, with either their payloads or their vectors."""
        answers.check_query(kind, vector, self._dim)

        def fetch(number: int) -> list[answers.Scored[models.ScoredPoint]]:
            answer = self._link.ask(
                lambda: self._link.client.query_points(
                    self._collections[kind],
                    query=vector.tolist(),
                    query_filter=server_models.filter_from(where),
                    search_params=server_models.search_params(self._settings.storage),
                    limit=number,
                    with_payload=payloads,
                    with_vectors=not payloads,
                )
            )
            return [(str(hit.id), hit.score, hit) for hit in answer.points]

        return answers.best(fetch, limit, offset)

    def scroll(
        self,
        kind: Kind,
        *,
        where: Filter = EVERYTHING,
        limit: int = 256,
        after: str | None = None,
        vectors: bool = False,
    ) -> Page:
        """See `Store.scroll`."""
        records, following = self._link.ask(
            lambda: self._link.client.scroll(
                self._collections[kind],
                scroll_filter=server_models.filter_from(where),
                limit=limit,
                offset=after,
                with_payload=True,
                with_vectors=vectors,
            )
        )
        return Page(
            [server_models.point_from(r) for r in records],
            None if following is None else str(following),
        )

    def ids(
        self, kind: Kind, *, limit: int = 1024, after: str | None = None
    ) -> tuple[list[str], str | None]:
        """See `Store.ids`."""
        records, following = self._link.ask(
            lambda: self._link.client.scroll(
                self._collections[kind], limit=limit, offset=after, with_payload=False
            )
        )
        return [str(r.id) for r in records], None if following is None else str(following)

    def inspect(self, kind: Kind, ids: Sequence[str]) -> Inspected:
        """See `Store.inspect`; a server looks after its own files, so there are no checksums."""

        def read(some: Sequence[str]) -> Inspected:
            return Inspected(self.get(kind, some, vectors=True), {}, len(some))

        return answers.inspected(read, kind, ids, self._dim)

    def count(self, kind: Kind, where: Filter = EVERYTHING) -> int:
        """See `Store.count`."""
        return self._link.ask(
            lambda: self._link.client.count(
                self._collections[kind], server_models.filter_from(where), exact=True
            )
        ).count

    def facet(
        self, kind: Kind, key: str, *, where: Filter = EVERYTHING, limit: int = 100
    ) -> dict[str, int]:
        """See `Store.facet`."""
        answers.check_facet(kind, key)
        answer = self._link.ask(
            lambda: self._link.client.facet(
                self._collections[kind],
                key,
                facet_filter=server_models.filter_from(where),
                limit=limit,
                exact=True,
            )
        )
        return {str(hit.value): hit.count for hit in answer.hits}

    def optimise(self, storage: Storage | None = None) -> None:
        """See `Store.optimise`."""
        server_optimising.optimise(self._link, self._collections, self._settings, storage)

    def optimising(self) -> Progress | None:
        """See `Store.optimising`."""
        return server_optimising.progress(self._link, self._collections)

    def flush(self) -> None:
        """Do nothing: a server writes to its log first, and to the disk every few seconds."""

    def check(self) -> None:
        """See `Store.check`; reads every record."""
        answers.verify(self)


def batches(items: Sequence[_T], sizes: Sequence[int], most: int) -> Iterator[list[_T]]:
    """Cut the items, in their order, into lists of at most `most` bytes, or of one item."""
    part: list[_T] = []
    used = 0
    for item, size in zip(items, sizes, strict=True):
        if part and used + size > most:
            yield part
            part, used = [], 0
        part.append(item)
        used += size
    if part:
        yield part


def _size(payload: Payload) -> int:
    """Return how long the record of this payload is as JSON, at most, without its vector."""
    return len(json.dumps(payload)) + _RECORD_BYTES
