"""Files that are there whole or not at all, and their names."""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.errors import SegsearchError
from search.export.kinds import Kind
from search.hits import Hit

#: Length of the picture's name in the names of what is written, bytes of UTF-8: with the rest, it
#: is below what the narrowest file systems allow, 143.
_NAME_BYTES = 60
#: Hexadecimal digits of an id that are enough beside a rank.
_SHORT = 8
_SUFFIXES = {Kind.mask: "png", Kind.cutout: "png"}


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a place to write to, whose content becomes the file when the block ends well.

    Until then, and when it does not, a file that was there before stays as it is.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say what goes wrong with a folder as an error of ours.

    Raises:
        SegsearchError: the folder cannot be made or written to, or its disk is full.
    """
    try:
        yield
    except OSError as error:
        raise SegsearchError(
            f"cannot write to {folder}: {error.strerror or error}",
            "give another folder, or make room on its disk",
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder that may be there already, with those above it.

    Raises:
        SegsearchError: it cannot be made.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)


def name_of(hit: Hit, rank: int | None, kind: Kind) -> str:
    """Return a file name that is fit for every file system, and that no other hit has.

    It is "<rank>-<name of the picture>-<id>-<kind>": with a rank, the first digits of the segment's
    id are enough; without one, all are there. An overlay without a rank shows a whole picture, and
    has the picture's id; so does a hit that is a whole picture.

    Args:
        hit: what it shows.
        rank: from 1; None where there is no order.
        kind: one of the pictures.
    """
    whole = hit.segment is None or (rank is None and kind is Kind.overlay)
    id_ = hit.image.id if whole or hit.segment is None else hit.segment.id
    stem = plain_name(hit.path.stem)
    suffix = _SUFFIXES.get(kind, "jpg")
    if rank is None:
        return f"{stem}-{id_}-{kind}.{suffix}"
    return f"{rank:03d}-{stem}-{id_[:_SHORT]}-{kind}.{suffix}"


def plain_name(stem: str) -> str:
    """Return a name of letters, digits, "-", "_", "." and spaces, at most 60 bytes of UTF-8.

    What else there is becomes "_". It begins with a letter or a digit, so that the file is neither
    hidden nor taken for an option.
    """
    text = unicodedata.normalize("NFC", stem.encode("utf-8", "replace").decode("utf-8"))
    plain = "".join(c if c in "-_. " or unicodedata.category(c)[0] in "LMN" else "_" for c in text)
    short = plain.encode("utf-8")[:_NAME_BYTES].decode("utf-8", "ignore")
    return short.lstrip("-_. ").rstrip(". ") or "picture"
