"""The installed commands as processes, for tests."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from indexer.profiles import Profile, profile_data
from indexer.store import open_store
from indexer.store.base import KINDS
from tests.pictures import write_scene

BIN = Path(sys.executable).parent


def write_profile(path: Path, profile: Profile) -> Path:
    """Write a profile as YAML and return its path."""
    path.write_text(yaml.safe_dump(profile_data(profile)), encoding="utf-8")
    return path


def photos(tmp_path: Path, count: int) -> Path:
    """Write that many different pictures and return their folder."""
    for seed in range(count):
        write_scene(tmp_path / "photos" / f"{seed:02d}.png", seed)
    return tmp_path / "photos"


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [BIN / command[0], *command[1:]], check=check, capture_output=True, text=True, timeout=300
    )


def start(*command: str | Path) -> subprocess.Popen[str]:
    """Start a command; its stderr can be read."""
    arguments = [BIN / command[0], *command[1:]]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def images_in(where: Path) -> int:
    """Return the number of images of an index, 0 where there is none yet."""
    if not (where / "segsearch.json").exists():
        return 0
    with closing(open_store(str(where), create_ok=False)) as store:
        return store.count("images")


def wait_for_images(where: Path, writer: subprocess.Popen[str], count: int = 1) -> None:
    """Wait until a run has indexed that many pictures, or has ended."""
    while writer.poll() is None and images_in(where) < count:
        time.sleep(0.05)


def records(where: Path) -> dict[str, dict[str, Any]]:
    """Return kind → id → payload of everything stored, but for when it was indexed."""
    with closing(open_store(str(where), create_ok=False)) as store:
        found: dict[str, dict[str, Any]] = {
            kind: {point.id: point.payload for point in store.scroll(kind, limit=100_000).points}
            for kind in KINDS
        }
    for payload in found["images"].values():
        del payload["indexed_at"]
    return found


def kill_at_random(folder: Path, where: Path, profile: Path, times: int, seed: int) -> int:
    """Start indexing and kill it at random moments; return how many pictures were done then.

    Half of the kills come at any time from the start on, the others soon after a picture more has
    been written, so that they hit the writing and not only the loading of models.
    """
    moments = random.Random(seed)  # noqa: S311 - no secret
    for number in range(times):
        already = images_in(where)
        killed = start("index", folder, "--index", where, "--profile", profile)
        if number % 2:
            wait_for_images(where, killed, already + 1)
            time.sleep(moments.uniform(0, 0.3))
        else:
            time.sleep(moments.uniform(0, 8))
        killed.kill()
        killed.communicate()
    return images_in(where)
