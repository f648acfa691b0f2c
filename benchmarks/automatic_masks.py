"""Our automatic masks against upstream's generator: how long each takes, and the same masks.

The parts, all of them without `--part`, with the minutes that each takes about on 2 CPU cores:

- `speed` (25): upstream and ours on random weights of a real model, and whether the masks are
  the same (`mask_speed.py`).
- `equality` (8): the same question on drawn scenes with the demo model (`mask_equality.py`).
- `fast` (4): the mode `fast` against `exact`, on drawn scenes with large objects.
- `memory` (3): the peak on a picture of 48 megapixels.
- `growth` (6): seconds against points and megapixels, demo model.
- `profile` (3): what the time is spent on, and what the products alone would take.

What is done is told on stderr, with the time. `--points-per-side 8` is for trying it. It needs
Linux, which is asked for the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from benchmarks import mask_costs, mask_equality, mask_memory, mask_profile, mask_speed
from benchmarks.mask_runs import Options
from benchmarks.report import parser, show
from indexer import library
from indexer.demo.scenes import draw_scene
from indexer.profiles import load_profile
from indexer.segmentation.sam2_model import Pixels

#: Width and height that a drawn scene is scaled to where no picture is given.
_DRAWN_SIZE = (1800, 1200)
_PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    """Run the parts asked for and print their figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    arguments.add_argument("--model", default="facebook/sam2.1-hiera-tiny", help="of upstream's")
    arguments.add_argument("--photo", type=Path, help="picture to use; a drawn one without it")
    arguments.add_argument("--points-per-side", type=int, default=32)
    arguments.add_argument("--passing", type=float, nargs="+", default=[0.25, 0.6])
    arguments.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments.add_argument("--precision", nargs="+", choices=_PRECISIONS, default=_PRECISIONS)
    arguments.add_argument("--repeats", type=int, default=3, help="times that ours is run")
    given = arguments.parse_args()
    plain = load_profile("quality").masks  # upstream's defaults
    options = Options(
        given.model,
        _pixels(given.photo),
        replace(plain, mode="exact", points_per_side=given.points_per_side),
        tuple(given.passing),
        given.device,
        tuple(given.precision),
        given.repeats,
    )
    figures = {"cpu_has_amx": float(torch.cpu._is_amx_tile_supported())}
    figures["cpu_threads"] = float(torch.get_num_threads())
    for part in given.part:
        figures |= PARTS[part](options)
    show(figures, given.format)


def _pixels(photo: Path | None) -> Pixels:
    if photo is not None:
        return library.decode(library.read(photo)).pixels
    return np.array(PIL.Image.fromarray(draw_scene(0).pixels).resize(_DRAWN_SIZE))


PARTS: dict[str, Callable[[Options], dict[str, float]]] = {
    "speed": mask_speed.figures,
    "equality": mask_equality.figures,
    "fast": mask_costs.fast,
    "memory": mask_memory.figures,
    "growth": mask_costs.growth,
    "profile": mask_profile.figures,
}

if __name__ == "__main__":
    main()
