from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from indexer import console
from indexer.console import Format

ROWS = [
    {"path": "line\nend.png", "score": 0.51239, "box": [1, 2, 3, 4], "gone": None},
    {"path": "b.png", "score": -1.0, "box": (), "gone": 7},
]
COLUMNS = {"score": "score", "file": "path", "box": "box", "n": "gone"}


def test_a_table_keeps_a_row_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.write_rows(ROWS, Format.table, COLUMNS)
    assert capsys.readouterr().out.splitlines() == [
        "score   file           box      n",
        "0.512   line\\nend.png  1,2,3,4",
        "-1.000  b.png                   7",
    ]


def test_json_is_whole_and_exact(capsys: pytest.CaptureFixture[str]) -> None:
    console.write_rows(ROWS, Format.json, COLUMNS)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(ROWS))
    console.write_rows(ROWS, Format.jsonl, COLUMNS)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(ROWS))


def test_paths_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert console.short_path(tmp_path / "a" / "b.png") == "a/b.png"
    assert console.short_path(Path("/elsewhere/b.png")) == "/elsewhere/b.png"
    assert console.short_path(tmp_path / os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"


def test_what_a_terminal_cannot_show_is_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import sys

    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    console.write("über")
    written.flush()
    assert written.buffer.getvalue() == b"\\xfcber\n"
