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
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.utils.amg import build_all_layer_point_grids, generate_crop_boxes, is_box_near_crop_edge
from torch import Tensor
from torchvision.ops.boxes import batched_nms

from indexer.errors import Stopped
from indexer.memory import Batches
from indexer.profiles import MaskSettings
from indexer.segmentation import masks, points, postprocess, small_regions, workers
from indexer.segmentation.sam2_decoder import Decoded, FoldedDecoder, ImageSide
from indexer.segmentation.sam2_model import Pixels, RawMask

#: Half-open x0, y0, x1, y1 of a crop in the picture.
Crop = tuple[int, int, int, int]

#: Points that a core decodes at once: more do not fit its share of the cache, fewer have it read
#: the weights of the tokens' layers too often (on a CPU of 2 cores, ms a point: 4 11.7, 8 10.5,
#: 16 11.1).
_POINTS_PER_CORE = 8
#: Points whose masks another device makes at once.
_POINTS_PER_DEVICE = 16


@dataclass(frozen=True, eq=False)
class Found:
    """Masks of a crop, K of them; all but the logits on the CPU.

    Attributes:
        logits: float32, (K, 4 h, 4 w).
        ious: predicted, float32, (K,).
        stability: float32, (K,).
        points: that prompted them, float32 (x, y) in pixels of the crop, (K, 2).
        boxes: int64, inclusive, in pixels of the crop, (K, 4).
    """

    logits: Tensor
    ious: Tensor
    stability: Tensor
    points: Tensor
    boxes: Tensor

    def take(self, which: Tensor) -> Found:
        """Return some of the masks, by their indices or by a truth value for each."""
        return Found(
            self.logits[which.to(self.logits.device)],
            self.ious[which],
            self.stability[which],
            self.points[which],
            self.boxes[which],
        )


@dataclass(frozen=True, eq=False)
class Picked:
    """Masks of prompts that are thought to be good.

    Attributes:
        prompts: which prompt each is of, (K,).
        ious: predicted, float32, (K,); both on the CPU.
        logits: float32, (K, 4 h, 4 w).
    """

    prompts: Tensor
    ious: Tensor
    logits: Tensor


