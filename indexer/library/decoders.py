"""Decode in processes of their own, which a picture may hang, crash or fill without harm.

Pillow and the libraries below it are C; what they are given was written by strangers. `Decoders`
does what `decode` does, in children that have limits on their time and memory and are replaced
when they die, so that any picture ends as pixels or as a `PictureError`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from indexer.errors import PictureError, SegsearchError, Stopped
from indexer.library import decoder_wire as wire
from indexer.library.decode import MAX_PIXELS, MAX_SIDE, Content, Decoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.records import Picture

#: Longest that one picture may take, seconds by the clock.
TIME_LIMIT_S = 60.0
#: Most memory of a child, bytes. What `MAX_PIXELS` take in the dearest mode, and some more.
MEMORY_LIMIT = 9 << 29
#: Of the time limit, what a picture may use to compute.
_COMPUTING = 0.75
#: Longest that a child may take to start, seconds.
_START_S = 120.0
_LEAST_TIMEOUT_S = 0.001
#: Longest that a child which has closed its end may take to be gone, seconds.
_ENDING_S = 5.0
_BUFFER = 1 << 20
#: One thread is as fast for what decoding does, and each more would cost a start and memory.
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_CRASHES = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")
)


class Decoders:
    """A few processes that decode pictures. Safe to use from many threads."""

    def __init__(
        self, workers: int, *, limit_s: float = TIME_LIMIT_S, memory_bytes: int = MEMORY_LIMIT
    ) -> None:
        """Start nothing yet: a process is started when there is a picture for it.

        Args:
            workers: most pictures that are decoded at once; further ones wait.
            limit_s: longest that one picture may take, seconds by the clock; three quarters of it
                in seconds of computing, on all cores together.
            memory_bytes: most memory of one process. macOS knows no such limit.
        """
        self._limits = _Limits(limit_s, memory_bytes)
        self._slots: queue.LifoQueue[_Slot] = queue.LifoQueue()
        for _ in range(workers):
            self._slots.put(_Slot())
        # One thread starts all children and stays: Linux ends a child with the *thread* that has
        # started it, and those that ask for pictures come and go.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="decoders")
        self._children: set[_Child] = set()
        self._end = weakref.finalize(self, _end_all, self._children, self._slots, self._starter)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, also those that are at work."""
        self._end()

    def decode(self, content: Content, max_pixels: int = MAX_PIXELS) -> Decoded:
        """Decode a picture, see `indexer.library.decode`.

        Raises:
            PictureError: see `indexer.library.decode`; also `corrupt` where it crashes the decoder,
                `too_large` where it takes too much memory, `too_slow`, and `out_of_memory`
                (retryable) where somebody else, likely the system, has ended the process.
            SegsearchError: no process can be started.
            Stopped: this is closed.
        """
        slot = self._slots.get()
        try:
            return self._decode(slot, content, max_pixels)
        finally:
            if not self._end.alive:
                self._drop(slot)
            self._slots.put(slot)

    def _decode(self, slot: _Slot, content: Content, max_pixels: int) -> Decoded:
        while True:
            child = slot.child
            if child is None or not child.is_usable:
                self._drop(slot)
                child = slot.child = self._started()
            is_new = child.is_new
            try:
                return child.decode(content, max_pixels)
            except _Lost as lost:
                self._drop(slot)
                if not self._end.alive:
                    raise _closed() from None
                # What one picture has damaged may have ended the next: only a new child's word
                # counts against a picture.
                if is_new or not lost.perhaps_innocent:
                    raise lost.failure from None

    def _started(self) -> _Child:
        try:
            return self._starter.submit(self._start).result()
        except RuntimeError:
            if self._end.alive:
                raise
            raise _closed() from None

    def _start(self) -> _Child:
        child = _Child(self._limits)
        self._children.add(child)
        return child

    def _drop(self, slot: _Slot) -> None:
        if slot.child is not None:
            slot.child.end()
            self._children.discard(slot.child)
            slot.child = None


@dataclass(frozen=True)
class _Limits:
    seconds: float
    memory_bytes: int

    @property
    def cpu_seconds(self) -> float:
        return self.seconds * _COMPUTING


@dataclass
class _Slot:
    """What decodes one picture at a time: a child, or none so far."""

    child: _Child | None = None


class _Lost(Exception):
    """A child that must not be used any more."""

    def __init__(self, failure: PictureError, *, perhaps_innocent: bool) -> None:
        """Keep what it means for the picture, and whether another picture may be the reason."""
        super().__init__(failure)
        self.failure = failure
        self.perhaps_innocent = perhaps_innocent


