"""The adapter of the `sam2` package: its models, for automatic masks and for prompts.

With the other `sam2_*.py`, the only module that imports that package. The image encoder and single
prompts are upstream's code; automatic masks are made anew (`sam2_generator.py`).
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from indexer import memory, models
from indexer.profiles import MaskSettings, Sam2Profile
from indexer.records import Box, Rle
from indexer.segmentation import sam2_build, workers
from indexer.segmentation.sam2_build import build_untrained
from indexer.segmentation.sam2_decoder import FoldedDecoder, ImageSide

if TYPE_CHECKING:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    from indexer.segmentation.sam2_prompts import Prompts

__all__ = ["OUR_SETTINGS", "Embedded", "Pixels", "RawMask", "Sam2Model", "build_untrained"]

Pixels = NDArray[np.uint8]

#: Upstream scales every mask of a batch of points to the picture's size, in float32, before it
#: looks at them: bytes that these may take.
_MASK_BYTES = 1 << 30
#: The settings that upstream's generator does not know.
OUR_SETTINGS = {
    "mode",
    "min_area_fraction",
    "max_area_fraction",
    "merge_iou_thresh",
    "containment_thresh",
}


def never() -> bool:
    """Say that nobody asked to stop."""
    return False


@dataclass(frozen=True)
class RawMask:
    """One mask as upstream's automatic generator returns it.

    Attributes:
        rle: the mask, of the whole picture's size.
        predicted_iou: the model's estimate of its quality.
        stability_score: IoU of the mask at a raised and a lowered threshold.
        point: the (x, y) pixel that prompted it; of a box, its first corner.
    """

    rle: Rle
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Embedded:
    """A picture whose image embedding is computed; prompts on it cost only the mask decoder.

    Attributes:
        size: (height, width) in pixels.
        predictor: upstream's predictor, holding the embedding.
    """

    size: tuple[int, int]
    predictor: SAM2ImagePredictor


class Sam2Model:
    """A SAM 2 on a device.

    Attributes:
        name: the model as the profile names it.
        fingerprint: SHA-256 of its weights.
        config: short digest of its configuration, which is not all in the weights.
        image_size: side of the square that pictures are scaled to, pixels.
        upstream: the model itself, a `SAM2Base` in evaluation mode on its device.
    """

    def __init__(
        self,
        profile: Sam2Profile,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Build the model and load its weights.

        Args:
            profile: which model, with which weights.
            device: where it runs.
            precision: what it computes with, see `indexer.models.choose_precision`; everything
                that it returns is float32 all the same.

        Raises:
            ModelError: the configuration or the weights cannot be used.
            WeightsUnavailable: the weights are not to be had.
        """
        loaded = sam2_build.load(profile)
        self.fingerprint = loaded.fingerprint
        self.config = loaded.config
        self.name = profile.model
        self.image_size = int(loaded.model.image_size)
        self.upstream = loaded.model.to(device).eval()
        self._device = device
        self._precision = precision
        self._predictor = self._new_predictor()
        self._most_points = sys.maxsize  # at once, as far as the device's memory has shown

    def automatic(
        self,
        pixels: Pixels,
        settings: MaskSettings,
        stopped: Callable[[], bool] = never,
        embedded: Embedded | None = None,
    ) -> list[RawMask]:
        """Make the automatic masks of a picture: those that upstream's generator makes.

        Points per batch are halved where the device runs out of memory, and remain so for the
        pictures that follow. The masks do not depend on it.

        Args:
            pixels: uint8 RGB, shape (H, W, 3).
            settings: the grid of points, and which masks are good enough.
            stopped: asked again and again; True ends the work.
            embedded: the picture's embedding, where it is there already.

        Raises:
            Stopped: `stopped` said so.
            OutOfDeviceMemory: the picture, or a single point on it, does not fit.
        """
        pixels = _writable(pixels)
        if settings.use_m2m:
            return self._by_upstream(pixels, settings, stopped)
        from indexer.segmentation.sam2_generator import Generator

        def encode(part: Pixels) -> ImageSide:
            if embedded is not None and part.shape == pixels.shape:
                return self._image_side(embedded)
            return self._image_side(self.embed(part))

        with self._prompting(pixels.shape, settings, stopped) as prompts:
            return Generator(prompts, encode, settings).generate(pixels)

    def boxes(
        self,
        embedded: Embedded,
        boxes: Sequence[Box],
        settings: MaskSettings,
        stopped: Callable[[], bool] = never,
    ) -> list[RawMask]:
        """Cut out what is in each box, as `predict` does with `multimask_output=False`.

        Args:
            embedded: the picture.
            boxes: in its pixels.
            settings: boxes decoded at once are as many as points are.
            stopped: asked again and again; True ends the work.

        Returns:
            A mask for each box, in order; some may be empty.

        Raises:
            Stopped: `stopped` said so.
            OutOfDeviceMemory: a single box does not fit.
        """
        from indexer.segmentation import sam2_generator
        from indexer.segmentation.sam2_prompts import View

        one_each = dataclasses.replace(
            settings,
            multimask_output=False,
            pred_iou_thresh=0.0,
            mask_threshold=0.0,
            min_mask_region_area=0,
        )
        height, width = embedded.size
        with self._prompting(embedded.size, one_each, stopped) as prompts:
            view = View(self._image_side(embedded), (0, 0, width, height), embedded.size)
            corners = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
            return sam2_generator.of_boxes(prompts, view, corners, one_each)

    @contextlib.contextmanager
    def _prompting(
        self, size: tuple[int, ...], settings: MaskSettings, stopped: Callable[[], bool]
    ) -> Iterator[Prompts]:
        """Provide what decodes prompts, and remember how many of them did not fit."""
        from indexer.segmentation.sam2_prompts import Prompts

        cores = workers.count() if self._device.type == "cpu" else 1
        affordable = min(settings.points_per_batch * cores, self._most_points)
        batches = self._batches(affordable, size)
        with (
            memory.enough_for(_named(size), self._device),
            torch.no_grad(),
            torch.autocast(self._device.type, enabled=False),  # the caller's; embedding has its own
        ):
            yield Prompts(self._decoder, settings, batches, stopped)
        self._remember(batches, affordable)

    def _by_upstream(
        self, pixels: Pixels, settings: MaskSettings, stopped: Callable[[], bool]
    ) -> list[RawMask]:
        """Run upstream's code, for its refinement of masks with masks."""
        _say_once("use_m2m runs SAM 2's own automatic masks, which are many times slower")
        with models.BUILDING, warnings.catch_warnings():
            _ignore_script_warning()
            from indexer.segmentation.sam2_upstream import UpstreamGenerator

            affordable = min(_affordable_points(pixels, settings), self._most_points)
            batches = self._batches(affordable, pixels.shape)
            given: dict[str, Any] = {
                name: value
                for name, value in dataclasses.asdict(settings).items()
                if name not in {*OUR_SETTINGS, "points_per_batch"}
            }
            generator = UpstreamGenerator(
                self.upstream, batches, stopped, output_mode="coco_rle", **given
            )
        generator.predictor._bb_feat_sizes = self._predictor._bb_feat_sizes
        with self._computing(pixels.shape):
            found = generator.generate(pixels)
        self._remember(batches, affordable)
        return [_raw_mask(mask) for mask in found]

    def _batches(self, count: int, size: tuple[int, ...]) -> memory.Batches:
        return memory.Batches(count, f"one point on {_named(size)}", self._device)

    def _remember(self, batches: memory.Batches, affordable: int) -> None:
        if batches.size < affordable:
            self._most_points = batches.size

    @functools.cached_property
    def _decoder(self) -> FoldedDecoder:
        with torch.no_grad():
            return FoldedDecoder(self.upstream, self._precision)

    def _image_side(self, embedded: Embedded) -> ImageSide:
        features = embedded.predictor._features
        return self._decoder.image_side(
            features["image_embed"][0], [level[0] for level in features["high_res_feats"]]
        )

    def embed(self, pixels: Pixels) -> Embedded:
        """Compute the image embedding of a uint8 RGB picture of shape (H, W, 3).

        Raises:
            OutOfDeviceMemory: the picture does not fit.
        """
        predictor = copy.copy(self._predictor)  # shares the model, holds its own embedding
        with self._computing(pixels.shape):
            predictor.set_image(_writable(pixels))
        return Embedded((pixels.shape[0], pixels.shape[1]), predictor)

    def predict(
        self,
        embedded: Embedded,
        points: NDArray[np.float32] | None,
        labels: NDArray[np.int32] | None,
        box: Box | None,
        previous: NDArray[np.float32] | None,
        *,
        multimask_output: bool,
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """Decode the masks of one prompt.

        Args:
            embedded: the picture.
            points: shape (N, 2), (x, y) in pixels, or None.
            labels: shape (N,), 1 for a point on the object and 0 for one beside it, or None.
            box: in pixels, or None.
            previous: low-resolution logits of an earlier prediction, shape (1, h, w), or None.
            multimask_output: three candidates instead of one.

        Returns:
            masks, shape (M, H, W); their predicted IoUs, shape (M,); and their low-resolution
            logits, shape (M, h, w), with M = 3 or 1.

        Raises:
            OutOfDeviceMemory: the prompt does not fit.
        """
        with self._computing(embedded.size):
            masks, scores, logits = embedded.predictor.predict(
                points,
                labels,
                None if box is None else np.asarray(box, dtype=np.float32),
                previous,
                multimask_output=multimask_output,
            )
        return masks.astype(np.bool_), scores, logits

    @contextlib.contextmanager
    def _computing(self, size: tuple[int, ...]) -> Iterator[None]:
        """Compute with the model's precision, and say which picture did not fit."""
        with (
            memory.enough_for(_named(size), self._device),
            models.autocast(self._device, self._precision),
        ):
            yield

    def _new_predictor(self) -> SAM2ImagePredictor:
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        from indexer.segmentation.sam2_picture import Transforms

        with models.BUILDING, warnings.catch_warnings():
            _ignore_script_warning()
            predictor = SAM2ImagePredictor(self.upstream)
            predictor._transforms = Transforms(self.image_size, predictor.mask_threshold)
        # upstream takes a 1024-pixel model for granted
        deepest = self.image_size // self.upstream.backbone_stride
        predictor._bb_feat_sizes = [(deepest * n, deepest * n) for n in (4, 2, 1)]
        return predictor


def _affordable_points(pixels: Pixels, settings: MaskSettings) -> int:
    """Return how many points upstream may decode at once on this picture."""
    masks = 3 if settings.multimask_output else 1
    height, width, _ = pixels.shape
    per_point: int = masks * height * width * 4  # float32
    return max(1, min(settings.points_per_batch, _MASK_BYTES // per_point))


@functools.cache
def _say_once(what: str) -> None:
    logging.getLogger(__name__).warning(what)


def _named(size: tuple[int, ...]) -> str:
    return f"the picture of {size[1]}×{size[0]} pixels"


def _raw_mask(found: dict[str, Any]) -> RawMask:
    packed = found["segmentation"]
    height, width = packed["size"]
    x, y = found["point_coords"][0]
    return RawMask(
        Rle((height, width), packed["counts"]),
        found["predicted_iou"],
        found["stability_score"],
        (x, y),
    )


def _writable(pixels: Pixels) -> Pixels:
    """Return the pixels as an array that torch can wrap: writable, no negative strides."""
    return np.require(pixels, requirements=["C", "W"])


def _ignore_script_warning() -> None:
    """Silence the warning that upstream's use of torch.jit.script raises in new versions."""
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
