"""Pictures and shards in an object store, with a real Ray and a server on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from indexer import Indexer
from indexer.candidates import Candidate
from indexer.distributed import Cluster
from indexer.distributed.shards import Shards
from indexer.errors import SegsearchError
from indexer.library import Found
from indexer.profiles import Profile
from indexer.records import Failure
from indexer.writing import Failed
from tests.indexer.rays import assert_same, local_ray
from tests.pictures import scene
from tests.s3 import Service, serving

pytestmark = [
    # Ray 2.60's DataContext warns of its own fields while it is made
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
    # of Ray's own processes and files, which it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def s3() -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as environment, serving(environment) as service:
        yield service


@pytest.fixture(scope="module")
def _ray(s3: Service) -> Iterator[None]:
    """Start Ray after the server: its processes have the environment of that moment."""
    with local_ray():
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_pictures_and_work_in_a_bucket(s3: Service, tmp_path: Path, fast_profile: Profile) -> None:
    quick = replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=2))
    for seed in range(10):
        file = BytesIO()
        scene(seed).save(file, "PNG")
        s3.put(f"bucket/photos/{seed % 3}/{seed}.png", file.getvalue())
    s3.put("bucket/photos/bad.png", b"nothing")
    here, there = tmp_path / "here", tmp_path / "there"
    with Indexer(here, quick) as indexer:
        indexer.index("s3://bucket/photos")
    before = len(s3.requests)
    with Indexer(there, quick, cluster=Cluster(work="s3://bucket/work/")) as indexer:
        report = indexer.index("s3://bucket/photos")
    assert (report.images, report.failed, report.complete) == (10, 1, True)
    assert_same(here, there)
    made = [each for each in s3.requests[before:] if "/bucket/work/work-" in each]
    assert [each for each in made if each.startswith(("PUT", "POST")) and ".parquet" in each]
    assert not [key for key in s3.objects if key.endswith(".parquet")]


def test_a_shard_is_there_or_not(s3: Service, tmp_path: Path) -> None:
    found = Found("a.png", tmp_path / "a.png", 1, 1)
    failed = Failed(Candidate("root", "a.png", found, None), Failure("corrupt", "bad", False))
    for location in (str(tmp_path / "work"), "s3://bucket/work/again"):
        shards = Shards(location)
        assert shards.names() == []
        name = shards.write([failed])
        assert shards.write([failed]) == name
        assert Shards(location).names() == [name]
        (row,) = shards.read(name)
        assert row.of(failed.candidate) == failed
        assert list(shards.finished()) == []  # failures are tried again
        shards.remove([name])
        shards.remove([name])
        assert shards.names() == []


def test_a_damaged_shard_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 cut short")
    assert list(Shards(str(tmp_path)).finished()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_work_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shards = Shards(str(tmp_path / "file"))
    with pytest.raises(SegsearchError, match=r"work folder .*file"):
        shards.names()
