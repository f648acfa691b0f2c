from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from search.caching import Coalescer, Lru


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_was_used_last_is_kept() -> None:
    kept: Lru[str, str] = Lru(6, len)
    for key in ("aa", "bb", "cc"):
        assert kept.get(key, lambda key=key: key * 1) == key  # type: ignore[misc]
    assert kept.get("aa", lambda: "made again") == "aa"
    kept.put("dd", "dd")
    assert list(kept._kept) == ["cc", "aa", "dd"]
    kept.put("huge", "x" * 99)
    assert list(kept._kept) == ["huge"]
    kept.put("huge", "x")
    kept.put("bb", "bbbbb")
    assert list(kept._kept) == ["huge", "bb"]


def test_one_thread_makes_it_for_all() -> None:
    kept: Lru[str, int] = Lru(10)
    made: list[int] = []
    together = threading.Barrier(4)

    def ask() -> int:
        together.wait()
        return kept.get("key", lambda: made.append(1) or len(made))  # type: ignore[func-returns-value]

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask) for _ in range(4)]
        assert [answer.result() for answer in answers] == [1, 1, 1, 1]


def test_what_could_not_be_made_is_tried_again() -> None:
    kept: Lru[str, int] = Lru(10)
    with pytest.raises(ZeroDivisionError):
        kept.get("key", lambda: 1 // 0)
    assert kept.get("key", lambda: 7) == 7


def test_those_who_wait_share_a_pass() -> None:
    """The first is done alone; four come while it is, two of which fit into a pass."""
    begun, go_on = threading.Event(), threading.Event()
    passes: list[list[int]] = []

    def run(items: list[int]) -> list[int]:
        passes.append(sorted(items))
        begun.set()
        assert go_on.wait(10)
        return [item * 10 for item in items]

    double = Coalescer(run, most=2)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(double, 0)
        assert begun.wait(10)
        others = [pool.submit(double, number) for number in (1, 2, 3, 4)]
        until(lambda: len(double._waiting) == 4)
        go_on.set()
        assert [each.result() for each in (first, *others)] == [0, 10, 20, 30, 40]
    assert passes[0] == [0]
    assert [len(each) for each in passes] == [1, 2, 2]


def test_one_bad_item_does_not_spoil_the_others() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def run(items: list[int]) -> list[float]:
        begun.set()
        assert go_on.wait(10)
        return [1 / item for item in items]

    invert = Coalescer(run, most=9)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(invert, 1)
        assert begun.wait(10)
        others = [pool.submit(invert, number) for number in (2, 0, 4)]
        until(lambda: len(invert._waiting) == 3)
        go_on.set()
        assert [first.result(), others[0].result(), others[2].result()] == [1, 0.5, 0.25]
        with pytest.raises(ZeroDivisionError):
            others[1].result()


def test_too_few_results_are_an_error_and_nobody_waits_for_ever() -> None:
    nothing: Coalescer[int, int] = Coalescer(lambda _: [], most=2)
    with pytest.raises(ValueError, match="shorter"):
        nothing(1)
