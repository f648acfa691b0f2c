"""Damage to the files of an embedded index, as disks and interrupted copies do it."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

#: Cut to nothing, cut in half, zeroed, single bits flipped.
WAYS = ("empty", "half", "zero", "flip")
_BLOCK = 4096
_FLIPS = 8
#: Not damaged: what a host process makes anew whenever it starts.
_MADE_ANEW = ("host", "writer")


def copy_index(source: Path, target: Path) -> Path:
    """Copy an index folder without filling the holes of its files."""
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)  # noqa: S607
    return target


def files_of(index: Path) -> list[Path]:
    """Return the files of an index that hold something, relative to it, sorted."""
    found = (path for path in index.rglob("*") if path.is_file() and path.stat().st_blocks)
    relative = (path.relative_to(index) for path in found)
    return sorted(path for path in relative if not path.name.startswith(_MADE_ANEW))


def damage(path: Path, way: str, rng: random.Random) -> None:
    """Damage a file in one of the `WAYS`; holes in it are left alone."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        if way in ("empty", "half"):
            file.truncate(0 if way == "empty" else size // 2)
            return
        data = path.read_bytes()
        if way == "zero":
            for start in range(0, size, _BLOCK):
                if any(block := data[start : start + _BLOCK]):
                    file.seek(start)
                    file.write(bytes(len(block)))
            return
        used = [at for at, byte in enumerate(data) if byte]
        for at in rng.choices(used, k=_FLIPS if used else 0):
            file.seek(at)
            file.write(bytes([data[at] ^ (1 << rng.randrange(8))]))
