"""Upstream's own automatic mask generator, as its user would make it, for any model's size."""

from __future__ import annotations

import warnings
from dataclasses import asdict

from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

from indexer.profiles import MaskSettings
from indexer.segmentation.sam2_model import OUR_SETTINGS, Sam2Model

#: Upstream's default.
_POINTS_PER_BATCH = 64


def generator(
    model: Sam2Model, settings: MaskSettings, output_mode: str
) -> SAM2AutomaticMaskGenerator:
    """Return the generator with these settings, but with its default points per batch."""
    given = {k: v for k, v in asdict(settings).items() if k not in OUR_SETTINGS}
    given |= {"points_per_batch": _POINTS_PER_BATCH, "output_mode": output_mode}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
        made = SAM2AutomaticMaskGenerator(model.upstream, **given)
    side = model.image_size
    made.predictor._bb_feat_sizes = [(side // s, side // s) for s in (4, 8, 16)]
    return made
