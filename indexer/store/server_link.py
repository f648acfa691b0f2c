"""The way to a Qdrant server: its address, its key, repeated requests, and its errors as ours."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from indexer.errors import IndexNotFound, StoreError, StoreUnavailable

DEFAULT_PORT = 6333
TIMEOUT_S = 30

#: Pauses between attempts; no attempt starts after two timeouts.
_PAUSES_S = (0.25, 0.5, 1.0)
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500

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


def client_for(address: Address, timeout_s: int) -> QdrantClient:
    """Return a client of the server, with the key in `QDRANT_API_KEY`; nothing is sent yet."""
    key = os.environ.get("QDRANT_API_KEY") or None
    local = address.host in ("localhost", "127.0.0.1", "::1")
    host = f"[{address.host}]" if ":" in address.host else address.host
    return QdrantClient(
        url=f"{address.scheme}://{host}:{address.port}",
        port=address.port,
        # As a header, because qdrant-client warns of keys without TLS, even on this machine.
        api_key=None if local else key,
        headers={"api-key": key} if local and key else None,
        timeout=timeout_s,
        check_compatibility=False,
    )


class Link:
    """Requests to one server, safe to make from many threads.

    Requests that fail because the server cannot be reached or reports an error of its own are
    repeated for a while, so repeating any of them must be safe.
    """

    def __init__(self, client: QdrantClient, place: str, patience_s: float) -> None:
        """Use `client`, which `close` closes.

        Args:
            client: REST or in-memory.
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
                return StoreUnavailable(f"{self.place} is overloaded: {error}", "try again later")
            case UnexpectedResponse(status_code=int(status)) if _is_final(status):
                return self._refusal(status, _said(error))
            case UnexpectedResponse(status_code=status):
                said = f"{status}: {_said(error)}"
            case ResponseHandlingException(source=ValueError() as source):
                return StoreError(
                    f"what answers at {self.place} is not a Qdrant server: {source}",
                    "check host and port",
                )
            case ResponseHandlingException(source=source):
                said = f"{type(source).__name__}: {source}"
            case _:  # what the in-memory engine raises where a server answers 400
                return StoreError(f"{self.place}: {error}")
        return StoreUnavailable(
            f"no answer from {self.place} ({said})",
            "see that the server runs: docker compose up -d",
        )

    def _refusal(self, status: int, said: str) -> StoreError:
        message = f"{self.place}: {said}"
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
