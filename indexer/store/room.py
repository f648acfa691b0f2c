"""What has to stay free on the disk of an index: a run stops before there is no room at all.

A full disk costs nothing that was written before, but it ends the host process in the middle of a
write, and nobody can even open the index until there is room again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from indexer.errors import SegsearchError, StoreFull

#: Environment variable with what has to stay free, MiB.
VARIABLE = "SEGSEARCH_MIN_FREE"
#: The same, without it. Edge grows its files in steps of up to 32 MiB; a new index takes 65 MB, and
#: 130 more when it is opened for the second time.
LEAST_MIB = 256.0
_MIB = 2**20


class Floor:
    """The least free space on the disk of an index folder or archive; a server has none."""

    def __init__(self, location: str) -> None:
        """Watch over the disk that `location` is on, or will be.

        Raises:
            SegsearchError: the variable makes no sense.
        """
        is_folder = not location.startswith(("http://", "https://"))
        self._folder = Path(location).expanduser().absolute() if is_folder else None
        self._least = _least_bytes()

    def check(self) -> None:
        """Raise `StoreFull` if less is free."""
        if self._folder is None or not self._least:
            return
        there = next(each for each in (self._folder, *self._folder.parents) if each.exists())
        free = shutil.disk_usage(there).free
        if free < self._least:
            disk = next(each for each in (there, *there.parents) if each.is_mount())
            raise StoreFull(
                f"{free / _MIB:.0f} MB are free on the disk of {self._folder}, which is mounted at "
                f"{disk}; {self._least / _MIB:.0f} MB have to stay free",
                "free some space there, then run the same command again: it goes on; "
                f"{VARIABLE}=MB sets another limit",
            )


def _least_bytes() -> float:
    given = os.environ.get(VARIABLE, "")
    try:
        least = float(given) if given else LEAST_MIB
    except ValueError:
        least = -1.0
    if not 0 <= least < float("inf"):
        raise SegsearchError(f"{VARIABLE} is {given!r}", "give a number of MB; 0 is no limit")
    return least * _MIB
