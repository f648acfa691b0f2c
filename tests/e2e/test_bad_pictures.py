"""`index` over a folder of pictures that bite: each of them is indexed or recorded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from indexer.profiles import Profile
from tests.bad_bytes import many_scans
from tests.bad_pictures import Case, Promise, corpus, write, write_strange_files
from tests.e2e.commands import photos, records, run, write_profile

#: Of the pictures that may be indexed, one in so many is there: each has to be cut into segments.
ONE_IN = 15
#: In the names of those that take longest.
LONG = "×"
#: Seconds of computing that are too many, at least, on any machine.
TOO_SLOW = 60


def chosen() -> list[Case]:
    """Return all that must fail, and some of the rest."""
    cases = corpus(3)
    failing = [case for case in cases if not case.promise.indexed]
    others = [case for case in cases if case.promise.indexed and LONG not in case.name]
    return failing + others[::ONE_IN]


def outcomes(where: Path, folder: Path) -> dict[str, str | None]:
    """Return path in the folder → why it could not be indexed, or None where it was."""
    failed = run("segsearch", "status", "--index", where, "--failed", "--format", "json")
    rows = json.loads(failed.stdout)
    reasons = {row["path"].removeprefix(f"{folder}/"): row["reason"] for row in rows}
    paths = [payload["path"] for payload in records(where)["files"].values()]
    assert reasons.keys() <= set(paths)
    return {path: reasons.get(path) for path in paths}


def as_promised(reason: str | None, promise: Promise) -> bool:
    return promise.indexed if reason is None else reason in promise.reasons


def test_every_file_is_indexed_or_recorded(tmp_path: Path, fast_profile: Profile) -> None:
    profile, where = write_profile(tmp_path / "fast.yaml", fast_profile), tmp_path / "idx"
    folder = tmp_path / "pictures"
    promises = write(chosen(), folder) | write_strange_files(folder)
    command = ("index", folder, "--index", where, "--profile", profile, "--format", "json")
    first = run(*command, check=False)
    assert (first.returncode, first.stderr.count("Traceback")) == (3, 0), first.stderr
    seen = outcomes(where, folder)
    assert seen.keys() == promises.keys()
    assert not {path: why for path, why in seen.items() if not as_promised(why, promises[path])}
    again = json.loads(run(*command, check=False).stdout)
    report = json.loads(first.stdout)
    assert again["images"] == 0
    retried = sum(reason in ("unreadable", "needs_extra") for reason in seen.values())
    assert (report["failed"], again["failed"]) == (sum(map(bool, seen.values())), retried)
    assert outcomes(where, folder) == seen


@pytest.mark.slow
def test_a_picture_that_takes_too_long_does_not_stop_a_run(
    tmp_path: Path, fast_profile: Profile
) -> None:
    """The real limit, with a file of a few megabytes that would take many minutes."""
    profile, where = write_profile(tmp_path / "fast.yaml", fast_profile), tmp_path / "idx"
    folder = photos(tmp_path, 2)
    (folder / "00 slow.jpg").write_bytes(many_scans(3000, 8000))
    started = time.monotonic()
    done = run("index", folder, "--index", where, "--profile", profile, check=False)
    assert done.returncode == 3
    assert 40 < time.monotonic() - started < 40 + 2 * TOO_SLOW
    assert outcomes(where, folder) == {"00 slow.jpg": "too_slow", "00.png": None, "01.png": None}
