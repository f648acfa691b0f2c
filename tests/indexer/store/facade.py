"""A Qdrant server for tests: the part of its REST API that `ServerStore` uses, on a real socket.

Behind it is qdrant-client's in-memory engine, so answers are real; faults are served on request.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel
from qdrant_client import QdrantClient, models

Json = dict[str, Any]
Endpoint = Callable[[QdrantClient, str, Json], object]


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of an answer.

    Attributes:
        kind: "status" answers with `value` as HTTP status, "stall" waits `value` seconds before
            it answers, "reset" breaks the connection, "lost" does the work and then breaks it,
            "says" answers with `says`.
        value: see `kind`.
        on: start of the method and path that it waits for; later faults wait with it.
        says: a result of Qdrant's.
    """

    kind: Literal["status", "stall", "reset", "lost", "says"]
    value: float = 0
    on: str = ""
    says: object = None


@dataclass
class Facade:
    """The server; a context manager.

    Attributes:
        engine: what gives the answers; to be used with `lock`.
        faults: served to the next requests, one each, in this order.
        seen: (method and path, headers) of every request so far.
        bodies: (method, path and query, body) of every request so far.
        tls: what its connections begin with, if it speaks TLS.
    """

    faults: deque[Fault] = field(default_factory=deque)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list, repr=False)
    bodies: list[tuple[str, Json]] = field(default_factory=list, repr=False)
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self.engine = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self._port = 0
        self.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_listening()
        self.engine.close()

    def listen(self) -> None:
        """Answer, where it did before if it did."""
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_address[1]
        if self.tls is not None:
            # the handshake is the handler's: here it would hold up all other connections
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.is_listening = True

    def stop_listening(self) -> None:
        """Answer nobody any more; connections that are open break with their next request."""
        self.is_listening = False
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}"

    def outcome(self, method: str, path: str, body: Json) -> tuple[int, Json] | None:
        """Return status and body of the answer, as `faults` has it; None breaks the connection."""
        due = self.faults and f"{method} {path}".startswith(self.faults[0].on)
        match self.faults.popleft() if due else None:
            case Fault("status", value):
                return int(value), _error(f"injected {value:.0f}")
            case Fault("says", says=says):
                return 200, {"result": says, "status": "ok", "time": 0.0}
            case Fault("stall", value):
                time.sleep(value)
            case Fault("reset"):
                return None
            case Fault("lost"):
                self.answer(method, path, body)
                return None
        return self.answer(method, path, body)

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Return the HTTP status and the body that a Qdrant server would answer with."""
        collection, endpoint = "", _SERVER_ENDPOINTS.get((method, path))
        if endpoint is None:
            _, _, collection, *rest = path.split("/")
            endpoint = _ENDPOINTS.get((method, "/".join(rest)))
        if endpoint is None:
            return 404, _error(f"no such endpoint: {method} {path}")
        try:
            with self.lock:
                result = endpoint(self.engine, collection, body)
        except ValueError as error:
            return (404 if "not found" in str(error) else 400), _error(str(error))
        return 200, {"result": _plain(result), "status": "ok", "time": 0.0}


def _error(message: str) -> Json:
    return {"status": {"error": message}, "time": 0.0}


def _plain(result: object) -> object:
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json")
    return [_plain(each) for each in result] if isinstance(result, list) else result


def _create(engine: QdrantClient, collection: str, body: Json) -> object:
    vectors = models.CreateCollection.model_validate(body).vectors
    return engine.create_collection(collection, vectors_config=vectors)


def _update(engine: QdrantClient, collection: str, body: Json) -> object:
    change = models.UpdateCollection.model_validate(body)
    return engine.update_collection(
        collection, vectors_config=change.vectors, metadata=change.metadata
    )


def _create_index(engine: QdrantClient, collection: str, body: Json) -> object:
    return models.UpdateResult(status=models.UpdateStatus.COMPLETED)  # in memory there are none


def _upsert(engine: QdrantClient, collection: str, body: Json) -> object:
    return engine.upsert(collection, models.PointsList.model_validate(body).points)


def _delete(engine: QdrantClient, collection: str, body: Json) -> object:
    return engine.delete(collection, models.FilterSelector.model_validate(body))


def _set_payload(engine: QdrantClient, collection: str, body: Json) -> object:
    request = models.SetPayload.model_validate(body)
    assert request.filter is not None
    return engine.set_payload(collection, request.payload, request.filter)


def _batch(engine: QdrantClient, collection: str, body: Json) -> object:
    operations = models.UpdateOperations.model_validate(body).operations
    return engine.batch_update_points(collection, operations)


def _retrieve(engine: QdrantClient, collection: str, body: Json) -> object:
    request = models.PointRequest.model_validate(body)
    return engine.retrieve(collection, request.ids, with_vectors=bool(request.with_vector))


def _query(engine: QdrantClient, collection: str, body: Json) -> object:
    request = models.QueryRequest.model_validate(body)
    assert isinstance(request.query, models.NearestQuery)
    assert request.limit is not None
    return engine.query_points(
        collection,
        query=request.query.nearest,
        query_filter=request.filter,
        limit=request.limit,
        with_payload=bool(request.with_payload),
        with_vectors=bool(request.with_vector),
    )


def _scroll(engine: QdrantClient, collection: str, body: Json) -> object:
    request = models.ScrollRequest.model_validate(body)
    assert request.limit is not None
    points, following = engine.scroll(
        collection,
        scroll_filter=request.filter,
        limit=request.limit,
        offset=request.offset,
        with_vectors=bool(request.with_vector),
    )
    return {"points": _plain(points), "next_page_offset": following}


def _facet(engine: QdrantClient, collection: str, body: Json) -> object:
    request = models.FacetRequest.model_validate(body)
    assert request.limit is not None
    return engine.facet(collection, request.key, facet_filter=request.filter, limit=request.limit)


def _update_aliases(engine: QdrantClient, _: str, body: Json) -> object:
    actions = models.ChangeAliasesOperation.model_validate(body).actions
    return engine.update_collection_aliases(actions)


_SERVER_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/collections"): lambda engine, _, __: engine.get_collections(),
    ("GET", "/aliases"): lambda engine, _, __: engine.get_aliases(),
    ("POST", "/collections/aliases"): _update_aliases,
}
_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "exists"): lambda engine, name, _: {"exists": engine.collection_exists(name)},
    ("GET", ""): lambda engine, name, _: engine.get_collection(name),
    ("DELETE", ""): lambda engine, name, _: engine.delete_collection(name),
    ("PUT", ""): _create,
    ("PATCH", ""): _update,
    ("PUT", "index"): _create_index,
    ("PUT", "points"): _upsert,
    ("POST", "points"): _retrieve,
    ("POST", "points/delete"): _delete,
    ("POST", "points/payload"): _set_payload,
    ("POST", "points/batch"): _batch,
    ("POST", "points/query"): _query,
    ("POST", "points/scroll"): _scroll,
    ("POST", "points/count"): lambda engine, name, body: engine.count(
        name, models.CountRequest.model_validate(body).filter
    ),
    ("POST", "facet"): _facet,
}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about handshakes that fail, which tests provoke."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(facade: Facade) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent; `Facade.seen` has it all."""

        def _serve(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            path = urlsplit(self.path).path
            headers = {name.lower(): value for name, value in self.headers.items()}
            facade.seen.append((f"{self.command} {path}", headers))
            facade.bodies.append((f"{self.command} {self.path}", body))
            outcome = None
            if facade.is_listening:
                outcome = facade.outcome(self.command, path, body)
            if outcome is None:
                self._break()
            else:
                self._reply(*outcome)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        def _reply(self, status: int, answer: Json) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # a stalled client has gone away

        def _break(self) -> None:
            linger = struct.pack("ii", 1, 0)  # closing sends a reset, not an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True

    return Handler
