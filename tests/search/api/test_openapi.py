"""The OpenAPI document is true: whatever it allows is no bug, and every error in it is real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from indexer import Indexer
from indexer.profiles import Profile
from indexer.store.layout import HOST_FILE
from search.api.problems import CODES
from search.api.settings import Limits, Settings
from search.client import Client
from tests.pictures import write_scene
from tests.search.api.test_guards import raw
from tests.search.api.test_keys import KEYS, READ
from tests.search.api.test_search import UNKNOWN, png
from tests.serving import Served, serving

Seen = set[tuple[str, str, int]]
#: Method and path → body or parameters, as httpx takes them.
How = dict[str, dict[str, Any]]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def operations(served: Served) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in served.app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def few() -> hypothesis.settings:
    """Return how often an operation is asked: a dozen times, always the same."""
    return hypothesis.settings(
        max_examples=12, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip


def test_whatever_the_document_allows_is_answered(served: Served) -> None:
    """Without runs of the index, which have tests of their own."""
    document = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    tried = set()
    for result in document.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        if (operation.method, operation.path) in (("post", "/v1/index"), ("delete", "/v1/index")):
            continue

        @few()
        @hypothesis.given(case=operation.as_strategy())
        def answered(case: Any) -> None:  # noqa: ANN401 - its type is generic over what it hides
            case.call_and_validate(base_url=served.url, checks=CHECKS)

        answered()
        tried.add((operation.method, operation.path))
    assert len(tried) >= 20


def test_whatever_the_document_forbids_is_refused(served: Served) -> None:
    """Parameters and bodies that do not fit; methods that are not there."""
    document = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    checks = [*CHECKS, negative_data_rejection, unsupported_method]
    tried = set()
    for result in document.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        if operation.path == "/v1/index" or not (operation.body or operation.query):
            continue

        @hypothesis.settings(few(), max_examples=30)
        @hypothesis.given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        def refused(case: Any) -> None:  # noqa: ANN401 - its type is generic over what it hides
            case.call_and_validate(base_url=served.url, checks=checks)

        refused()
        tried.add((operation.method, operation.path))
    assert len(tried) >= 7


def test_methods_that_are_there_are_named(served: Served) -> None:
    for path, methods in served.app.openapi()["paths"].items():
        address = served.url + path.replace("{", "").replace("}", "")
        answer = httpx.request("PATCH", address)
        there = {method.upper() for method in methods}
        assert answer.status_code == 405
        named = set(answer.headers["allow"].split(", "))
        assert named == (there | {"HEAD"} if "GET" in there else there), path


class Asker:
    """Asks every operation, and remembers which errors there were.

    Attributes:
        seen: method, path and status of every error.
    """

    def __init__(self) -> None:
        self.seen: Seen = set()

    def everything(
        self, served: Served, valid: How, ids: dict[str, str], extra: dict[str, Any] | None = None
    ) -> None:
        """Ask all operations with these bodies, parameters and ids in their paths."""
        for method, path, _ in operations(served):
            if method != "DELETE":
                how = {**valid.get(f"{method} {path}", {}), **(extra or {})}
                self.ask(served, method, path, ids, how)

    def ask(
        self,
        served: Served,
        method: str,
        path: str,
        ids: dict[str, str] | None = None,
        how: dict[str, Any] | None = None,
    ) -> None:
        """Ask one."""
        address = served.url + path.format(**(ids or {}))
        answer = httpx.request(method, address, timeout=20, **(how or {}))
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
            self.seen.add((method, path, answer.status_code))


def asking(ids: dict[str, str]) -> How:
    """Requests that read a picture's file, where there is one to read."""
    example = {"image_id": ids["image_id"], "box": [5, 5, 40, 40]}
    return {
        "POST /v1/search": {"json": {"positives": [example]}},
        "POST /v1/search/upload": {"files": {"file": png(1)}},
        "POST /v1/uploads": {"files": {"file": png(1)}},
        "POST /v1/segment": {"json": example},
        "POST /v1/index": {"json": {}},
    }


#: For every operation that can be asked wrongly, how.
WRONG: How = {
    "POST /v1/search": {"json": {}},
    "POST /v1/search/upload": {"files": {"file": png(1)}, "data": {"query": "{"}},
    "POST /v1/uploads": {"json": {}},
    "POST /v1/segment": {"json": {}},
    "POST /v1/index": {"json": {"prune": "perhaps"}},
    "GET /v1/images": {"params": {"limit": 0}},
    "GET /v1/facets": {"params": {"by": "taste"}},
}
LARGE = {"content": b" " * 3000, "headers": {"content-type": "application/json"}}


@pytest.fixture
def own(tmp_path: Path, fast_profile: Profile) -> tuple[Path, Path]:
    """A library of one picture, and its index."""
    folder = write_scene(tmp_path / "photos" / "1.png", 1).parent
    with Indexer(tmp_path / "idx", fast_profile) as indexer:
        indexer.index(folder)
    return folder, tmp_path / "idx"


