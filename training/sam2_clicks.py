"""How well a demo SAM 2 in training answers one click: the figure that a run watches."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from indexer.demo.scenes import Scene, draw_scene
from training.sam2_batches import innermost, normalised
from training.sam2_model import decode, encode
from training.scenes import Pixels

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

#: Held-out seeds for watching a run; the benchmark counts from zero.
_FIRST_SEED, _SCENES = 900_000, 10


@torch.no_grad()
def mean_click_iou(model: SAM2Base, weights: dict[str, Tensor], device: torch.device) -> float:
    """Return the mean IoU of the answers to one click in the middle of each held-out object.

    The answer is the candidate of the highest predicted IoU, at the picture's own size.
    """
    judged = copy.deepcopy(model).eval()
    judged.load_state_dict(weights)
    return float(np.mean([iou for scene in _scenes() for iou in _ious(judged, scene, device)]))


@functools.cache
def _scenes() -> tuple[Scene, ...]:
    return tuple(draw_scene(_FIRST_SEED + i) for i in range(_SCENES))


def _scaled(scene: Scene, side: int) -> Pixels:
    return cv2.resize(scene.pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _ious(model: SAM2Base, scene: Scene, device: torch.device) -> list[float]:
    masks = torch.from_numpy(np.stack([one.mask for one in scene.objects])).to(device)
    height, width = masks.shape[1:]
    clicks = [innermost(one.mask)[::-1] for one in scene.objects]
    scale = torch.tensor([model.image_size / width, model.image_size / height])
    points = (torch.tensor(clicks) * scale)[:, None].to(device)
    labels = torch.ones(points.shape[:2], dtype=torch.int32, device=device)
    features = encode(model, normalised(_scaled(scene, model.image_size))[None].to(device))
    logits, ious = decode(model, features, (points, labels))
    best = logits[torch.arange(len(ious)), 1 + ious[:, 1:].argmax(1)]
    found = F.interpolate(best[:, None], (height, width), mode="bilinear")[:, 0] > 0
    common, either = (found & masks).sum((1, 2)), (found | masks).sum((1, 2))
    return (common / either).tolist()
