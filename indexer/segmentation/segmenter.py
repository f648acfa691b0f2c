"""Three ways to ask SAM 2: for everything in a picture, for boxes, for what a prompt points at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from indexer.detections import XYXY, Detection
from indexer.errors import QueryError
from indexer.profiles import MaskSettings, Sam2Profile
from indexer.records import Box, Region, check_box
from indexer.segmentation import masks, rough_masks
from indexer.segmentation.sam2_model import Embedded, Pixels, RawMask, Sam2Model, never

XY = tuple[float, float]

#: Version of what happens to masks after upstream: filters, merging, nesting.
_FILTER_VERSION = 1
#: The scores are float32; more decimals than this say nothing, and stores differ in the last.
_DECIMALS = 6


@dataclass(frozen=True, eq=False)
class Prompt:
    """What to cut out of a picture; at least a point on it, a box, or a mask of it.

    Attributes:
        points: (x, y) pixels on the object.
        not_points: (x, y) pixels beside it.
        box: half-open pixel box around it.
        previous: float32 low-resolution logits of an earlier answer, shape (1, h, w), to refine.
        mask: bool, shape (H, W) of the picture: roughly where the object is, drawn by hand or by
            another program. Not together with `previous`, which takes the same place.
    """

    points: tuple[XY, ...] = ()
    not_points: tuple[XY, ...] = ()
    box: Box | None = None
    previous: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not self.points and self.box is None and self.previous is None and self.mask is None:
            raise QueryError(
                "a prompt needs a point on the object, a box, or a mask",
                "points beside the object alone do not say what to cut out",
            )
        if self.mask is None:
            return
        if self.previous is not None:
            raise QueryError("a prompt has a mask and a previous mask", "give one of them")
        if not self.mask.any():
            raise QueryError(
                "the mask of the prompt is empty", "mark the pixels on the object in it"
            )

    @property
    def is_ambiguous(self) -> bool:
        """Whether it is a single point, which may mean a part or the whole."""
        count = len(self.points) + len(self.not_points)
        alone = self.box is None and self.previous is None and self.mask is None
        return count == 1 and alone

    def check(self, size: tuple[int, int]) -> None:
        """Refuse a picture that the prompt does not fit.

        Args:
            size: (height, width) of the picture.

        Raises:
            QueryError: a point or the box lies outside of it, or the mask has another size.
        """
        height, width = size
        if self.mask is not None and self.mask.shape != size:
            given = "×".join(map(str, reversed(self.mask.shape)))
            raise QueryError(
                f"the mask of the prompt has {given} pixels, the picture {width}×{height}",
                "give a mask of the picture's own size, as EXIF orients it",
            )
        for x, y in (*self.points, *self.not_points):
            if not (0 <= x < width and 0 <= y < height):
                raise QueryError(
                    f"the point {x:g},{y:g} lies outside the picture of {width}×{height} pixels",
                    "points are x,y in pixels from the top left corner",
                )
        if self.box is not None:
            try:
                check_box(self.box, width, height)
            except ValueError as error:
                raise QueryError(str(error), "a box is x0,y0,x1,y1 in pixels, x0 < x1") from error


@dataclass(frozen=True, eq=False)
class Prompted:
    """The answer to a prompt.

    Attributes:
        mask: bool, shape (H, W), in the picture's frame; may be empty.
        predicted_iou: the model's estimate of the mask's quality, about 0 to 1.
        logits: float32, shape (1, h, w), to pass on as `Prompt.previous`.
    """

    mask: NDArray[np.bool_]
    predicted_iou: float
    logits: NDArray[np.float32]

    def region(self, prompt: Prompt) -> Region | None:
        """Return the mask as a region, or None if it is empty."""
        if not self.mask.any():
            return None
        rle = masks.encode(self.mask)
        point = prompt.points[0] if prompt.is_ambiguous else None
        return Region(
            rle,
            masks.tight_box(rle),
            masks.area(rle),
            round(self.predicted_iou, _DECIMALS),
            None,
            point=point,
        )


class Segmenter:
    """Cuts pictures into regions with SAM 2.

    Attributes:
        model: the loaded SAM 2.
    """

    def __init__(
        self,
        profile: Sam2Profile,
        settings: MaskSettings,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Load the model.

        Args:
            profile: which one.
            settings: of automatic masks.
            device: where it runs.
            precision: what it calculates in.

        Raises:
            ModelError: the configuration or the weights cannot be used.
            WeightsUnavailable: the weights are not to be had.
        """
        self.model = Sam2Model(profile, device, precision)
        self._settings = settings

    def recipe(self) -> Mapping[str, object]:
        """Return everything that decides which segments a picture has, as plain data."""
        return {
            "model": self.model.name,
            "config": self.model.config,
            "weights": self.model.fingerprint,
            "generator": f"sam2 1.1.0, filters {_FILTER_VERSION}",
            **self._settings.deciding(),
        }

    def automatic(
        self,
        pixels: Pixels,
        detections: Sequence[Detection] = (),
        *,
        grid: bool = True,
        stopped: Callable[[], bool] = never,
    ) -> list[Region]:
        """Cut a picture into regions: those of a grid of points, and those of a detector's boxes.

        Every box gives one region, whatever its size, unless it has no pixels inside the picture
        or SAM 2 finds nothing there. A region of the grid that is near-identical to one of a box
        gives way to it, if the settings merge at all.

        Args:
            pixels: uint8 RGB, shape (H, W, 3).
            detections: what a detector found in the picture.
            grid: whether to look for everything else, too.
            stopped: asked again and again; True gives up.

        Returns:
            The regions by falling area, nested: parents before their parts. May be empty.

        Raises:
            Stopped: `stopped` said so.
        """
        placed = list(_placed(detections, pixels.shape[1], pixels.shape[0]))
        embedded = self.embed(pixels) if placed else None
        named = [] if embedded is None else self._of_boxes(embedded, placed, stopped)
        regions = self._of_grid(pixels, stopped, embedded) if grid else []
        merge = self._settings.merge_iou_thresh
        if merge is not None:
            regions = masks.without_identical(regions, named, merge)
        return masks.nest([*regions, *named], self._settings.containment_thresh)

    def embed(self, pixels: Pixels) -> Embedded:
        """Compute a picture's image embedding once, for any number of prompts."""
        return self.model.embed(pixels)

    def prompt(self, embedded: Embedded, prompt: Prompt) -> Prompted:
        """Cut out what the prompt points at.

        A single point may mean a part or the whole: the best of three masks by predicted IoU.
        Several points, a box or a mask: one mask.

        A rough mask is given to SAM 2 with its own box and its innermost pixel, unless the prompt
        has a box or a point of its own. Alone it says next to nothing: SAM 2 learnt masks as what
        it had answered to other prompts. With the demo model and 339 masks of drawn objects, made
        too large, too small, or moved by 15 % of the object's width (mean IoU with the object
        0.59), the mean IoU of the answers is 0.11 for the mask alone, 0.83 with the box, 0.85 with
        the pixel and 0.86 with both; it is 0.84 for box and pixel without the mask.

        Raises:
            QueryError: a point or the box lies outside the picture, the mask has another size, or
                the previous mask has another size than this model's.
        """
        return self._answers(embedded, prompt, multimask_output=prompt.is_ambiguous)[0]

    def candidates(self, embedded: Embedded, prompt: Prompt) -> list[Prompted]:
        """Cut out the three things that the prompt may mean, best first by predicted IoU.

        As upstream's `multimask_output=True`. Made for a single point, which may mean a part or
        the whole; for a prompt that leaves no doubt, `prompt` gives the better mask.

        Raises:
            QueryError: see `prompt`.
        """
        return self._answers(embedded, prompt, multimask_output=True)

    def refine(self, embedded: Embedded, prompt: Prompt, answer: Prompted) -> Prompted:
        """Ask again, with an answer to the prompt as what is known so far.

        Args:
            embedded: the picture.
            prompt: the same as before, or one with further points; its own mask gives way to the
                answer.
            answer: from `prompt`, `candidates` or `refine` on this picture.

        Raises:
            QueryError: see `prompt`.
        """
        prompt.check(embedded.size)
        spelt_out = self._spelt_out(prompt)
        return self.prompt(embedded, replace(spelt_out, previous=answer.logits))

    def _answers(
        self, embedded: Embedded, prompt: Prompt, *, multimask_output: bool
    ) -> list[Prompted]:
        """Return the masks that SAM 2 gives, best first."""
        prompt.check(embedded.size)
        prompt = self._spelt_out(prompt)
        points = (*prompt.points, *prompt.not_points)
        labels = (1,) * len(prompt.points) + (0,) * len(prompt.not_points)
        self._check_previous(prompt.previous)
        found, scores, logits = self.model.predict(
            embedded,
            np.asarray(points, dtype=np.float32) if points else None,
            np.asarray(labels, dtype=np.int32) if points else None,
            prompt.box,
            prompt.previous,
            multimask_output=multimask_output,
        )
        return [
            Prompted(found[i], float(scores[i]), logits[i : i + 1])
            for i in np.argsort(-scores, kind="stable")
        ]

    def _spelt_out(self, prompt: Prompt) -> Prompt:
        """Return the prompt with a rough mask as logits, a box and a point."""
        if prompt.mask is None:
            return prompt
        return Prompt(
            prompt.points or (rough_masks.innermost(prompt.mask),),
            prompt.not_points,
            prompt.box or masks.tight_box(masks.encode(prompt.mask)),
            rough_masks.as_logits(prompt.mask, self.model.image_size // 4),
        )

    def _of_boxes(
        self,
        embedded: Embedded,
        placed: Sequence[tuple[Detection, Box]],
        stopped: Callable[[], bool],
    ) -> list[Region]:
        """Cut out what is in each box; what is empty is left out."""
        boxes = [box for _, box in placed]
        cut = self.model.boxes(embedded, boxes, self._settings, stopped)
        return [
            _labelled(raw, found)
            for raw, (found, _) in zip(cut, placed, strict=True)
            if masks.area(raw.rle) > 0
        ]

    def _of_grid(
        self, pixels: Pixels, stopped: Callable[[], bool], embedded: Embedded | None
    ) -> list[Region]:
        found = self.model.automatic(pixels, self._settings, stopped, embedded)
        regions = [region for raw in found if (region := self._accept(raw)) is not None]
        if self._settings.merge_iou_thresh is None:
            return regions
        return masks.merge_identical(regions, self._settings.merge_iou_thresh)

    def _accept(self, raw: RawMask) -> Region | None:
        """Return the mask as a region, or None if it is empty or of the wrong size."""
        area = masks.area(raw.rle)
        height, width = raw.rle.size
        share = area / (height * width)
        settings = self._settings
        if area == 0 or not settings.min_area_fraction <= share <= settings.max_area_fraction:
            return None
        return Region(
            raw.rle,
            masks.tight_box(raw.rle),
            area,
            round(raw.predicted_iou, _DECIMALS),
            round(raw.stability_score, _DECIMALS),
            point=raw.point,
        )

    def _check_previous(self, previous: NDArray[np.float32] | None) -> None:
        side = self.model.image_size // 4
        if previous is not None and previous.shape != (1, side, side):
            raise QueryError(
                f"a previous mask must have shape (1, {side}, {side}), not {previous.shape}",
                "pass on the `logits` of an earlier answer from the same model",
            )


def _labelled(raw: RawMask, found: Detection) -> Region:
    """Return the region that a detector's box holds, with what the detector calls it."""
    return Region(
        raw.rle,
        masks.tight_box(raw.rle),
        masks.area(raw.rle),
        round(raw.predicted_iou, _DECIMALS),
        None,
        label=found.label,
        label_score=None if found.score is None else round(found.score, _DECIMALS),
        label_source=None if found.label is None else "detector",
    )


def _placed(
    detections: Sequence[Detection], width: int, height: int
) -> Iterator[tuple[Detection, Box]]:
    """Yield the detections whose boxes have pixels in the picture, with these pixels' box."""
    for found in detections:
        box = _pixel_box(found.box, width, height)
        if box is not None:
            yield found, box


def _pixel_box(box: XYXY, width: int, height: int) -> Box | None:
    """Return the pixels that a box touches in the picture, or None if there are none."""
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    if x0 >= x1 or y0 >= y1:
        return None
    return math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
