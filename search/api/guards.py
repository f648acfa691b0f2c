"""What stands before every request: who may ask, how much, and how fast.

Plain ASGI, so that bodies are counted while they arrive, and nothing waits for a whole one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
from collections.abc import Iterable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.api import problems
from search.api.keys import COOKIE, KEY_HEADER, Keys, Role, Sessions
from search.api.settings import Limits

_LOG = logging.getLogger(__name__)
#: These are answered whatever else is going on, as long as they last.
_ALWAYS = ("/healthz", "/readyz", "/metrics", "/v1/index/events")
#: Where a key is needed, if there are any.
_KEYED = ("/v1/", "/metrics")
_UPLOADS = ("/v1/uploads", "/v1/search/upload")
_SAFE = ("GET", "HEAD", "OPTIONS")
#: Headers that decide who is asked, and who asks.
_ONCE = (b"host", b"origin")
#: A host's name or address, with a port or without.
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
#: Swagger UI, which is not ours, styles its elements in place.
_DOCS_POLICY = _PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
_ONLY_HERE = b"cross-origin-resource-policy"
#: What the client still sends would be taken for its next request.
_CLOSE = {"connection": "close"}
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (_ONLY_HERE, b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class Headers:
    """Adds the headers that keep browsers from doing more than they should."""

    def __init__(self, app: ASGIApp, *, shared: bool) -> None:
        """Wrap an application; `shared` lets the pages of other sites show its pictures."""
        self._app = app
        self._added = tuple(h for h in _HEADERS if not (shared and h[0] == _ONLY_HERE))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        policy = _DOCS_POLICY if scope.get("path") == "/docs" else _PAGE_POLICY

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                added = [*self._added, (b"content-security-policy", policy.encode())]
                if not any(name == b"cache-control" for name, _ in given):
                    added.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*given, *added]}
            await send(message)

        await self._app(scope, receive, adding)


class Head:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


class Authenticate:
    """Finds out who asks, before a body is read; see `search.api.keys`."""

    def __init__(self, app: ASGIApp, keys: Keys, sessions: Sessions) -> None:
        """Wrap an application."""
        self._app = app
        self._keys = keys
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with the caller's role in `scope["role"]`."""
        if scope["type"] != "http" or not scope["path"].startswith(_KEYED):
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        key, session = request.headers.get(KEY_HEADER), request.cookies.get(COOKIE)
        role: Role | None = None if self._keys else "admin"  # without keys, everybody here is one
        if role is None and key:
            role = self._keys.role_of(key)
        elif role is None and session:
            role = self._sessions.role_of(session)
        if role is None:
            why = "the key is not known" if key else "there is no key with this request"
            hint = f"send a key in the header {KEY_HEADER}"
            headers = {"www-authenticate": "ApiKey"}
            await _refuse(problems.Refused("key-needed", why, hint, headers), scope, receive, send)
            return
        scope["role"] = role
        await self._app(scope, receive, send)


class SameSite:
    """Refuses what other sites' pages send through the user's browser.

    A page of another site may have its own name resolve to this address (DNS rebinding), so the
    names that are answered to are known; and it may send forms, so that what changes something
    must come from the page itself, from a site that is allowed to, or from no page at all.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], origins: Iterable[str]) -> None:
        """Wrap an application.

        Args:
            app: what is wrapped.
            names: host names that are answered to, without ports; "*" is any.
            origins: other sites that may do what the page may do.
        """
        self._app = app
        self._names = {name.lower() for name in names}
        self._origins = set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and (why := self._objection(scope)):
            hint = "name the host with --name, or the site with --origin, when serving"
            await _refuse(problems.Refused("not-allowed", why, hint), scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _objection(self, scope: Scope) -> str:
        headers: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name in _ONCE and name in headers:
                return f"the request has more than one header {name.decode()}"
            headers[name] = value.decode("latin-1")
        if b"content-length" in headers and b"transfer-encoding" in headers:
            return "the request tells its length in two ways"  # others may take its end elsewhere
        host = headers.get(b"host", "")
        if not self._is_own(host):
            return "the request was sent to a host name that is not this server's"
        origin = headers.get(b"origin")
        if origin is None or scope["method"] in _SAFE or origin in self._origins:
            return ""
        own = (f"http://{host}", f"https://{host}")
        return "" if origin in own else "another site's page has sent this"

    def _is_own(self, host: str) -> bool:
        """Whether a Host header may be this server's; it is repeated in redirects."""
        found = _HOST.fullmatch(host)
        if found is None:
            return not host and "*" in self._names  # HTTP/1.0 needs none
        return "*" in self._names or found[1].lower() in self._names


