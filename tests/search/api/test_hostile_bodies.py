"""Bodies that are too large, too deep, or not what they say: refused, soon and cheaply."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import PIL.Image
import pytest

from search.api.settings import Limits, Settings
from search.api.uploads import Uploads
from search.client import Client
from tests.search.api.test_guards import raw
from tests.search.api.test_search import png
from tests.serving import Served, serving

#: Longest that the refusal of anything here may take, seconds, and the memory that it may take
#: beside the body, MiB.
MOST_S, MOST_MIB = 8.0, 200
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=X"}
END = b"--X--\r\n"
NUMBERS = (
    "1e400", "-1e400", "NaN", "Infinity", "-Infinity", "9" * 30, "9" * 5000, "1" + "0" * 900_000,
    "-1", "1.5e9", "true", '"1"', '"1e400"', "[]", "{}", '"\\u0000"', '"\\ud800"',
)  # fmt: skip


@contextmanager
def cheaply(most_s: float = MOST_S, most_mib: int = MOST_MIB) -> Iterator[None]:
    """Allow little time, and little more memory than this process has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the highest so far
    before, began = _memory("VmRSS"), time.monotonic()
    yield
    assert time.monotonic() - began < most_s
    assert _memory("VmHWM") - before < most_mib


def _memory(name: str) -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) / 1024


