"""No parameter of any endpoint, and no address, leads to a file that was not indexed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from pydantic import BaseModel

from indexer import Indexer
from indexer.profiles import Profile
from indexer.store.layout import HOST_FILE
from search.api import schemas
from search.api.settings import Settings
from search.client import Client
from tests.pictures import write_scene
from tests.search.api.test_search import png
from tests.serving import Served, serving

CANARY = "canary-5f0e9c"
#: What is asked for; `{here}` is the folder that library, index and canary lie in.
WANTED = (
    "../canary.txt", "photos/../canary.txt", "photos/../../canary.txt", "../idx/host.json",
    "../../../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "file:///etc/passwd",
    "{here}/canary.txt", "{here}/idx/host.json", "file://{here}/canary.txt",
    "..\\canary.txt", "....//canary.txt", "..;/canary.txt", "photos/..%2fcanary.txt",
    "../canary.txt\0.png", "../canary.txt%00.png", "photos/link.png", "~/canary.txt",
    "\u2025/canary.txt", "\uff0e\uff0e\uff0fcanary.txt", "/proc/self/environ", "*", "**/*",
    "../*", "../**/*.json",
)  # fmt: skip
#: The same, as an address may say it, already encoded.
ENCODED = (
    "../canary.txt", "..%2fcanary.txt", "%2e%2e/canary.txt", "%2e%2e%2fcanary.txt",
    "%252e%252e%252fcanary.txt", "..%5ccanary.txt", "..%255ccanary.txt", "%c0%ae%c0%ae/canary.txt",
    "%c0%ae%c0%ae%c0%afcanary.txt", "%e0%80%ae%e0%80%ae/canary.txt", "..%00/canary.txt",
    "%00../canary.txt", "..%ff/canary.txt", "..;/canary.txt", "....//canary.txt",
    "..%u2215canary.txt", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "/etc/passwd",
    "file:%2f%2f%2fetc%2fpasswd", "{here}/canary.txt", "..%2f..%2f..%2f{here}%2fcanary.txt",
)  # fmt: skip


@dataclass
class Prober:
    """Asks, and looks for what must not come.

    Attributes:
        secrets: what must be in no answer.
        here: the folder where all of it lies, which no answer tells unless it was asked with it.
        asked: how many requests were made.
    """

    connection: http.client.HTTPConnection
    secrets: tuple[bytes, ...]
    here: str
    asked: int = 0

    def ask(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> int:
        """Send a request whose target goes out as it is."""
        self.asked += 1
        self.connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.connection.putheader(name, value.encode("utf-8", "surrogatepass"))
        self.connection.endheaders(body)
        answer = self.connection.getresponse()
        told = b"\n".join([answer.read(), *(v.encode("latin-1") for _, v in answer.getheaders())])
        assert answer.status < 500, (method, target, body, told)
        for secret in self.secrets:
            assert secret not in told, (method, target, body)
        sent = f"{target}{body!r}{headers}"
        if self.here not in sent and quote(self.here, safe="") not in sent:
            assert self.here.encode() not in told, (method, target, body)
        return answer.status

    def json(self, method: str, target: str, body: object) -> int:
        """Send JSON."""
        kind = {"Content-Type": "application/json"}
        return self.ask(method, target, json.dumps(body).encode(), kind)

    def form(self, target: str, filename: str, query: str) -> int:
        """Send a form with a picture."""
        told = filename.replace('"', "%22")
        head = b'--X\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n'
        parts = [head % told.encode("utf-8", "surrogatepass"), png(1)]
        parts.append(b'\r\n--X\r\nContent-Disposition: form-data; name="query"\r\n\r\n')
        body = b"".join([*parts, query.encode(), b"\r\n--X--\r\n"])
        kind = {"Content-Type": "multipart/form-data; boundary=X"}
        return self.ask("POST", target, body, kind)


@pytest.fixture(scope="module")
def open_library(
    tmp_path_factory: pytest.TempPathFactory, fast_profile: Profile
) -> Iterator[tuple[Served, Path]]:
    """A library, its index and a file that belongs to neither, in one folder."""
    here = tmp_path_factory.mktemp("here")
    write_scene(here / "photos" / "a.png", 1)
    (here / "canary.txt").write_text(CANARY, encoding="ascii")
    (here / "photos" / "link.png").symlink_to(here / "canary.txt")
    with Indexer(here / "idx", fast_profile) as indexer:
        indexer.index(here / "photos")
    settings = Settings(str(here / "idx"), folders=(here / "photos",))
    with serving(settings) as served:
        yield served, here


@pytest.fixture
def prober(open_library: tuple[Served, Path]) -> Iterator[Prober]:
    served, here = open_library
    with Client(served.url) as client:
        client.images()  # so that the index's host runs, and has published its key
    key = json.loads((here / "idx" / HOST_FILE).read_text("utf-8"))["key"]
    secrets = (CANARY.encode(), str(key).encode(), b"root:x:0:0", b"PATH=")
    place = urlsplit(served.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    yield Prober(connection, secrets, str(here))
    connection.close()


def operations(served: Served) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Iterate over method, path and parameters; index runs may not be started here."""
    for path, methods in served.app.openapi()["paths"].items():
        for method, operation in methods.items():
            if (method, path) != ("post", "/v1/index") and not path.endswith("/events"):
                yield method.upper(), path, operation.get("parameters", [])