@dataclass(frozen=True, eq=False)
class View:
    """A crop of a picture, or all of it, as the decoder takes it.

    Attributes:
        image: the crop's embedding.
        crop: where it lies in the picture.
        whole: (height, width) of the picture.
    """

    image: ImageSide
    crop: Crop
    whole: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the crop."""
        x0, y0, x1, y1 = self.crop
        return y1 - y0, x1 - x0


class Generator:
    """Makes the automatic masks of pictures."""

    def __init__(
        self,
        decoder: FoldedDecoder,
        encode: Callable[[Pixels], ImageSide],
        settings: MaskSettings,
        batches: Batches,
        stopped: Callable[[], bool],
    ) -> None:
        """Take a model and the settings.

        Args:
            decoder: of the masks.
            encode: computes what the decoder takes from a picture.
            settings: upstream's, `use_m2m` aside.
            batches: how many points are decoded in one go.
            stopped: asked before each; True ends the work.
        """
        self._decoder = decoder
        self._encode = encode
        self._settings = settings
        self._batches = batches
        self._stopped = stopped
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
        made = [one for crop, some in found for one in self._masks(some, crop, size)]
        if settings.min_mask_region_area:
            made = _cleaned(made, settings)
        return made

    def _of_crop(self, pixels: Pixels, crop: Crop, grid: NDArray[np.float64]) -> Found:
        """Return the best masks of a crop that overlap too little to be the same."""
        x0, y0, x1, y1 = crop
        whole = (pixels.shape[0], pixels.shape[1])
        view = View(self._encode(pixels[y0:y1, x0:x1]), crop, whole)
        found = self._all_of(view, grid)
        return found.take(_best(found.boxes, found.ious, self._settings.box_nms_thresh))

    def _all_of(self, view: View, grid: NDArray[np.float64]) -> Found:
        """Return the good masks of all points of the grid, or of those that fast mode is left."""
        height, width = view.size
        placed = torch.as_tensor(grid * (width, height), dtype=torch.float32)
        side = math.isqrt(len(grid))
        decoded = np.zeros(len(grid), np.bool_)
        parts: list[Found] = []
        reach = 0
        for stride in points.STRIDES if self._settings.mode == "fast" else (1,):
            indices = points.lattice(side, stride)
            indices = indices[~decoded[indices]]
            if parts:
                found = _joined(parts)
                inside = found.logits > self._settings.mask_threshold
                prompts = found.points / torch.tensor([width, height])
                indices = indices[~points.explained(indices, side, inside, prompts, reach)]
            decoded[indices] = True
            parts += self._of_points(view, placed[torch.from_numpy(indices)])
            reach = stride
        return _joined(parts)

    def _of_points(self, view: View, placed: Tensor) -> list[Found]:
        """Return the good masks of some points, side by side on the cores of a CPU."""
        parts = self._batches.run(len(placed), lambda part: self._of_batch(view, placed[part]))
        return [found for batch in parts for found in batch]

    def _of_batch(self, view: View, placed: Tensor) -> list[Found]:
        if self._stopped():
            raise Stopped("stopped within a picture", "run the same command again to go on")
        if view.image.keys.device.type != "cpu":
            return [self._good(view, placed)]
        return workers.spread(
            lambda part: self._good(view, part), torch.split(placed, _POINTS_PER_CORE)
        )

    def _good(self, view: View, placed: Tensor) -> Found:
        """Decode some points, and return those of their masks that pass the thresholds."""
        settings, size = self._settings, view.size
        coordinates = placed / torch.tensor(size[::-1]) * self._decoder.image_size
        coordinates = coordinates[:, None].to(view.image.keys.device)
        labels = torch.ones(coordinates.shape[:2], dtype=torch.int32, device=coordinates.device)
        decoded = self._decoder.decode(view.image, self._decoder.prompts(coordinates, labels))
        pick = self._of_three if settings.multimask_output else self._of_one
        picked = _all_picked(list(pick(decoded)), decoded)
        measured = postprocess.measure(
            picked.logits, size, settings.mask_threshold, settings.stability_score_offset
        )
        found = Found(
            picked.logits, picked.ious, measured.stability, placed[picked.prompts], measured.boxes
        )
        height, width = view.whole
        keep = ~is_box_near_crop_edge(found.boxes, list(view.crop), [0, 0, width, height])
        if settings.stability_score_thresh > 0:
            keep &= found.stability >= settings.stability_score_thresh
        return found.take(keep)

    def _of_three(self, decoded: Decoded) -> Iterator[Picked]:
        """Yield those of the three masks of each prompt that are thought to be good."""
        ious = decoded.ious[:, 1:].float().cpu()
        good = self._are_good(ious)
        for prompts in _portions(good.any(1), decoded):
            masks = good[prompts].any(0).nonzero()[:, 0].tolist()
            logits = self._decoder.logits(decoded, prompts, [1 + mask for mask in masks])
            chosen = good[prompts][:, masks]
            rows, columns = chosen.nonzero(as_tuple=True)
            yield Picked(
                torch.tensor(prompts)[rows],
                ious[prompts][:, masks][chosen],
                logits[rows.to(logits.device), columns.to(logits.device)],
            )

    def _of_one(self, decoded: Decoded) -> Iterator[Picked]:
        """Yield each prompt's single mask, or the best of three where that is not stable.

        Upstream's `_dynamic_multimask_via_stability`; neither is made where neither is good.
        """
        ious = decoded.ious.float().cpu()
        best, candidates = ious[:, 1:].max(1)
        single = ious[:, 0]
        for prompts in _portions(self._are_good(single) | self._are_good(best), decoded):
            masks = [0, *sorted({1 + int(candidates[prompt]) for prompt in prompts})]
            logits = self._decoder.logits(decoded, prompts, masks)
            stable = self._decoder.are_stable(logits[:, 0]).cpu()
            columns = torch.tensor([masks.index(1 + int(candidates[p])) for p in prompts])
            columns[stable] = 0
            chosen = torch.where(stable, single[prompts], best[prompts])
            good = self._are_good(chosen)
            rows = good.nonzero()[:, 0]
            yield Picked(
                torch.tensor(prompts)[good],
                chosen[good],
                logits[rows.to(logits.device), columns[good].to(logits.device)],
            )

    def _are_good(self, ious: Tensor) -> Tensor:
        least = self._settings.pred_iou_thresh
        return ious > least if least > 0 else torch.ones_like(ious, dtype=torch.bool)

    def _masks(self, found: Found, crop: Crop, size: tuple[int, int]) -> list[RawMask]:
        def mask(which: int) -> RawMask:
            x0, y0, x1, y1 = found.boxes[which].tolist()
            x, y = found.points[which].tolist()
            rle = postprocess.run_lengths(
                found.logits[which], (x0, y0, x1, y1), crop, size, self._settings.mask_threshold
            )
            return RawMask(
                rle,
                found.ious[which].item(),
                found.stability[which].item(),
                (x + crop[0], y + crop[1]),
            )

        return workers.spread(mask, range(len(found.ious)))


def _crop(box: Sequence[int]) -> Crop:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _portions(chosen: Tensor, decoded: Decoded) -> Iterator[list[int]]:
    """Yield the indices of the chosen prompts, few enough at once for their masks to be made."""
    at_once = 1 if decoded.keys.device.type == "cpu" else _POINTS_PER_DEVICE
    indices: list[int] = chosen.nonzero()[:, 0].tolist()
    for start in range(0, len(indices), at_once):
        yield indices[start : start + at_once]


def _all_picked(parts: Sequence[Picked], decoded: Decoded) -> Picked:
    if not parts:
        nothing = torch.empty(0)
        return Picked(nothing.long(), nothing, decoded.ious.new_empty(0, 1, 1))
    return Picked(
        torch.cat([part.prompts for part in parts]),
        torch.cat([part.ious for part in parts]),
        torch.cat([part.logits for part in parts]),
    )


def _joined(parts: Sequence[Found]) -> Found:
    some = [part for part in parts if len(part.ious)] or list(parts[:1])
    return Found(
        torch.cat([part.logits for part in some]),
        torch.cat([part.ious for part in some]),
        torch.cat([part.stability for part in some]),
        torch.cat([part.points for part in some]),
        torch.cat([part.boxes for part in some]),
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


def _cleaned(made: Sequence[RawMask], settings: MaskSettings) -> list[RawMask]:
    """Remove small holes and islands; of masks that are alike then, untouched ones stay.

    As upstream's `postprocess_small_regions` does.
    """
    least = settings.min_mask_region_area

    def clean(mask: RawMask) -> tuple[RawMask, bool]:
        pixels = masks.decode(mask.rle)
        changed = small_regions.clean(pixels, masks.tight_box(mask.rle), least)
        return (replace(mask, rle=masks.encode(pixels)) if changed else mask), changed

    cleaned = workers.spread(clean, made)
    boxes = torch.tensor([masks.tight_box(mask.rle) for mask, _ in cleaned]).view(-1, 4)
    inclusive = boxes - torch.tensor([0, 0, 1, 1])
    untouched = torch.tensor([float(not changed) for _, changed in cleaned])
    kept = _best(inclusive, untouched, max(settings.box_nms_thresh, settings.crop_nms_thresh))
    return [cleaned[which][0] for which in kept.tolist()]
