"""Noticing that a host process hangs, and never giving up on one that works.

A call may take hours, and time alone says nothing: the host idles while a process of its own builds
search structures, and cannot answer anybody while Edge computes. So a thread looks, once a second,
at the hosts that calls have been waiting for: whether one has computed, or waits for a disk, or
greets a new connection. One that does nothing of this, many times in a row, is stopped or stuck;
the connections to it are shut down, which whoever waits there notices.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from indexer.store.processes import cpu_seconds, is_at_work
from indexer.store.wire import Contact

#: How often hosts are looked at, seconds.
LOOK_S = 1.0
#: Looks in a row without a sign of life after which a host hangs. Looks, not seconds: time goes on
#: while this process itself is stopped.
MOST_LOOKS = 30
#: The same where the system does not show what a process does: then Edge's work looks the same.
MOST_BLIND_LOOKS = 600

#: Threads that wait for each other in Python wake now and then, which takes less than this.
_WORK_SHARE = 0.05


class Wait:
    """A call that waits for a host.

    Attributes:
        is_in_vain: the host hangs.
        looks: how often the host has been looked at meanwhile.
    """

    def __init__(self, connection: Connection[Any, Any], contact: Contact) -> None:
        """Prepare to wait at this connection to this host."""
        self.connection = connection
        self.contact = contact
        self.is_in_vain = False
        self.looks = 0

    def give_up(self) -> None:
        """Wake whoever waits."""
        self.is_in_vain = True
        with socket.socket(fileno=os.dup(self.connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)


class _Pulse:
    """Whether a host lives."""

    def __init__(self, contact: Contact) -> None:
        self.silent = 0
        self._contact = contact
        self._spent = cpu_seconds(contact.pid)

    def feel(self) -> None:
        before, self._spent = self._spent, cpu_seconds(self._contact.pid)
        self.silent = 0 if self._beats(before) else self.silent + 1

    @property
    def has_stopped(self) -> bool:
        return self.silent >= (MOST_BLIND_LOOKS if self._spent is None else MOST_LOOKS)

    def _beats(self, spent_before: float | None) -> bool:
        pid = self._contact.pid
        if spent_before is not None and self._spent is not None:
            spent = self._spent - spent_before
            return spent > _WORK_SHARE * LOOK_S or is_at_work(pid) or _greets(self._contact)
        return _greets(self._contact)


class Watch:
    """Looks at the hosts that calls wait for. Safe to use from many threads."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._changed = threading.Condition()
        self._waits: set[Wait] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, wait: Wait) -> Iterator[None]:
        """Watch over a call while the block lasts."""
        with self._changed:
            self._waits.add(wait)
            if self._thread is None or not self._thread.is_alive():  # as in a forked process
                self._thread = threading.Thread(target=self._look_on, name="watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._waits.discard(wait)

    def _look_on(self) -> None:
        pulses: dict[Contact, _Pulse] = {}
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waits)
            time.sleep(LOOK_S)
            pulses = self._look(pulses)

    def _look(self, pulses: dict[Contact, _Pulse]) -> dict[Contact, _Pulse]:
        with self._changed:
            for wait in self._waits:
                wait.looks += 1
            hosts = {wait.contact for wait in self._waits if wait.looks > 1}
        pulses = {host: pulses.get(host) or _Pulse(host) for host in hosts}
        for pulse in pulses.values():
            pulse.feel()
        with self._changed:
            for wait in self._waits:
                pulse_of = pulses.get(wait.contact)
                if pulse_of is not None and pulse_of.has_stopped and not wait.is_in_vain:
                    with contextlib.suppress(OSError):  # it has just been closed
                        wait.give_up()
        return pulses


def _greets(contact: Contact) -> bool:
    """Return whether a host answers a new connection at all."""
    with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(OSError):
        caller.settimeout(LOOK_S / 2)
        caller.connect(contact.address)
        return bool(caller.recv(1))
    return False
