"""Killed creations, adoptions and removals of an embedded index, at each of their steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Does what argv[2] says to a copy of an index with a draft, in a process that is killed just
#: before its nth step that changes what there is, for n = 1, 1 + argv[3], … until nothing is left.
#: Other processes then say what they find there, and what is there when the same is done again.
KILLER = """
import json, os, shutil, signal, subprocess, sys
from contextlib import closing
from pathlib import Path
from indexer.store import discard, draft_location
from indexer.store.edge import EdgeStore
from tests.indexer.store.samples import DIM, RECIPE, segment, vec

place, action, stride = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
template, index = place / "template", place / "index"
draft = str(index / "rebuild")
RECIPE["name"] = "new"

def build(folder, number, recipe):
    with closing(EdgeStore(folder)) as store:
        store.create(recipe, DIM)
        store.upsert("segments", [segment(n, vec(1, 0, 0)) for n in range(number)])

def work():
    if action == "discard":
        return discard(str(index))
    with closing(EdgeStore(index)) as store:
        store.create(RECIPE, DIM) if action == "create" else store.adopt(draft)

def found(folder):
    with closing(EdgeStore(Path(folder))) as store:
        recipe = store.recipe()
        if recipe is None:
            return "none"
        store.check()
        return f"{recipe['name']} {store.count('segments')}"

def child(do):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, (do() or "").encode())
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said

def doomed(nth):
    def step(event, args):
        nonlocal nth
        settings = event == "os.remove" and str(args[0]).endswith(".json")
        folder = event == "os.rmdir" and args[-1] == -1  # not inside of rmtree
        half = event == "shutil.rmtree" and str(args[0]).endswith("files")
        if settings or folder or half or event == "os.rename":
            nth -= 1
            if nth == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    def do():
        sys.addaudithook(step)
        work()
    return do

def prepare():
    if action != "create":
        build(template, 3, {"name": "old"})
        build(template / "rebuild", 5, {"name": "new"})
    else:
        template.mkdir()

def listing():
    return sorted(path.name.split("-")[0] for path in index.iterdir()) if index.exists() else []

assert child(prepare)[0] == 0
nth, code = 1 - stride, -signal.SIGKILL
while code == -signal.SIGKILL:
    nth += stride
    shutil.rmtree(index, ignore_errors=True)
    subprocess.run(["cp", "-a", str(template), str(index)], check=True)  # keeps sparse files so
    code, _ = child(doomed(nth))
    assert code in (0, -signal.SIGKILL)
    first, second = (draft, index) if nth % 2 else (index, draft)
    states = {
        str(folder): child(lambda: found(folder))[1] for folder in (first, second)
        if folder == index or os.path.exists(folder)
    }
    state, drafted = states[str(index)], states.get(draft, "none")
    if not state.startswith("new"):
        assert child(work)[0] == 0
    left = child(lambda: found(index) if index.exists() else "none")[1]
    child(lambda: discard(draft))
    print(json.dumps([state, drafted, left, listing()]))
"""


def killed(place: Path, action: str, stride: int = 1) -> list[tuple[str, str, str, list[str]]]:
    """Return index and draft after each kill, the index after doing it again, its files then."""
    command = [sys.executable, "-c", KILLER, str(place), action, str(stride)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return [tuple(json.loads(line)) for line in ran.stdout.splitlines()]


WHOLE = ["segsearch.json", "shards"]


def test_an_adoption_killed_at_some_steps(tmp_path: Path) -> None:
    outcomes = killed(tmp_path, "adopt", stride=8)
    before, after = ("old 3", "new 5", "new 5", WHOLE), ("new 5", "none", "new 5", WHOLE)
    assert set(map(repr, outcomes)) == {repr(before), repr(after)}
    assert outcomes == sorted(outcomes, key=repr, reverse=True)  # first the old, then the new


@pytest.mark.slow
def test_a_killed_adoption_leaves_the_old_index_or_the_new_one(tmp_path: Path) -> None:
    outcomes = killed(tmp_path, "adopt")
    before, after = ("old 3", "new 5", "new 5", WHOLE), ("new 5", "none", "new 5", WHOLE)
    switched = outcomes.index(after)
    assert switched >= 2  # before the records move, and before the settings do
    assert len(outcomes) >= switched + 4  # while the old records and the draft are removed
    assert outcomes == [before] * switched + [after] * (len(outcomes) - switched)


def test_a_killed_creation_leaves_none_or_all(tmp_path: Path) -> None:
    outcomes = killed(tmp_path, "create")
    half, whole = ("none", "none", "new 0", WHOLE), ("new 0", "none", "new 0", WHOLE)
    made = outcomes.index(whole)
    assert made >= 1
    assert outcomes == [half] * made + [whole] * (len(outcomes) - made)


@pytest.mark.slow
def test_a_killed_removal_leaves_all_or_none(tmp_path: Path) -> None:
    outcomes = killed(tmp_path, "discard")
    both, draft, none = (("old 3", "new 5"), ("none", "new 5"), ("none", "none"))
    assert [outcome[:2] for outcome in outcomes[:4]] == [both, both, draft, draft]
    assert [outcome[:2] for outcome in outcomes[4:]] == [none] * (len(outcomes) - 4)
    assert {repr(outcome[2:]) for outcome in outcomes} == {repr(("none", []))}
    assert len(outcomes) >= 9