class Limit:
    """Caps requests in progress, the size of their bodies, and how long they may take."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        """Wrap an application."""
        self._app = app
        self._limits = limits
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._in_progress >= self._limits.at_once:
            many = f"{self._in_progress} requests are being answered"
            busy = problems.Refused("busy", many, "try again in a second", {"retry-after": "1"})
            await _refuse(busy, scope, receive, send)
            return
        self._in_progress += 1
        body = _Body(receive, scope, self._limits)
        answer = _Answer(send, self._limits.waiting_s)
        work = asyncio.create_task(self._work(scope, body, answer))
        if await answer.begins(work, self._limits.seconds):
            with contextlib.suppress(_Stalled):
                await work
            return
        # what runs in a thread cannot be stopped: it counts as in progress until it ends
        answer.is_late = True
        work.add_done_callback(functools.partial(_note, scope["request_id"]))
        late = f"there was no answer after {self._limits.seconds:g} s"
        refused = problems.Refused("timed-out", late, "try again, or ask for less at once")
        await _refuse(refused, scope, receive, send)

    async def _work(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        try:
            await self._app(scope, body.receive, answer.send)
        finally:
            self._in_progress -= 1


class _Stalled(Exception):
    """The client does not take the answer; its connection is closed, as it is not complete."""


class _Answer:
    """What is sent back, unless it is late."""

    def __init__(self, send: Send, waiting_s: float) -> None:
        self.is_late = False
        self._send = send
        self._waiting_s = waiting_s
        self._begun = asyncio.Event()

    async def send(self, message: Message) -> None:
        if self.is_late:
            return
        self._begun.set()
        try:
            async with asyncio.timeout(self._waiting_s):
                await self._send(message)
        except TimeoutError:
            raise _Stalled from None

    async def begins(self, work: asyncio.Task[None], seconds: float) -> bool:
        """Wait until the answer begins or the work ends; False if neither does in time."""
        begun = asyncio.create_task(self._begun.wait())
        await asyncio.wait({work, begun}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        return work.done() or self._begun.is_set()


class _Body:
    """A body that is counted and timed while it arrives."""

    def __init__(self, receive: Receive, scope: Scope, limits: Limits) -> None:
        upload = scope["path"] in _UPLOADS
        self._receive = receive
        self._most = limits.upload_bytes if upload else limits.body_bytes
        self._waiting_s = limits.waiting_s
        self._length = next((v for n, v in scope["headers"] if n == b"content-length"), b"")
        self._seen = 0
        self._over = False

    async def receive(self) -> Message:
        if self._over:
            return await self._receive()  # waits for the client to go away
        if self._length.isdigit() and int(self._length) > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._waiting_s):
                message = await self._receive()
        except TimeoutError:
            slow = f"nothing came for {self._waiting_s:g} s"
            raise problems.Refused("too-slow", slow, "send it again, faster", _CLOSE) from None
        self._seen += len(message.get("body", b""))
        self._over = not message.get("more_body", False)
        if self._seen > self._most:
            raise self._too_large()
        return message

    def _too_large(self) -> problems.Refused:
        most = self._most / 2**20
        return problems.Refused(
            "too-large",
            f"the request's body has more than {most:g} MiB",
            "send a smaller picture, or fewer examples",
            _CLOSE,
        )


async def _refuse(refused: problems.Refused, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {**_CLOSE, **(refused.headers or {})}
    answer = problems.response(
        refused.code, refused.message, refused.hint, scope["request_id"], headers=headers
    )
    await answer(scope, receive, send)


def _note(request_id: str, work: asyncio.Task[None]) -> None:
    """Log what went wrong with work that nobody waits for any more."""
    if not work.cancelled() and (error := work.exception()):
        _LOG.error("%s: failed after it had timed out", request_id, exc_info=error)
