from __future__ import annotations

import json
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx
import pytest

from search.api.settings import Limits, Settings
from search.client import Client
from tests.search.api.test_keys import KEYS
from tests.search.api.test_search import png
from tests.serving import Served, serving

LIMITS = Limits(
    body_bytes=1000, upload_bytes=20_000, upload_pixels=10_000, at_once=2, waiting_s=1, seconds=30
)


@pytest.fixture(scope="module")
def narrow(where: str) -> Iterator[Served]:
    with serving(Settings(where, limits=LIMITS)) as served:
        yield served


@dataclass(frozen=True)
class Slow:
    """An endpoint that answers when it is told to.

    Attributes:
        begun: released by every request that has come in.
        go_on: lets them be answered.
    """

    begun: threading.Semaphore
    go_on: threading.Event


def slow_endpoint(served: Served) -> Slow:
    """Add the endpoint /slow."""
    made = Slow(threading.Semaphore(0), threading.Event())

    @served.app.get("/slow")
    def slow() -> dict[str, str]:
        made.begun.release()
        made.go_on.wait(10)
        return {}

    return made


def raw(served: Served, *parts: bytes) -> bytes:
    """Send bytes as they are, a piece at a time until there is an answer, and return it."""
    place = urlsplit(served.url)
    assert place.hostname is not None
    with closing(socket.create_connection((place.hostname, place.port or 0), timeout=10)) as link:
        for part in parts:
            link.sendall(part)
            if select.select([link], [], [], 0.1)[0]:
                break
        answer = b""
        while piece := link.recv(65536):
            answer += piece
    return answer


def test_large_bodies_are_refused_as_soon_as_they_are_announced(narrow: Served) -> None:
    announced = (
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999\r\n\r\n"
    )
    assert raw(narrow, announced).startswith(b"HTTP/1.1 413")


