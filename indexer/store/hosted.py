"""The embedded engine as other processes see it: every call goes to the folder's host process.

The first client starts the host (`host`), the last one to go ends it. When the host dies, the
call that notices raises and is not repeated, for it may have been done or not; all writes of
this project may be repeated safely, and the next call starts a new host, which finds everything
that was written.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import wraps
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from indexer.errors import StoreError, StoreFull, StoreUnavailable
from indexer.store import layout, wire
from indexer.store.base import Store
from indexer.store.hosted_watch import Wait, Watch

#: How long to wait for a host that is not there yet, and for one that is ending.
PATIENCE_S = 30.0

_POLL_S = 0.02
#: Edge grows its files by steps of up to this size; less free space than that is a full disk.
_FULL_BELOW_BYTES = 32 * 2**20
_LOG_TAIL_CHARS = 500

_P = ParamSpec("_P")
_R = TypeVar("_R")
_WATCH = Watch()


def _by_host(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[HostedStore, _P], _R]:
    """Give a method of `Store` a body that lets the host do the work."""

    @wraps(method)
    def call(self: HostedStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return cast("_R", self._ask(method.__name__, args, kwargs))

    return call


class _Line(NamedTuple):
    """A connection to a host, for one call at a time."""

    connection: Connection[Any, Any]
    contact: wire.Contact


class HostedStore:
    """A `Store` in a folder of this machine, shared with other processes of the same user.

    Safe to use from many threads: each call in progress has a connection of its own.
    """

    def __init__(self, folder: Path) -> None:
        """Connect to the host of `folder`, starting it if need be; makes the folder.

        Raises:
            StoreUnavailable: the host does not start, or hangs.
        """
        self._folder = folder.resolve()
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._closed = False
        self._give_back(_connect(self._folder))

    create = _by_host(Store.create)
    recipe = _by_host(Store.recipe)
    upsert = _by_host(Store.upsert)
    delete = _by_host(Store.delete)
    set_payload = _by_host(Store.set_payload)
    update_payloads = _by_host(Store.update_payloads)
    get = _by_host(Store.get)
    get_in_images = _by_host(Store.get_in_images)
    search = _by_host(Store.search)
    nearest = _by_host(Store.nearest)
    scroll = _by_host(Store.scroll)
    count = _by_host(Store.count)
    facet = _by_host(Store.facet)
    storage = _by_host(Store.storage)
    optimise = _by_host(Store.optimise)
    optimising = _by_host(Store.optimising)
    ids = _by_host(Store.ids)
    inspect = _by_host(Store.inspect)
    flush = _by_host(Store.flush)
    check = _by_host(Store.check)
    size_bytes = _by_host(Store.size_bytes)

    def adopt(self, draft: str) -> None:
        """See `Store.adopt`; other clients of the index go on and see the new one."""
        # The host works in another folder, where a relative path would mean something else.
        self._ask("adopt", (str(Path(draft).expanduser().resolve()),), {})

    def close(self) -> None:
        """See `Store.close`; calls in progress in other threads may still finish."""
        with self._lock:
            self._closed = True
        self._hang_up()

    def _ask(self, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
        line = self._take()
        connection, wait = line.connection, Wait(*line)
        try:
            with _WATCH.over(wait):
                connection.send((method, args, kwargs))
                done, answer = connection.recv()
        except (OSError, EOFError) as error:
            connection.close()
            self._hang_up()
            if wait.is_in_vain:
                raise _hangs(self._folder, line.contact) from error
            raise _failure(
                self._folder,
                f"the host process of the index {self._folder} ended during {method}",
                f"run the command again; {self._folder / layout.LOG_FILE} may say why",
            ) from error
        except BaseException:
            connection.close()  # an answer may still be under way, and would meet another call
            raise
        self._give_back(line)
        if isinstance(answer, Exception) and not done:
            raise answer
        return cast("object", answer)

    def _take(self) -> _Line:
        with self._lock:
            if self._closed:
                raise StoreError(f"the index {self._folder} was closed", "open it again")
            if self._idle:
                return self._idle.pop()
        return _connect(self._folder)

    def _give_back(self, line: _Line) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(line)
                return
        line.connection.close()

    def _hang_up(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.connection.close()


def start_host(folder: Path) -> None:
    """Let the host of an index start, if there is none, while the caller does something else.

    Raises:
        OSError: the folder cannot be used.
    """
    if wire.find(folder) is None:
        _try_to_start(folder.resolve())


def _connect(folder: Path) -> _Line:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _connect_or_start(folder)
    except OSError as error:
        raise _failure(
            folder,
            f"cannot use the index folder {folder}: {error.strerror}",
            "it must be a writable folder of this user",
        ) from error


def _connect_or_start(folder: Path) -> _Line:
    deadline = time.monotonic() + PATIENCE_S
    started: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        line = _try_to_connect(folder)
        if line is not None:
            return line
        if started is not None and started.returncode is not None:
            raise _refusal(folder, f"ended at once, exit status {started.returncode}")
        if started is None:
            started = _try_to_start(folder)
        time.sleep(_POLL_S)
    raise _refusal(folder, f"did not answer for {PATIENCE_S:.0f} s")


def _try_to_connect(folder: Path) -> _Line | None:
    contact = wire.find(folder)
    if contact is None:
        return None
    try:
        connection = _called(contact)
    except (FileNotFoundError, ConnectionError, BlockingIOError):
        return None  # it is ending, or has ended, or has too much to do
    wait = Wait(connection, contact)
    try:
        with _WATCH.over(wait):
            answer_challenge(connection, contact.key)
            deliver_challenge(connection, contact.key)
            protocol = connection.recv()
    except (ConnectionError, EOFError, AuthenticationError):
        connection.close()
        if wait.is_in_vain:
            raise _hangs(folder, contact) from None
        return None
    except BaseException:
        connection.close()
        raise
    if protocol != wire.PROTOCOL:
        connection.close()
        raise StoreUnavailable(
            f"the host process {contact.pid} of {folder} belongs to another version of segsearch",
            "end the programs that use the index, then run the command again",
        )
    return _Line(connection, contact)


def _called(contact: wire.Contact) -> Connection[Any, Any]:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)  # a host that takes no calls would keep this one waiting
        caller.connect(contact.address)
        caller.setblocking(True)
        return Connection(caller.detach())


def _try_to_start(folder: Path) -> subprocess.Popen[bytes] | None:
    lock = wire.take_lock(folder)
    if lock is None:
        return None
    try:
        with (folder / layout.LOG_FILE).open("ab") as log:
            # In a session of its own, so that Ctrl-C in this terminal does not end it for others.
            host = subprocess.Popen(  # noqa: S603 - our own module, by this very interpreter
                [sys.executable, "-P", "-m", "indexer.store.host", str(folder), str(lock)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
            )
    finally:
        os.close(lock)
    threading.Thread(target=host.wait, name="host-reaper", daemon=True).start()
    return host


def _refusal(folder: Path, what: str) -> StoreError:
    log, contact = folder / layout.LOG_FILE, wire.find(folder)
    said = "it said nothing"
    if log.exists():
        said = log.read_text("utf-8", "replace").strip()[-_LOG_TAIL_CHARS:] or said
    number = "" if contact is None else f" {contact.pid}"
    return _failure(
        folder,
        f"the host process{number} of the index {folder} {what}: {said}",
        f"see {log}, and end other programs that use the index",
    )


def _hangs(folder: Path, contact: wire.Contact) -> StoreUnavailable:
    return StoreUnavailable(
        f"the host process {contact.pid} of the index {folder} hangs: it has done nothing for a "
        "while, and does not answer",
        f"end it with: kill -9 {contact.pid}, then run the command again; what was written is kept",
    )


def _failure(folder: Path, message: str, hint: str) -> StoreError:
    if folder.exists() and shutil.disk_usage(folder).free < _FULL_BELOW_BYTES:
        return StoreFull(
            f"the disk is full under the index {folder}",
            "free some space and run the command again; what was written before is kept",
        )
    return StoreUnavailable(message, hint)
