"""Headers that lie, repeat themselves or never end, or would end up in an answer or in the log."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import PIL.Image
import pytest

from indexer import Indexer
from indexer.profiles import Profile
from search.api.settings import Settings
from search.client import Client
from tests.pictures import write_scene
from tests.search.api.test_guards import raw
from tests.search.api.test_keys import KEYS
from tests.search.api.test_search import png
from tests.serving import Served, serving

BODY = b'{"text": "a"}'
JSON = b"Content-Type: application/json\r\n"


def sent(served: Served, head: bytes, body: bytes = b"", host: bytes = b"localhost") -> bytes:
    """Return the answer to a request of these bytes, with one Host and an end."""
    line, _, rest = head.partition(b"\r\n")
    first = line + b"\r\nHost: " + host + b"\r\nConnection: close\r\n"
    return raw(served, first + rest + b"\r\n" + body)


def status(answer: bytes) -> int:
    """Return the status of the one answer there is."""
    found = re.findall(rb"^HTTP/1\.1 (\d+)", answer, re.MULTILINE)
    assert len(found) == 1, answer
    return int(found[0])


@pytest.fixture(scope="module")
def anywhere(where: str) -> Iterator[Served]:
    """A server that answers to every name."""
    with serving(Settings(where, host="0.0.0.0", keys=KEYS)) as served:  # noqa: S104
        yield served


LENGTHS = {
    "both": b"Content-Length: 13\r\nTransfer-Encoding: chunked\r\n",
    "both, the other way": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "unknown": b"Transfer-Encoding: xchunked\r\nContent-Length: 13\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "a space": b"Transfer-Encoding : chunked\r\nContent-Length: 13\r\n",
    "two lengths": b"Content-Length: 13\r\nContent-Length: 14\r\n",
    "negative": b"Content-Length: -1\r\n",
    "signed": b"Content-Length: +13\r\n",
    "hexadecimal": b"Content-Length: 0x0d\r\n",
    "not ASCII": b"Content-Length: \xb2\r\n",
    "endless": b"Content-Length: " + b"9" * 5000 + b"\r\n",
    "nearly endless": b"Content-Length: " + b"9" * 19 + b"\r\n",
}


@pytest.mark.parametrize("name", LENGTHS)
def test_requests_whose_end_is_not_clear(served: Served, name: str) -> None:
    """What follows would be somebody else's request."""
    smuggled = b"0\r\n\r\nGET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /v1/search HTTP/1.1\r\n" + JSON + LENGTHS[name]
    for body in (BODY, smuggled, BODY + smuggled):
        answer = raw(served, head.replace(b"\r\n", b"\r\nHost: localhost\r\n", 1) + b"\r\n" + body)
        assert 400 <= status(answer) < 500
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "chunks", [b"zz\r\nx\r\n0\r\n\r\n", b"f" * 40 + b"\r\nx", b"-1\r\nx\r\n0\r\n\r\n", b"\r\n\r\n"]
)
def test_chunks_that_are_none(served: Served, chunks: bytes) -> None:
    head = b"POST /v1/search HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n"
    assert 400 <= status(sent(served, head, chunks)) < 500


@pytest.mark.parametrize(
    "more",
    [b"X: " + b"a" * 1_000_000 + b"\r\n", b"X: y\r\n" * 100_000, b"X: a\0b\r\n", b"X\x0b: y\r\n",
     b": y\r\n", b"X\r\n", b"Host: evil.example\r\n", b"Host: localhost\r\n"],
    ids=lambda more: more[:8].decode("latin-1"),
)  # fmt: skip
def test_headers_that_cannot_be(served: Served, more: bytes) -> None:
    began = time.monotonic()
    try:
        answer = sent(served, b"GET /v1/stats HTTP/1.1\r\n" + more)
    except ConnectionError:
        answer = b""  # it was closed while we were still sending
    assert not answer or 400 <= status(answer) < 500
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "host",
    [b"localhost@evil.example", b"localhost:1@evil.example", b'localhost:1"><script>', b"[::1",
     b"localhost:evil", b"localhost evil.example", b"localhost/evil", b"localhost\xff", b"[::1]x",
     b"evil.example#localhost", b"localhost,evil.example", b"localhost\\evil", b"localhost:999999"],
)  # fmt: skip
def test_hosts_that_are_none(served: Served, anywhere: Served, host: bytes) -> None:
    """They would be repeated where Starlette sends a browser on."""
    assert status(sent(served, b"GET /v1/images/ HTTP/1.1\r\n", host=host)) == 403
    assert status(sent(anywhere, b"GET /static HTTP/1.1\r\n", host=host)) == 403


