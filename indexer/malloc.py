"""How this process gets memory: called by commands that run models, never by an import.

SAM 2 on a CPU allocates and frees a hundred megabytes for every batch of points. glibc hands
such blocks back to the system at once and gets fresh ones the next time, and filling fresh pages
costs more than the arithmetic on them (a copy into fresh pages: 1.3 GB/s, into used ones:
26 GB/s). So freed memory is kept, and all threads share one arena: the models run in a thread of
their own, and what is freed in an arena other than the first is handed back whatever is asked for.
`SEGSEARCH_MALLOC=default` leaves glibc as it is.
"""

from __future__ import annotations

import os
import sys

# mallopt's parameters, from glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8


def keep_freed_memory() -> None:
    """Let glibc keep what is freed; does nothing with another C library."""
    if sys.platform != "linux" or os.environ.get("SEGSEARCH_MALLOC") == "default":
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_THRESHOLD, 1 << 30)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_TOP_PAD, 64 << 20)
    mallopt(_ARENA_MAX, 1)
