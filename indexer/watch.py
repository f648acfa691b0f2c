"""Waiting until something changes in a library. The only module that imports watchfiles."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.library import EXTENSIONS

#: Changes that follow each other this closely are one, milliseconds: a copy is written in parts.
_SETTLE_MS = 1000
#: How often to look whether to stop, milliseconds.
_POLL_MS = 500


def changes(paths: Sequence[Path], ignored: Path | None, stopped: threading.Event) -> Iterator[int]:
    """Yield after every burst of changes that may concern a picture, until `stopped` is set.

    The first time, with 0, as soon as changes are noticed: what changed before is not.

    Args:
        paths: files and folders to watch, all of which are there.
        ignored: a folder whose changes do not count: that of the index, which may lie inside.
        stopped: ends the waiting within half a second.

    Yields:
        The number of changes.
    """
    import watchfiles

    def concerns(_change: watchfiles.Change, name: str) -> bool:
        path = Path(name)
        if path.name.startswith(".") or (ignored is not None and path.is_relative_to(ignored)):
            return False
        # a folder that was moved away is no folder any more, so all that is gone counts
        return path.suffix.lower() in EXTENSIONS or not path.is_file()

    begun = False
    for changed in watchfiles.watch(
        *paths,
        watch_filter=concerns,
        debounce=_SETTLE_MS,
        step=_SETTLE_MS // 4,
        stop_event=stopped,
        rust_timeout=_POLL_MS,
        yield_on_timeout=True,
    ):
        if changed or not begun:
            yield len(changed)
        begun = True