def test_forwarded_headers_are_not_believed(served: Served) -> None:
    told = (
        b"X-Forwarded-Host: localhost\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"Forwarded: for=127.0.0.1;host=localhost;proto=https\r\nX-Original-URL: /healthz\r\n"
        b"X-Rewrite-URL: /healthz\r\nX-HTTP-Method-Override: DELETE\r\n"
    )
    evil = sent(served, b"GET /v1/stats HTTP/1.1\r\n" + told, host=b"evil.example")
    assert status(evil) == 403
    led = sent(served, b"GET /v1/images/ HTTP/1.1\r\n" + told.replace(b"localhost", b"evil.x"))
    assert b"evil" not in led
    assert status(led) in (307, 404)
    assert status(sent(served, b"GET /v1/stats HTTP/1.1\r\n" + told)) == 200


@pytest.mark.parametrize(
    "origins",
    [[b"http://evil.example", b"http://localhost"], [b"http://localhost", b"http://evil.example"],
     [b"http://localhost, http://evil.example"], [b"http://localhost.evil"], [b"null"], [b"file://"],
     [b"http://localhost\xff"], [b"http://localhost:1"], [b"http://evil@localhost"], [b""]],
    ids=lambda origins: b"+".join(origins).decode("latin-1") or "empty",
)  # fmt: skip
def test_other_sites_do_not_get_through(served: Served, origins: list[bytes]) -> None:
    lines = b"".join(b"Origin: " + origin + b"\r\n" for origin in origins)
    head = b"POST /v1/search HTTP/1.1\r\nContent-Length: 13\r\n" + JSON + lines
    assert status(sent(served, head, BODY)) == 403


RANGES = (
    b"bytes=0-0", b"bytes=-", b"bytes=a-b", b"bytes=5-1", b"bytes=" + b"9" * 5000 + b"-",
    b"bytes=-" + b"9" * 30, b"lines=0-1", b"bytes=\xb2-", b"bytes=" + b"0-," * 15_000 + b"0-",
    b"bytes=" + b",".join(b"%d-" % i for i in range(6000)), b"bytes=0-0,-", b"",
)  # fmt: skip


@pytest.mark.parametrize("asked", RANGES, ids=lambda asked: asked[:12].decode("latin-1"))
def test_ranges(served: Served, client: Client, asked: bytes) -> None:
    """Nobody gets more by asking for the same bytes many times."""
    image = client.images().images[0].id.encode()
    for path in (b"/static/js/main.js", b"/v1/images/" + image + b"/file"):
        whole = len(sent(served, b"GET " + path + b" HTTP/1.1\r\n"))
        for also in (b"", b"If-Range: x\r\n", b'If-Range: "y"\r\n'):
            head = b"GET " + path + b" HTTP/1.1\r\nRange: " + asked + b"\r\n" + also
            answer = sent(served, head)
            assert status(answer) in (200, 206, 400, 416)
            assert len(answer) < whole + 2000


@pytest.mark.parametrize(
    "tag", [b'"a",' * 15_000, b"*" * 60_000, b'W/"' + b"\\" * 50_000, b"\xff\xfe", b'"', b","]
)
def test_entity_tags(served: Served, client: Client, tag: bytes) -> None:
    image = client.images().images[0].id.encode()
    began = time.monotonic()
    for path in (b"/static/js/main.js", b"/v1/images/" + image + b"/thumbnail"):
        head = b"GET " + path + b" HTTP/1.1\r\nIf-None-Match: " + tag + b"\r\n"
        dated = head + b"If-Modified-Since: Mon, 99 Foo 99999 99:99:99 +9999\r\n"
        assert status(sent(served, dated)) == 200
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "cookie", [b'segsearch_session="' + b"\\" * 50_000, b"a=" * 20_000, b"\xff\xfe=\xfd", b"=;=;"]
)
def test_cookies(served: Served, where: str, cookie: bytes) -> None:
    began = time.monotonic()
    head = b"DELETE /v1/session HTTP/1.1\r\nCookie: " + cookie + b"\r\n"
    assert status(sent(served, head)) == 204
    with serving(Settings(where, keys=KEYS)) as locked:
        assert status(sent(locked, head)) == 401
        key = b"GET /v1/stats HTTP/1.1\r\nX-API-Key: " + cookie + b"\r\n"
        assert status(sent(locked, key)) == 401
    assert time.monotonic() - began < 5


