"""The way to a Qdrant server: its address, and requests that are repeated."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import grpc
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

from indexer.errors import StoreError, StoreUnavailable
from indexer.store.server_errors import failure_of

DEFAULT_PORT = 6333
TIMEOUT_S = 30

#: Pauses between attempts; no attempt starts after two timeouts.
_PAUSES_S = (0.25, 0.5, 1.0)

_R = TypeVar("_R")


@dataclass(frozen=True)
class Address:
    """Where an index is: the server's scheme, host and port, and the index's name on it."""

    scheme: str
    host: str
    port: int
    name: str

    @property
    def server(self) -> tuple[str, str, int]:
        """Return what two indexes of one server have in common."""
        return self.scheme, self.host, self.port


def parse(location: str) -> Address:
    """Return the address that ``http(s)://host:port/name`` means.

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
    return Address(url.scheme, url.hostname or "", port, name)


class Link:
    """Requests to one server, safe to make from many threads.

    Requests that fail because the server cannot be reached or reports an error of its own are
    repeated for a while, so repeating any of them must be safe.
    """

    def __init__(self, client: QdrantClient, place: str, patience_s: float) -> None:
        """Use `client`, which `close` closes.

        Args:
            client: REST, gRPC or in-memory.
            place: what error messages call the index.
            patience_s: no attempt starts later than this after the first one, seconds.
        """
        self.client = client
        self.place = place
        self._patience_s = patience_s
        self._closed = False

    def close(self) -> None:
        """Let go of the server; later requests raise `StoreError`."""
        self._closed = True
        self.client.close()

    def ask(self, request: Callable[[], _R]) -> _R:
        """Return the answer to the request, made again after passing failures.

        Raises:
            StoreError: the server refused, or does not answer, see the kinds.
        """
        if self._closed:
            raise StoreError(f"the index {self.place} was closed", "open it again")
        started = time.monotonic()
        pauses = iter(_PAUSES_S)
        while True:
            try:
                return request()
            except (ApiException, QdrantException, grpc.RpcError, ValueError) as error:
                failure = failure_of(error, self.place)
                pause = next(pauses, None)
                late = time.monotonic() - started > self._patience_s
                if pause is None or late or not isinstance(failure, StoreUnavailable):
                    raise failure from error
            time.sleep(pause)
