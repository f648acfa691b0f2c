"""The cheapest models that still find many regions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from indexer.profiles import Profile, Sam2Profile, load_profile


def fast() -> Profile:
    """Return the demo profile with a very coarse grid and a seeded SAM 2."""
    demo = load_profile("demo")
    masks = replace(
        demo.masks,
        points_per_side=4,
        points_per_batch=16,
        pred_iou_thresh=0.5,
        stability_score_thresh=0.65,
        min_mask_region_area=0,
        multimask_output=True,
    )
    seeded = Sam2Profile(str(Path(__file__).parent / "sam2_seeded.yaml"), "seeded:4")
    return replace(demo, sam2=seeded, masks=masks)
