"""Twenty kills in an index run of forty pictures leave no trace: `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.profiles import Profile
from tests.e2e.commands import kill_at_random, photos, records, run, write_profile


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_kills(tmp_path: Path, fast_profile: Profile, seed: int) -> None:
    folder = photos(tmp_path, 40)
    profile = write_profile(tmp_path / "fast.yaml", fast_profile)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run("index", folder, "--index", whole, "--profile", profile)
    kill_at_random(folder, broken, profile, 20, seed)
    run("index", folder, "--index", broken, "--profile", profile)
    assert len(records(whole)["images"]) == 40
    assert records(broken) == records(whole)
