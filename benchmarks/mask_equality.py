"""Whether our automatic masks are upstream's: which are missing or added, and how close the rest.

Masks are paired one to one, first the closest. A mask that has no partner counts as missing or as
added, unless its score lies so close to a threshold that the last digit decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import upstream
from benchmarks.mask_runs import Options, apart_tuned, say
from indexer.demo.scenes import draw_scene
from indexer.models import autocast, choose_device, choose_precision
from indexer.profiles import MaskSettings, load_profile
from indexer.segmentation import masks
from indexer.segmentation.sam2_model import Pixels, RawMask, Sam2Model

#: Makes the automatic masks of a picture with these settings.
Maker = Callable[[Pixels, MaskSettings], list[RawMask]]

#: IoU from which two masks may be partners at all.
_PARTNERS = 0.5
#: IoU from which masks made with less precision count as the same.
_MATCHED = 0.95
#: Distance of a predicted IoU or a stability score to its threshold below which nothing is said.
BORDER = 1e-4
#: Box IoU above which the lesser of two masks is dropped: none is.
KEEP_ALL = 1.0
#: Scenes that the demo model's masks are compared on.
_SCENES = 8


@dataclass(frozen=True)
class Compared:
    """What became of upstream's masks.

    Attributes:
        expected: number of upstream's masks.
        found: number of ours.
        ious: of every pair.
        identical: pairs that are equal in every pixel.
        missing: upstream's masks without a partner, but for those at a threshold.
        added: ours without one, but for those at a threshold.
        at_threshold: masks of either without a partner whose score is at a threshold.
    """

    expected: int = 0
    found: int = 0
    ious: tuple[float, ...] = ()
    identical: int = 0
    missing: int = 0
    added: int = 0
    at_threshold: int = 0

    def __add__(self, other: Compared) -> Compared:
        """Return what became of both together."""
        return Compared(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Compared)))

    def figures(self, name: str) -> dict[str, float]:
        """Return the figures, named `<name>_…`."""
        matched = sum(iou >= _MATCHED for iou in self.ious)
        values = {
            "upstream_masks": self.expected,
            "masks": self.found,
            "missing": self.missing,
            "added": self.added,
            "at_threshold": self.at_threshold,
            "least_iou": min(self.ious, default=1.0),
            "identical_share": self.identical / max(self.expected, 1),
            "matched_share": matched / max(self.expected, 1),
            "difference_in_number_share": abs(self.expected - self.found) / max(self.expected, 1),
        }
        return {f"{name}_{key}": float(value) for key, value in values.items()}


def compare(
    expected: Sequence[RawMask], found: Sequence[RawMask], settings: MaskSettings
) -> Compared:
    """Compare the masks of one picture, made with these settings.

    Where boxes that overlap are not dropped, partners have the same prompt. Otherwise scores that
    differ in the last digit decide which prompt's mask is left of two that are the same.
    """
    same_prompt = settings.box_nms_thresh >= KEEP_ALL
    pairs, missing, added = _paired(expected, found, same_prompt=same_prompt)
    clear = [sum(not is_at_threshold(one, settings) for one in some) for some in (missing, added)]
    return Compared(
        expected=len(expected),
        found=len(found),
        ious=tuple(iou for _, _, iou in pairs),
        identical=sum(one.rle == other.rle for one, other, _ in pairs),
        missing=clear[0],
        added=clear[1],
        at_threshold=len(missing) + len(added) - sum(clear),
    )


def is_at_threshold(mask: RawMask, settings: MaskSettings) -> bool:
    """Say whether one of the mask's scores is too close to its threshold to say who is right."""
    return (
        abs(mask.predicted_iou - settings.pred_iou_thresh) <= BORDER
        or abs(mask.stability_score - settings.stability_score_thresh) <= BORDER
    )


def found_again(
    expected: Sequence[RawMask], found: Sequence[RawMask], least_iou: float
) -> NDArray[np.bool_]:
    """Return for each mask whether any of the others has at least this IoU with it, (N,)."""
    if not expected or not found:
        return np.zeros(len(expected), dtype=np.bool_)
    again: NDArray[np.bool_] = _ious(expected, found).max(axis=1) >= least_iou
    return again


