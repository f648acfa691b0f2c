"""Small pictures for tests, drawn by the demo's own pen."""

from __future__ import annotations

from pathlib import Path

import PIL.Image

from indexer.demo.draw import draw_scene

SIZE = (96, 72)


def scene(seed: int) -> PIL.Image.Image:
    """Return an RGB picture of `SIZE` that the seed decides."""
    return draw_scene(seed).resize(SIZE)


def write_scene(path: Path, seed: int) -> Path:
    """Write the picture of a seed and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(seed).save(path)
    return path
