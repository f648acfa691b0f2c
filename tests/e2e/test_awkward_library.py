"""A library with everything in it that can be in a folder, through the commands."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexer.profiles import Profile
from tests.e2e.commands import BIN, images_in, write_profile
from tests.faults import ORDINARY, needs_permissions
from tests.pictures import write_scene

#: Names in Latin-1, which are no UTF-8.
CAFE, NAIVE = os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"na\xefve.png")
FOLDER = os.fsdecode(b"\xfcber")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed, name in enumerate(
        (f"{FOLDER}/{NAIVE}", f"{FOLDER}/{CAFE}", "locked/02.png", "secret.png", "trip/04.png")
    ):
        write_scene(folder / name, seed)
    (folder / "trip" / "up").symlink_to(folder)
    (folder / "round").symlink_to("round")
    (folder / "lost.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "locked").chmod(0)
    (folder / "secret.png").chmod(0)
    return folder


def ordinary(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command for which permissions mean something."""
    arguments = [*ORDINARY, BIN / command[0], *command[1:]]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)


def failed(index: Path) -> dict[str, dict[str, Any]]:
    """Return name → why it failed, as `status` says it."""
    done = ordinary("segsearch", "status", "--index", index, "--failed", "--format", "json")
    return {Path(row["path"]).name: row for row in json.loads(done.stdout)}


@needs_permissions
def test_an_awkward_library(library: Path, tmp_path: Path, fast_profile: Profile) -> None:
    masks = replace(fast_profile.masks, points_per_side=1)
    profile = write_profile(tmp_path / "quick.yaml", replace(fast_profile, masks=masks))
    index = tmp_path / "idx"
    command = ("index", library, "--index", index, "--profile", profile, "--format", "json")
    first = ordinary(*command)
    assert first.returncode == 3, first.stderr
    report = json.loads(first.stdout)
    assert (report["images"], report["failed"], report["complete"]) == (3, 5, True)
    rows = failed(index)
    assert {name: row["reason"] for name, row in rows.items()} == dict.fromkeys(
        ("locked", "secret.png", "lost.png", "round", "pipe.png"), "unreadable"
    )
    assert all(row["retryable"] for row in rows.values())

    found = ordinary("search", "text", "red", "--index", index, "--all", "--format", "json")
    paths = {Path(hit["path"]) for hit in json.loads(found.stdout)}
    assert library / FOLDER / CAFE in paths

    forgotten = ordinary("segsearch", "forget", library / FOLDER / NAIVE, "--index", index)
    assert forgotten.stderr == "forgotten: 1 files\n"
    (library / "locked").chmod(0o755)
    (library / "secret.png").chmod(0o644)
    for name in ("lost.png", "round", "pipe.png", f"{FOLDER}/{CAFE}"):
        (library / name).unlink()
    second = ordinary(*command, "--prune")
    assert second.returncode == 0, second.stderr
    report = json.loads(second.stdout)
    assert (report["images"], report["failed"], report["pruned"]) == (3, 0, 1)
    assert failed(index) == {}
    assert images_in(index) == 4
