"""How well a demo SAM 2 in training answers a click or a box: the figures that a run watches."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from benchmarks.scene_truth import innermost
from indexer.demo.scenes import Scene, draw_scene
from indexer.segmentation import masks
from training.sam2_batches import normalised
from training.sam2_model import best_of_three, decode, encode
from training.scenes import Pixels

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

#: Held-out seeds for watching a run; the benchmark counts from zero.
_FIRST_SEED, _SCENES = 900_000, 10


@torch.no_grad()
def held_out_ious(
    model: SAM2Base, weights: dict[str, Tensor], device: torch.device
) -> dict[str, float]:
    """Return the mean IoU of the answers to one click in the middle, and to the box, of objects.

    The answer to a click is the candidate of the highest predicted IoU, the answer to a box the
    single mask; both at the picture's own size.
    """
    judged = copy.deepcopy(model).eval()
    judged.load_state_dict(weights)
    clicks, boxes = zip(*(_ious(judged, scene, device) for scene in _scenes()), strict=True)
    return {
        "one_click_iou": float(np.mean(np.concatenate(clicks))),
        "box_iou": float(np.mean(np.concatenate(boxes))),
    }


@functools.cache
def _scenes() -> tuple[Scene, ...]:
    return tuple(draw_scene(_FIRST_SEED + i) for i in range(_SCENES))


def _scaled(scene: Scene, side: int) -> Pixels:
    return cv2.resize(scene.pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _ious(model: SAM2Base, scene: Scene, device: torch.device) -> tuple[list[float], list[float]]:
    """Return the IoUs of the answers to clicks and to boxes, object by object."""
    true = torch.from_numpy(np.stack([one.mask for one in scene.objects])).to(device)
    height, width = true.shape[1:]
    clicks = [[innermost(one.mask)] for one in scene.objects]
    boxes = [masks.tight_box(masks.encode(one.mask)) for one in scene.objects]
    corners = [[(left, top), (right, bottom)] for left, top, right, bottom in boxes]
    scale = torch.tensor([model.image_size / width, model.image_size / height])
    features = encode(model, normalised(_scaled(scene, model.image_size))[None].to(device))
    found = []
    for places, labels in ((clicks, [1]), (corners, [2, 3])):
        points = (torch.tensor(places) * scale).to(device)
        each = torch.tensor(labels, dtype=torch.int32, device=device).expand(len(true), -1)
        logits, ious = decode(model, features, (points, each))
        found.append(best_of_three(logits, ious) if len(labels) == 1 else logits[:, 0])
    clicked, boxed = (_iou(answers, true).tolist() for answers in found)
    return clicked, boxed


def _iou(logits: Tensor, true: Tensor) -> Tensor:
    """Return the IoU of each mask at the picture's own size, shape (n,)."""
    size = (true.shape[1], true.shape[2])
    found = F.interpolate(logits[:, None], size, mode="bilinear")[:, 0] > 0
    return (found & true).sum((1, 2)) / (found | true).sum((1, 2))
