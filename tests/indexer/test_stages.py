from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator

import pytest

from indexer.stages import Clock, SharedLock, background, ordered


def numbers(count: int, taken: list[int]) -> Generator[int, None, None]:
    """Yield 0, 1, …, noting each as it is asked for, and the closing."""
    try:
        for number in range(count):
            taken.append(number)
            yield number
    finally:
        taken.append(-1)


def test_what_runs_in_the_background_comes_in_order() -> None:
    assert list(background(numbers(100, []), 3)) == list(range(100))


def test_the_background_runs_ahead_only_so_far() -> None:
    taken: list[int] = []
    items = background(numbers(100, taken), 3)
    assert next(items) == 0
    time.sleep(0.3)
    assert taken == [0, 1, 2, 3, 4]  # one was given, three wait, one waits for room
    items.close()


def test_closing_closes_the_source_in_its_own_thread() -> None:
    taken: list[int] = []
    items = background(background(numbers(1000, taken), 1), 1)
    next(items)
    before = threading.active_count()
    items.close()
    assert taken[-1] == -1
    assert threading.active_count() == before - 2


def test_an_error_is_raised_where_the_items_are_taken() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise RuntimeError("no more")

    items = background(background(failing(), 2), 2)
    assert next(items) == 1
    with pytest.raises(RuntimeError, match="no more"):
        next(items)


def test_stages_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def first() -> Generator[int, None, None]:
        yield 0
        meeting.wait()  # only goes on if the second stage works on 0 meanwhile
        yield 1

    def second(items: Iterator[int]) -> Generator[int, None, None]:
        for item in items:
            if item == 0:
                meeting.wait()
            yield item

    assert list(background(second(background(first(), 1)), 1)) == [0, 1]


def test_several_threads_keep_the_order() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def work(number: int) -> int:
        if number < 3:
            meeting.wait()  # three at once
        time.sleep(0.01 * (5 - number % 5))
        return number * number

    assert list(ordered(iter(range(20)), work, 3, 5)) == [n * n for n in range(20)]


def test_threads_take_no_more_than_the_depth() -> None:
    taken: list[int] = []
    results = ordered(numbers(100, taken), lambda n: n, 2, 4)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    results.close()


def test_an_error_in_a_thread_is_raised_in_its_place() -> None:
    results = ordered(iter([1, 2, 0, 3]), lambda n: 6 // n, 2, 4)
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def done_by(*works: Callable[[], None]) -> None:
    """Do each of these in a thread of its own, all of them within seconds."""
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_lock_is_shared() -> None:
    lock, meeting = SharedLock(), threading.Barrier(2, timeout=5)
    met: list[int] = []

    def share() -> None:
        with lock.shared():
            met.append(meeting.wait())

    done_by(share, share)
    assert len(met) == 2


def test_who_holds_a_lock_alone_is_alone() -> None:
    lock, notes = SharedLock(), list[str]()
    held = threading.Event()

    def is_wanted_alone() -> bool:
        return lock._reserved or "alone" in notes

    def alone() -> None:
        assert held.wait(5)
        with lock.alone():
            notes.append("alone")
            time.sleep(0.02)
            notes.append("done")

    def shared() -> None:
        while not is_wanted_alone():
            time.sleep(0.001)
        with lock.shared():
            notes.append("shared")

    def first() -> None:
        with lock.shared():
            held.set()
            while not is_wanted_alone():
                time.sleep(0.001)
            time.sleep(0.05)  # the others are waiting
            notes.append("first")

    done_by(first, alone, alone, alone, shared, shared)
    assert notes[0] == "first"
    assert sorted(notes) == ["alone"] * 3 + ["done"] * 3 + ["first"] + ["shared"] * 2
    for this, following in itertools.pairwise(notes):
        assert (this == "alone") == (following == "done")


def test_a_lock_is_free_after_an_error() -> None:
    lock, failed = SharedLock(), list[int]()

    def fail() -> None:
        for hold in (lock.shared, lock.alone, lock.shared, lock.alone):
            with contextlib.suppress(ZeroDivisionError), hold():
                raise ZeroDivisionError
            failed.append(1)

    done_by(fail)
    assert len(failed) == 4


def test_a_clock_adds_up() -> None:
    clock = Clock()
    for _ in range(2):
        with clock.timed("a"):
            time.sleep(0.02)
    with pytest.raises(KeyError), clock.timed("b"):
        raise KeyError
    assert 0.04 <= clock.seconds()["a"] < 1
    assert clock.seconds().keys() == {"a", "b"}
