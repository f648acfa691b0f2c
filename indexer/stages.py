"""Steps of a flow that overlap: plain iterators, each in a thread of its own.

Memory is bounded by the depths, never by how much flows through.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: How often a step that waits for room looks whether it is still wanted.
_POLL_S = 0.1


@dataclass(frozen=True)
class _Raised:
    error: BaseException


class _End:
    """What follows the last item."""


def background(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """Run an iterator in a thread of its own, at most `depth` items ahead of whoever takes them.

    What it raises is raised here. Closing this closes it, in its own thread, and waits for that.
    """
    handed: queue.Queue[T | _Raised | _End] = queue.Queue(depth)
    closed = threading.Event()

    def hand_over(item: T | _Raised | _End) -> bool:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                handed.put(item, timeout=_POLL_S)
                return True
        return False

    def run() -> None:
        last: _Raised | _End = _End()
        try:
            with contextlib.closing(items):
                for item in items:
                    if not hand_over(item):
                        return
        except BaseException as error:
            last = _Raised(error)
        hand_over(last)

    thread = threading.Thread(target=run, name="stage", daemon=True)
    thread.start()
    try:
        while not isinstance(item := handed.get(), _End):
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        closed.set()
        thread.join()


def ordered(
    items: Iterator[T], work: Callable[[T], R], workers: int, depth: int
) -> Generator[R, None, None]:
    """Yield `work` of every item, in order, done by several threads, `depth` items at a time."""
    with ThreadPoolExecutor(workers, thread_name_prefix="stage worker") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class SharedLock:
    """A lock that many hold together, or one alone: a readers-writer lock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._reserved = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it together with others, once nobody has it or wants it alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it alone, once those who have it are done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved)
            self._reserved = True
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._sharing == 0)
            yield
        finally:
            with self._changed:
                self._reserved = False
                self._changed.notify_all()


class Clock:
    """How long each stage has been busy, over all its threads; safe to use from many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[stage] += time.perf_counter() - started

    def seconds(self) -> dict[str, float]:
        """Return stage → seconds so far."""
        with self._lock:
            return dict(self._seconds)
