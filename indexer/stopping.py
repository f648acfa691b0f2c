"""How the commands stop: at a clean point where that is near, and soon in any case.

Killing a run costs only the pictures it was at, so that ending the process hard is safe.
"""

from __future__ import annotations

import contextlib
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
#: How long the last words may take: whoever should read them may not do so any more.
_LAST_WORDS_S = 0.5
#: Ctrl-C, a polite kill, and the end of the terminal.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_at_signal(*, quiet: bool) -> Iterator[threading.Event]:
    """Set an event at the first Ctrl-C, SIGTERM or SIGHUP, instead of dying of it.

    If the block has not ended `PATIENCE_S` later, or at a second signal, the process ends. Signals
    that whoever started the process had it ignore, as `nohup` does, stay ignored.

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
            _say_at_once("\nstopping; once more to stop at once\n")

    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield stopped
    finally:
        late.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_at_once(text: str) -> None:
    """Write to stderr past its buffer, which the signal may have interrupted in the middle."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), text.encode())


def _give_up(quiet: bool) -> None:
    def last_words() -> None:
        if not quiet:
            _say_at_once("stopped: run the same command again to go on\n")
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()

    said = threading.Thread(target=last_words, daemon=True)
    said.start()
    said.join(_LAST_WORDS_S)
    os._exit(console.EXIT_INTERRUPTED)
