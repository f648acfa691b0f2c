"""The host process of an embedded index: owns its `EdgeStore` and serves it to other processes.

``python -m indexer.store.host FOLDER`` is started by the first client (`hosted`), and ends
`GRACE_S` seconds after its last one has gone, so that commands run one after another share it.
How the two find each other and what they say is in `wire`.
"""

from __future__ import annotations

import faulthandler
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from types import FrameType
from typing import Any

from indexer.errors import SegsearchError
from indexer.store import layout, wire
from indexer.store.edge import EdgeStore

#: How long the host outlives its last client.
GRACE_S = 2.0
#: How long it waits for its first one.
PATIENCE_S = 30.0

#: Longest path that a Unix socket can have, bytes; macOS has the least.
_MAX_SOCKET_PATH = 103
_POLL_S = 0.1
_CLIENTS = "clients"
_CALLS = "calls"


class Host:
    """Serves the index of one folder until nobody needs it any more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = secrets.token_bytes(32)
        self._store: EdgeStore | None = None
        self._state = threading.Condition()
        self._busy: Counter[str] = Counter()
        self._ending = False
        self._deadline = time.monotonic() + PATIENCE_S

    def serve(self) -> None:
        """Answer clients; return after the last one has gone, with everything written out."""
        socket = _socket_path(self._folder)
        umask = os.umask(0o177)
        try:
            listener = Listener(str(socket), family="AF_UNIX", backlog=64)
        finally:
            os.umask(umask)
        contact = wire.Contact(str(socket), self._key, os.getpid())
        wire.publish(self._folder, contact)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        with ExitStack() as ending:
            if socket.parent != self._folder:
                ending.callback(shutil.rmtree, socket.parent)
            ending.callback(_unless_gone, listener.close)
            ending.callback(_unless_gone, partial(wire.withdraw, self._folder, contact))
            ending.callback(self._close_store)
            while not self._is_over():
                time.sleep(_POLL_S)

    def end(self, _signal: int, _frame: FrameType | None) -> None:
        """Let `serve` return as soon as the calls in progress are done; a signal handler."""
        self._deadline = 0.0
        self._ending = True

    def _is_over(self) -> bool:
        with self._state:
            if not self._busy[_CLIENTS] and time.monotonic() > self._deadline:
                self._ending = True
            return self._ending

    def _close_store(self) -> None:
        with self._state:
            self._state.wait_for(lambda: not self._busy[_CALLS])
            if self._store is not None:
                self._store.close()

    def _accept(self, listener: Listener) -> None:
        while not self._ending:
            try:
                connection = listener.accept()
            except OSError as error:
                if not self._ending:
                    _log(f"could not accept a client: {error!r}")
                    time.sleep(_POLL_S)
                continue
            threading.Thread(target=self._serve_client, args=(connection,), daemon=True).start()

    def _serve_client(self, connection: Connection[Any, Any]) -> None:
        with connection:
            try:
                deliver_challenge(connection, self._key)
                answer_challenge(connection, self._key)
            except EOFError:
                return  # it only wanted to know whether this host lives
            except (OSError, AuthenticationError) as error:
                _log(f"turned a client away: {error!r}")
                return
            try:
                with self._counted(_CLIENTS):
                    connection.send(wire.PROTOCOL)
                    while True:
                        self._answer(connection)
            except (OSError, EOFError):
                return  # the client has gone, or the host is ending
            except Exception as error:  # a malformed message may raise anything when unpickled
                _log(f"dropped a client: {error!r}")

    def _answer(self, connection: Connection[Any, Any]) -> None:
        method, args, kwargs = connection.recv()
        if method not in wire.METHODS:
            raise ValueError(f"no method {method!r}")
        with self._counted(_CALLS):
            try:
                reply = (True, getattr(self._opened(), method)(*args, **kwargs))
            except SegsearchError as error:
                reply = (False, error)
            except Exception as error:
                _log(traceback.format_exc())
                reply = (False, RuntimeError(f"{method} failed in the host process: {error!r}"))
        connection.send(reply)

    @contextmanager
    def _counted(self, what: str) -> Iterator[None]:
        with self._state:
            if self._ending:
                raise EOFError("the host is ending")
            self._busy[what] += 1
        try:
            yield
        finally:
            with self._state:
                self._busy[what] -= 1
                self._deadline = time.monotonic() + GRACE_S
                self._state.notify_all()

    def _opened(self) -> EdgeStore:
        with self._state:
            if self._store is None:
                self._store = EdgeStore(self._folder)
            return self._store


def _socket_path(folder: Path) -> Path:
    """Return a path of this host's own, so that closing it never closes another's."""
    for stale in folder.glob(layout.SOCKET_FILE.format("*")):
        stale.unlink(missing_ok=True)  # of hosts that were killed: we hold the lock
    path = folder / layout.SOCKET_FILE.format(os.getpid())
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="segsearch-")) / layout.SOCKET_FILE.format(os.getpid())


def _unless_gone(action: Callable[[], object]) -> None:
    """Undo something in the folder, which may have been moved or removed meanwhile."""
    with suppress(FileNotFoundError):
        action()


def _log(message: str) -> None:
    with suppress(OSError):  # as on a full disk
        sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {os.getpid()} {message}\n")
        sys.stderr.flush()


def main() -> None:
    """Serve the folder named on the command line.

    A client that starts a host hands it the locked file's descriptor as a second argument.
    """
    match sys.argv[1:]:
        case [folder]:
            lock = wire.take_lock(Path(folder))
        case [folder, descriptor]:
            lock = int(descriptor)
        case _:
            raise SystemExit("usage: python -m indexer.store.host FOLDER")
    if lock is None:
        raise SystemExit(f"{folder} has a host process already")
    faulthandler.enable()
    host = Host(Path(folder).resolve())
    signal.signal(signal.SIGTERM, host.end)
    signal.signal(signal.SIGINT, host.end)
    host.serve()


if __name__ == "__main__":
    main()
