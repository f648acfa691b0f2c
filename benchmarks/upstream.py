"""Upstream's own automatic mask generator, as its user would make it, for any model's size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import numpy as np
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

from indexer.profiles import MaskSettings
from indexer.segmentation import masks
from indexer.segmentation.sam2_model import OUR_SETTINGS, Pixels, RawMask, Sam2Model

#: How upstream gives masks that `raw_masks` takes: as it holds them itself.
RUN_LENGTHS = "uncompressed_rle"
#: Points that upstream decodes at once by default, and with which it is quickest on a CPU.
DEFAULT_BATCH, BEST_BATCH = 64, 4


def generator(
    model: Sam2Model,
    settings: MaskSettings,
    output_mode: str,
    points_per_batch: int = DEFAULT_BATCH,
) -> SAM2AutomaticMaskGenerator:
    """Return the generator with these settings, but with its default points per batch."""
    given = {k: v for k, v in asdict(settings).items() if k not in OUR_SETTINGS}
    given |= {"points_per_batch": points_per_batch, "output_mode": output_mode}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
        made = SAM2AutomaticMaskGenerator(model.upstream, **given)
    side = model.image_size
    made.predictor._bb_feat_sizes = [(side // s, side // s) for s in (4, 8, 16)]
    return made


def raw_masks(found: Sequence[dict[str, Any]]) -> list[RawMask]:
    """Return as ours what a generator with the output mode `RUN_LENGTHS` found."""
    return [_raw_mask(one) for one in found]


def automatic(model: Sam2Model, settings: MaskSettings, pixels: Pixels) -> list[RawMask]:
    """Make the automatic masks of a uint8 RGB picture, (H, W, 3), by upstream's generator."""
    made = generator(model, settings, RUN_LENGTHS, BEST_BATCH)
    return raw_masks(made.generate(pixels.copy()))


def config_of(model: str) -> str:
    """Return the path of a hub model's configuration, or the name itself of any other."""
    known: dict[str, tuple[str, str]] = HF_MODEL_ID_TO_FILENAMES
    return str(files("sam2") / known[model][0]) if model in known else model


def _raw_mask(one: dict[str, Any]) -> RawMask:
    height, width = one["segmentation"]["size"]
    changes = np.cumsum(one["segmentation"]["counts"], dtype=np.int64)[:-1]
    x, y = one["point_coords"][0]
    return RawMask(
        masks.from_changes(changes, (height, width)),
        one["predicted_iou"],
        one["stability_score"],
        (x, y),
    )
