from __future__ import annotations

import logging

import httpx
import pytest

from search.api.settings import Settings
from tests.serving import Served, serving


def test_ids_are_the_clients_if_they_are_sane(served: Served) -> None:
    def told(given: str) -> str:
        headers = {"x-request-id": given}
        return httpx.get(f"{served.url}/healthz", headers=headers).headers["x-request-id"]

    assert told("shop-42.a_b") == "shop-42.a_b"
    for bad in ("a b", "x" * 65, 'a"b', ""):
        assert told(bad) != bad
        assert len(told(bad)) == 16


def test_requests_are_logged_with_their_ids(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "search.api.access"):
        httpx.get(f"{served.url}/v1/nothing?secret=1", headers={"x-request-id": "mine"})
    (line,) = [each for each in caplog.messages if each.startswith("mine ")]
    assert line.startswith("mine GET /v1/nothing 404 ")
    assert "secret" not in line


def test_bugs_are_told_as_such_and_logged(where: str, caplog: pytest.LogCaptureFixture) -> None:
    with serving(Settings(where)) as served:

        @served.app.get("/bug")
        def bug() -> None:
            raise RuntimeError("with /a/secret/path in it")

        answer = httpx.get(f"{served.url}/bug", headers={"x-request-id": "mine"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["request_id"]) == ("internal", "mine")
    assert "secret" not in answer.text
    assert "mine: GET /bug failed" in caplog.text
    assert "with /a/secret/path in it" in caplog.text


def test_metrics_count_by_route(served: Served) -> None:
    for _ in range(3):
        httpx.get(f"{served.url}/v1/images/00000000-0000-4000-8000-000000000000")
    text = httpx.get(f"{served.url}/metrics").text
    counted = 'segsearch_requests_total{method="GET",route="/v1/images/{image_id}",status="404"} '
    (line,) = [each for each in text.splitlines() if each.startswith(counted)]
    assert float(line.removeprefix(counted)) >= 3
    assert "segsearch_index_running 0.0" in text
