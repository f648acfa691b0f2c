from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from indexer.watch import changes


def counts(
    folder: Path, ignored: Path, seconds: float, *actions: Callable[[], object]
) -> list[int]:
    """Watch for some seconds, doing each action in a burst of its own; return what was seen."""
    stopped = threading.Event()

    def act() -> None:
        for action in (*actions, stopped.set):
            time.sleep(seconds)  # watching has begun, and the last burst has settled
            action()

    threading.Thread(target=act, daemon=True).start()
    return list(changes([folder], ignored, stopped))


def test_pictures_and_folders_count(tmp_path: Path) -> None:
    index, trip = tmp_path / "index", tmp_path / "trip"
    index.mkdir()
    trip.mkdir()
    (trip / "a.jpg").touch()

    def burst() -> None:
        (tmp_path / "b.PNG").touch()
        (tmp_path / "c.tiff").touch()

    seen = counts(tmp_path, index, 2.5, burst, lambda: shutil.move(trip, tmp_path.parent / "away"))
    assert len(seen) == 3
    assert seen[0] == 0  # what changed before is not noticed
    assert seen[1] >= 2


def test_other_files_and_the_index_do_not(tmp_path: Path) -> None:
    index = tmp_path / "index"
    (index / "shards-1").mkdir(parents=True)

    def burst() -> None:
        (tmp_path / "notes.txt").touch()
        (tmp_path / ".a.jpg.part").touch()
        (index / "segsearch.json").touch()
        (index / "shards-1" / "b.jpg").touch()

    assert counts(tmp_path, index, 2.5, burst) == [0]
