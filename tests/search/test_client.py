from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from search import Client
from search.client import ApiError


def test_no_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url) as client:
            assert not client.is_ready()
            with pytest.raises(ApiError) as refused:
                client.stats()
    assert (refused.value.code, refused.value.status) == ("unreachable", 0)
    assert url in refused.value.message
    assert "search serve" in refused.value.hint


def test_another_server() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(502)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(f"http://127.0.0.1:{server.server_port}")
        with client, pytest.raises(ApiError, match="answered 502") as refused:
            client.stats()
        server.shutdown()
    assert (refused.value.code, refused.value.status) == ("not-segsearch", 502)


def test_a_server_that_takes_too_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout_s=0.2) as client, pytest.raises(ApiError) as refused:
            client.stats()
        with Client(url, timeout_s=0.2) as client, pytest.raises(ApiError):
            next(client.follow_index())
    assert (refused.value.code, refused.value.hint) == ("timed-out", "wait longer: timeout_s")
