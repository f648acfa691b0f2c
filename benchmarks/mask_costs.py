"""What our automatic masks cost with the demo model: how it grows, and what `fast` leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice

import numpy as np
import PIL.Image

from benchmarks.mask_equality import found_again
from benchmarks.mask_runs import Options, Task, apart_tuned, load, say, timed
from indexer.demo.scenes import draw_scene
from indexer.profiles import load_profile
from indexer.segmentation.sam2_model import Pixels

_SIDES = (8, 16, 32, 64)
_MEGAPIXELS = (1, 4, 12, 48)
#: Points along each side of the grid where sizes of pictures are compared, at most.
_SIDE_OF_SIZES = 16
#: The scenes for `fast` are the first held-out ones from here on whose largest object covers at
#: least this share of the picture: about one of five.
_FIRST_LARGE, _LARGE = 7000, 0.09
_LARGE_SCENES = 8
#: IoU from which a mask of `exact` is found by `fast` too.
_FOUND = 0.8


def scaled(pixels: Pixels, megapixels: float, aspect: float = 4 / 3) -> Pixels:
    """Return a picture scaled to a size, with a width of `aspect` times its height."""
    height = round((megapixels * 1e6 / aspect) ** 0.5)
    picture = PIL.Image.fromarray(pixels).resize((round(height * aspect), height))
    return np.array(picture)


def growth(options: Options) -> dict[str, float]:
    """Return seconds against points along each side of the grid, and against megapixels.

    Small regions stay, but for times that are named so.
    """
    say("growth")
    return apart_tuned(_growth, _demo_task(options), options.settings.points_per_side)


def fast(options: Options) -> dict[str, float]:
    """Return seconds of `exact` and `fast` on scenes with large objects, and what is found."""
    task = _demo_task(options)
    found: dict[str, float] = {}
    seeds = list(islice(large_scenes(), _LARGE_SCENES))
    for side in (options.settings.points_per_side, task.settings.points_per_side):
        say(f"fast, {side} points a side")
        given = replace(task, settings=replace(task.settings, points_per_side=side))
        values = apart_tuned(_fast, given, seeds)
        found |= {f"fast_side_{side}_{name}": value for name, value in values.items()}
    return found


def large_scenes() -> Iterator[int]:
    """Yield the seeds of held-out scenes with a large object."""
    for seed in count(_FIRST_LARGE):
        if max((one.mask.mean() for one in draw_scene(seed).objects), default=0.0) >= _LARGE:
            yield seed


def _demo_task(options: Options) -> Task:
    demo = load_profile("demo")
    return Task(demo.sam2, demo.masks, options.device, options.pixels)


def _growth(task: Task, most: int) -> dict[str, float]:
    """Time the demo model up to twice as many points a side as `most`."""
    model = load(task, "float32")
    plain = replace(task.settings, min_mask_region_area=0)
    found = {}
    timed(model, task.pixels, task.settings)  # to warm up
    for side in (side for side in _SIDES if side <= 2 * most):
        settings = replace(plain, points_per_side=side)
        found[f"growth_side_{side}_seconds"], _ = timed(model, task.pixels, settings)
    scene, side = draw_scene(0).pixels, min(_SIDE_OF_SIZES, most)
    for megapixels in _MEGAPIXELS:
        pixels = scaled(scene, megapixels)
        for name, chosen in (("", plain), ("with_clean_up_", task.settings)):
            settings = replace(chosen, points_per_side=side)
            seconds, _ = timed(model, pixels, settings)
            found[f"growth_{megapixels}_mp_{name}seconds"] = seconds
    return found


def _fast(task: Task, seeds: Sequence[int]) -> dict[str, float]:
    model = load(task, "float32")
    exact = replace(task.settings, mode="exact")
    quick = replace(task.settings, mode="fast")
    seconds, numbers = np.zeros(2), np.zeros(2)
    again: list[bool] = []
    for which, settings in enumerate((exact, quick)):  # to warm up
        timed(model, draw_scene(seeds[which]).pixels, settings)
    for seed in seeds:
        pixels = draw_scene(seed).pixels
        runs = [timed(model, pixels, settings) for settings in (exact, quick)]
        seconds += [run[0] for run in runs]
        numbers += [len(run[1]) for run in runs]
        again += found_again(runs[0][1], runs[1][1], _FOUND).tolist()
    return {
        "pictures": float(len(seeds)),
        "exact_seconds_each": seconds[0] / len(seeds),
        "fast_seconds_each": seconds[1] / len(seeds),
        "exact_over_fast": seconds[0] / seconds[1],
        "exact_masks": numbers[0],
        "fast_masks": numbers[1],
        "found_again_share": float(np.mean(again)),
    }
