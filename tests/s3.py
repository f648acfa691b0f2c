"""A server that speaks enough of S3 for pyarrow: objects in memory, signatures not looked at."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest

from indexer.library import remote

_PAGE = 3  # keys of a listing's page: few, so that there are several


class Service:
    """What the server has.

    Attributes:
        objects: "bucket/key" → bytes.
        buckets: names.
        broken: whether every request is answered with an error.
        requests: method and path of each request so far.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.buckets = {"bucket"}
        self.broken = False
        self.requests: list[str] = []

    def put(self, key: str, data: bytes) -> None:
        """Store an object; it is a second younger than the one before."""
        self.objects[key] = data
        self.times[key] = time.time() + len(self.times)


@contextmanager
def serving(environment: pytest.MonkeyPatch) -> Iterator[Service]:
    """Serve on a port of this machine that the AWS variables name."""
    service = Service()
    handler = type("Bound", (_Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
    }.items():
        environment.setenv(name, value)
    remote.file_system.cache_clear()
    try:
        yield service
    finally:
        remote.file_system.cache_clear()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_HEAD(self) -> None:
        key, _ = self._asked()
        if self.service.broken:
            self._answer(403)
        elif "/" not in key:
            self._answer(200 if key in self.service.buckets else 404)
        elif key in self.service.objects:
            self._object(key)
        else:
            self._answer(404)

    def do_GET(self) -> None:
        key, query = self._asked()
        if self.service.broken:
            self._error(403, "AccessDenied")
        elif "list-type" in query:
            self._list(key.rstrip("/"), query)
        elif key in self.service.objects:
            self._object(key)
        else:
            self._error(404, "NoSuchKey")

    def do_PUT(self) -> None:
        key, query = self._asked()
        body = self._body()
        if "partNumber" in query:
            self.service.parts[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.service.put(key, body)
        self._answer(200, headers={"ETag": _etag(body)})

    def do_POST(self) -> None:
        key, query = self._asked()
        body = self._body()
        if "uploads" in query:
            self.service.parts[key] = {}
            self._xml("InitiateMultipartUploadResult", f"<UploadId>{escape(key)}</UploadId>")
        elif "uploadId" in query:
            parts = self.service.parts.pop(query["uploadId"])
            self.service.put(key, b"".join(parts[number] for number in sorted(parts)))
            self._xml("CompleteMultipartUploadResult", "<ETag>&quot;x&quot;</ETag>")
        else:  # ?delete
            tree = ET.fromstring(body)  # noqa: S314 - of a test
            for found in tree.iter():
                if found.tag.endswith("Key"):
                    self.service.objects.pop(f"{key.rstrip('/')}/{found.text}", None)
            self._xml("DeleteResult", "")

    def do_DELETE(self) -> None:
        key, _ = self._asked()
        self.service.objects.pop(key, None)
        self._answer(204)

    def _asked(self) -> tuple[str, dict[str, str]]:
        self.service.requests.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        return unquote(parts.path).lstrip("/"), {name: v[0] for name, v in query.items()}

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raw = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return raw
        data = b""
        while head := re.match(rb"([0-9a-fA-F]+)[^\r]*\r\n", raw):
            size = int(head[1], 16)
            if size == 0:
                break
            data += raw[head.end() : head.end() + size]
            raw = raw[head.end() + size + 2 :]
        return data

    def _object(self, key: str) -> None:
        data, headers = self.service.objects[key], {"Accept-Ranges": "bytes"}
        headers["Last-Modified"] = formatdate(self.service.times[key], usegmt=True)
        headers["ETag"] = _etag(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, data, headers)
            return
        first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self._answer(206, data[first : last + 1], headers)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        if bucket not in self.service.buckets:
            self._error(404, "NoSuchBucket")
            return
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        entries: dict[str, str] = {}
        for full in sorted(self.service.objects):
            name = full.removeprefix(f"{bucket}/")
            if name == full or not name.startswith(prefix):
                continue
            end = name.find(delimiter, len(prefix)) if delimiter else -1
            if end >= 0:
                entries[name[: end + 1]] = ""
            else:
                entries[name] = full
        after = query.get("continuation-token", "")
        left = [name for name in sorted(entries) if name > after]
        shown = left[: min(_PAGE, int(query.get("max-keys", 1000)))]
        encode = quote if query.get("encoding-type") == "url" else escape
        body = "".join(self._entry(encode(name), entries[name]) for name in shown)
        body += f"<KeyCount>{len(shown)}</KeyCount><Name>{bucket}</Name>"
        if len(left) > len(shown):
            token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>"
            body += f"<IsTruncated>true</IsTruncated>{token}"
        self._xml("ListBucketResult", body)

    def _entry(self, name: str, full: str) -> str:
        if not full:
            return f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
        changed = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self.service.times[full]))
        size = len(self.service.objects[full])
        return (
            f"<Contents><Key>{name}</Key><Size>{size}</Size>"
            f"<LastModified>{changed}</LastModified></Contents>"
        )

    def _xml(self, name: str, content: str) -> None:
        head = '<?xml version="1.0" encoding="UTF-8"?>'
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        text = f'{head}<{name} xmlns="{space}">{content}</{name}>'
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _error(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._answer(status, body.encode(), {"Content-Type": "application/xml"})

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
