"""Paths as text that can be stored.

A file name is a sequence of bytes, and not always UTF-8; stores, JSON and web pages want valid
Unicode. Storable text is the name's UTF-8 with every byte that is not part of valid UTF-8 as one
character of the private-use range U+F780 to U+F7FF (byte 0x80 → U+F780, …, 0xFF → U+F7FF). A
name that really contains characters of that range has them stored as the bytes of their own
UTF-8, so that no two names share a text and each comes back exactly.

The paths of a library are relative to its root, with "/" between the parts.
"""

from __future__ import annotations

import os
import re

#: The character that stands for byte 0x00, had it ever to be escaped: U+F780 is byte 0x80.
_ESCAPE_BASE = 0xF700
#: Where Python's own surrogateescape puts byte 0x00, likewise.
_SURROGATE_BASE = 0xDC00

_TO_ESCAPE = re.compile("[\udc80-\udcff\uf780-\uf7ff]")
_ESCAPED = re.compile("[\uf780-\uf7ff]")


def storable(name: str | bytes) -> str:
    """Return the storable text of a file name or path.

    Args:
        name: as the operating system gave it: bytes, or text with surrogate escapes.

    Returns:
        Valid Unicode without surrogates; plain UTF-8 names are returned as they are.
    """
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    return _TO_ESCAPE.sub(_escape, text)


def original(text: str) -> str:
    """Return the name or path that has this storable text, as the `os` functions take it."""
    escaped = _ESCAPED.sub(lambda found: chr(ord(found[0]) - _ESCAPE_BASE + _SURROGATE_BASE), text)
    return os.fsdecode(escaped.encode("utf-8", "surrogateescape"))


def full_path(root: str, path: str) -> str:
    """Return "<root id>/<relative path>", the form of `indexer.records.Image.paths`.

    Args:
        root: id of the library root.
        path: storable text, relative to the root.
    """
    return f"{root}/{path}"


def split_path(full: str) -> tuple[str, str]:
    """Return the root id and the relative path that `full_path` has put together.

    Raises:
        ValueError: there is no "/" in it.
    """
    root, slash, path = full.partition("/")
    if not slash:
        raise ValueError(f"{full!r} is not of the form <root id>/<relative path>")
    return root, path


def _escape(found: re.Match[str]) -> str:
    raw = found[0].encode("utf-8", "surrogateescape")
    return "".join(chr(_ESCAPE_BASE + byte) for byte in raw)
