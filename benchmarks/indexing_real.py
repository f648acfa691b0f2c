"""The comparison of `benchmarks.indexing` with models of real size, random weights in them.

SAM 2.1 hiera tiny and ViT-B-32. SAM 2's last layers are rescaled (`benchmarks.rescale`) so that
half of the masks pass the predicted IoU, half of these the stability, about what trained weights
let through on photographs; the grid and the thresholds are upstream's defaults. Both pipelines run
in a process of their own, one after the other: the tutorial's with malloc as it is, ours as `index`
runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import rescale, tutorial
from benchmarks.mask_runs import apart, apart_tuned, say
from indexer import Indexer, library
from indexer.profiles import Profile, load_profile

_MODEL = "facebook/sam2.1-hiera-tiny"
_PASSING = 0.5
_CLIP = "seeded:1"
#: Points along each side of the grid of a first run, which warms up.
_WARM = 2

#: Seconds of a whole run, seconds by stage, number of segments.
Result = tuple[float, dict[str, float], int]


def figures(pictures: Sequence[Path], folder: Path) -> dict[str, float]:
    """Index the pictures both ways; return seconds by stage, and the ratio of the whole."""
    folder.mkdir()
    say("rescaling random weights")
    profile = apart_tuned(_profile, pictures[0], folder)
    say(f"the tutorial's pipeline over {len(pictures)} pictures")
    theirs, stages, count = apart(_by_tutorial, profile, list(pictures), folder / "tutorial")
    found = {"real_pictures": float(len(pictures)), "real_tutorial_segments": float(count)}
    found |= {f"real_tutorial_{stage}_seconds": value for stage, value in stages.items()}
    say("ours")
    ours, stages, count = apart_tuned(_by_us, profile, list(pictures), folder / "ours")
    found |= {f"real_{stage.replace(' ', '_')}_seconds": value for stage, value in stages.items()}
    found |= {"real_segments": float(count), "real_tutorial_seconds": theirs, "real_seconds": ours}
    return found | {"real_tutorial_over_ours": theirs / ours}


def _profile(picture: Path, folder: Path) -> Profile:
    fast = load_profile("fast")
    # upstream has no such limits, and random masks are often of nearly everything, and alike
    masks = replace(
        fast.masks,
        mode="fast",
        min_area_fraction=0.0,
        max_area_fraction=1.0,
        merge_iou_thresh=None,
    )
    pixels = library.decode(library.read(picture)).pixels
    (sam2,) = rescale.write(_MODEL, folder, pixels, masks, [_PASSING])
    return replace(fast, sam2=sam2, masks=masks, clip=replace(fast.clip, pretrained=_CLIP))


def _by_tutorial(profile: Profile, pictures: Sequence[Path], folder: Path) -> Result:
    with Indexer(folder / "none", profile, precision="float32") as indexer:
        loaded = indexer.models()
    few = replace(profile.masks, points_per_side=_WARM)
    tutorial.index(pictures[:1], folder / "warm", loaded, few)
    started = time.perf_counter()
    count, stages = tutorial.index(pictures, folder / "tutorial", loaded, profile.masks)
    return time.perf_counter() - started, stages, count


def _by_us(profile: Profile, pictures: Sequence[Path], folder: Path) -> Result:
    warm = replace(profile, masks=replace(profile.masks, points_per_side=_WARM))
    with Indexer(folder / "warm", warm, precision="float32") as indexer:
        indexer.index(pictures[0])
    with Indexer(folder / "index", profile, precision="float32") as indexer:
        indexer.models()
        started = time.perf_counter()
        report = indexer.index(list(pictures))
        return time.perf_counter() - started, dict(report.stages), report.segments
