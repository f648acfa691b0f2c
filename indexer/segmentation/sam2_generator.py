"""Automatic masks: what upstream's generator finds, without what it does and throws away.

A part of the adapter of the `sam2` package, see `sam2_model.py`; imported when masks are made.
Upstream's is `sam2/automatic_mask_generator.py`. The steps and their order are the same: a grid of
points on the picture and on its crops, three masks for each point, those with a good predicted IoU,
of these the stable ones, of these the best of any that overlap. But a step is done only to what
the one before has left, and no mask is scaled to the picture's size (`postprocess.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.utils.amg import build_all_layer_point_grids, generate_crop_boxes, is_box_near_crop_edge
from torch import Tensor
from torchvision.ops.boxes import batched_nms

from indexer.profiles import MaskSettings
from indexer.segmentation import masks, points, postprocess, small_regions, workers
from indexer.segmentation.sam2_decoder import ImageSide
from indexer.segmentation.sam2_model import Pixels, RawMask
from indexer.segmentation.sam2_prompts import Crop, Found, Prompts, View

#: Labels of upstream's prompt encoder: a point on the object; two corners of a box.
_ON_OBJECT, _CORNERS = 1, (2, 3)


@dataclass(frozen=True)
class _Made:
    """A mask, and whether small regions of it were cleaned."""

    mask: RawMask
    cleaned: bool


class Generator:
    """Makes the automatic masks of pictures."""

    def __init__(
        self,
        prompts: Prompts,
        encode: Callable[[Pixels], ImageSide],
        settings: MaskSettings,
    ) -> None:
        """Take a model and the settings.

        Args:
            prompts: decodes points, with the same settings.
            encode: computes what the decoder takes from a picture.
            settings: upstream's and the mode; `use_m2m` is not looked at.
        """
        self._prompts = prompts
        self._encode = encode
        self._settings = settings
        self._grids: list[NDArray[np.float64]] = build_all_layer_point_grids(
            settings.points_per_side,
            settings.crop_n_layers,
            settings.crop_n_points_downscale_factor,
        )

    def generate(self, pixels: Pixels) -> list[RawMask]:
        """Return the masks of a uint8 RGB picture, (H, W, 3), best first where none is cropped.

        Raises:
            Stopped: it was asked to.
            OutOfDeviceMemory: a single point does not fit.
        """
        size = (pixels.shape[0], pixels.shape[1])
        settings = self._settings
        boxes, layers = generate_crop_boxes(
            size, settings.crop_n_layers, settings.crop_overlap_ratio
        )
        found = [
            (crop, self._of_crop(pixels, crop, self._grids[layer]))
            for crop, layer in zip(map(_crop, boxes), layers, strict=True)
            if crop[0] < crop[2] and crop[1] < crop[3]  # a picture may be too small for so many
        ]
        if len(boxes) > 1:
            found = _best_of_crops(found, settings.crop_nms_thresh)
        made = [
            one
            for crop, some in found
            for one in _read_off(self._prompts, some, crop, size, settings)
        ]
        if settings.min_mask_region_area:
            made = _best_cleaned(made, settings)
        return [one.mask for one in made]

    def _of_crop(self, pixels: Pixels, crop: Crop, grid: NDArray[np.float64]) -> Found:
        """Return the best masks of a crop that overlap too little to be the same."""
        x0, y0, x1, y1 = crop
        whole = (pixels.shape[0], pixels.shape[1])
        view = View(self._encode(pixels[y0:y1, x0:x1]), crop, whole)
        parts = self._all_of(view, grid)
        boxes, ious = (torch.cat([p.boxes for p in parts]), torch.cat([p.ious for p in parts]))
        return _selected(parts, _best(boxes, ious, self._settings.box_nms_thresh))

    def _all_of(self, view: View, grid: NDArray[np.float64]) -> list[Found]:
        """Return the good masks of all points of the grid, or of those that fast mode is left."""
        height, width = view.size
        placed = torch.as_tensor(grid * (width, height), dtype=torch.float32)
        if self._settings.mode == "exact":
            return list(self._of_points(view, placed))
        side = math.isqrt(len(grid))
        parts: list[Found] = []
        known: list[points.Known] = []
        for indices, reach in points.rounds(side):
            left = indices
            if known:
                left = left[~points.explained(left, side, points.Known.joined(known), reach)]
            for part in self._of_points(view, placed[torch.from_numpy(left)]):
                parts.append(part)
                if (sure := points.are_sure(part.stability)).any():
                    known.append(self._known(part.take(sure), view))
        return parts

    def _known(self, found: Found, view: View) -> points.Known:
        inside = found.logits > self._settings.mask_threshold
        return points.Known(inside, found.points / torch.tensor(view.size[::-1]), found.stability)

    def _of_points(self, view: View, placed: Tensor) -> Iterator[Found]:
        """Return the good masks of some points that are stable, and not cut off by their crop."""
        least = self._settings.stability_score_thresh
        height, width = view.whole

        def keep(found: Found) -> Tensor:
            inside: Tensor = ~is_box_near_crop_edge(
                found.boxes, list(view.crop), [0, 0, width, height]
            )
            return inside & (found.stability >= least) if least > 0 else inside

        return self._prompts.find(view, placed[:, None], [_ON_OBJECT], keep)


def of_boxes(
    prompts: Prompts, view: View, boxes: NDArray[np.float32], settings: MaskSettings
) -> list[RawMask]:
    """Return the mask in each box, in order; some may be empty.

    Args:
        prompts: that give one mask each, whatever it is like.
        view: all of the picture.
        boxes: x0, y0, x1, y1 in its pixels, (B, 4).
        settings: the threshold of the masks, and which small regions are cleaned.

    Raises:
        Stopped: it was asked to.
        OutOfDeviceMemory: a single box does not fit.
    """
    corners = torch.from_numpy(boxes).view(-1, 2, 2)
    return [
        one.mask
        for found in prompts.find(view, corners, _CORNERS, _all)
        for one in _read_off(prompts, found, view.crop, view.whole, settings)
    ]


def _all(found: Found) -> Tensor:
    return torch.ones(len(found.ious), dtype=torch.bool)


def _read_off(
    prompts: Prompts,
    found: Found,
    crop: Crop,
    size: tuple[int, int],
    settings: MaskSettings,
) -> list[_Made]:
    """Read the masks of a crop off their logits, without small holes and islands."""
    logits = found.logits.cpu()
    points_in_picture = found.points + torch.tensor(crop[:2])

    def make(which: int) -> _Made:
        prompts.go_on()
        x0, y0, x1, y1 = found.boxes[which].tolist()
        changes = postprocess.changes(
            logits[which], (x0, y0, x1, y1), crop, size[0], settings.mask_threshold
        )
        changes, cleaned = small_regions.clean(changes, size, settings.min_mask_region_area)
        x, y = points_in_picture[which].tolist()
        iou, stability = found.ious[which].item(), found.stability[which].item()
        rle = masks.from_changes(changes, size)
        return _Made(RawMask(rle, iou, stability, (x, y)), cleaned)

    return workers.spread(make, range(len(found.ious)))


def _crop(box: Sequence[int]) -> Crop:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _selected(parts: Sequence[Found], which: Tensor) -> Found:
    """Return some of the masks of all parts; the logits of the others are not copied."""
    places = [(part, row) for part in parts for row in range(len(part.ious))]
    chosen = [places[index] for index in which.tolist()]
    if not chosen:
        return parts[0].take(torch.empty(0, dtype=torch.int64))
    return Found(
        torch.stack([part.logits[row] for part, row in chosen]),
        torch.stack([part.ious[row] for part, row in chosen]),
        torch.stack([part.stability[row] for part, row in chosen]),
        torch.stack([part.points[row] for part, row in chosen]),
        torch.stack([part.boxes[row] for part, row in chosen]),
    )


def _best(boxes: Tensor, scores: Tensor, iou_thresh: float) -> Tensor:
    """Return the indices of the boxes that no better one overlaps, best first."""
    kept: Tensor = batched_nms(
        boxes.float(), scores, torch.zeros(len(boxes)), iou_threshold=iou_thresh
    )
    return kept


def _best_of_crops(
    found: Sequence[tuple[Crop, Found]], iou_thresh: float
) -> list[tuple[Crop, Found]]:
    """Drop masks that one of a smaller crop overlaps; one mask an entry, best first."""
    single = [
        (crop, some.take(torch.tensor([which])))
        for crop, some in found
        for which in range(len(some.ious))
    ]
    if not single:
        return []
    corners = torch.tensor([crop for crop, _ in single])
    boxes = torch.cat([one.boxes for _, one in single]) + corners[:, [0, 1, 0, 1]]
    width, height = (corners[:, 2:] - corners[:, :2]).unbind(1)
    kept = _best(boxes, 1 / (width * height), iou_thresh)
    return [single[which] for which in kept.tolist()]


def _best_cleaned(made: Sequence[_Made], settings: MaskSettings) -> list[_Made]:
    """Drop masks that are alike once they are cleaned, as upstream's `postprocess_small_regions`.

    Those that were not changed are the better ones.
    """
    boxes = torch.tensor([masks.tight_box(one.mask.rle) for one in made]).view(-1, 4)
    inclusive = boxes - torch.tensor([0, 0, 1, 1])
    unchanged = torch.tensor([float(not one.cleaned) for one in made])
    kept = _best(inclusive, unchanged, max(settings.box_nms_thresh, settings.crop_nms_thresh))
    return [made[which] for which in kept.tolist()]
