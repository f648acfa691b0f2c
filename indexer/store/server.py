"""The server engine: a Qdrant server or cluster, reached over REST by qdrant-client.

An index `name` is four collections: `<name>_images`, `_segments`, `_files`, `_roots`. Recipe and
dimension are metadata of the last one, written when all else is there.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from indexer.errors import IndexNotFound, StoreError, StoreUnavailable
from indexer.store import answers, server_models, settings
from indexer.store.base import (
    EVERYTHING,
    KINDS,
    VECTOR_KINDS,
    Filter,
    Kind,
    Page,
    Payload,
    Point,
    ScoredPoint,
    Vector,
)
from indexer.store.schema import INDEXES

DEFAULT_PORT = 6333
TIMEOUT_S = 30

#: Pauses between attempts; no attempt starts after two timeouts.
_PAUSES_S = (0.25, 0.5, 1.0)
_POLL_S = 0.5
_METADATA_KEY = "segsearch"
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500

_R = TypeVar("_R")


def connect(location: str, *, timeout_s: int = TIMEOUT_S) -> ServerStore:
    """Return the index at ``http(s)://host:port/name``; nothing is sent yet.

    Args:
        location: the port is 6333 if left out; the name is of letters, digits, ``_``, ``-``, ``.``.
        timeout_s: for each request, seconds.

    The API key comes from the environment variable `QDRANT_API_KEY`, if set.

    Raises:
        StoreError: this is not such an address.
    """
    url = urlsplit(location)
    try:
        port = url.port or DEFAULT_PORT
    except ValueError:
        port = 0
    name = url.path.strip("/")
    complete = url.scheme in ("http", "https") and url.hostname and port
    if not complete or url.query or url.username or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise StoreError(
            f"not the address of an index: {location}", "write http(s)://host:port/name"
        )
    key = os.environ.get("QDRANT_API_KEY") or None
    local = url.hostname in ("localhost", "127.0.0.1", "::1")
    client = QdrantClient(
        url=f"{url.scheme}://{url.netloc}",
        port=port,
        # As a header, because qdrant-client warns of keys without TLS, even on this machine.
        api_key=None if local else key,
        headers={"api-key": key} if local and key else None,
        timeout=timeout_s,
        check_compatibility=False,
    )
    return ServerStore(client, name, place=location, patience_s=2 * timeout_s)


class ServerStore:
    """A `Store` on a Qdrant server; safe to use from many threads.

    Writes return when the server has applied them. Requests that fail because the server cannot
    be reached or reports an error of its own are repeated for a while; repeating any of them is
    safe.
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
            client: REST or in-memory.
            name: of the index; collections are named after it.
            place: what error messages call the server.
            patience_s: no attempt starts later than this after the first one, seconds.
        """
        self._client = client
        self._name = name
        self._place = place
        self._patience_s = patience_s
        self._closed = False
        self._settings: settings.Settings | None = None

    def create(self, recipe: Mapping[str, Any], dim: int) -> None:
        """See `Store.create`; what a crashed creation left behind is removed."""
        if self.recipe() is not None:
            raise StoreError(f"{self._place} is an index already")
        for kind in KINDS:
            self._create_collection(kind, dim)
        kept = {_METADATA_KEY: settings.dump(recipe, dim)}
        self._ask(lambda: self._client.update_collection(self._collection("roots"), metadata=kept))
        if self.recipe() is None:
            raise StoreError(
                f"the server of {self._place} does not keep metadata of collections",
                "use Qdrant 1.19 or later",
            )

    def recipe(self) -> dict[str, Any] | None:
        """See `Store.recipe`."""
        collection = self._collection("roots")
        if not self._ask(lambda: self._client.collection_exists(collection)):
            return None
        kept = self._ask(lambda: self._client.get_collection(collection)).config.metadata or {}
        if _METADATA_KEY not in kept:
            return None
        self._settings = settings.parse(kept[_METADATA_KEY], self._place)
        return self._settings.recipe

    def upsert(self, kind: Kind, points: Sequence[Point]) -> None:
        """See `Store.upsert`."""
        answers.check_points(kind, points, self._dim())
        if not points:
            return
        stored = [
            models.PointStruct(
                id=p.id, payload=p.payload, vector={} if p.vector is None else p.vector.tolist()
            )
            for p in points
        ]
        self._ask(lambda: self._client.upsert(self._collection(kind), stored, wait=True))

    def delete(self, kind: Kind, where: Filter) -> None:
        """See `Store.delete`."""
        answers.check_not_everything(where)
        self._dim()
        self._ask(
            lambda: self._client.delete(
                self._collection(kind), server_models.filter_from(where), wait=True
            )
        )

    def set_payload(self, kind: Kind, payload: Payload, where: Filter) -> None:
        """See `Store.set_payload`."""
        self._dim()
        self._ask(
            lambda: self._client.set_payload(
                self._collection(kind), payload, server_models.filter_from(where), wait=True
            )
        )

    def get(self, kind: Kind, ids: Sequence[str], *, vectors: bool = False) -> list[Point]:
        """See `Store.get`."""
        answers.check_ids(ids)
        self._dim()
        records = self._ask(
            lambda: self._client.retrieve(
                self._collection(kind), list(ids), with_payload=True, with_vectors=vectors
            )
        )
        found = {str(record.id): record for record in records}
        return [server_models.point_from(found[wanted]) for wanted in ids if wanted in found]

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
        answers.check_query(kind, vector, self._dim())

        def fetch(number: int) -> list[ScoredPoint]:
            answer = self._ask(
                lambda: self._client.query_points(
                    self._collection(kind),
                    query=vector.tolist(),
                    query_filter=server_models.filter_from(where),
                    limit=number,
                    with_payload=True,
                )
            )
            return [ScoredPoint(str(h.id), h.score, h.payload or {}) for h in answer.points]

        return answers.best(fetch, limit, offset)

    def recommend(
        self,
        kind: Kind,
        positives: Sequence[str],
        negatives: Sequence[str] = (),
        *,
        where: Filter = EVERYTHING,
        limit: int = 20,
        offset: int = 0,
    ) -> list[ScoredPoint]:
        """See `Store.recommend`."""
        query, others = answers.recommendation(self, kind, positives, negatives, where)
        return self.search(kind, query, where=others, limit=limit, offset=offset)

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
        self._dim()
        records, following = self._ask(
            lambda: self._client.scroll(
                self._collection(kind),
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
        self._dim()
        return self._ask(
            lambda: self._client.count(
                self._collection(kind), server_models.filter_from(where), exact=True
            )
        ).count

    def facet(
        self, kind: Kind, key: str, *, where: Filter = EVERYTHING, limit: int = 100
    ) -> dict[str, int]:
        """See `Store.facet`."""
        answers.check_facet(kind, key)
        self._dim()
        answer = self._ask(
            lambda: self._client.facet(
                self._collection(kind),
                key,
                facet_filter=server_models.filter_from(where),
                limit=limit,
                exact=True,
            )
        )
        return {str(hit.value): hit.count for hit in answer.hits}

    def optimise(self) -> None:
        """Wait until the server, which optimises on its own, has done so."""
        self._dim()
        for kind in KINDS:
            while self._status(kind) == models.CollectionStatus.YELLOW:
                time.sleep(_POLL_S)

    def flush(self) -> None:
        """Do nothing: a server writes to its log first, and to the disk every few seconds."""
        self._dim()

    def check(self) -> None:
        """See `Store.check`; reads every record."""
        self._dim()
        answers.verify(self)

    def size_bytes(self) -> int | None:
        """Return None: a server does not tell."""
        self._dim()
        return None

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        self._client.close()

    def _collection(self, kind: Kind) -> str:
        return f"{self._name}_{kind}"

    def _status(self, kind: Kind) -> models.CollectionStatus:
        return self._ask(lambda: self._client.get_collection(self._collection(kind))).status

    def _dim(self) -> int:
        if self._settings is None:
            self.recipe()
        if self._settings is None:
            raise IndexNotFound(f"there is no index at {self._place}", "create it first")
        return self._settings.dim

    def _create_collection(self, kind: Kind, dim: int) -> None:
        collection = self._collection(kind)
        vectors: models.VectorParams | dict[str, models.VectorParams] = {}
        if kind in VECTOR_KINDS:
            vectors = models.VectorParams(size=dim, distance=models.Distance.COSINE)

        def recreate() -> bool:
            if self._client.collection_exists(collection):
                self._client.delete_collection(collection)
            return self._client.create_collection(collection, vectors_config=vectors)

        self._ask(recreate)
        with warnings.catch_warnings():
            # The in-memory engine needs no indexes and says so.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            for name, index in INDEXES[kind].items():
                params = server_models.INDEX_PARAMS[index]
                make = partial(self._client.create_payload_index, collection, name, params)
                self._ask(partial(make, wait=True))

    def _ask(self, request: Callable[[], _R]) -> _R:
        if self._closed:
            raise StoreError(f"the index {self._place} was closed", "open it again")
        started = time.monotonic()
        pauses = iter(_PAUSES_S)
        while True:
            try:
                return request()
            except (ApiException, QdrantException, ValueError) as error:
                failure = self._failure(error)
                pause = next(pauses, None)
                late = time.monotonic() - started > self._patience_s
                if pause is None or late or not isinstance(failure, StoreUnavailable):
                    raise failure from error
            time.sleep(pause)

    def _failure(self, error: Exception) -> StoreError:
        match error:
            case ResourceExhaustedResponse():
                return StoreUnavailable(f"{self._place} is overloaded: {error}", "try again later")
            case UnexpectedResponse(status_code=int(status)) if _is_final(status):
                return self._refusal(status, _said(error))
            case UnexpectedResponse(status_code=status):
                said = f"{status}: {_said(error)}"
            case ResponseHandlingException(source=ValueError() as source):
                return StoreError(
                    f"what answers at {self._place} is not a Qdrant server: {source}",
                    "check host and port",
                )
            case ResponseHandlingException(source=source):
                said = f"{type(source).__name__}: {source}"
            case _:  # what the in-memory engine raises where a server answers 400
                return StoreError(f"{self._place}: {error}")
        return StoreUnavailable(
            f"no answer from {self._place} ({said})",
            "see that the server runs: docker compose up -d",
        )

    def _refusal(self, status: int, said: str) -> StoreError:
        message = f"{self._place}: {said}"
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            return StoreError(message, "set QDRANT_API_KEY to the server's API key")
        if status == _NOT_FOUND:
            return IndexNotFound(message, "check the name of the index")
        return StoreError(message)


def _is_final(status: int) -> bool:
    return status < _SERVER_ERROR and status != _TOO_MANY


def _said(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return error.content.decode("utf-8", "replace") or error.reason_phrase
