"""The adapter of the `sam2` package: the only module that imports it.

It builds upstream's model from upstream's (or our) configuration, loads weights into it, and
runs upstream's automatic generator and image predictor. Whatever is upstream's is left to it;
what is corrected is said where it is.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from indexer import models
from indexer.errors import ModelError
from indexer.profiles import MaskSettings, Sam2Profile
from indexer.records import Box, Rle

if TYPE_CHECKING:
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.modeling.sam2_base import SAM2Base
    from sam2.sam2_image_predictor import SAM2ImagePredictor

Pixels = NDArray[np.uint8]

#: What upstream's `build_sam2` adds to every configuration: a single mask that is not stable
#: gives way to the best of three.
_DECODER_ARGS = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
#: Upstream scales every mask of a batch of points to the picture's size, in float32, before it
#: looks at them: bytes that these may take.
_MASK_BYTES = 1 << 30
#: Standard deviation × √fan-in for seeded weights, by the part of the model. Chosen so that masks
#: depend on the prompt and on the picture at all; upstream's own initialisation is for training.
_GAINS = {"image_encoder": 2.0, "sam_mask_decoder.transformer": 7.0, "": 2.0}
#: The settings that upstream's generator does not know.
OUR_SETTINGS = {"min_area_fraction", "max_area_fraction", "merge_iou_thresh", "containment_thresh"}


@dataclass(frozen=True)
class RawMask:
    """One mask as upstream's automatic generator returns it.

    Attributes:
        rle: the mask, of the whole picture's size.
        predicted_iou: the model's estimate of its quality.
        stability_score: IoU of the mask at a raised and a lowered threshold.
        point: the (x, y) pixel that prompted it.
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

    def __init__(self, profile: Sam2Profile, device: torch.device) -> None:
        """Build the model and load its weights.

        Raises:
            ModelError: the configuration or the weights cannot be used.
            WeightsUnavailable: the weights are not to be had.
        """
        path, weights = _locate(profile)
        config = _read_config(path)
        if isinstance(weights, Path):
            model = _build(path, config)
            models.load_weights(model, weights)
            self.fingerprint = models.file_fingerprint(weights)
        else:
            model = _draw_weights(path, config, weights)
            self.fingerprint = models.state_fingerprint(model)
        self.config = models.plain_fingerprint(OmegaConf.to_container(config))
        self.name = profile.model
        self.image_size = int(model.image_size)
        self.upstream = model.to(device).eval()
        self._predictor = self._new_predictor()

    def automatic(self, pixels: Pixels, settings: MaskSettings) -> list[RawMask]:
        """Run upstream's automatic mask generator on a uint8 RGB picture of shape (H, W, 3)."""
        given: dict[str, Any] = {
            name: value
            for name, value in dataclasses.asdict(settings).items()
            if name not in OUR_SETTINGS
        }
        given["points_per_batch"] = _affordable_points(pixels, settings)
        with models.BUILDING, warnings.catch_warnings():
            _ignore_script_warning()
            generator = _generator_class()(self.upstream, output_mode="coco_rle", **given)
        generator.predictor._bb_feat_sizes = self._predictor._bb_feat_sizes
        return [_raw_mask(found) for found in generator.generate(_writable(pixels))]

    def embed(self, pixels: Pixels) -> Embedded:
        """Compute the image embedding of a uint8 RGB picture of shape (H, W, 3)."""
        predictor = copy.copy(self._predictor)  # shares the model, holds its own embedding
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
        """
        masks, scores, logits = embedded.predictor.predict(
            points,
            labels,
            None if box is None else np.asarray(box, dtype=np.float32),
            previous,
            multimask_output=multimask_output,
        )
        return masks.astype(np.bool_), scores, logits

    def _new_predictor(self) -> SAM2ImagePredictor:
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        with models.BUILDING, warnings.catch_warnings():
            _ignore_script_warning()
            predictor = SAM2ImagePredictor(self.upstream)
        # upstream takes a 1024-pixel model for granted
        deepest = self.image_size // self.upstream.backbone_stride
        predictor._bb_feat_sizes = [(deepest * n, deepest * n) for n in (4, 2, 1)]
        return predictor


def build_untrained(name: str) -> SAM2Base:
    """Build the model of a configuration as upstream initialises it: for training.

    Raises:
        ModelError: there is no such configuration, or it cannot be built.
    """
    path = models.find_config(name)
    with models.BUILDING:
        return _build(path, _read_config(path))


def _locate(profile: Sam2Profile) -> tuple[Path, Path | int]:
    """Return the model configuration, and the weights' path or seed."""
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    upstream: dict[str, tuple[str, str]] = HF_MODEL_ID_TO_FILENAMES
    seed = models.seed_of(profile.checkpoint)
    if profile.model in upstream:
        config_name, checkpoint_name = upstream[profile.model]
        config = Path(str(files("sam2") / config_name))
        if profile.checkpoint is None:
            return config, models.fetch_from_hub(profile.model, checkpoint_name)
    else:
        config = models.find_config(profile.model)
    if seed is not None:
        return config, seed
    if profile.checkpoint is None:
        known = ", ".join(name for name in upstream if "2.1" in name)
        raise ModelError(
            f"the SAM 2 configuration {profile.model} comes without weights",
            f"set sam2.checkpoint in the profile, or name a hub model: {known}",
        )
    return config, models.find_file(profile.checkpoint) or Path(profile.checkpoint)