def test_large_bodies_are_refused_while_they_arrive(narrow: Served) -> None:
    """Without a length, as a stream that would never end."""
    head = (
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"200\r\n" + b" " * 512 + b"\r\n"
    answer = raw(narrow, head, chunk, chunk, chunk)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"too-large"' in answer
    assert b"connection: close" in answer.lower()


def test_uploads_have_a_limit_of_their_own(narrow: Served) -> None:
    with Client(narrow.url) as client:
        assert client.upload(png(1)).width == 96
    answer = httpx.post(f"{narrow.url}/v1/uploads", files={"file": b"x" * 30_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_pixels_are_counted_before_they_are_decoded(narrow: Served) -> None:
    """A PNG of 30,000 × 30,000 pixels, in a few bytes."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
    answer = httpx.post(f"{narrow.url}/v1/uploads", files={"file": bomb})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_slow_bodies_are_given_up(narrow: Served) -> None:
    head = (
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 30\r\n\r\n{"
    )
    answer = raw(narrow, head)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"too-slow"' in answer


def test_too_many_at_once_are_told_to_come_again(narrow: Served) -> None:
    slow = slow_endpoint(narrow)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(httpx.get, f"{narrow.url}/slow") for _ in range(2)]
        assert all(slow.begun.acquire(timeout=5) for _ in range(2))
        refused = httpx.get(f"{narrow.url}/v1/stats")
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert refused.headers["retry-after"] == "1"
        assert httpx.get(f"{narrow.url}/healthz").status_code == 200
        slow.go_on.set()
        assert [each.result().status_code for each in waiting] == [200, 200]
    assert httpx.get(f"{narrow.url}/v1/stats").status_code == 200


def test_answers_that_take_too_long(where: str) -> None:
    with serving(Settings(where, limits=replace(LIMITS, at_once=1, seconds=1))) as served:
        slow = slow_endpoint(served)
        late = httpx.get(f"{served.url}/slow", timeout=5)
        assert (late.status_code, late.json()["code"]) == (504, "timed-out")
        busy = httpx.get(f"{served.url}/v1/stats")  # the thread is still at work
        assert busy.status_code == 429
        slow.go_on.set()
        deadline = time.monotonic() + 5
        while httpx.get(f"{served.url}/v1/stats").status_code == 429:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.x", ""])
def test_other_names_for_this_address_are_not_answered_to(served: Served, host: str) -> None:
    answer = httpx.get(f"{served.url}/v1/stats", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["code"] == "not-allowed"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:80"])
def test_this_machines_names_are(served: Served, host: str) -> None:
    assert httpx.get(f"{served.url}/v1/stats", headers={"host": host}).status_code == 200


def test_other_sites_pages_change_nothing(served: Served) -> None:
    body = json.dumps({"text": "red"})
    for origin, status in (("http://evil.example", 403), ("null", 403), (served.url, 200)):
        headers = {"origin": origin, "content-type": "application/json"}
        answer = httpx.post(f"{served.url}/v1/search", content=body, headers=headers)
        assert answer.status_code == status


def test_sites_that_are_allowed_may_ask(where: str) -> None:
    shop = "https://shop.example"
    with serving(Settings(where, origins=(shop,))) as served:
        asked = {"origin": shop, "access-control-request-method": "POST"}
        allowed = httpx.options(f"{served.url}/v1/search", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == shop
        asked["origin"] = "https://evil.example"
        other = httpx.options(f"{served.url}/v1/search", headers=asked)
        assert "access-control-allow-origin" not in other.headers
        told = httpx.post(f"{served.url}/v1/search", json={"text": "a"}, headers={"origin": shop})
        assert told.status_code == 200
        assert "cross-origin-resource-policy" not in told.headers


def test_without_sites_that_are_allowed_there_is_no_cors(served: Served) -> None:
    answer = httpx.get(f"{served.url}/v1/stats", headers={"origin": "https://shop.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_browsers_are_kept_from_doing_more_than_they_should(served: Served) -> None:
    for path in ("/", "/v1/stats", "/nothing", "/static/icon.svg"):
        headers = httpx.get(served.url + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert httpx.get(f"{served.url}/v1/stats").headers["cache-control"] == "no-store"


def test_the_page_has_nothing_that_its_policy_forbids(served: Served) -> None:
    text = httpx.get(served.url).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|https?://", text)


def test_clients_that_do_not_read_are_dropped(where: str) -> None:
    """Each asks for a large file many times, and takes nothing of it."""
    limits = replace(LIMITS, waiting_s=0.5, seconds=30)
    with serving(Settings(where, limits=limits)) as served:
        place = urlsplit(served.url)
        asked = b"GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
        links = [
            socket.create_connection((place.hostname or "", place.port or 0)) for _ in range(2)
        ]
        try:
            for link in links:
                link.sendall(asked)
            deadline = time.monotonic() + 20
            free = 0
            while free < 3:  # in a row
                assert time.monotonic() < deadline
                free = free + 1 if httpx.get(f"{served.url}/v1/stats").status_code == 200 else 0
        finally:
            for link in links:
                link.close()


def test_health_is_told_while_all_threads_are_busy(where: str) -> None:
    with serving(Settings(where)) as served:
        slow = slow_endpoint(served)
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(httpx.get, f"{served.url}/slow", timeout=30) for _ in range(20)]
            assert all(slow.begun.acquire(timeout=10) for _ in range(16))
            for path in ("/healthz", "/readyz", "/metrics"):
                assert httpx.get(served.url + path, timeout=5).status_code == 200
            slow.go_on.set()
            assert {each.result().status_code for each in waiting} == {200}


def test_strange_origins_and_methods(served: Served) -> None:
    answer = httpx.post(f"{served.url}/v1/search", json={}, headers={"origin": "http://["})
    assert answer.status_code == 403
    for method in ("M1", "M2", "TRACE"):
        assert httpx.request(method, f"{served.url}/v1/images").status_code == 405
    text = httpx.get(f"{served.url}/metrics").text
    assert 'method="M1"' not in text
    assert 'method="other",route="/v1/images",status="405"' in text


@pytest.mark.parametrize(
    ("host", "names", "asked", "status"),
    [
        ("0.0.0.0", (), "anything.example", 200),  # noqa: S104
        ("0.0.0.0", ("photos.example",), "photos.example:80", 200),  # noqa: S104
        ("0.0.0.0", ("photos.example",), "anything.example", 403),  # noqa: S104
        ("fd00::5", (), "[fd00::5]:8000", 200),
        ("fd00::5", (), "[fd00::6]:8000", 403),
    ],
)
def test_names_of_servers_that_are_open(
    where: str, host: str, names: tuple[str, ...], asked: str, status: int
) -> None:
    settings = Settings(where, host=host, names=names, keys=KEYS)
    with serving(settings) as served:
        assert httpx.get(f"{served.url}/healthz", headers={"host": asked}).status_code == status


def test_keys_are_looked_at_before_bodies(where: str) -> None:
    with serving(Settings(where, keys=KEYS)) as served:
        head = (
            b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        assert raw(served, head).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "begun", [b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "]
)
def test_connections_without_a_request_are_closed(where: str, begun: bytes) -> None:
    with serving(Settings(where), patience_s=0.3) as served:
        started = time.monotonic()
        assert raw(served, begun) == b""
        assert time.monotonic() - started < 5
        whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = raw(served, whole + begun)  # kept alive, and then left alone
        assert answer.startswith(b"HTTP/1.1 200")
