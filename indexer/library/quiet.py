"""Silence warnings on one thread only."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_here = threading.local()


class _WhereAsked(type):
    """Makes every warning a subclass of `_OnThisThread`, on the threads that asked for it."""

    def __subclasscheck__(cls, subclass: type) -> bool:
        return getattr(_here, "quiet", False)


class _OnThisThread(Warning, metaclass=_WhereAsked):
    """The category of our one filter entry."""


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore the warnings that this thread raises inside the block.

    `warnings.catch_warnings` swaps the filters of the whole process: overlapping threads hide
    each other's warnings, and leave the wrong filters behind. So one entry is put in front of the
    filters and left there, which matches nothing except on a thread that is inside this block.
    """
    if not warnings.filters or warnings.filters[0][2] is not _OnThisThread:
        warnings.simplefilter("ignore", _OnThisThread)
    before = getattr(_here, "quiet", False)
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = before
