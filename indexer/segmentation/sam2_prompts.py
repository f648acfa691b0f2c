"""Prompts on a picture to the logits of their masks, those that are thought to be good.

A part of the adapter of the `sam2` package, see `sam2_model.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from indexer.errors import Stopped
from indexer.memory import Batches
from indexer.profiles import MaskSettings
from indexer.segmentation import postprocess, workers
from indexer.segmentation.sam2_decoder import Decoded, FoldedDecoder, ImageSide

#: Half-open x0, y0, x1, y1 of a crop in the picture.
Crop = tuple[int, int, int, int]

#: Prompts that a core decodes at once: more do not fit its share of the cache, fewer have it read
#: the weights of the tokens' layers too often. (On a CPU of 2 cores, ms a point: 4 11.7, 8 10.5,
#: 16 11.1.) And that all cores decode at once: one takes 12 MB in float32.
_PROMPTS_PER_CORE, _PROMPTS_ON_CORES = 8, 32
#: Prompts whose masks another device makes at once.
_PROMPTS_PER_DEVICE = 16


@dataclass(frozen=True, eq=False)
class Found:
    """Masks of a crop, K of them; all but the logits on the CPU.

    Attributes:
        logits: float32, (K, 4 h, 4 w).
        ious: predicted, float32, (K,).
        stability: float32, (K,).
        points: the first of each prompt, float32 (x, y) in pixels of the crop, (K, 2).
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


class Prompts:
    """Decodes prompts."""

    def __init__(
        self,
        decoder: FoldedDecoder,
        settings: MaskSettings,
        batches: Batches,
        stopped: Callable[[], bool],
    ) -> None:
        """Take a model and the settings.

        Args:
            decoder: of the masks.
            settings: three masks each or one, and from which predicted IoU on they are good.
            batches: how many prompts are decoded in one go.
            stopped: asked before each, and by each core; True ends the work.
        """
        self._decoder = decoder
        self._settings = settings
        self._batches = batches
        self._stopped = stopped

    def go_on(self) -> None:
        """Raise `Stopped` if it was asked to."""
        if self._stopped():
            raise Stopped("stopped within a picture", "run the same command again to go on")

    def find(
        self,
        view: View,
        corners: Tensor,
        labels: Sequence[int],
        keep: Callable[[Found], Tensor],
    ) -> Iterator[Found]:
        """Yield the good masks of prompts, in order: side by side on the cores of a CPU.

        Args:
            view: of the picture.
            corners: float32 (x, y) in pixels of the crop, (B, P, 2).
            labels: of each prompt's P points, as in upstream's prompt encoder.
            keep: says which masks to keep, as a truth value for each.

        Raises:
            Stopped: it was asked to.
            OutOfDeviceMemory: a single prompt does not fit.
        """

        def kept(part: Tensor) -> Found:
            self.go_on()
            found = self._good(view, part, labels)
            return found.take(keep(found))

        def batch(which: slice) -> list[Found]:
            if view.image.keys.device.type != "cpu":
                return [kept(corners[which])]
            return workers.spread(kept, _shared_out(corners[which]))

        for found in self._batches.run(len(corners), batch):
            yield from found

    def _good(self, view: View, corners: Tensor, labels: Sequence[int]) -> Found:
        settings, device = self._settings, view.image.keys.device
        placed = corners / torch.tensor(view.size[::-1]) * self._decoder.image_size
        named = torch.tensor(labels, dtype=torch.int32, device=device).expand(len(corners), -1)
        decoded = self._decoder.decode(view.image, self._decoder.prompts(placed.to(device), named))
        pick = self._of_three if settings.multimask_output else self._of_one
        picked = _all_picked(list(pick(decoded)), decoded)
        measured = postprocess.measure(
            picked.logits, view.size, settings.mask_threshold, settings.stability_score_offset
        )
        first = corners[picked.prompts, 0]
        return Found(picked.logits, picked.ious, measured.stability, first, measured.boxes)

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


def _shared_out(corners: Tensor) -> tuple[Tensor, ...]:
    """Split prompts into equal parts, so many that no core waits while another has one more."""
    cores = workers.count()
    most = max(1, min(_PROMPTS_PER_CORE, _PROMPTS_ON_CORES // cores))
    rounds = math.ceil(len(corners) / (most * cores))
    return torch.tensor_split(corners, min(rounds * cores, len(corners)))


def _portions(chosen: Tensor, decoded: Decoded) -> Iterator[list[int]]:
    """Yield the indices of the chosen prompts, few enough at once for their masks to be made."""
    at_once = 1 if decoded.keys.device.type == "cpu" else _PROMPTS_PER_DEVICE
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
