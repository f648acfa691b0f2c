"""Random weights that filter as trained ones do: as many masks pass, with scores that differ.

A SAM 2 with random weights gives every prompt nearly the same score and logits far from anything
stable, so that either all of its masks pass the thresholds or none, and the time says nothing.
The last layers of two heads are rescaled: the predicted IoU so that a given share of the masks
pass, and the masks' logits so that half of them are stable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import upstream
from indexer.profiles import MaskSettings, Sam2Profile
from indexer.segmentation.sam2_build import build_untrained
from indexer.segmentation.sam2_model import Pixels, Sam2Model

#: Spread of the logit of the predicted IoU from mask to mask.
_SPREAD = 0.5
#: Along each side of the grid of points that are looked at.
_POINTS_PER_SIDE = 8
_POINTS_AT_ONCE = 4
#: Of the low-resolution logits, every so many rows and columns say how stable a mask is.
_STRIDE = 4


@torch.no_grad()
def write(
    name: str, folder: Path, pixels: Pixels, settings: MaskSettings, shares: Sequence[float]
) -> list[Sam2Profile]:
    """Write the rescaled weights of a model, one file for each share of masks that pass.

    Args:
        name: of the model, as in a profile; its IoU head ends with a sigmoid.
        folder: gets the files.
        pixels: uint8 RGB picture, (H, W, 3), on which the shares hold.
        settings: whose thresholds are to be passed.
        shares: of the masks that pass `pred_iou_thresh`, 0 to 1; half of them are stable.

    Returns:
        The models with these weights, in the order of the shares.
    """
    torch.manual_seed(0)
    first = folder / "random.pt"
    torch.save(build_untrained(upstream.config_of(name)).state_dict(), first)
    model = Sam2Model(Sam2Profile(name, str(first)), torch.device("cpu"))
    logits, ious = _outputs(model, pixels, settings)
    _rescale_masks(model, logits, settings)
    scores = torch.logit(ious.double())
    untouched = {k: v.clone() for k, v in _iou_layer(model).state_dict().items()}
    made = []
    for share in shares:
        _iou_layer(model).load_state_dict(untouched)
        _rescale_ious(model, scores, settings, share)
        path = folder / f"passing-{share:.3f}.pt"
        torch.save(model.upstream.state_dict(), path)
        made.append(Sam2Profile(name, str(path)))
    return made


def _iou_layer(model: Sam2Model) -> torch.nn.Linear:
    layer: torch.nn.Linear = model.upstream.sam_mask_decoder.iou_prediction_head.layers[-1]
    return layer


def _rescale_ious(
    model: Sam2Model, scores: torch.Tensor, settings: MaskSettings, share: float
) -> None:
    """Move and spread the predicted IoUs, whose logits are (N, 3), so that a share passes."""
    layer = _iou_layer(model)
    gain = _SPREAD / scores.std(0).mean()
    least = math.log(settings.pred_iou_thresh / (1 - settings.pred_iou_thresh))
    centre = torch.quantile(scores, 1 - share, dim=0)
    layer.weight[1:] *= gain.float()
    layer.bias[1:] = (gain * (layer.bias[1:].double() - centre) + least).float()


def _rescale_masks(model: Sam2Model, logits: torch.Tensor, settings: MaskSettings) -> None:
    """Scale the logits of each of the three masks, (N, 3, h, w), so that half are stable."""
    networks = model.upstream.sam_mask_decoder.output_hypernetworks_mlps
    some = logits[:, :, ::_STRIDE, ::_STRIDE].flatten(2)
    for token, masks in enumerate(some.unbind(1), 1):
        scale = _stable_scale(masks, settings)
        networks[token].layers[-1].weight *= scale
        networks[token].layers[-1].bias *= scale


def _outputs(
    model: Sam2Model, pixels: Pixels, settings: MaskSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits, (N, 3, h, w), and predicted IoUs, (N, 3), at some points."""
    predictor = upstream.generator(model, settings, "coco_rle").predictor
    predictor.set_image(pixels)
    side = (torch.arange(_POINTS_PER_SIDE) + 0.5) * (model.image_size / _POINTS_PER_SIDE)
    points = torch.cartesian_prod(side, side)
    features, encoder = predictor._features, model.upstream.sam_prompt_encoder
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for some in torch.split(points, _POINTS_AT_ONCE):
        labels = torch.ones(len(some), 1, dtype=torch.int)
        sparse, dense = encoder((some[:, None], labels), None, None)
        low, iou, _, _ = model.upstream.sam_mask_decoder(
            features["image_embed"],
            encoder.get_dense_pe(),
            sparse,
            dense,
            multimask_output=True,
            repeat_image=True,
            high_res_features=features["high_res_feats"],
        )
        found.append((low, iou))
    return torch.cat([low for low, _ in found]), torch.cat([iou for _, iou in found])


def _stable_scale(masks: torch.Tensor, settings: MaskSettings) -> float:
    """Return what logits, (N, pixels), are to be multiplied with so that half are stable."""
    low, high = 1e-2, 1e6
    for _ in range(30):
        scale = math.sqrt(low * high)
        above = (masks * scale > settings.stability_score_offset).sum(1)
        score = (above / (masks * scale > -settings.stability_score_offset).sum(1)).nanmedian()
        low, high = (scale, high) if score < settings.stability_score_thresh else (low, scale)
    return scale
