"""The records of an index on a Qdrant server: four collections, under one name each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from qdrant_client import models

from indexer.store import answers, server_models
from indexer.store.base import (
    EVERYTHING,
    KINDS,
    Filter,
    Kind,
    Page,
    Payload,
    Point,
    Ranked,
    ScoredPoint,
    Vector,
)
from indexer.store.server_link import Link

_POLL_S = 0.5


class ServerRecords:
    """The reading and writing part of a `Store`, on the collections of these names.

    Writes return when the server has applied them.
    """

    def __init__(self, link: Link, collections: Mapping[Kind, str], dim: int) -> None:
        """Use the collections, or what aliases of these names stand for at each request."""
        self._link = link
        self._collections = collections
        self._dim = dim

    def upsert(self, kind: Kind, points: Sequence[Point]) -> None:
        """See `Store.upsert`."""
        answers.check_points(kind, points, self._dim)
        if not points:
            return
        stored = [
            models.PointStruct(
                id=p.id, payload=p.payload, vector={} if p.vector is None else p.vector.tolist()
            )
            for p in points
        ]
        self._link.ask(lambda: self._link.client.upsert(self._collections[kind], stored, wait=True))

    def delete(self, kind: Kind, where: Filter) -> None:
        """See `Store.delete`."""
        answers.check_not_everything(where)
        self._link.ask(
            lambda: self._link.client.delete(
                self._collections[kind], server_models.filter_from(where), wait=True
            )
        )

    def set_payload(self, kind: Kind, payload: Payload, where: Filter) -> None:
        """See `Store.set_payload`."""
        self._link.ask(
            lambda: self._link.client.set_payload(
                self._collections[kind], payload, server_models.filter_from(where), wait=True
            )
        )

    def update_payloads(self, kind: Kind, payloads: Mapping[str, Payload]) -> None:
        """See `Store.update_payloads`."""
        answers.check_ids(list(payloads))
        if not payloads:
            return
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
        self._link.ask(
            lambda: self._link.client.batch_update_points(
                self._collections[kind], changes, wait=True
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

    def optimise(self) -> None:
        """Wait until the server, which optimises on its own, has done so."""
        for kind in KINDS:
            while self._status(kind) == models.CollectionStatus.YELLOW:
                time.sleep(_POLL_S)

    def flush(self) -> None:
        """Do nothing: a server writes to its log first, and to the disk every few seconds."""

    def check(self) -> None:
        """See `Store.check`; reads every record."""
        answers.verify(self)

    def _status(self, kind: Kind) -> models.CollectionStatus:
        return self._link.ask(
            lambda: self._link.client.get_collection(self._collections[kind])
        ).status
