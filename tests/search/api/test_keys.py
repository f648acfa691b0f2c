from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from indexer.errors import SegsearchError
from search.api.keys import Keys, Sessions, read_keys
from search.api.schemas import SearchRequest
from search.api.settings import Settings, is_loopback
from search.client import ApiError, Client
from tests.serving import serving

ADMIN, READ = "admin-0123456789abcdef", "reader-0123456789abcdef"
KEYS = Keys.of([("admin", ADMIN), ("read", READ)])


def test_roles() -> None:
    assert KEYS.role_of(ADMIN) == "admin"
    assert KEYS.role_of(READ) == "read"
    assert KEYS.role_of("") is None
    assert KEYS.role_of(ADMIN + "0") is None
    assert KEYS.role_of("\udcff") is None
    assert not Keys()


def test_keys_come_from_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(f"# ours\nread {READ}  # of the shop\n\n", encoding="utf-8")
    keys = read_keys(file, {"SEGSEARCH_ADMIN_KEY": ADMIN, "SEGSEARCH_READ_KEY": ""})
    assert (keys.role_of(READ), keys.role_of(ADMIN)) == ("read", "admin")
    assert not read_keys(None, {})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("read short", "fewer than 16"),
        (f"write {READ}", "line 1 of"),
        (f"read {READ} {ADMIN}", "line 1 of"),
        ("read schlüssel-0123456789", "plain characters"),
    ],
)
def test_keys_that_make_no_sense(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SegsearchError, match=what):
        read_keys(file, {})
    with pytest.raises(SegsearchError, match="cannot read the keys"):
        read_keys(tmp_path / "none.txt", {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])  # noqa: S104
def test_nobody_else_may_connect_without_keys(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SegsearchError, match="without API keys"):
        Settings("idx", host=host)
    assert Settings("idx", host=host, keys=KEYS).keys


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert not Settings("idx", host=host).keys


def test_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()
    token, other = sessions.begin("read"), sessions.begin("admin")
    assert (sessions.role_of(token), sessions.role_of(other)) == ("read", "admin")
    sessions.end(token)
    assert sessions.role_of(token) is None
    monkeypatch.setattr("time.monotonic", lambda: 1e12)
    assert sessions.role_of(other) is None


def test_what_each_key_may_do(where: str) -> None:
    with serving(Settings(where, keys=KEYS)) as served:
        for key, code in ((None, "key-needed"), ("x" * 20, "key-needed")):
            with Client(served.url, key) as client, pytest.raises(ApiError) as refused:
                client.stats()
            assert (refused.value.status, refused.value.code) == (401, code)
        with Client(served.url, READ) as client:
            assert client.search(SearchRequest(text="red", limit=1, all=True)).hits
            assert client.stats().access.role == "read"
            assert not client.stats().access.can_index
            for ask in (client.start_index, client.stop_index):
                with pytest.raises(ApiError) as refused:
                    ask()
                assert (refused.value.status, refused.value.code) == (403, "not-allowed")
        with Client(served.url, ADMIN) as client:
            assert client.stats().access.can_index
            with pytest.raises(ApiError) as refused:
                client.stop_index()
            assert refused.value.code == "not-running"


def test_every_endpoint_wants_a_key_but_those_that_tell_nothing(where: str) -> None:
    with serving(Settings(where, keys=KEYS)) as served:
        open_ones = set()
        for path, operations in served.app.openapi()["paths"].items():
            for method in operations:
                address = served.url + path.replace("{", "").replace("}", "")
                if httpx.request(method, address).status_code != 401:
                    open_ones.add(path)
    assert open_ones == {"/healthz", "/readyz"}


def test_a_page_logs_in_and_out(where: str) -> None:
    with serving(Settings(where, keys=KEYS)) as served, httpx.Client(base_url=served.url) as page:
        assert page.get("/").status_code == 200
        assert page.post("/v1/session", headers={"X-API-Key": "wrong"}).status_code == 401
        entered = page.post("/v1/session", headers={"X-API-Key": READ})
        assert entered.status_code == 204
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert READ not in cookie
        assert page.get("/v1/stats").json()["access"]["role"] == "read"
        page.delete("/v1/session")
        assert page.get("/v1/stats").status_code == 401
