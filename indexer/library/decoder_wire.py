"""What a process that decodes and the one that it works for say to each other.

Both ends of one socket. The child says `READY` once. Then, for each picture: the request's header
and the file's bytes; the reply's header, a JSON object, and for a picture its pixels, row by row.
Nothing is pickled: the child has just read what strangers have written, and is not trusted.
"""

from __future__ import annotations

import json
import struct
from datetime import datetime
from typing import Any

from indexer.errors import PictureError
from indexer.records import Picture

READY = b"R"
#: Largest picture in pixels, length of the file in bytes.
REQUEST = struct.Struct("!QQ")
#: Kind, length of the JSON in bytes.
REPLY = struct.Struct("!cI")
#: Kinds of a reply: a picture, a failure that is the picture's, no memory left, a bug of ours.
PICTURE, FAILURE, NO_MEMORY, BUG = b"P", b"F", b"M", b"B"
#: Longest JSON that is accepted, bytes.
MOST_TOLD = 1 << 20
_MOST_WORDS = 1000


def told_of(picture: Picture) -> dict[str, Any]:
    """Return what is told about a picture; the parent knows which bytes it is."""
    return {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "frames": picture.frames,
        "taken_at": None if picture.taken_at is None else picture.taken_at.isoformat(),
        "camera": picture.camera,
        "gps": picture.gps,
    }


def picture_from(told: dict[str, Any], sha256: str) -> Picture:
    """Return the picture that was told about.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    taken_at, camera, gps = told["taken_at"], told["camera"], told["gps"]
    return Picture(
        sha256=sha256,
        width=int(told["width"]),
        height=int(told["height"]),
        format=str(told["format"])[:_MOST_WORDS],
        frames=int(told["frames"]),
        taken_at=None if taken_at is None else datetime.fromisoformat(taken_at),
        camera=None if camera is None else str(camera)[:_MOST_WORDS],
        gps=None if gps is None else (float(gps[0]), float(gps[1])),
    )


def told_of_failure(error: PictureError) -> dict[str, Any]:
    """Return what is told about a picture that cannot be used."""
    return {"reason": error.reason, "message": error.message, "retryable": error.retryable}


def failure_from(told: dict[str, Any]) -> PictureError:
    """Return the failure that was told about.

    Raises:
        ValueError, KeyError: it is none.
    """
    reason, message = str(told["reason"]), str(told["message"])
    if not reason.isidentifier():
        raise ValueError(f"no reason: {reason!r}")
    return PictureError(reason, message[:_MOST_WORDS], retryable=bool(told["retryable"]))


def packed(told: dict[str, Any]) -> bytes:
    """Return the JSON of what is told, in ASCII."""
    return json.dumps(told).encode("ascii")


def unpacked(data: bytes) -> dict[str, Any]:
    """Return what was told.

    Raises:
        ValueError: it is no JSON object.
    """
    told = json.loads(data)
    if not isinstance(told, dict):
        raise ValueError("no object")  # noqa: TRY004 - all that is malformed is one error
    return told
