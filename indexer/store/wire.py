"""How a host process and its clients find each other, and what they may say.

The host holds `host.lock` as long as it lives, so whoever gets the lock knows that there is no
host and may start one. `host.json` names the host's socket and the key that proves, in both
directions, that the other side may read the file. On a connection the host first sends
`PROTOCOL`; then the client sends (method, args, kwargs), and gets (True, result) or
(False, exception) back.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from indexer.store import layout
from indexer.store.base import Store

#: Raised when the messages change, so that a newer client does not talk to an older host.
PROTOCOL = 6

METHODS = frozenset(name for name in vars(Store) if not name.startswith("_")) - {"close"}


@dataclass(frozen=True)
class Contact:
    """Where a host listens: path of its socket, shared key, process id."""

    address: str
    key: bytes
    pid: int


def publish(folder: Path, contact: Contact) -> None:
    """Tell clients where the host of `folder` is; readable by this user only."""
    stored = {"address": contact.address, "key": contact.key.hex(), "pid": contact.pid}
    text = json.dumps({**stored, "folder": _identity(folder)})
    layout.write_file(folder / layout.HOST_FILE, text, mode=0o600)


def withdraw(folder: Path, contact: Contact) -> None:
    """Undo `publish`, unless another host has published since. Raises `OSError`."""
    if find(folder) == contact:
        (folder / layout.HOST_FILE).unlink(missing_ok=True)


def find(folder: Path) -> Contact | None:
    """Return what the last host published; None without one. Raises `OSError`."""
    try:
        stored = json.loads((folder / layout.HOST_FILE).read_text("utf-8"))
        if stored["folder"] != _identity(folder):
            return None  # a copy of the folder: the host is the original's
        return Contact(stored["address"], bytes.fromhex(stored["key"]), stored["pid"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None  # left by a power cut; the next host writes a new one


def _identity(folder: Path) -> list[int]:
    """Return what a folder keeps when it is moved, and a copy of it does not have."""
    info = folder.stat()
    return [info.st_dev, info.st_ino]


def take_lock(folder: Path) -> int | None:
    """Return the descriptor of the now locked file, or None while a host lives.

    The lock goes with the descriptor, also into a child process. Raises `OSError`.
    """
    path = folder / layout.LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass  # held, or removed by its holder between our two steps
    os.close(descriptor)
    return None