class _Child:
    """A process that decodes one picture after another.

    Attributes:
        is_new: it has not been given a picture yet.
    """

    def __init__(self, limits: _Limits) -> None:
        """Start it and wait until it is ready.

        Raises:
            SegsearchError: it cannot be started.
        """
        self.is_new = True
        self._limits = limits
        self._busy = False
        self._socket, theirs = socket.socketpair()
        for end in self._socket, theirs:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        told = (os.getpid(), limits.seconds, limits.cpu_seconds, limits.memory_bytes)
        command = [sys.executable, "-P", "-m", "indexer.library.decoder_process", *map(str, told)]
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, **_ALONE},
                )
            except OSError as error:
                self._socket.close()
                raise _not_started(error.strerror or str(error)) from error
        try:
            self._receive(memoryview(bytearray(1)), time.monotonic() + _START_S)
        except (OSError, EOFError) as error:
            self.end()
            raise _not_started(f"status {self._process.returncode}") from error

    @property
    def is_usable(self) -> bool:
        """Whether it lives, and waits for a picture."""
        return not self._busy and self._process.poll() is None

    def decode(self, content: Content, max_pixels: int) -> Decoded:
        """Decode a picture.

        Raises:
            PictureError: it cannot be used.
            _Lost: the child is of no use any more.
        """
        self.is_new, self._busy = False, True
        deadline = time.monotonic() + self._limits.seconds
        try:
            self._socket.settimeout(self._limits.seconds)
            self._socket.sendall(wire.REQUEST.pack(max_pixels, len(content.data)))
            self._socket.sendall(content.data)
            kind, told = self._reply(deadline)
            result = self._result(kind, told, content.sha256, max_pixels, deadline)
        except TimeoutError:
            raise _Lost(self._slow(retryable=True), perhaps_innocent=False) from None
        except (OSError, EOFError):
            raise self._died() from None
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            failure = _crashed(f"its answer makes no sense: {type(error).__name__}")
            raise _Lost(failure, perhaps_innocent=True) from error
        self._busy = False
        if isinstance(result, PictureError):
            raise result
        return result

    def end(self) -> None:
        """Kill it; may be called again."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def kill(self) -> None:
        """Kill it, which whoever waits for it notices."""
        self._process.kill()

    def _reply(self, deadline: float) -> tuple[bytes, dict[str, Any]]:
        header = bytearray(wire.REPLY.size)
        self._receive(memoryview(header), deadline)
        kind, length = wire.REPLY.unpack(header)
        if length > wire.MOST_TOLD:
            raise ValueError(f"{length} bytes of JSON")
        words = bytearray(length)
        self._receive(memoryview(words), deadline)
        return kind, wire.unpacked(bytes(words))

    def _result(
        self, kind: bytes, told: dict[str, Any], sha256: str, max_pixels: int, deadline: float
    ) -> Decoded | PictureError:
        if kind == wire.NO_MEMORY:
            raise _Lost(self._filled(), perhaps_innocent=True)
        if kind == wire.BUG:
            raise RuntimeError(f"decoding a picture failed:\n{told['traceback']}")
        if kind == wire.FAILURE:
            return wire.failure_from(told)
        picture = wire.picture_from(told, sha256)
        return Decoded(picture, self._pixels(picture, max_pixels, deadline))

    def _pixels(self, picture: Picture, max_pixels: int, deadline: float) -> NDArray[np.uint8]:
        import numpy as np

        width, height = picture.width, picture.height
        if max(width, height) > MAX_SIDE or width * height > max_pixels:
            raise ValueError(f"{width}×{height} pixels")
        pixels = np.empty((height, width, 3), np.uint8)
        self._receive(pixels.reshape(-1).data, deadline)
        pixels.setflags(write=False)
        return pixels

    def _receive(self, rest: memoryview, deadline: float) -> None:
        while rest:
            self._socket.settimeout(max(deadline - time.monotonic(), _LEAST_TIMEOUT_S))
            count = self._socket.recv_into(rest)
            if count == 0:
                raise EOFError
            rest = rest[count:]

    def _died(self) -> _Lost:
        """Return what it means that the child has closed its end."""
        try:
            status = self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return _Lost(_crashed("it hung up"), perhaps_innocent=True)
        if status == -signal.SIGPROF:
            return _Lost(self._slow(retryable=False), perhaps_innocent=False)
        if status == -signal.SIGALRM:
            return _Lost(self._slow(retryable=True), perhaps_innocent=False)
        if status >= 0 or -status in _CRASHES:
            return _Lost(_crashed(_name_of(status)), perhaps_innocent=True)
        message = f"its decoder was ended from outside ({_name_of(status)}), as happens when the"
        message += " machine's memory runs out: run again when there is more"
        failure = PictureError("out_of_memory", message, retryable=True)
        return _Lost(failure, perhaps_innocent=False)

    def _slow(self, *, retryable: bool) -> PictureError:
        if retryable:  # little was computed: the machine may have been busy, or asleep
            message = f"it was not decoded within {self._limits.seconds:g} seconds: run again when"
            message += " the machine has less to do"
        else:
            message = f"decoding it takes more than {self._limits.cpu_seconds:g} seconds of"
            message += " computing: save it anew, or scale it down"
        return PictureError("too_slow", message, retryable=retryable)

    def _filled(self) -> PictureError:
        most = self._limits.memory_bytes / 2**30
        message = f"decoding it takes more than {most:.3g} GiB of memory: save it anew, or scale it"
        return PictureError("too_large", f"{message} down")


def _crashed(how: str) -> PictureError:
    return PictureError("corrupt", f"it crashed the decoder ({how}): replace it by a good copy")


def _name_of(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _not_started(why: str) -> SegsearchError:
    return SegsearchError(
        f"the process that decodes pictures did not start ({why})",
        "see what it wrote above, or free some memory",
    )


def _closed() -> Stopped:
    return Stopped("pictures are not decoded any more", "run the same command again to go on")


def _end_all(
    children: set[_Child], slots: queue.LifoQueue[_Slot], starter: ThreadPoolExecutor
) -> None:
    starter.shutdown()
    for child in list(children):
        child.kill()
    idle = []  # whoever waits for one of the others tidies up after it
    with contextlib.suppress(queue.Empty):
        while True:
            idle.append(slots.get_nowait())
    for slot in idle:
        if slot.child is not None:
            slot.child.end()
        slots.put(slot)
