"""Random weights that filter as trained ones do: as many masks pass, with scores that differ.

A SAM 2 with random weights gives every prompt nearly the same score and logits far from anything
stable, so that either all of its masks pass the thresholds or none, and the time says nothing.
The last layers of two heads are rescaled: the predicted IoU so that a given share of the masks
pass, and the masks' logits so that half of them are stable.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import upstream
from indexer.profiles import MaskSettings
from indexer.segmentation.sam2_model import Sam2Model

#: Spread of the logit of the predicted IoU from mask to mask.
_SPREAD = 0.5
#: Every so many points of the grid are looked at.
_STRIDE = 7
_POINTS_AT_ONCE = 4


@torch.no_grad()
def rescale(
    model: Sam2Model, pixels: NDArray[np.uint8], settings: MaskSettings, share: float
) -> None:
    """Rescale the heads of a model so that a share of the masks on a picture pass.

    Args:
        model: with a sigmoid as its IoU head's last step; its weights are changed in place.
        pixels: uint8 RGB picture of shape (H, W, 3).
        settings: whose thresholds are to be passed.
        share: of the masks that pass `pred_iou_thresh`, 0 to 1; half of them are stable.
    """
    decoder = model.upstream.sam_mask_decoder
    logits, ious = _outputs(model, pixels, settings)
    scores = torch.logit(ious.double())
    gain = _SPREAD / scores.std(0).mean()
    centre = torch.quantile(scores, 1 - share, dim=0)
    head = decoder.iou_prediction_head.layers[-1]
    bias = gain * (head.bias[1:].double() - centre)
    head.weight[1:] *= gain.float()
    head.bias[1:] = (bias + math.log(1 / (1 / settings.pred_iou_thresh - 1))).float()
    for token, masks in enumerate(logits.unbind(1), 1):
        last = decoder.output_hypernetworks_mlps[token].layers[-1]
        scale = _stable_scale(masks.flatten(1), settings)
        last.weight *= scale
        last.bias *= scale


def _outputs(
    model: Sam2Model, pixels: NDArray[np.uint8], settings: MaskSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits, (N, 3, h, w), and predicted IoUs, (N, 3), at some points of the grid."""
    generator = upstream.generator(model, settings, "coco_rle")
    predictor = generator.predictor
    predictor.set_image(pixels)
    height, width, _ = pixels.shape
    points = torch.as_tensor(generator.point_grids[0][::_STRIDE] * (width, height)).float()
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for some in torch.split(points, _POINTS_AT_ONCE):
        coords = predictor._transforms.transform_coords(
            some, normalize=True, orig_hw=(height, width)
        )
        labels = torch.ones(len(some), 1, dtype=torch.int)
        sparse, dense = model.upstream.sam_prompt_encoder((coords[:, None], labels), None, None)
        features = predictor._features
        low, iou, _, _ = model.upstream.sam_mask_decoder(
            features["image_embed"],
            model.upstream.sam_prompt_encoder.get_dense_pe(),
            sparse,
            dense,
            multimask_output=True,
            repeat_image=True,
            high_res_features=features["high_res_feats"],
        )
        found.append((low, iou))
    return torch.cat([low for low, _ in found]), torch.cat([iou for _, iou in found])


def _stable_scale(masks: torch.Tensor, settings: MaskSettings) -> float:
    """Return what the logits are to be multiplied with so that half of the masks are stable."""
    low, high = 1e-2, 1e6
    for _ in range(30):
        scale = math.sqrt(low * high)
        above = (masks * scale > settings.stability_score_offset).sum(1)
        score = (above / (masks * scale > -settings.stability_score_offset).sum(1)).nanmedian()
        low, high = (scale, high) if score < settings.stability_score_thresh else (low, scale)
    return scale
