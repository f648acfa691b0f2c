"""Index runs on a real Ray of this machine, compared with those of the local pipeline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from indexer import Indexer
from indexer.candidates import Candidate
from indexer.distributed import Cluster
from indexer.distributed.worker import Job, Task, Worker, decode, packed, unpacked
from indexer.errors import RecipeMismatch, SegsearchError
from indexer.library import Found
from indexer.loading import Choice, Loader
from indexer.profiles import Profile
from indexer.report import Report
from tests.e2e.commands import start, write_profile
from tests.indexer.rays import assert_same, kill_actors, local_ray, shards, stored
from tests.pictures import write_scene

pytestmark = [
    # Ray 2.60's DataContext warns of its own fields while it is made
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
    # of Ray's own processes and files, which it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def _ray() -> Iterator[None]:
    with local_ray():
        yield


@pytest.fixture
def quick(fast_profile: Profile) -> Profile:
    """A profile with very few points."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=2))


def photos(folder: Path, count: int) -> Path:
    for seed in range(count):
        write_scene(folder / f"{seed:02d}.png", seed)
    return folder


def change(library: Path) -> None:
    """Rename a picture, change one, copy one, remove one, add one."""
    (library / "00.png").rename(library / "renamed.png")
    write_scene(library / "01.png", 90)
    shutil.copy(library / "02.png", library / "trip" / "again.png")
    (library / "03.png").unlink()
    write_scene(library / "new.png", 91)


