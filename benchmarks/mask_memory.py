"""The memory that automatic masks take on a large picture, over that of the loaded model."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import mask_runs, mask_speed
from benchmarks.mask_costs import scaled
from benchmarks.mask_runs import Options, Task, apart_tuned, say
from indexer.demo.scenes import draw_scene
from indexer.profiles import load_profile

_MEGAPIXELS = 48
#: Points along each side of the grid where the model is warmed up on a small picture.
_FEW = 2


def figures(options: Options) -> dict[str, float]:
    """Return the peaks of the drawn model with the most masks passing, and of the demo model."""
    small = draw_scene(0).pixels
    demo = load_profile("demo")
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.npy"
        np.save(path, scaled(small, _MEGAPIXELS))
        *_, drawn = mask_speed.rescaled(options, Path(folder))
        tasks = {
            "drawn": Task(drawn, options.settings, options.device, small),
            "demo": Task(demo.sam2, demo.masks, options.device, small),
        }
        for name, task in tasks.items():
            say(f"memory: {name}")
            for key, value in apart_tuned(_peak, task, path).items():
                found[f"memory_{name}_{key}"] = value
    return found


def _peak(task: Task, picture: Path) -> dict[str, float]:
    """Make masks of the picture in a NumPy file, after a few of the task's own, smaller one.

    The few are part of loading: they have the libraries make what they need once. What the model
    took before them is told as well.
    """
    model = mask_runs.load(task, "float32")
    before = mask_runs.resident_bytes()
    model.automatic(task.pixels, replace(task.settings, points_per_side=_FEW))
    loaded = mask_runs.resident_bytes()
    pixels = np.load(picture)
    mask_runs.forget_peak()
    seconds, found = mask_runs.timed(model, pixels, task.settings)
    over = mask_runs.peak_bytes() - loaded
    return {
        "loaded_mb": loaded / 1e6,
        "loaded_unused_mb": before / 1e6,
        "over_loaded_mb": over / 1e6,
        "over_loaded_and_picture_mb": (over - pixels.nbytes) / 1e6,
        "masks": float(len(found)),
        "seconds": seconds,
    }
