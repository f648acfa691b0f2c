"""What is made once and kept for a while: bounded by weight, made by one thread for all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Keeps the values used last, as many as weigh no more than a limit.

    Safe to use from many threads: threads that ask for the same value wait for the one that makes
    it. The value used last is kept, whatever it weighs.
    """

    def __init__(self, most: float, weigh: Callable[[V], float] = lambda _: 1) -> None:
        """Start with nothing.

        Args:
            most: weight of all values together.
            weigh: returns the weight of one; without it, values are counted.
        """
        self._most = most
        self._weigh = weigh
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._weight = 0.0
        self._making: dict[K, threading.Lock] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made now if it is not kept; what `make` raises is raised."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            try:
                value = make()
                self.put(key, value)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, and let go of those used longest ago."""
        with self._lock:
            if key in self._kept:
                self._weight -= self._weigh(self._kept.pop(key))
            self._kept[key] = value
            self._weight += self._weigh(value)
            while len(self._kept) > 1 and self._weight > self._most:
                self._weight -= self._weigh(self._kept.popitem(last=False)[1])


class Coalescer(Generic[K, V]):
    """Does for many callers at once what is cheaper together.

    The first caller's item is done at once; those that come meanwhile are done together when it is
    through. So a single caller waits for nobody, and a crowd shares the passes.
    """

    def __init__(self, run: Callable[[list[K]], list[V]], most: int) -> None:
        """Do nothing yet.

        Args:
            run: does items, and returns their results in their order; never called twice at a time.
            most: items at once.
        """
        self._run = run
        self._most = most
        self._adding = threading.Lock()
        self._running = threading.Lock()
        self._waiting: list[_Waiting[K, V]] = []

    def __call__(self, item: K) -> V:
        """Return the result of one item; what `run` raises for it is raised."""
        mine: _Waiting[K, V] = _Waiting(item)
        with self._adding:
            self._waiting.append(mine)
        with self._running:
            while not mine.done:
                with self._adding:
                    batch, self._waiting = (
                        self._waiting[: self._most],
                        self._waiting[self._most :],
                    )
                self._do(batch)
        return mine.result()

    def _do(self, batch: list[_Waiting[K, V]]) -> None:
        try:
            results = self._run([each.item for each in batch])
            for each, result in zip(batch, results, strict=True):
                each.finish(result)
        except BaseException as error:  # handed on to whom it concerns
            if len(batch) == 1:
                batch[0].fail(error)
                return
            for each in batch:
                self._do([each])


class _Waiting(Generic[K, V]):
    """An item and what became of it."""

    def __init__(self, item: K) -> None:
        self.item = item
        self.done = False
        self._results: list[V] = []
        self._error: BaseException | None = None

    def finish(self, result: V) -> None:
        self._results.append(result)
        self.done = True

    def fail(self, error: BaseException) -> None:
        self._error = error
        self.done = True

    def result(self) -> V:
        if self._error is not None:
            raise self._error
        return self._results[0]