@pytest.mark.usefixtures("_ray")
def test_the_index_is_that_of_a_local_run(tmp_path: Path, quick: Profile) -> None:
    library = photos(tmp_path / "photos", 9)
    (library / "trip").mkdir()
    shutil.copy(library / "04.png", library / "trip" / "copy.png")
    (library / "corrupt.png").write_bytes((library / "05.png").read_bytes()[:300])
    (library / "empty.png").touch()
    here, there = tmp_path / "here", tmp_path / "there"
    with Indexer(here, quick) as local, Indexer(there, quick, cluster=Cluster()) as spread:
        expected, found = local.index(library), spread.index(library)
        assert figures(found) == figures(expected)
        assert (found.images, found.copies, found.failed, found.complete) == (9, 1, 2, True)
        assert {"read", "decode", "segment", "crop", "embed", "write"} <= found.stages.keys()
        assert_same(here, there)
        change(library)
        assert figures(spread.index(library, prune=True)) == figures(
            local.index(library, prune=True)
        )
    assert_same(here, there)
    assert shards(there) == []
    assert not list(there.glob("work-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_boxes_limits_and_exclusions(tmp_path: Path, quick: Profile) -> None:
    library = photos(tmp_path / "photos", 4)
    boxes = tmp_path / "boxes.json"
    found = {"file_name": "01.png", "bbox": [10, 10, 40, 30], "category_name": "star", "score": 0.5}
    boxes.write_text(json.dumps([found]), encoding="utf-8")
    here, there = tmp_path / "here", tmp_path / "there"
    local = Indexer(here, quick, boxes=boxes, grid=False)
    spread = Indexer(there, quick, boxes=boxes, grid=False, batch_size=1, cluster=Cluster())
    reports = [i.index(library, limit=2, exclude="00*") for i in (local, spread)]
    assert figures(reports[0]) == figures(reports[1])
    assert (reports[1].images, reports[1].segments, reports[1].complete) == (2, 1, False)
    assert_same(here, there)


@pytest.mark.usefixtures("_ray")
@pytest.mark.slow
def test_a_killed_actor_costs_nothing(tmp_path: Path, quick: Profile) -> None:
    library = photos(tmp_path / "photos", 40)
    here, there = tmp_path / "here", tmp_path / "there"
    killed: list[int] = []

    def kill_after_a_shard() -> None:
        while not shards(there):
            time.sleep(0.01)
        killed.append(kill_actors())

    with Indexer(here, quick) as indexer:
        indexer.index(library)
    killer = threading.Thread(target=kill_after_a_shard, daemon=True)
    killer.start()
    with Indexer(there, quick, cluster=Cluster()) as indexer:
        report = indexer.index(library)
    assert killed[0] > 0
    assert (report.images, report.failed, report.complete) == (40, 0, True)
    assert_same(here, there)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_shards_it_has_left(tmp_path: Path, quick: Profile) -> None:
    library = photos(tmp_path / "photos", 40)
    here, there = tmp_path / "here", tmp_path / "there"
    command = ("index", library, "--index", there, "--profile")
    profile = write_profile(tmp_path / "quick.yaml", quick)
    driver = start(*command, profile, "--engine", "ray", "--format", "json")
    while driver.poll() is None and len(shards(there)) < 2:
        time.sleep(0.01)
    driver.kill()
    driver.communicate()
    left = {path.name: path.stat().st_mtime_ns for path in shards(there)}
    assert left
    again = start(*command, profile, "--engine", "ray", "--format", "json")
    out, _ = again.communicate(timeout=300)
    report = json.loads(out)  # nothing of Ray is on stdout
    assert again.returncode == 0
    assert report["complete"]
    assert 1 <= report["resumed"] <= 8 * len(left)
    with Indexer(here, quick) as indexer:
        indexer.index(library)
    assert_same(here, there)
    assert shards(there) == []


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_a_stopped_run_goes_on_later(tmp_path: Path, quick: Profile) -> None:
    library = photos(tmp_path / "photos", 20)
    here, there = tmp_path / "here", tmp_path / "there"
    seen: list[Report] = []
    with Indexer(there, quick, cluster=Cluster()) as indexer:
        first = indexer.index(
            library,
            on_progress=seen.append,
            stopped=lambda: bool(seen) and seen[-1].images >= 3,
        )
        assert (first.images, first.complete) == (3, False)
        second = indexer.index(library)
    assert (second.images, second.complete) == (17, True)
    assert second.resumed >= 5  # the rest of the shard that was being written
    with Indexer(here, quick) as indexer:
        indexer.index(library)
    assert_same(here, there)


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_a_bug_is_not_taken_for_a_bad_picture(tmp_path: Path, quick: Profile) -> None:
    from indexer.distributed.cluster import connected

    candidate = Candidate("root", "a.png", cast("Found", "no file at all"), None)
    with Indexer(tmp_path / "index", quick) as indexer:
        recipe = indexer._loader.recipe()
        job = Job(indexer._loader.choice(), recipe, "index", str(tmp_path / "work"), None)
    with (
        connected(Cluster(), lambda: False) as cluster,
        pytest.raises(AttributeError, match="location"),
    ):
        list(cluster.compute([Task(0, candidate)], job))


@pytest.mark.slow
def test_an_actor_refuses_models_that_the_index_was_not_built_with(
    tmp_path: Path, quick: Profile
) -> None:
    """As on a machine whose files of weights are others."""
    path = write_scene(tmp_path / "a.png", 1)
    found = Found("a.png", path, path.stat().st_size, path.stat().st_mtime_ns)
    choice = Choice(quick, "cpu", "auto", True, False, True, 64, None)
    recipe = Loader(choice).recipe()
    other = replace(recipe, segmentation={**recipe.segmentation, "weights": "others"})
    worker = Worker(Job(choice, other, "there", str(tmp_path / "work"), None))
    (decoded,) = decode(packed([Task(7, Candidate("root", "a.png", found, None))]))
    (done,) = unpacked(worker(decoded))
    assert done.numbers == (7,)
    assert isinstance(done.error, RecipeMismatch)
    assert not (tmp_path / "work").exists()


def test_what_does_not_go_with_ray_is_refused(tmp_path: Path) -> None:
    for options, message in {
        ("--engine", "ray", "--watch"): "--watch",
        ("--engine", "ray", "--workers", "2"): "--workers",
        ("--engine", "ray", "--device", "cpu"): "--num-gpus",
        ("--address", "auto"): "--engine ray",
    }.items():
        process = start("index", tmp_path, "--index", tmp_path / "index", *options)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert message in err


def test_without_ray_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SegsearchError, match=r"pip install 'segsearch\[ray\]'"):
        Indexer(tmp_path / "index", cluster=Cluster())


def test_addresses_that_lead_nowhere(tmp_path: Path, quick: Profile) -> None:
    with pytest.raises(SegsearchError, match=r"ray job submit"):
        Indexer(tmp_path / "index", cluster=Cluster("ray://127.0.0.1:10001"))
    library, profile = photos(tmp_path / "photos", 1), write_profile(tmp_path / "p.yaml", quick)
    command = ("index", library, "--index", tmp_path / "index", "--profile", profile)
    process = start(*command, "--engine", "ray", "--address", "127.0.0.1:1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no Ray cluster at 127.0.0.1:1" in err


@pytest.mark.usefixtures("_ray")
def test_gpus_that_are_not_there(tmp_path: Path, quick: Profile) -> None:
    library = photos(tmp_path / "photos", 1)
    with (
        Indexer(tmp_path / "index", quick, cluster=Cluster(num_gpus=3)) as indexer,
        pytest.raises(SegsearchError, match="0 GPUs, not 3"),
    ):
        indexer.index(library)


def test_a_plain_run_never_imports_ray(tmp_path: Path, quick: Profile) -> None:
    library = photos(tmp_path / "photos", 1)
    profile = write_profile(tmp_path / "quick.yaml", quick)
    code = (
        "import sys, indexer.cli, indexer.distributed; from indexer import Indexer; "
        f"Indexer({str(tmp_path / 'index')!r}, {str(profile)!r}).index({str(library)!r}); "
        "print('ray' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout == "False\n"


def figures(report: Report) -> dict[str, object]:
    """Return what does not depend on how it was done."""
    left_out = ("seconds", "stages", "peak_memory_bytes", "current")
    return {name: value for name, value in vars(report).items() if name not in left_out}


def test_nothing_is_stored_twice(tmp_path: Path, quick: Profile) -> None:
    """A run over an index that is complete does not even start Ray."""
    library = photos(tmp_path / "photos", 2)
    with Indexer(tmp_path / "index", quick) as indexer:
        indexer.index(library)
    before = stored(tmp_path / "index")
    with Indexer(tmp_path / "index", quick, cluster=Cluster("nowhere:1")) as indexer:
        assert indexer.index(library).unchanged == 2
    assert stored(tmp_path / "index").keys() == before.keys()
