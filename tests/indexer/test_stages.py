from __future__ import annotations

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


def started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_lock_is_shared() -> None:
    lock, meeting = SharedLock(), threading.Barrier(2, timeout=10)

    def share() -> None:
        with lock.shared():
            meeting.wait()

    other = started(share)
    with lock.shared():
        meeting.wait()
    other.join(10)
    assert not other.is_alive()


def test_who_wants_a_lock_alone_waits_for_the_others_and_they_for_it() -> None:
    lock, done = SharedLock(), list[str]()

    def alone() -> None:
        with lock.alone():
            time.sleep(0.05)
            done.append("alone")

    def shared() -> None:
        with lock.shared():
            done.append("shared later")

    with lock.shared():
        threads = [started(alone)]
        while not lock._wanted_alone:
            time.sleep(0.001)
        threads += [started(shared), started(alone)]
        time.sleep(0.05)
        done.append("shared")
    for thread in threads:
        thread.join(10)
    assert done[:2] == ["shared", "alone"]
    assert sorted(done) == ["alone", "alone", "shared", "shared later"]


def test_a_lock_is_free_after_an_error() -> None:
    lock = SharedLock()
    for hold in (lock.shared, lock.alone, lock.shared, lock.alone):
        with pytest.raises(ZeroDivisionError), hold():
            raise ZeroDivisionError


def test_a_clock_adds_up() -> None:
    clock = Clock()
    for _ in range(2):
        with clock.timed("a"):
            time.sleep(0.02)
    with pytest.raises(KeyError), clock.timed("b"):
        raise KeyError
    assert 0.04 <= clock.seconds()["a"] < 1
    assert clock.seconds().keys() == {"a", "b"}
