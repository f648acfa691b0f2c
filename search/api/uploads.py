"""Pictures that were uploaded: in memory, for a while, under ids that nobody guesses."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from indexer import library
from indexer.errors import PictureError
from search.api.problems import Refused
from search.api.settings import Limits

_TOO_MUCH = ("out_of_memory", "too_large", "too_slow")
#: What the smallest picture counts for: it takes more memory than its pixels.
_LEAST_BYTES = 4096
#: Uploads that are decoded or wait for it; each keeps a thread from answering something else.
_MOST_WAITING = 8


@dataclass(frozen=True, eq=False)
class Uploaded:
    """An uploaded picture.

    Attributes:
        id: 22 characters, 128 random bits.
        pixels: uint8 RGB, shape (H, W, 3), in the EXIF-transposed frame.
        until: when it goes, seconds of `time.monotonic`.
        expires_at: the same for people, UTC.
    """

    id: str
    pixels: NDArray[np.uint8]
    until: float
    expires_at: datetime


class Uploads:
    """The uploads that are kept. Safe to use from many threads."""

    def __init__(self, limits: Limits) -> None:
        """Start with none."""
        self._limits = limits
        self._lock = threading.Lock()
        self._decoders = library.Decoders(1)  # a large one takes gigabytes meanwhile
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._kept: OrderedDict[str, Uploaded] = OrderedDict()
        self._bytes = 0

    def add(self, data: bytes) -> Uploaded:
        """Decode a picture and keep it.

        Raises:
            Refused: it is none, or takes too many pixels, too much memory or too long; or too many
                are waiting.
        """
        if not self._waiting.acquire(blocking=False):
            many = f"{_MOST_WAITING} pictures are waiting to be decoded"
            raise Refused("busy", many, "try again in a second", {"retry-after": "1"})
        try:
            decoded = self._decoded(data)
        finally:
            self._waiting.release()
        seconds = self._limits.upload_s
        added = Uploaded(
            secrets.token_urlsafe(16),
            decoded.pixels,
            time.monotonic() + seconds,
            datetime.now(UTC) + timedelta(seconds=seconds),
        )
        with self._lock:
            self._kept[added.id] = added
            self._bytes += _bytes_of(added)
            self._forget_old()
        return added

    def close(self) -> None:
        """End the process that decodes."""
        self._decoders.close()

    def get(self, upload_id: str) -> Uploaded:
        """Return an upload.

        Raises:
            Refused: it is not kept any more, or never was.
        """
        with self._lock:
            self._forget_old()
            found = self._kept.get(upload_id)
        if found is None:
            raise Refused(
                "upload-gone", f"there is no upload {upload_id}", "upload the picture again"
            )
        return found

    def _decoded(self, data: bytes) -> library.Decoded:
        content = library.Content(data, hashlib.sha256(data).hexdigest())
        try:
            return self._decoders.decode(content, self._limits.upload_pixels)
        except PictureError as error:
            code = "too-large" if error.reason in _TOO_MUCH else "no-picture"
            raise Refused(code, error.message, "send a JPEG, PNG or WebP") from error

    def _forget_old(self) -> None:
        now = time.monotonic()
        while len(self._kept) > 1 and self._bytes > self._limits.uploads_bytes:
            self._forget_first()
        while self._kept and next(iter(self._kept.values())).until < now:
            self._forget_first()

    def _forget_first(self) -> None:
        _, upload = self._kept.popitem(last=False)
        self._bytes -= _bytes_of(upload)


def _bytes_of(upload: Uploaded) -> int:
    return max(upload.pixels.nbytes, _LEAST_BYTES)