def test_parameters(open_library: tuple[Served, Path], prober: Prober) -> None:
    served, here = open_library
    with Client(served.url) as client:
        image = client.images().images[0].id
        segment = client.segments_of(image).segments[0].id
    ids = {"image_id": image, "segment_id": segment, "upload_id": "A" * 22}
    tried: dict[str, int] = {"path": 0, "query": 0, "header": 0, "cookie": 0}
    for method, path, parameters in operations(served):
        for parameter in parameters:
            name, kind = parameter["name"], parameter["in"]
            for each in WANTED if kind == "query" else ENCODED:
                wanted = each.format(here=here)
                tried[kind] += 1
                if kind == "path":
                    prober.ask(method, path.format(**{**ids, name: wanted}))
                elif kind == "query":
                    asked = urlencode({name: wanted}, errors="surrogatepass")
                    prober.ask(method, f"{path.format(**ids)}?{asked}")
                else:
                    header = name if kind == "header" else "Cookie"
                    value = wanted if kind == "header" else f"{name}={wanted}"
                    prober.ask(method, path.format(**ids), headers={header: value})
    assert tried["path"] >= 9 * len(ENCODED)
    assert tried["query"] >= 20 * len(WANTED)


@pytest.mark.parametrize(
    "folder",
    ["/", "/static/", "/static/js/", "/swagger/", "/docs/", "/v1/images/", "/v1/segments/",
     "/v1/uploads/", "/static%2f", "//"],
)  # fmt: skip
def test_addresses(open_library: tuple[Served, Path], prober: Prober, folder: str) -> None:
    _, here = open_library
    depth = len(here.parts) + 8
    for each in ENCODED:
        assert prober.ask("GET", folder + each.format(here=here)) >= 300
    for dots in ("../", "%2e%2e/", "..%2f", "%2e%2e%2f", "..%5c", ".%2e/"):
        for end in ("canary.txt", "etc/passwd", f"{here}/idx/host.json".lstrip("/")):
            assert prober.ask("GET", folder + dots * depth + end) >= 300


def leaves(schema: Any, root: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401
    """Iterate over the places in a body where a schema wants text; "0" is a place in a list."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for each in schema.get("anyOf", ()):
        yield from leaves(each, root, at)
    for name, each in schema.get("properties", {}).items():
        yield from leaves(each, root, (*at, name))
    if "items" in schema:
        yield from leaves(schema["items"], root, (*at, "0"))
    if schema.get("type") == "string":
        yield at


def put(body: Any, at: tuple[str, ...], value: str) -> Any:  # noqa: ANN401
    """Return a body with a value at a place."""
    if not at:
        return value
    if at[0] == "0":
        return [put({}, at[1:], value)]
    known = body if isinstance(body, dict) else {}
    return {**known, at[0]: put(known.get(at[0], {}), at[1:], value)}


def test_bodies(open_library: tuple[Served, Path], prober: Prober) -> None:
    _, here = open_library
    asked: tuple[tuple[str, type[BaseModel], dict[str, Any]], ...] = (
        ("/v1/search", schemas.SearchRequest, {"text": "red", "all": True}),
        ("/v1/search", schemas.SearchRequest, {}),
        ("/v1/search/upload", schemas.UploadSearch, {}),
        ("/v1/segment", schemas.SegmentRequest, {"points": [[5, 5]]}),
    )
    places = set()
    for path, model, base in asked:
        schema = model.model_json_schema()
        for at in leaves(schema, schema):
            places.add((path, at))
            few = WANTED[::12] if path.endswith("upload") else WANTED[::5]
            for each in WANTED if at[-1] in ("path", "glob") else few:
                body = put(base, at, each.format(here=here))
                if path.endswith("upload"):
                    prober.form(path, "a.png", json.dumps(body))
                else:
                    prober.json("POST", path, body)
    assert {("/v1/search", ("filters", "path")), ("/v1/search", ("filters", "glob"))} <= places
    assert ("/v1/search", ("scene", "things", "0", "example", "upload_id")) in places


def test_names_of_uploads(open_library: tuple[Served, Path], prober: Prober) -> None:
    """They are for nothing: a picture is kept under an id of the server's."""
    _, here = open_library
    for each in (*WANTED, *ENCODED, "\ud800", "a\\", ""):
        before = sorted(here.rglob("*"))
        status = prober.form("/v1/uploads", each.format(here=here), "{}")
        assert status in (201, 422)
        assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("name", ["folders", "folder", "path", "paths", "index", "root", "profile"])
def test_only_the_configured_folders_are_indexed(
    open_library: tuple[Served, Path], prober: Prober, name: str
) -> None:
    served, here = open_library
    for value in ("/etc", ["/etc"], str(here), [f"file://{here}"]):
        assert prober.json("POST", "/v1/index", {name: value}) == 422
    with Client(served.url) as client:
        assert client.index_run().state == "never"
