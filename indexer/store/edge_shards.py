"""The records of an embedded index: four Qdrant Edge shards."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import qdrant_edge as qe

from indexer.errors import StoreDamaged
from indexer.store import answers, layout
from indexer.store.base import (
    EVERYTHING,
    KINDS,
    VECTOR_KINDS,
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
from indexer.store.checksums import unsealed
from indexer.store.edge_build import Build
from indexer.store.edge_errors import translated
from indexer.store.edge_models import (
    INDEXED_FROM_KB,
    filter_from,
    inspected_from,
    point_from,
    search_params,
)
from indexer.store.edge_shard import Delete, SetPayload, Shard, UpdatePayloads, Upsert, Write
from indexer.store.settings import Settings
from indexer.store.storage import Progress, Storage

#: Vectors without a graph that are left so, as a share of all: to compare them takes a moment.
_LEFT_SHARE = 0.02
#: Records of a shard that Edge puts in order at once, where there is no graph to build.
_FEW = 20_000

_MOST_ROOTS = 1_000_000


class EdgeShards:
    """The reading and writing part of a `Store`, on shards in one folder inside the index folder.

    A shard is opened when it is first used: that takes as long as everything else that a run with
    nothing new asks for, and such a run needs two of the four.

    Attributes:
        settings: the recipe and dimension that the records were made with.
    """

    def __init__(self, data: Path, settings: Settings) -> None:
        """Use the folder `data`; `create` and `load` give objects that can be used."""
        self.settings = settings
        self._data = data
        self._dim = settings.dim
        self._shards: dict[Kind, Shard] = {kind: Shard(data, kind) for kind in KINDS}
        self._improving = threading.Lock()
        self._build: Build | None = None

    @classmethod
    def create(cls, data: Path, settings: Settings) -> Self:
        """Make empty shards in the new folder `data`."""
        made = cls(data, settings)
        try:
            with translated(data.parent):
                for kind in KINDS:
                    made._shards[kind].create(settings.dim, settings.storage)
        except BaseException:
            made.close()
            raise
        return made

    @classmethod
    def load(cls, data: Path, settings: Settings) -> Self:
        """Open the shards in `data`: the roots', which nobody else may have open, the rest later.

        Damage is told by the calls that it concerns.

        Raises:
            StoreUnavailable: another process has them open.
        """
        loaded = cls(data, settings)
        with contextlib.suppress(StoreDamaged):
            loaded._shards["roots"].open()
        return loaded

    def open(self) -> None:
        """Open the shards that no call has used yet. Raises `StoreDamaged`."""
        for shard in self._shards.values():
            shard.open()

    def upsert(self, kind: Kind, points: Sequence[Point]) -> None:
        """See `Store.upsert`."""
        answers.check_points(kind, points, self._dim)
        if not points:
            return
        self._write(kind, Upsert(points))

    def delete(self, kind: Kind, where: Filter) -> None:
        """See `Store.delete`."""
        answers.check_not_everything(where)
        self._write(kind, Delete(where))

    def set_payload(self, kind: Kind, payload: Payload, where: Filter) -> None:
        """See `Store.set_payload`."""
        self._write(kind, SetPayload(payload, where))

    def update_payloads(self, kind: Kind, payloads: Mapping[str, Payload]) -> None:
        """See `Store.update_payloads`."""
        answers.check_ids(list(payloads))
        self._write(kind, UpdatePayloads(payloads))

    def _write(self, kind: Kind, change: Write) -> None:
        self._shards[kind].write(change)
        if kind == "roots":  # few, and without them nobody knows where the pictures are
            with translated(self._data.parent):
                layout.write_roots(self._data, self.scroll(kind, limit=_MOST_ROOTS).points)

    def get(self, kind: Kind, ids: Sequence[str], *, vectors: bool = False) -> list[Point]:
        """See `Store.get`."""
        answers.check_ids(ids)
        with self._shards[kind].reading() as shard:
            found = {str(r.id): r for r in shard.retrieve(list(ids), True, vectors)}
        return [point_from(found[wanted]) for wanted in ids if wanted in found]

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
        return [ScoredPoint(id_, score, unsealed(hit.payload or {})) for id_, score, hit in found]

    def nearest(
        self, kind: Kind, vector: Vector, *, where: Filter = EVERYTHING, limit: int = 20
    ) -> Ranked:
        """See `Store.nearest`."""
        found = self._query(kind, vector, where, limit, payloads=False)
        return answers.ranked(found, lambda hit: hit.vector, self._dim)

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
        with self._shards[kind].reading() as shard:
            records, following = shard.scroll(
                qe.ScrollRequest(
                    offset=after,
                    limit=limit,
                    filter=filter_from(where),
                    with_payload=True,
                    with_vector=vectors,
                )
            )
        return Page([point_from(r) for r in records], None if following is None else str(following))

    def ids(
        self, kind: Kind, *, limit: int = 1024, after: str | None = None
    ) -> tuple[list[str], str | None]:
        """See `Store.ids`."""
        request = qe.ScrollRequest(offset=after, limit=limit, with_payload=False, with_vector=False)
        with self._shards[kind].reading() as shard:
            records, following = shard.scroll(request)
        return [str(r.id) for r in records], None if following is None else str(following)

    def inspect(self, kind: Kind, ids: Sequence[str]) -> Inspected:
        """See `Store.inspect`."""
        self._shards[kind].open()

        def read(some: Sequence[str]) -> Inspected:
            with self._shards[kind].reading() as shard:
                return inspected_from(shard.retrieve(list(some), True, True))

        return answers.inspected(read, kind, ids, self._dim)

    def count(self, kind: Kind, where: Filter = EVERYTHING) -> int:
        """See `Store.count`."""
        with self._shards[kind].reading() as shard:
            return shard.count(qe.CountRequest(exact=True, filter=filter_from(where)))

    def facet(
        self, kind: Kind, key: str, *, where: Filter = EVERYTHING, limit: int = 100
    ) -> dict[str, int]:
        """See `Store.facet`."""
        answers.check_facet(kind, key)
        with self._shards[kind].reading() as shard:
            # Exact all the same, as no point is in two segments of a shard between two calls; asked
            # for exact counts, Edge looks through all points that the filter lets through for each
            # value by itself.
            request = qe.FacetRequest(key, limit=limit, exact=False, filter=filter_from(where))
            hits = shard.facet(request).hits
        return {str(hit.value): hit.count for hit in hits}

    def optimise(self, storage: Storage | None = None) -> None:
        """See `Store.optimise`."""
        with self._improving:
            for kind in KINDS:
                self._improve(kind, storage)

    def optimising(self) -> Progress | None:
        """See `Store.optimising`."""
        build = self._build
        return None if build is None else build.progress()

    def keep_as(self, settings: Settings) -> None:
        """Search from now on as these settings say; only their storage differs."""
        self.settings = settings

    def flush(self) -> None:
        """See `Store.flush`; also what was written before a kill, by other processes."""
        for shard in self._shards.values():
            shard.flush()

    def close(self) -> None:
        """Write everything out and let go of the files; no call may be in progress."""
        for shard in self._shards.values():
            shard.close()

    def _improve(self, kind: Kind, storage: Storage | None) -> None:
        """Build the graph of a shard, unless there is little to gain."""
        shard = self._shards[kind]
        with shard.reading() as edge:
            info = edge.info()
            small = (
                info.points_count < _FEW and self._kilobytes(info.points_count) < INDEXED_FROM_KB
            )
            if storage is None and small:
                edge.optimize()  # quick, as there is nothing to build
                return
        bare = info.points_count - info.indexed_vectors_count
        many = max(INDEXED_FROM_KB, _LEFT_SHARE * self._kilobytes(info.points_count))
        if storage is None and (kind not in VECTOR_KINDS or self._kilobytes(bare) < many):
            return
        wanted = storage or self.settings.storage
        self._build = Build(shard, kind, self._dim, wanted, info.points_count)
        try:
            self._build.run()
        finally:
            self._build = None

    def _kilobytes(self, vectors: int) -> float:
        return vectors * self._dim * 4 / 1024

    def _query(
        self,
        kind: Kind,
        vector: Vector,
        where: Filter,
        limit: int,
        offset: int = 0,
        *,
        payloads: bool,
    ) -> list[answers.Scored[qe.ScoredPoint]]:
        """Rank points, with either their payloads or their vectors."""
        answers.check_query(kind, vector, self._dim)
        params = search_params(self.settings.storage, filtered=where != EVERYTHING)

        def fetch(number: int) -> list[answers.Scored[qe.ScoredPoint]]:
            request = qe.QueryRequest(
                limit=number,
                query=qe.Query.Nearest(vector.tolist()),
                filter=filter_from(where),
                params=params,
                with_payload=payloads,
                with_vector=not payloads,
            )
            return [(str(hit.id), hit.score, hit) for hit in shard.query(request)]

        with self._shards[kind].reading() as shard:
            return answers.best(fetch, limit, offset)