def refused(answer: httpx.Response) -> str:
    """Return the code of an answer, which must be a problem that the client is to blame for."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 20_000
    code: str = answer.json()["code"]
    return code


def search(served: Served, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(f"{served.url}/v1/search", content=body, headers=JSON | headers, timeout=30)


def upload(served: Served, body: bytes, path: str = "/v1/uploads") -> httpx.Response:
    return httpx.post(served.url + path, content=body, headers=FORM, timeout=60)


def part(name: bytes = b"file", data: bytes = b"x", more: bytes = b"") -> bytes:
    told = b'--X\r\nContent-Disposition: form-data; name="' + name + b'"; filename="a.png"\r\n'
    return told + more + b"\r\n" + data + b"\r\n"


def field(value: bytes, name: bytes = b"query") -> bytes:
    told = b'--X\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n'
    return told + value + b"\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"text":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
        b'{"text":"a","filters":' + b'{"filters":' * 50_000 + b"1" + b"}" * 50_001,
        b'{"text":"' + b"a" * 1_000_000 + b'"}',
        b'{"text":"' + b"a" * 10_000_000 + b'"}',
        b'{"text":"a","text":"b","limit":1,"limit":"x"}',
        b'{"text":"\\ud800"}',
        b'{"text":"a\\u0000b"}',
        b'{"text":"a\x00b"}',
        b'{"text":"a\xff\xfe"}',
        b'{"text":"\xc0\xae\xc0\xae/"}',
        json.dumps({"positives": [{"text": "x"}] * 60_000}).encode(),
        json.dumps({"positives": [{"segment_id": "x"}] * 30_000}).encode(),
        json.dumps({str(i): 1 for i in range(80_000)}).encode(),
        json.dumps({"text": "a", "filters": {"format": ["\1" * 900] * 50}}).encode(),
        json.dumps({"text": "a", "filters": {"label": ["x"] * 200_000}}).encode(),
        b"",
        b"null",
        b"\0" * 1000,
        gzip.compress(b'{"text":"a"}'),
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)  # fmt: skip
def test_json_that_makes_no_sense(served: Served, body: bytes) -> None:
    with cheaply():
        assert refused(search(served, body)) in ("invalid-request", "too-large")


def test_nothing_is_unpacked(served: Served) -> None:
    """A body that says that it is compressed is taken as it is."""
    bomb = gzip.compress(b" " * 200_000_000)
    with cheaply():
        for how in ("gzip", "deflate", "br", "zstd"):
            assert refused(search(served, bomb, **{"content-encoding": how})) == "invalid-request"


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
def test_numbers_that_are_none(served: Served, number: str) -> None:
    with cheaply(20):
        for name in ("limit", "offset", "per_image", "diversity", "min_relevance"):
            if (name, number) != ("min_relevance", "-1"):
                body = f'{{"text": "a", "{name}": {number}}}'
                assert refused(search(served, body.encode())) == "invalid-request", body[:50]
        for name in ("min_depth", "max_size", "min_area", "since", "near"):
            if number != '"1"':  # as in an address
                body = f'{{"text": "a", "filters": {{"{name}": {number}}}}}'
                assert refused(search(served, body.encode())) == "invalid-request", body[:50]
        if number not in ("[]", "true"):
            body = f'{{"points": [[{number}, 1]], "image_id": "{"0" * 32}"}}'
            answer = httpx.post(f"{served.url}/v1/segment", content=body, headers=JSON, timeout=30)
            assert refused(answer) == ("no-such-image" if number == "1" else "invalid-request")


@pytest.mark.parametrize("day", ["0", "1e9", "-1", "1700000000", "2024-1-1", "2024-02-30", "24:00"])
def test_days_are_written_as_days(served: Served, day: str) -> None:
    body = json.dumps({"text": "a", "filters": {"since": day}}).encode()
    assert refused(search(served, body)) == "invalid-request"
    answer = httpx.get(f"{served.url}/v1/images", params={"until": day})
    assert refused(answer) == "invalid-request"


PATTERNS = (
    "*a" * 400 + "b", "**/" * 300 + "b", "[a-z]*" * 150, "*" * 990, "[" * 990, "[!" * 490,
    "?" * 990, "*?" * 490, "(?:a+)+$", "(a|a)*" * 150, "\\" * 990, "{a,b}" * 190,
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern[:9])
def test_patterns_take_no_time(served: Served, library_folder: Path, pattern: str) -> None:
    name = library_folder.name
    with cheaply(5):
        for glob in (pattern[:1000], f"{name}/{pattern}"[:1000], f"{name}/**/{pattern}"[:1000]):
            body = json.dumps({"text": "a", "all": True, "filters": {"glob": glob}}).encode()
            assert search(served, body).status_code == 200
            answer = httpx.get(f"{served.url}/v1/images", params={"glob": glob})
            assert answer.status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "9" * 4000},
        {"limit": "-1"},
        {"limit": "NaN"},
        {"after": "../../etc/passwd"},
        {"after": "\0"},
        {"after": "z" * 5000},
        {"min_size": "1e400"},
        {"format": ["x"] * 51},
        {"near": "٣,٣,٣"},
        {"glob": "x" * 1001},
        {"nothing": "x"},
    ],
    ids=str,
)
def test_pages_that_are_none(served: Served, params: dict[str, str | list[str]]) -> None:
    answer = httpx.get(f"{served.url}/v1/images", params=params)
    assert refused(answer) == "invalid-request"


FORMS: dict[str, bytes] = {
    "nothing": b"",
    "only an end": END,
    "no end": part(data=png(1)),
    "garbage": b"\0" * 5000,
    "no header": b"--X\r\n\r\nx\r\n" + END,
    "no disposition": b"--X\r\nA: b\r\n\r\nx\r\n" + END,
    "no name": b"--X\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,
    "a broken name": b'--X\r\nContent-Disposition: \xff;=;"\r\n\r\nx\r\n' + END,
    "no file": field(b"abc", b"file") + END,
    "thousands of files": part(b"f") * 3000 + END,
    "many of one name": part() * 900 + END,
    "a hundred thousand fields": field(b"", b"f") * 100_000 + END,
    "a header of 20 MB": part(more=b"X: " + b"a" * 20_000_000 + b"\r\n") + END,
    "a million headers": part(more=b"X: b\r\n" * 1_000_000) + END,
    "forms in forms": part(
        more=b"Content-Type: multipart/mixed; boundary=Y\r\n", data=part().replace(b"--X", b"--Y")
    )
    + END,
    "a long name": part(b"n" * 1_000_000) + END,
    "a field of 30 MB": field(b" " * 30_000_000) + part(data=png(1)) + END,
    "a deep field": field(b"[" * 90_000) + part(data=png(1)) + END,
    "a field that is a file": part(b"query", b"{}") + part(data=png(1)) + END,
    "two queries": field(b"{}") + field(b"[") + part(data=png(1)) + END,
    "numbers that are none": field(b'{"limit": NaN, "box": [1e400, 0, 1, 1]}') + part() + END,
    "a stranger's upload": field(b'{"upload_id": "AAAAAAAAAAAAAAAAAAAAAA"}') + part() + END,
    "more than 32 MB": part(data=b"x" * 34_000_000) + END,
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Starlette's files
@pytest.mark.parametrize("name", FORMS)
def test_forms_that_make_no_sense(served: Served, name: str) -> None:
    body = FORMS[name]
    with cheaply(most_mib=MOST_MIB + 3 * len(body) // 2**20):
        code = refused(upload(served, body, "/v1/search/upload"))
    assert code in ("invalid-request", "too-large", "no-picture")


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=X",
     "multipart/form-data; boundary=" + "X" * 5000, "application/x-www-form-urlencoded",
     "multipart/form-data; boundary=X; charset=utf-16",
     "multipart/form-data; boundary=X; boundary=Y", "application/json", "text/plain", "/", ""],
)  # fmt: skip
def test_forms_of_other_kinds(served: Served, kind: str) -> None:
    body = part(data=png(1)) + END
    headers = {"content-type": kind}
    with cheaply():
        answer = httpx.post(f"{served.url}/v1/uploads", content=body, headers=headers)
    assert refused(answer) == "invalid-request"


def test_names_in_forms_are_not_unpacked(served: Served) -> None:
    """Python knows encodings that are compression."""
    body = part(zlib.compress(b"a" * 10**8, 9).replace(b'"', b"")) + END
    headers = {"content-type": "multipart/form-data; boundary=X; charset=zlib_codec"}
    with cheaply():
        answer = httpx.post(f"{served.url}/v1/uploads", content=body, headers=headers)
    assert refused(answer) == "invalid-request"


def test_an_upload_counts_among_the_pictures_of_a_query(client: Client, served: Served) -> None:
    upload_id = client.upload(png(1)).id
    others = b",".join([f'{{"upload_id": "{upload_id}"}}'.encode()] * 8)
    body = field(b'{"positives": [' + others + b"]}") + part(data=png(1)) + END
    answer = upload(served, body, "/v1/search/upload")
    assert refused(answer) == "invalid-request"
    assert "at most 8 examples" in answer.text


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, pixels: bytes, bits: int = 8, more: bytes = b"") -> bytes:
    """Return a PNG of zeros, however many its header tells of."""
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + packed + chunk(b"IEND", b"")


def saved(kind: str, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width, height)).save(buffer, kind)
    return buffer.getvalue()


def wide_gif() -> bytes:
    return b"GIF89a\xff\xff\xff\xff" + saved("GIF", 8, 8)[10:]


PICTURES: dict[str, Callable[[], bytes]] = {
    "PNG, 4 bits for 900 megapixels": lambda: bomb(30_000, 30_000, b"", 1),
    "PNG, 2 GB of text": lambda: bomb(
        8, 8, bytes(72), more=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 * 10**8), 9) * 10)
    ),
    "PNG, a profile of 200 MB": lambda: bomb(
        8, 8, bytes(72), more=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2 * 10**8), 9))
    ),
    "GIF": wide_gif,
    "WebP": lambda: saved("WEBP", 10_000, 7_000),
    "JPEG": lambda: saved("JPEG", 10_000, 7_000),
    "no picture": lambda: b"\x89PNG\r\n\x1a\n" + b"x" * 1000,
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_are_bombs(served: Served, client: Client, name: str) -> None:
    data = PICTURES[name]()
    with cheaply():
        answer = httpx.post(f"{served.url}/v1/uploads", files={"file": data}, timeout=60)
    assert refused(answer) in ("too-large", "no-picture")
    assert client.upload(png(1)).width == 96


def test_pixels_beyond_the_picture_are_not_unpacked(served: Served) -> None:
    """What a PNG has after its last line is never looked at."""
    data = bomb(8, 8, bytes(3 * 10**8))
    with cheaply():
        answer = httpx.post(f"{served.url}/v1/uploads", files={"file": data}, timeout=60)
    assert answer.status_code in (201, 415)


def test_bodies_that_trickle_in_are_given_up(where: str) -> None:
    """Each piece comes in time; all of them would take for ever."""
    limits = Limits(at_once=1, waiting_s=1, seconds=2)
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"
    with serving(Settings(where, limits=limits)) as served:
        began = time.monotonic()
        assert raw(served, head, *[b" "] * 100).startswith(b"HTTP/1.1 504")
        assert time.monotonic() - began < 8
        with Client(served.url) as client:  # its place is free again
            assert client.stats().exists


def test_small_uploads_do_not_fill_the_memory() -> None:
    uploads = Uploads(replace(Limits(), uploads_bytes=100_000))
    dot = io.BytesIO()
    PIL.Image.new("RGB", (1, 1)).save(dot, "PNG")
    try:
        ids = [uploads.add(dot.getvalue()).id for _ in range(40)]
    finally:
        uploads.close()
    assert len(uploads._kept) == 24
    assert uploads.get(ids[-1])


def test_uploads_that_wait_do_not_keep_all_threads(served: Served) -> None:
    """Those beyond a few are told to come again; searches go on."""
    waiting = served.app.state.segsearch.uploads._waiting
    files = {"file": png(1)}
    taken = 0
    try:
        while waiting.acquire(blocking=False):
            taken += 1
        answer = httpx.post(f"{served.url}/v1/uploads", files=files)
        assert (answer.status_code, answer.json()["code"]) == (429, "busy")
        assert answer.headers["retry-after"] == "1"
        assert search(served, b'{"text": "a"}').status_code == 200
    finally:
        for _ in range(taken):
            waiting.release()
    assert 0 < taken < 16
    assert httpx.post(f"{served.url}/v1/uploads", files=files).status_code == 201
