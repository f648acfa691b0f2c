"""A process that decodes pictures for `decoders`, which may crash, hang or run out of memory.

``python -m indexer.library.decoder_process PARENT SECONDS CPU_SECONDS BYTES`` with a socket as its
standard input; ends when the other end of that is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import traceback

import numpy as np

from indexer.errors import PictureError
from indexer.library import decoder_wire as wire
from indexer.library.decode import Content, decode

# Imported at the start: what they take is no part of a picture's time, nor of its memory.
from indexer.library import colour, metadata, pillow  # noqa: F401  isort: skip

_PR_SET_PDEATHSIG = 1
#: Whoever sends these to a whole group means the parent, which decides what comes of its children.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: What the parent, which kills a child that is too slow, is given to do so, seconds.
_GRACE_S = 5.0
#: Address space that is not memory: stacks of threads, arenas of malloc.
_SPARE_ADDRESSES = 4 << 30


def main() -> None:
    """Decode what the parent sends, until it has gone."""
    parent, seconds, cpu_seconds, most_bytes = (float(argument) for argument in sys.argv[1:])
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    _end_with(int(parent))
    _limit(int(most_bytes))
    connection = socket.socket(fileno=os.dup(0))
    connection.sendall(wire.READY)
    # From now on nobody wants to hear what C libraries say of broken pictures.
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - as a descriptor
        for standard in (0, 1, 2):
            os.dup2(nowhere.fileno(), standard)
    with connection, contextlib.suppress(EOFError, ConnectionError):
        while True:
            _serve(connection, seconds + _GRACE_S, cpu_seconds)


def _end_with(parent: int) -> None:
    """Have the system end this process with its parent, even while it is decoding."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has gone already")


def _limit(most_bytes: int) -> None:
    """Limit the memory; as well as the system can: macOS does not."""
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, most_bytes),
        (resource.RLIMIT_AS, most_bytes + _SPARE_ADDRESSES),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower one is there already, or none can
            _, hard = resource.getrlimit(kind)
            lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (lower, lower))


def _serve(connection: socket.socket, seconds: float, cpu_seconds: float) -> None:
    max_pixels, length = wire.REQUEST.unpack(_received(connection, wire.REQUEST.size))
    # The signals of both timers end the process at once, also within a decoder in C: computing
    # beyond any measure does so first, and tells the parent what it was; the other is for a parent
    # that has gone where the system does not tell.
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    kind, told, pixels = _decoded(_received(connection, length), max_pixels)
    signal.setitimer(signal.ITIMER_PROF, 0)
    words = wire.packed(told)
    connection.sendall(wire.REPLY.pack(kind, len(words)) + words)
    if pixels is not None:
        connection.sendall(pixels)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _decoded(data: bytes, max_pixels: int) -> tuple[bytes, dict[str, object], memoryview | None]:
    """Return the kind of the reply, what is told, and the pixels if there are any."""
    try:
        decoded = decode(Content(data, ""), max_pixels)
        pixels = np.ascontiguousarray(decoded.pixels).reshape(-1)
        return wire.PICTURE, wire.told_of(decoded.picture), pixels.data
    except PictureError as error:
        return wire.FAILURE, wire.told_of_failure(error), None
    except MemoryError:
        return wire.NO_MEMORY, {}, None
    except Exception:  # the parent raises it: a bug is never taken for a bad picture
        return wire.BUG, {"traceback": traceback.format_exc()}, None


def _received(connection: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = connection.recv_into(rest)
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return bytes(data)


if __name__ == "__main__":
    main()
