"""Index folders of another user, of nobody who may write, and runs that want the same one."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from indexer.errors import StoreError
from indexer.profiles import Profile
from indexer.store import expect, open_store
from indexer.store.hosted import HostedStore
from tests.e2e.commands import BIN, images_in, photos, run, start, write_profile
from tests.faults import ORDINARY, needs_permissions
from tests.indexer.store.samples import DIM, RECIPE

#: A user without files of their own.
NOBODY = 65534


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index of this user."""
    where = tmp_path / "idx"
    with closing(HostedStore(where)) as store:
        store.create(RECIPE, DIM)
    return where


@pytest.fixture
def theirs(index: Path, tmp_path: Path) -> Path:
    """A copy of that index, of another user."""
    copy = tmp_path / "theirs"
    shutil.copytree(index, copy, ignore=shutil.ignore_patterns("*.sock", "host.json"))
    for path in (copy, *copy.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return copy


def owners(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return what is in a folder: whose it is and what it may be used for."""
    stats = {path: path.stat() for path in (folder, *folder.rglob("*"))}
    return {path: (info.st_uid, info.st_mode) for path, info in stats.items()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_index_is_left_alone(theirs: Path, index: Path, tmp_path: Path) -> None:
    before = owners(theirs)
    with pytest.raises(StoreError, match=r"belongs to .*, and this is root") as caught:
        open_store(str(theirs), create_ok=False)
    assert "chown" in caught.value.hint
    expect(str(theirs))
    folder = photos(tmp_path, 1)
    for command in (
        ("segsearch", "status", "--index", theirs),
        ("index", folder, "--index", theirs, "--profile", "demo"),
        ("search", "text", "red", "--index", theirs),
    ):
        done = run(*command, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "belongs to" in done.stderr
    assert owners(theirs) == before


@needs_permissions
@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_that_may_not_be_written_is_an_error(
    index: Path, tmp_path: Path, mode: int
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(
        index, copy, ignore=shutil.ignore_patterns("*.sock", "host.json", "*.lock", "*.log")
    )
    copy.chmod(mode)
    before = owners(copy)
    done = subprocess.run(
        [*ORDINARY, BIN / "segsearch", "status", "--index", copy],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
    assert owners(copy) == before
    copy.chmod(0o700)
    with closing(HostedStore(copy)) as store:
        assert store.recipe() == RECIPE


def test_of_two_runs_at_once_one_is_told(tmp_path: Path, fast_profile: Profile) -> None:
    folder, where = photos(tmp_path, 4), tmp_path / "idx"
    profile = write_profile(tmp_path / "fast.yaml", fast_profile)
    command = ("index", folder, "--index", where, "--profile", profile)
    said = {}
    for process in [start(*command), start(*command)]:
        _, words = process.communicate(timeout=120)
        said[process.returncode] = words
    assert said.keys() == {0, 1}
    assert said[1].startswith("error: another index run is writing")
    assert images_in(where) == 4
