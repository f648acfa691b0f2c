"""Small pictures for tests, drawn by the demo's own pen."""

from __future__ import annotations

import functools
from pathlib import Path

import PIL.Image

from indexer.demo.scenes import draw_scene

SIZE = (96, 72)


@functools.cache
def scene(seed: int) -> PIL.Image.Image:
    """Return an RGB picture of `SIZE` that the seed decides."""
    return PIL.Image.fromarray(draw_scene(seed).pixels).resize(SIZE)


def write_scene(path: Path, seed: int) -> Path:
    """Write the picture of a seed and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(seed).save(path)
    return path
