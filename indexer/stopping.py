"""How the commands stop: at a clean point where that is near, and soon in any case.

Killing a run costs only the pictures it was at, so that ending the process hard is safe.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from indexer import console

#: How long a run may take to get to a clean point: one step of a large model on a slow machine
#: takes longer than that.
PATIENCE_S = 4.0


@contextmanager
def stop_at_signal(*, quiet: bool) -> Iterator[threading.Event]:
    """Set an event at the first Ctrl-C or SIGTERM, instead of dying of it.

    If the block has not ended `PATIENCE_S` later, or at a second signal, the process ends.

    Args:
        quiet: say nothing of it.
    """
    stopped = threading.Event()
    late = threading.Timer(PATIENCE_S, _give_up, [quiet])
    late.daemon = True

    def note(_number: int, _frame: object) -> None:
        if stopped.is_set():
            _give_up(quiet)
        stopped.set()
        late.start()
        if not quiet:
            console.say("\nstopping; once more to stop at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        late.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _give_up(quiet: bool) -> None:
    if not quiet:
        console.say("stopped: run the same command again to go on")
    sys.stdout.flush()
    os._exit(console.EXIT_INTERRUPTED)
