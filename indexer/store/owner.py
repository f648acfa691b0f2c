"""Whose an index folder is: one user's, whose files others could neither use nor leave usable."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

from indexer.errors import StoreError


def refuse_foreign(folder: Path) -> None:
    """Refuse to use a folder of another user, in which our files would lock that user out.

    Raises:
        StoreError: it belongs to somebody else.
    """
    owner = _owner(folder)
    if owner is not None and owner != os.geteuid():
        who = _name(owner)
        raise StoreError(
            f"the index folder {folder} belongs to {who}, and this is {_name(os.geteuid())}",
            f"run the command as {who}, make a copy with segsearch transfer as {who}, or take the "
            "folder over with chown -R",
        )


def _owner(folder: Path) -> int | None:
    with contextlib.suppress(OSError):  # nothing is there, or whoever uses it will tell
        return folder.stat().st_uid
    return None


def _name(user: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return f"user {user}"