def _read_config(path: Path) -> DictConfig:
    """Read a model configuration and complete it as upstream's `build_sam2` does."""
    try:
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig) or not isinstance(config.get("model"), DictConfig):
            raise ModelError(f"{path} is no SAM 2 configuration", "its top level needs a `model`")
        OmegaConf.set_struct(config, False)
        for name, value in _DECODER_ARGS.items():
            OmegaConf.update(config, f"model.sam_mask_decoder_extra_args.{name}", value)
        OmegaConf.resolve(config)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise ModelError(f"the SAM 2 configuration {path} cannot be read: {error}") from error
    return config


def _build(path: Path, config: DictConfig) -> SAM2Base:
    """Build the model of a configuration, which was read from `path`."""
    from hydra.errors import HydraException
    from hydra.utils import instantiate
    from sam2.modeling.sam2_base import SAM2Base

    _check_targets(path, OmegaConf.to_container(config))
    try:
        model = instantiate(config.model, _recursive_=True)
    except HydraException as error:
        raise ModelError(f"the SAM 2 configuration {path} cannot be built: {error}") from error
    if not isinstance(model, SAM2Base):
        raise ModelError(f"{path} is no SAM 2 configuration", "its `model` must be a SAM2Base")
    return model


def _check_targets(path: Path, node: object) -> None:
    """Refuse configurations that name anything but SAM 2's own classes to be called."""
    if isinstance(node, dict):
        if "_target_" in node and not _is_sam2_class(str(node["_target_"])):
            raise ModelError(
                f"{path} calls {node['_target_']}", "only classes of sam2.modeling are allowed"
            )
        for child in node.values():
            _check_targets(path, child)
    elif isinstance(node, list):
        for child in node:
            _check_targets(path, child)


def _is_sam2_class(target: str) -> bool:
    """Whether the name is of a class defined in sam2.modeling, not merely reachable from it."""
    module, _, name = target.rpartition(".")
    if not module.startswith("sam2.modeling."):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__ == module


def _draw_weights(path: Path, config: DictConfig, seed: int) -> SAM2Base:
    """Build the model with random weights that depend on the seed alone."""
    with models.BUILDING, torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = _build(path, config)
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                transposed = isinstance(module, torch.nn.ConvTranspose2d)
                fan_in = module.weight.shape[0] if transposed else module.weight[0].numel()
                gain = next(gain for part, gain in _GAINS.items() if name.startswith(part))
                module.weight.normal_(0.0, gain / fan_in**0.5)
                if module.bias is not None:
                    module.bias.zero_()
    return model


class _Unchanging(list[int]):
    """Run lengths that nobody changes: upstream copies all of them for every batch of points."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Unchanging:
        return self


@functools.cache
def _generator_class() -> type[SAM2AutomaticMaskGenerator]:
    """Return upstream's generator with its failures put right; where it works, it is upstream's."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.utils.amg import MaskData

    class Generator(SAM2AutomaticMaskGenerator):  # type: ignore[misc]
        def __init__(self, model: SAM2Base, *, min_mask_region_area: int, **settings: Any) -> None:  # noqa: ANN401
            # upstream hands the area to a CUDA kernel that its wheel lacks, warns, and goes on
            super().__init__(model, **settings)
            self.min_mask_region_area = min_mask_region_area

        def _process_crop(
            self, image: Pixels, crop_box: list[int], layer: int, size: tuple[int, ...]
        ) -> MaskData:
            x0, y0, x1, y1 = crop_box
            if x0 >= x1 or y0 >= y1:
                return MaskData()  # of a picture too small for this many crops
            data = super()._process_crop(image, crop_box, layer, size)
            data["crop_boxes"] = data["crop_boxes"].reshape(-1, 4)  # so also where there are none
            return data

        def _process_batch(self, *where: Any, normalize: bool) -> MaskData:  # noqa: ANN401
            data = super()._process_batch(*where, normalize=normalize)
            for rle in data["rles"]:
                rle["counts"] = _Unchanging(rle["counts"])
            return data

        def _generate_masks(self, image: Pixels) -> MaskData:
            data = super()._generate_masks(image)
            if self.min_mask_region_area == 0:
                return data
            nms_thresh = max(self.box_nms_thresh, self.crop_nms_thresh)
            return self.postprocess_small_regions(data, self.min_mask_region_area, nms_thresh)

    return Generator


def _affordable_points(pixels: Pixels, settings: MaskSettings) -> int:
    """Return how many points upstream may decode at once on this picture."""
    masks = 3 if settings.multimask_output else 1
    height, width, _ = pixels.shape
    per_point: int = masks * height * width * 4  # float32
    return max(1, min(settings.points_per_batch, _MASK_BYTES // per_point))


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
