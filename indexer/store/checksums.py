"""What shows that a stored record is still what was written.

Records of an embedded index are sealed with a CRC-32 of what never changes in them: the payload
but for `CHANGEABLE`, and the bits of the vector. A seal is the engine's own: it is put on when a
record is written and taken off when one is read, so nobody else sees it. A server looks after its
own files, so there are none on it.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

from indexer.store.base import Payload, Point, Vector
from indexer.store.schema import CHANGEABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The payload field that holds the seal.
SEAL = "_crc"
#: How far the squared length of a vector may be from 1 so that Edge keeps its bits; beyond 1e-6 it
#: divides by the length. Half of that, as it sums up in another order.
_KEPT = 5e-7
_FLOAT = struct.Struct("<f")


def sealed(point: Point) -> Point:
    """Return a record as it is to be stored, its vector as long as the engine would make it."""
    vector = None if point.vector is None else _unit(point.vector)
    seal = _checksum(point.payload, vector)
    return Point(point.id, {**point.payload, SEAL: seal}, vector)


def unsealed(payload: Payload) -> Payload:
    """Take the seal off a payload just read, and return it."""
    payload.pop(SEAL, None)
    return payload


def change(payload: Payload) -> Payload:
    """Return fields that are to overwrite those of a stored record, which stays true to its seal.

    Without it, if one of them is sealed.
    """
    return payload if payload.keys() <= CHANGEABLE else {**payload, SEAL: None}


def is_sound(stored: Mapping[str, Any], vector: Vector | None) -> bool | None:
    """Say whether a record is what was sealed; None if it has no seal.

    Args:
        stored: its payload as it was read, with the seal.
        vector: float32, shape (dim,), or None where it has none.
    """
    seal = stored.get(SEAL)
    return None if seal is None else bool(seal == _checksum(stored, vector))


def _checksum(payload: Mapping[str, Any], vector: Vector | None) -> int:
    kept = {k: _plain(v) for k, v in payload.items() if k not in CHANGEABLE and k != SEAL}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    crc = zlib.crc32(text.encode("utf-8"))
    return crc if vector is None else zlib.crc32(vector.tobytes(), crc)


def _plain(value: object) -> object:
    """Return a value in which numbers are alike that differ in their last bits only.

    Readers of decimal numbers do not agree on those.
    """
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return _FLOAT.pack(value).hex() if abs(value) < 1e38 else repr(value)  # noqa: PLR2004
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case _:
            return repr(value)


def _unit(vector: Vector) -> Vector:
    import numpy as np

    wide = vector.astype(np.float64)
    square = float(wide @ wide)
    return vector if abs(square - 1) <= _KEPT else (wide / square**0.5).astype(np.float32)