def test_every_documented_error_is_real_and_every_real_one_documented(
    own: tuple[Path, Path], tmp_path: Path, fast_yaml: str
) -> None:
    folder, where = own
    asker, unknown = Asker(), {"image_id": UNKNOWN, "segment_id": UNKNOWN, "upload_id": "A" * 22}
    with serving(Settings(str(where), folders=(folder,), files=False)) as served:
        with Client(served.url) as client:
            image = client.images().images[0].id
            ids = {**unknown, "image_id": image}
            ids["segment_id"] = client.segments_of(image).segments[0].id
        documented = {
            (method, path, int(status))
            for method, path, operation in operations(served)
            for status in operation["responses"]
            if int(status) >= 400
        }
        asker.everything(served, asking(unknown), unknown)
        query = json.dumps({"positives": [{"segment_id": UNKNOWN}]})
        both = {"files": {"file": png(1)}, "data": {"query": query}}
        asker.ask(served, "POST", "/v1/search/upload", {}, both)
        asker.everything(served, WRONG, dict.fromkeys(unknown, "x"))
        asker.everything(served, {}, ids, LARGE)
        asker.everything(served, asking(ids), ids, {"headers": {"host": "evil.example"}})
        no_picture = {"files": {"file": b"no picture"}}
        for path in ("/v1/uploads", "/v1/search/upload"):
            asker.ask(served, "POST", path, ids, no_picture)
        for path in ("/v1/index", "/v1/session"):
            asker.ask(served, "DELETE", path, ids, {"headers": {"host": "evil.example"}})
        run_states(asker, served)
        shutil.move(folder / "1.png", tmp_path / "1.png")
        asker.everything(served, asking(ids), ids)
        shutil.move(tmp_path / "1.png", folder / "1.png")
    with_keys(asker, where, ids)
    with_limits(asker, where, ids)
    without_models(asker, where, ids)
    without_an_index(asker, where, ids)
    assert asker.seen - documented == set()
    assert documented - asker.seen == set()


def run_states(asker: Asker, served: Served) -> None:
    """Start a run twice, follow it too often, and stop it when there is none."""
    with Client(served.url) as client:
        assert list(client.follow_index())[-1].ended_at is not None  # of the run asked for before
    asker.ask(served, "DELETE", "/v1/index", {})
    served.app.state.segsearch.streams.update(range(99))
    asker.ask(served, "GET", "/v1/index/events", {})
    served.app.state.segsearch.streams.clear()
    for _ in range(2):
        asker.ask(served, "POST", "/v1/index", {})
    with Client(served.url) as client:
        assert [run.state for run in client.follow_index()][-1] == "done"


def with_keys(asker: Asker, where: Path, ids: dict[str, str]) -> None:
    """Ask without a key, and for what only admins may do."""
    with serving(Settings(str(where), keys=KEYS)) as served:
        asker.everything(served, asking(ids), ids)
        for path in ("/v1/index", "/v1/session"):
            asker.ask(served, "DELETE", path)
        asker.ask(served, "DELETE", "/v1/index", {}, {"headers": {"X-API-Key": READ}})


def with_limits(asker: Asker, where: Path, ids: dict[str, str]) -> None:
    """Ask too much, too slowly, and for too long."""
    with serving(Settings(str(where), limits=Limits(at_once=0))) as served:
        asker.everything(served, asking(ids), ids)
        for path in ("/v1/index", "/v1/session"):
            asker.ask(served, "DELETE", path, {})
    with serving(Settings(str(where), limits=Limits(seconds=0))) as served:
        asker.everything(served, asking(ids), ids)
        for path in ("/v1/index", "/v1/session"):
            asker.ask(served, "DELETE", path, {})
    narrow = Limits(body_bytes=1000, upload_bytes=1000, waiting_s=0.5)
    with serving(Settings(str(where), limits=narrow)) as served:
        bodies = {path for method, path, one in operations(served) if "requestBody" in one}
        for path in bodies:
            large = {"files": {"file": b"x" * 3000}} if "upload" in path else LARGE
            asker.ask(served, "POST", path, {}, large)
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n"
            kind = "multipart/form-data; boundary=x" if "upload" in path else "application/json"
            answer = raw(served, f"{head}Content-Type: {kind}\r\n\r\n".encode(), b"")
            assert answer.startswith(b"HTTP/1.1 408"), path
            asker.seen.add(("POST", path, 408))


def without_models(asker: Asker, where: Path, ids: dict[str, str]) -> None:
    """Ask an index whose models cannot be loaded any more."""
    with serving(Settings(str(where))) as served:
        state = served.app.state.segsearch
        searcher = state.library.opened().searcher
        searcher.models.unload()
        searcher.models._device = "cuda:7"
        asker.ask(served, "GET", "/v1/images/{image_id}/file", {"image_id": UNKNOWN})
        asker.everything(served, asking(ids), ids)


def without_an_index(asker: Asker, where: Path, ids: dict[str, str]) -> None:
    """Ask where nothing is indexed, and where what was there is something else now."""
    with serving(Settings(str(where.parent / "none"))) as served:
        asker.everything(served, asking(ids), ids)
    with serving(Settings(str(where))) as served:
        end_host(where)
        where.rename(where.with_name("away"))
        where.write_text("no folder", encoding="utf-8")
        asker.everything(served, asking(ids), ids)


def end_host(where: Path) -> None:
    pid = json.loads((where / HOST_FILE).read_text("utf-8"))["pid"]
    os.kill(pid, signal.SIGTERM)
    while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
        time.sleep(0.02)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_docs_work_offline(served: Served) -> None:
    page = httpx.get(f"{served.url}/docs")
    assert page.status_code == 200
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/swagger/{name}" in page.text
        assert httpx.get(f"{served.url}/swagger/{name}").status_code == 200
    assert "http" not in page.text


def test_the_manual_names_every_error() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f"`{code}`" not in manual] == []
