"""The threads that masks are made in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import torch

from indexer.segmentation import workers


def test_results_come_in_order() -> None:
    def late(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    assert workers.spread(late, [0.05, 0.0, 0.02, 0.01]) == [0.05, 0.0, 0.02, 0.01]
    assert workers.spread(late, []) == []


def test_errors_come_out() -> None:
    def fail(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        workers.spread(fail, [1, 0, 2])
    assert workers.spread(fail, [1, 2]) == [1, 0.5]  # it works again


def test_work_is_done_without_gradients_in_threads_of_their_own() -> None:
    weight = torch.ones(2, requires_grad=True)
    found = workers.spread(lambda _: ((weight * 2).requires_grad, threading.get_ident()), range(9))
    assert not any(tracked for tracked, _ in found)
    assert threading.get_ident() not in {thread for _, thread in found}
    assert len({thread for _, thread in found}) <= workers.count()
    assert (weight * 2).requires_grad


_WITH_THREE_THREADS = """
import json, os, threading
import torch
torch.set_num_threads(3)
from indexer.segmentation import workers

def threads():
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0

def work(_):
    large = torch.ones(600, 600)
    (large @ large + 1).softmax(1)
    return torch.get_num_threads()

together = threading.Barrier(3)  # which none passes unless three wait
workers.spread(lambda _: together.wait(timeout=60), range(3))
before = threads()
found = {"count": workers.count(), "of each": workers.spread(work, range(9))}
found["started"] = threads() - before
found["of the caller"] = torch.get_num_threads()
def note():
    found["of a later thread"] = torch.get_num_threads()
later = threading.Thread(target=note)
later.start()
later.join()
found["gradients"] = torch.is_grad_enabled()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def three() -> dict[str, Any]:
    """What is seen in a process where torch uses three threads."""
    done = subprocess.run(
        [sys.executable, "-c", _WITH_THREE_THREADS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "3"},
    )
    return dict(json.loads(done.stdout))


def test_as_many_threads_as_torch_would_use(three: dict[str, Any]) -> None:
    assert three["count"] == 3


def test_the_callers_threads_and_later_ones_are_as_before(three: dict[str, Any]) -> None:
    assert (three["of the caller"], three["of a later thread"]) == (3, 3)
    assert three["gradients"] is True


def test_each_computes_on_one_thread(three: dict[str, Any]) -> None:
    assert three["of each"] == [1] * 9
    assert three["started"] == 0


_AT_ONCE = """
import threading
import torch
torch.set_num_threads(2)
from indexer.segmentation import workers

start, counts = threading.Barrier(4), []

def first():
    start.wait()
    counts.append(workers.count())

threads = [threading.Thread(target=first) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(counts, torch.get_num_threads())
"""


def test_made_once_for_all_that_ask_at_once() -> None:
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", _AT_ONCE], capture_output=True, check=True)
        assert done.stdout.decode().strip() == "[2, 2, 2, 2] 2"
