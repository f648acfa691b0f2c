"""Our automatic masks against upstream's generator: the same masks, and how long each takes.

Same weights (demo profile), same settings, merging and area filters off, same pictures, one run
after the other in one process. Masks are paired by their best IoU.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import upstream
from benchmarks.report import parser, show
from indexer import library
from indexer.demo.scenes import draw_scene
from indexer.profiles import MaskSettings, load_profile
from indexer.records import Rle
from indexer.segmentation import masks
from indexer.segmentation.sam2_model import Sam2Model
from indexer.segmentation.segmenter import Segmenter

Pixels = NDArray[np.uint8]


def main() -> None:
    """Run both on every picture and print the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--photos", type=Path, help="pictures to use; drawn ones without it")
    arguments.add_argument("--limit", type=int, default=3, help="pictures at most")
    options = arguments.parse_args()
    show(measure(_pictures(options.photos, options.limit)), options.format)


def measure(pictures: list[Pixels]) -> dict[str, float]:
    """Return the figures over these pictures."""
    profile = load_profile("demo")
    settings = replace(
        profile.masks, merge_iou_thresh=None, min_area_fraction=0.0, max_area_fraction=1.0
    )
    ours = Segmenter(profile.sam2, settings, torch.device("cpu"))
    ratios, counts, extra = [], [], 0
    overlaps: list[float] = []
    for pixels in pictures:
        started = time.perf_counter()
        expected = _upstream(ours.model, settings, pixels)
        between = time.perf_counter()
        found = [region.rle for region in ours.automatic(pixels)]
        ratios.append((between - started) / (time.perf_counter() - between))
        counts.append(len(expected))
        extra += abs(len(expected) - len(found))
        best = masks.iou([*expected, *found])[: len(expected), len(expected) :]
        overlaps += best.max(axis=1).tolist() if best.size else []
    return {
        "pictures": float(len(pictures)),
        "upstream_masks": float(sum(counts)),
        "difference_in_number": float(extra),
        "least_iou": min(overlaps, default=1.0),
        "upstream_seconds_over_ours_median": float(np.median(ratios)),
    }


def _upstream(model: Sam2Model, settings: MaskSettings, pixels: Pixels) -> list[Rle]:
    found = upstream.generator(model, settings, "uncompressed_rle").generate(pixels.copy())
    return [masks.encode(_decode(one["segmentation"])) for one in found]


def _decode(rle: dict[str, list[int]]) -> NDArray[np.bool_]:
    """Decode an uncompressed, column-major RLE."""
    height, width = rle["size"]
    values = np.repeat(np.arange(len(rle["counts"])) % 2 == 1, rle["counts"])
    return values.reshape(width, height).T


def _pictures(folder: Path | None, limit: int) -> list[Pixels]:
    if folder is None:
        return [draw_scene(seed).pixels for seed in range(limit)]
    found = [item for item in library.scan(folder) if isinstance(item, library.Found)]
    return [library.decode(library.read(item.location)).pixels for item in found[:limit]]


if __name__ == "__main__":
    main()
