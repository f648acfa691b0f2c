"""Index runs on a server that is down, slow, restarting, failing, or breaks off in mid-write."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from qdrant_client import QdrantClient

from indexer import Indexer
from indexer.errors import StoreUnavailable
from indexer.profiles import Profile
from indexer.report import Report
from indexer.store import server, server_link
from indexer.store.base import KINDS
from search import Searcher, cli
from tests.indexer.store.facade import Facade, Fault, Json
from tests.pictures import write_scene

Run = Callable[..., Report]
Kind = Literal["status", "reset", "lost", "stall"]
Records = dict[str, dict[str, Any]]
#: What changes records; and how often a run here does.
_WRITING = ("/points/delete", "/points/payload", "/points/batch")
WRITES = 23
#: The pauses between attempts, which are shortened for tests of what lasts.
PAUSES_S = server_link._PAUSES_S


@dataclass
class Moody(Facade):
    """A server with moods.

    Attributes:
        mood: what happens to a request that has not been made before, if anything.
        dead_from: the write from which on `mood` is lasting: nothing is answered any more.
        torn: the images that were there at any time without all their segments.
        writes: how many different writes of records there were.
    """

    mood: Fault | None = None
    dead_from: int | None = None
    torn: list[str] = field(default_factory=list)
    writes: int = 0
    _known: set[str] = field(default_factory=set, repr=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def outcome(self, method: str, path: str, body: Json) -> tuple[int, Json] | None:
        with self._counting:
            asked = f"{method} {path} {json.dumps(body, sort_keys=True)}"
            is_new = asked not in self._known
            self._known.add(asked)
            self.writes += is_new and _is_write(method, path)
            dead = self.dead_from is not None and self.writes > self.dead_from
            ill = self.mood is not None and (dead or (is_new and self.dead_from is None))
            self.faults.clear()
            fault = self.mood if ill else None
        if fault is None:
            return self.answer(method, path, body)
        if fault.kind == "status":
            return int(fault.value), {"status": {"error": "in a bad mood"}}
        if fault.kind == "stall":
            time.sleep(fault.value)
            return self.answer(method, path, body)
        if fault.kind == "lost":
            self.answer(method, path, body)
        return None

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        answered = super().answer(method, path, body)
        if _is_write(method, path):
            with self.lock:
                self.torn += torn(self.engine)
        return answered

    def recover(self) -> None:
        """Be well, and forget."""
        self.mood, self.dead_from, self.writes = None, None, 0
        self._known.clear()

    def records(self) -> Records:
        """Return kind → id → payload of the index, but for when it was indexed."""
        with self.lock:
            found = {kind: _points(self.engine, f"photos_{kind}") for kind in KINDS}
        for payload in found["images"].values():
            del payload["indexed_at"]
        for payload in found["roots"].values():
            payload.pop("added_at", None)
        return {str(kind): payloads for kind, payloads in found.items()}


def _points(engine: QdrantClient, alias: str) -> dict[str, Any]:
    records, _ = engine.scroll(alias, limit=10_000)
    return {str(record.id): dict(record.payload or {}) for record in records}


def _is_write(method: str, path: str) -> bool:
    return path.endswith(_WRITING) or (method == "PUT" and path.endswith("/points"))


def torn(engine: QdrantClient) -> list[str]:
    """Return the images that are there without all their segments."""
    aliases = {each.alias_name for each in engine.get_aliases().aliases}
    if not {"photos_images", "photos_segments"} <= aliases:
        return []
    segments = [each["image_id"] for each in _points(engine, "photos_segments").values()]
    images = _points(engine, "photos_images").items()
    return [id_ for id_, image in images if segments.count(id_) != image["n_segments"]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "photos"
    for seed, name in enumerate(("a.png", "b.png", "trip/c.png")):
        write_scene(folder / name, seed)
    shutil.copy2(folder / "a.png", folder / "copy.png")
    return folder


@pytest.fixture(scope="module")
def served() -> Iterator[Moody]:
    """A server that is given a second for each answer, and asked again soon."""
    with pytest.MonkeyPatch.context() as patch, Moody() as facade:
        patch.setattr(server, "connect", partial(server.connect, timeout_s=1))
        patch.setattr(server_link, "_PAUSES_S", (0.01, 0.02, 0.04))
        yield facade


@pytest.fixture(scope="module")
def run(photos: Path, served: Moody, fast_profile: Profile) -> Iterator[Run]:
    """A run of the index over the pictures; models are loaded once."""
    quick = replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=2))
    with Indexer(f"{served.url}/photos", quick) as indexer:
        yield partial(indexer.index, photos)


@pytest.fixture(scope="module")
def expected(run: Run, served: Moody) -> Records:
    """What an undisturbed run leaves."""
    assert run().complete
    records = served.records()
    assert [len(records[kind]) for kind in ("images", "files", "roots")] == [3, 4, 1]
    assert len(records["segments"]) > 3
    return records


@pytest.fixture
def facade(served: Moody, expected: Records) -> Iterator[Moody]:
    """The server, well and without an index."""
    served.recover()
    server.discard(f"{served.url}/photos")
    served.recover()
    yield served
    assert served.torn == []


def same(found: Records, expected: Records) -> bool:
    """Whether records are the same, whatever the root is called in each."""
    return _renamed(found) == _renamed(expected)


def _renamed(records: Records) -> str:
    (root,) = records["roots"]
    return json.dumps(records, sort_keys=True, default=str).replace(root, "ROOT")


MOODS = [Fault("status", 503), Fault("lost")]


@pytest.mark.parametrize("mood", MOODS, ids=lambda mood: f"{mood.kind} {mood.value}")
def test_faults_that_pass_change_nothing(
    run: Run, facade: Moody, expected: Records, mood: Fault
) -> None:
    """Every single request of a run fails the first time."""
    facade.mood = mood
    report = run()
    assert (report.complete, report.images, report.failed) == (True, 3, 0)
    assert facade.writes == WRITES
    facade.mood = None
    assert same(facade.records(), expected)


LASTING: list[tuple[Kind, int]] = [
    ("lost", 5),
    ("lost", 17),
    ("status", 0),
    ("reset", 13),
    ("stall", 9),
]
ALL = [(kind, write) for kind in get_args(Kind) for write in range(-1, WRITES)]
RARE = [pytest.param(*each, marks=pytest.mark.slow) for each in sorted(set(ALL) - set(LASTING))]


@pytest.mark.parametrize(("kind", "write"), [*LASTING, *RARE])
def test_a_server_that_goes_away_ends_the_run_and_the_next_completes_it(
    run: Run, facade: Moody, expected: Records, kind: Kind, write: int
) -> None:
    facade.mood, facade.dead_from = Fault(kind, {"status": 502, "stall": 1.3}.get(kind, 0)), write
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no answer from"):
        run()
    assert time.monotonic() - began < 15
    assert facade.writes > write
    facade.recover()
    if "photos_images" in {each.alias_name for each in facade.engine.get_aliases().aliases}:
        with Searcher(f"{facade.url}/photos") as searcher:  # what is there can be used
            assert all(hit.path for hit in searcher.everything())
    assert run().complete
    if kind == "stall":  # what was given up may have been done late, amid the second run
        assert run().complete
    assert same(facade.records(), expected)
    assert run().unchanged == 4


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_a_server_that_restarts_is_waited_for(
    run: Run, facade: Moody, expected: Records, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens for a while, in the middle of the run."""
    monkeypatch.setattr(server_link, "_PAUSES_S", PAUSES_S)
    threads: list[threading.Timer] = []

    def restart(report: Report) -> None:
        if report.images == 1 and not threads:
            facade.stop_listening()
            threads.append(threading.Timer(seconds, facade.listen))
            threads[0].start()

    report = run(on_progress=restart)
    threads[0].join()
    assert (report.complete, report.images) == (True, 3)
    assert same(facade.records(), expected)


def test_a_slow_server_is_only_slow(run: Run, facade: Moody, expected: Records) -> None:
    facade.mood, facade.dead_from = Fault("stall", 0.02), 0
    assert run().complete
    assert same(facade.records(), expected)


def test_the_command_says_so_and_fails(
    photos: Path,
    facade: Moody,
    fast_yaml: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = f"{facade.url}/photos"
    arguments = ["index", str(photos), "--index", place, "--profile", fast_yaml, "--quiet"]
    monkeypatch.setattr("sys.argv", ["segsearch", *arguments])
    codes = []
    for mood in (Fault("status", 503), None):
        facade.recover()
        facade.mood, facade.dead_from = mood, None if mood is None else 6
        with pytest.raises(SystemExit) as ended:
            cli.main()
        codes.append(ended.value.code or 0)
        if mood is not None:
            said = capsys.readouterr().err
            assert f"no answer from {place} (503: in a bad mood)" in said
            assert "see that the server runs" in said
            assert "Traceback" not in said
    assert codes == [1, 0]
    assert len(facade.records()["images"]) == 3