def test_nothing_sent_becomes_a_header(served: Served) -> None:
    """Each asks in its own way for a header of its own in the answer."""
    evil = "%0d%0aX-Evil: 1%0d%0a%0d%0a<script>"
    asked = [
        f"/v1/images/{evil}", f"/v1/images?path={evil}", f"/static/{evil}", f"/{evil}/",
        f"/v1/images/?after={evil}", f"//evil.example/{evil}", f"/v1/segments/{evil}/mask.png",
        "/v1/images/%E5%98%8A%E5%98%8DX-Evil:%201/", "/\\evil.example/", "/%5cevil.example/%2e%2e",
        "//evil.example/v1/images/", "/v1/images/;//evil.example/",
    ]  # fmt: skip
    for target in asked:
        spaces = target.replace(" ", "%20").encode()
        for also in (
            b"",
            b"X-Request-ID: a%0d%0aX-Evil: 1\r\n",
            b"X-Request-ID: \xc3\xa4\x1b[31m\r\n",
        ):
            answer = sent(served, b"GET " + spaces + b" HTTP/1.1\r\n" + also)
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert status(answer) < 500
            assert b"\nx-evil" not in head
            assert not re.search(rb"\nlocation: (?!http://localhost/)", head)


def test_names_of_files_stay_out_of_headers(tmp_path: Path, fast_profile: Profile) -> None:
    """What is downloaded is called by its id, whatever the file in the library is called."""
    folder = tmp_path / 'li"b\r\nX-Evil: 1'
    for i, name in enumerate(('a"; x=".png', "a\r\nX-Evil: 1\r\n\r\n.png", "\u202e\u00e9.png")):
        write_scene(folder / name, i)
    with Indexer(tmp_path / "idx", fast_profile) as indexer:
        assert indexer.index(folder).images == 3
    with serving(Settings(str(tmp_path / "idx"))) as served, Client(served.url) as client:
        for image in client.images().images:
            segment = client.segments_of(image.id).segments[0].id
            made = [
                f"segments/{segment}/{name}" for name in ("mask.png", "cutout.png", "coco.json")
            ]
            for path in (f"images/{image.id}/file", *made):
                answer = httpx.get(f"{served.url}/v1/{path}")
                assert answer.status_code == 200
                assert "x-evil" not in answer.headers
                told = answer.headers["content-disposition"]
                assert re.fullmatch(r'attachment; filename="[0-9a-z-]+\.(png|json)"', told)


def test_the_log_has_one_line_for_each_request(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """No control characters, no ends of lines, nothing that turns the writing round."""
    evil = "a%0d%0aINFO:%20admin%20logged%20in%1b[31m%00%7f%c2%85%c2%9b%e2%80%a8%e2%80%ae%ff"
    with caplog.at_level(logging.DEBUG):
        for method in (b"GET", b"POST", b"PR\x7e"):
            sent(
                served,
                method + b" /v1/" + evil.encode() + b" HTTP/1.1\r\nX-Request-ID: \x85\xe2\r\n"
                b"User-Agent: \x85\xe2\x80\xa8\r\nReferer: \x9b31m\r\n",
            )
        headers = {"content-type": "application/json"}
        words = json.dumps({"text": "\u202e\u2028", "filters": {"path": "x\u2028\u202e\x85"}})
        httpx.post(f"{served.url}/v1/search", content=words, headers=headers)
        sent(served, b"GET /v1/stats HTTP/1.1\r\nX-Request-ID: a b\r\n")
    lines = [record.getMessage() for record in caplog.records if "httpx" not in record.name]
    assert len(lines) >= 5
    for line in lines:
        assert line.isascii()
        assert line.isprintable()


def test_a_picture_of_a_user_says_nothing_in_headers(served: Served) -> None:
    """Neither the upload's name nor what is written in it comes back."""
    buffer = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x010F] = "evil\r\nX-Evil: 1"
    PIL.Image.open(io.BytesIO(png(1))).save(buffer, "PNG", exif=exif)
    files = {"file": ('x"\r\nX-Evil: 1.png', buffer.getvalue(), "text/html")}
    answer = httpx.post(f"{served.url}/v1/uploads", files=files)
    assert answer.status_code == 201
    shown = httpx.get(f"{served.url}/v1/uploads/{answer.json()['id']}/picture.jpg")
    assert shown.headers["content-type"] == "image/jpeg"
    assert b"evil" not in shown.content
    assert "evil" not in str(shown.headers).lower()
