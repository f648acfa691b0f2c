"""Threads that each do their own work on one core, instead of sharing every operation.

SAM 2's mask decoder is a long row of short operations. To split each among all cores, as torch
does by itself, has them wait for each other at every one, and move data between their caches: on
two cores, decoding a point took 17 ms so, and 11 ms with two points side by side.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

#: Held while the threads are made, as how many torch uses is a matter of the whole process then.
_MAKING = threading.Lock()
T = TypeVar("T")
R = TypeVar("R")


def count() -> int:
    """Return how many there are: as many threads as torch would use."""
    return _pool()[1]


def spread(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do the work for every item on the threads; return the results in order.

    What an item raises is raised here, once none is being worked on any more. The work itself must
    not call this: it would wait for its own thread.
    """
    pool, _ = _pool()
    started = [pool.submit(work, item) for item in items]
    wait(started)
    try:
        return [each.result() for each in started]
    finally:
        del started  # or an error would hold what the others have allocated


def _pool() -> tuple[ThreadPoolExecutor, int]:
    with _MAKING:
        return _made()


@functools.cache
def _made() -> tuple[ThreadPoolExecutor, int]:
    threads = torch.get_num_threads()
    started = threading.Barrier(threads + 1)

    def begin() -> None:
        torch.get_num_threads()  # or the thread's first operation would ask what holds for all
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        started.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="masks", initializer=begin)
    for _ in range(threads):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(threads)
    return pool, threads


os.register_at_fork(after_in_child=_made.cache_clear)  # threads do not survive it
