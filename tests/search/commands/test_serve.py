from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.search.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["--host", "0.0.0.0"], "without API keys nobody but this machine may connect"),  # noqa: S104
        (["--keys", "nowhere"], "cannot read the keys in nowhere"),
        (["--host", "nowhere.invalid", "--keys", "keys.txt"], "cannot listen on nowhere.invalid"),
    ],
)
def test_mistakes(
    run: Callable[..., Run],
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.txt").write_text("read 0123456789abcdef\n", encoding="utf-8")
    done = run("search", "serve", *arguments, "--index", "idx")
    assert (done.code, done.out) == (1, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_port_that_is_taken(run: Callable[..., Run], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("search", "serve", "--port", port, "--index", tmp_path / "idx")
    assert done.code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.err
    assert "give another --port" in done.err


def test_models_that_cannot_be_loaded(run: Callable[..., Run], where: str) -> None:
    done = run("search", "serve", "--index", where, "--port", "0", "--device", "cuda:7")
    assert done.code == 1
    assert "there is no cuda:7 device here" in done.err
    assert "Traceback" not in done.err
