"""What is known of requests afterwards: ids, the log, Prometheus metrics; and the last resort."""

from __future__ import annotations

import logging
import re
import secrets
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.api import problems

_ACCESS = logging.getLogger("search.api.access")
_LOG = logging.getLogger(__name__)
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
#: Upper ends of the histogram's buckets, seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FAILED = 500
_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")


class Metrics:
    """What Prometheus is told, in a registry of its own."""

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter(
            "segsearch_requests", "Requests answered.", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "segsearch_request_seconds",
            "Time until the answer was sent.",
            ("method", "route"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.in_progress = Gauge(
            "segsearch_requests_in_progress", "Requests being answered.", registry=self.registry
        )
        self.indexing = Gauge(
            "segsearch_index_running", "1 while an index run is going on.", registry=self.registry
        )
        self.pending = Gauge(
            "segsearch_index_pending_files", "Files to be indexed.", registry=self.registry
        )


class Observe:
    """Gives each request an id, logs and counts it, and answers 500 where everything else failed.

    The id is the client's `X-Request-ID` if that is sane, else a new one; it is in the answer's
    header, in every error, and in the log.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap an application."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = _request_id(scope)
        started, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        with self._metrics.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, noting)
            except Exception:
                _LOG.exception("%s: %s %s failed", request_id, scope["method"], _path(scope))
                if status:
                    raise  # half an answer is out: the connection has to break
                detail = "something went wrong that nobody has thought of"
                hint = "the server's log says more under this request's id"
                answer = problems.response("internal", detail, hint, request_id)
                await answer(scope, receive, noting)
            finally:
                self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        _ACCESS.log(
            logging.ERROR if status >= _FAILED else logging.INFO,
            "%s %s %s %d %.1f ms",
            scope["request_id"],
            scope["method"],
            _path(scope),
            status,
            1000 * seconds,
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return secrets.token_hex(8)


def _path(scope: Scope) -> str:
    """Return the path as it can stand in a log: one line, without what was asked for."""
    return str(scope["path"].encode("unicode_escape").decode("ascii"))[:200]