def figures(options: Options) -> dict[str, float]:
    """Return whether the demo model's masks are upstream's, with each precision."""
    say("equality")
    demo = load_profile("demo")
    side = min(options.settings.points_per_side, demo.masks.points_per_side)
    return apart_tuned(on_scenes, options.device, options.precisions, side, range(_SCENES))


def on_scenes(
    device_name: str, precisions: Sequence[str], points_per_side: int, seeds: Sequence[int]
) -> dict[str, float]:
    """Compare masks with those of upstream in float32, on drawn scenes with the demo model.

    Those of ours with each precision, and of upstream with each that is not float32: what is lost
    to the precision whoever computes with it.

    Args:
        device_name: as `indexer.models.choose_device` takes it.
        precisions: as `indexer.models.choose_precision` takes them.
        points_per_side: of the grid.
        seeds: of the scenes.
    """
    demo, device = load_profile("demo"), choose_device(device_name)
    peer = Sam2Model(demo.sam2, device)
    makers: dict[str, Maker] = {}
    for name in precisions:
        precision = choose_precision(name, device)
        makers[name] = Sam2Model(demo.sam2, device, precision).automatic
        if precision != torch.float32:
            makers[f"upstream_{name}"] = _upstream_with(peer, device, precision)
    found: dict[str, float] = {}
    for variant, settings in demo_variants(demo.masks, points_per_side).items():
        for name, compared in _on_scenes(peer, makers, settings, seeds).items():
            found |= compared.figures(f"{variant}_{name}")
    return found


def _upstream_with(model: Sam2Model, device: torch.device, precision: torch.dtype) -> Maker:
    def make(pixels: Pixels, settings: MaskSettings) -> list[RawMask]:
        with autocast(device, precision):
            return upstream.automatic(model, settings, pixels)

    return make


def _on_scenes(
    peer: Sam2Model, makers: Mapping[str, Maker], settings: MaskSettings, seeds: Sequence[int]
) -> dict[str, Compared]:
    """Compare masks on drawn scenes; return by maker what became of upstream's in float32.

    Args:
        peer: upstream makes its masks with this.
        makers: of the others.
        settings: of the masks.
        seeds: of the scenes.
    """
    totals = dict.fromkeys(makers, Compared())
    for seed in seeds:
        pixels = draw_scene(seed).pixels
        expected = upstream.automatic(peer, settings, pixels)
        for name, make in makers.items():
            totals[name] += compare(expected, make(pixels, settings), settings)
    return totals


def demo_variants(settings: MaskSettings, points_per_side: int) -> dict[str, MaskSettings]:
    """Return by name the settings that are compared on drawn scenes.

    Args:
        settings: of the demo profile.
        points_per_side: of all.
    """
    # upstream's own clean-up of small regions needs a CUDA kernel that its wheel lacks
    plain = replace(settings, mode="exact", points_per_side=points_per_side, min_mask_region_area=0)
    every = replace(plain, box_nms_thresh=KEEP_ALL)
    many = replace(every, multimask_output=True, pred_iou_thresh=0.3, stability_score_thresh=0.3)
    return {"demo": plain, "demo_all": every, "demo_multimask_all": many}


def _paired(
    expected: Sequence[RawMask], found: Sequence[RawMask], *, same_prompt: bool
) -> tuple[list[tuple[RawMask, RawMask, float]], list[RawMask], list[RawMask]]:
    """Return the pairs with their IoUs, and what is left of either side."""
    groups: dict[object, tuple[list[RawMask], list[RawMask]]] = defaultdict(lambda: ([], []))
    for side, some in enumerate((expected, found)):
        for mask in some:
            groups[mask.point if same_prompt else None][side].append(mask)
    pairs, missing, added = [], [], []
    for theirs, ours in groups.values():
        ious = _ious(theirs, ours)
        while ious.size and ious.max() >= _PARTNERS:
            row, column = np.unravel_index(ious.argmax(), ious.shape)
            pairs.append((theirs.pop(row), ours.pop(column), float(ious[row, column])))
            ious = np.delete(np.delete(ious, row, 0), column, 1)
        missing += theirs
        added += ours
    return pairs, missing, added


def _ious(some: Sequence[RawMask], others: Sequence[RawMask]) -> NDArray[np.float64]:
    """Return the IoU of each of N masks with each of M others, (N, M)."""
    return masks.iou([mask.rle for mask in (*some, *others)])[: len(some), len(some) :]
