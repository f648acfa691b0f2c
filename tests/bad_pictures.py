"""A folder of every picture that bites, and what is promised of each file in it.

`corpus` returns traps made by hand and, decided by a seed, real formats cut short, with flipped
bits and exchanged headers; `write_strange_files` adds what only a file system can do.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from indexer.library import storable
from tests.bad_bytes import written
from tests.bad_traps import Case, Promise, either, good, traps

__all__ = ["Case", "Promise", "corpus", "samples", "write", "write_strange_files"]

_UNREADABLE = Promise(frozenset({"unreadable"}))
_HEADER = 32
#: Of each sample.
_CUTS, _FLIPS, _JUMBLES = 9, 6, 3


def corpus(seed: int) -> list[Case]:
    """Return all cases, each with a name of its own; equal seeds give equal ones."""
    cases = [*traps(), *fuzzed(seed)]
    numbered = [
        Case(f"{number:03d} {case.name}", case.data, case.promise)
        for number, case in enumerate(cases)
    ]
    assert len(numbered) >= 300
    return numbered


def samples() -> dict[str, bytes]:
    """Return a real picture in each format: ending → bytes."""
    noise = PIL.Image.fromarray(np.random.default_rng(2).integers(0, 255, (9, 11, 3), np.uint8))
    image = noise.resize((44, 36), PIL.Image.Resampling.BICUBIC)
    frames = {"save_all": True, "append_images": [image.rotate(180)]}
    exif = PIL.Image.Exif()
    exif.update({271: "Acme", 274: 6, 306: "2021:06:30 12:34:56"})
    return {
        "jpg": written(image, "JPEG", exif=exif),
        "progressive.jpg": written(image, "JPEG", progressive=True),
        "ink.jpg": written(image.convert("CMYK"), "JPEG"),
        "png": written(image, "PNG", exif=exif),
        "palette.png": written(image.quantize(7), "PNG", transparency=3),
        "frames.png": written(image, "PNG", **frames),
        "gif": written(image, "GIF", **frames),
        "bmp": written(image, "BMP"),
        "tif": written(image, "TIFF", exif=exif),
        "lzw.tif": written(image, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": written(image, "TIFF", compression="jpeg"),
        "webp": written(image, "WEBP", exif=exif),
        "frames.webp": written(image, "WEBP", lossless=True, **frames),
        "avif": written(image, "AVIF", exif=exif),
    }


def fuzzed(seed: int) -> Iterator[Case]:
    """Return real pictures that were damaged at random."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    known = samples()
    for name, data in known.items():
        for number in range(_CUTS):
            length = chance.randrange(len(data)) if number else len(data) - 1
            yield either(f"cut {length}.{name}", data[:length])
        for number in range(_FLIPS):
            yield either(f"flipped {number}.{name}", _flipped(data, 1 + number**2, chance))
        for number in range(_JUMBLES):
            other = known[chance.choice(list(known))]
            yield either(f"head of another {number}.{name}", other[:_HEADER] + data[_HEADER:])
        yield either(f"random.{name}", data[:_HEADER] + chance.randbytes(400))


def _flipped(data: bytes, bits: int, chance: random.Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(bits):
        # the beginning, where headers are, as often as all the rest
        at = int(len(data) * chance.random() ** chance.choice([1, 4]))
        flipped[at] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def write(cases: list[Case], folder: Path) -> dict[str, Promise]:
    """Write the files, and return path in the folder → promise."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        (folder / case.name).write_bytes(case.data)
    return {case.name: case.promise for case in cases}


def write_strange_files(folder: Path) -> dict[str, Promise]:
    """Write names and things that are strange; return storable path → promise."""
    folder.mkdir(parents=True, exist_ok=True)
    promises = dict(_strange_names(folder))
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        # a socket's path must be short, which a test's folder is not
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(folder)
            listening.bind("socket.png")
        finally:
            os.fchdir(here)
            os.close(here)
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "round.png").symlink_to("about.png")
    (folder / "about.png").symlink_to("round.png")
    for name in "pipe.png", "socket.png", "gone.png", "round.png", "about.png":
        promises[name] = _UNREADABLE
    (folder / "folder.png").mkdir()
    (folder / "folder.png" / "again").symlink_to(folder)
    (folder / ".hidden.png").write_bytes(b"not looked at")
    if os.geteuid():  # root reads everything
        (folder / "secret.png").write_bytes(b"not readable")
        (folder / "secret.png").chmod(0)
        promises["secret.png"] = _UNREADABLE
    return promises


def _strange_names(folder: Path) -> Iterator[tuple[str, Promise]]:
    names = [
        b"line\nbreak.png",
        b"\x1b[31mred\x1b[0m.png",
        b"<img src=x onerror=alert(1)>.png",
        b"'quotes\" `and` $(more).png",
        b"not utf-8 \xff\xfe.png",
        b"tab\tand\rreturn.png",
        "\u202egnp.exe\u202c.png".encode(),
        b" spaces .png",
        b"-rf.png",
        b"n" * 251 + b".png",
    ]
    for number, name in enumerate(names):
        image = PIL.Image.new("RGB", (9, 7), (25 * number, 0, 0))
        case = good("", written(image, "PNG"), (25 * number, 0, 0), (9, 7))
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(case.data)
        yield storable(name), case.promise
