"""Small pictures for tests, of plain shapes."""

from __future__ import annotations

from pathlib import Path

import PIL.Image

from tests.shapes import draw_scene

SIZE = (96, 72)


def scene(seed: int) -> PIL.Image.Image:
    """Return an RGB picture of `SIZE` that the seed decides."""
    return draw_scene(seed).resize(SIZE)


def write_scene(path: Path, seed: int) -> Path:
    """Write the picture of a seed and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(seed).save(path)
    return path
