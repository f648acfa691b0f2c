"""How long upstream takes for its automatic masks and how long we do, on the same random weights.

Upstream runs once, as it takes minutes: at its default, 64 points a batch with malloc as it is,
and at its best, 4 points a batch with memory kept. Of ours the median counts. With random weights
nearly all masks overlap, and dropping boxes that do leaves one: so masks are compared with all of
them kept. Upstream's best run is that run too, which costs it nothing: its masks are encoded
before. Ours are not, so their time with all kept is given as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import mask_runs, rescale, upstream
from benchmarks.mask_equality import KEEP_ALL, compare
from benchmarks.mask_runs import Options, Run, Task, apart, apart_tuned, say
from indexer.profiles import Sam2Profile


def figures(options: Options) -> dict[str, float]:
    """Return times, ratios and equality, for each share of masks that pass."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for share, sam2 in zip(options.passing, rescaled(options, Path(folder)), strict=True):
            task = Task(sam2, options.settings, options.device, options.pixels)
            found |= _of_share(f"passing_{100 * share:g}", task, options)
    return found


def rescaled(options: Options, folder: Path) -> Sequence[Sam2Profile]:
    """Write the weights for each share of masks that pass into a folder."""
    say("drawing and rescaling random weights")
    return apart_tuned(
        rescale.write, options.model, folder, options.pixels, options.settings, options.passing
    )


def _of_share(name: str, task: Task, options: Options) -> dict[str, float]:
    every = replace(task, settings=replace(task.settings, box_nms_thresh=KEEP_ALL))
    say(f"{name}: upstream at its default")
    default = apart(mask_runs.by_upstream, task, upstream.DEFAULT_BATCH)
    say(f"{name}: upstream at its best")
    best = apart_tuned(mask_runs.by_upstream, every, upstream.BEST_BATCH)
    peers = {"upstream_default": default, "upstream_best": best}
    found: dict[str, float] = {}
    for peer, run in peers.items():
        found |= _cost(f"{name}_{peer}", run)
    for precision in options.precisions:
        say(f"{name}: ours, {precision}")
        ours = apart_tuned(mask_runs.by_us, task, precision, options.repeats)
        all_kept = apart_tuned(mask_runs.by_us, every, precision, 1)
        key = f"{name}_ours_{precision}"
        found |= _cost(key, ours)
        found[f"{key}_all_kept_seconds"] = all_kept.seconds[0]
        for peer, run in peers.items():
            ratio = median(run.seconds) / median(ours.seconds)
            found[f"{name}_{peer}_over_ours_{precision}"] = ratio
        found |= compare(best.masks, all_kept.masks, every.settings).figures(key)
    return found


def _cost(name: str, run: Run) -> dict[str, float]:
    return {
        f"{name}_seconds": median(run.seconds),
        f"{name}_peak_memory_mb": run.peak_bytes / 1e6,
    }
