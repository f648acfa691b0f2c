"""Building SAM 2: its configuration, and where its weights lie.

A part of the adapter of the `sam2` package, see `sam2_model.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch.overrides import TorchFunctionMode
from yaml import YAMLError

from indexer import models
from indexer.errors import ModelError
from indexer.profiles import Sam2Profile

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

#: What upstream's `build_sam2` adds to every configuration: a single mask that is not stable
#: gives way to the best of three.
_DECODER_ARGS = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
#: Standard deviation × √fan-in for seeded weights, by the part of the model. Chosen so that masks
#: depend on the prompt and on the picture at all; upstream's own initialisation is for training.
_GAINS = {"image_encoder": 2.0, "sam_mask_decoder.transformer": 7.0, "": 2.0}

#: What draws initial weights: linear layers and convolutions, and what they are scaled with.
_DRAWING = {
    torch.nn.init.kaiming_uniform_,
    torch.nn.init.uniform_,
    torch.nn.init.normal_,
    torch.Tensor.uniform_,
    torch.Tensor.normal_,
    torch.Tensor.erfinv_,
}


@dataclass(frozen=True, eq=False)
class LoadedSam2:
    """A SAM 2 as upstream builds it, on the CPU.

    Attributes:
        model: upstream's model.
        fingerprint: SHA-256 of the weights.
        config: short digest of the configuration, which is not all in the weights.
    """

    model: SAM2Base
    fingerprint: str
    config: str


class Undrawn(TorchFunctionMode):
    """Leaves out drawing initial weights, half the time of loading: the file's replace them all."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        named = kwargs or {}
        if func in _DRAWING:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def load(profile: Sam2Profile) -> LoadedSam2:
    """Build the model of a profile with its weights, which are fetched if need be.

    Raises:
        ModelError: the configuration or the weights cannot be used.
        WeightsUnavailable: the weights are not to be had.
    """
    path, weights = _locate(profile)
    config = _read_config(path)
    if isinstance(weights, Path):
        with Undrawn():
            model = _build(path, config)
        models.load_weights(model, weights)
        fingerprint = models.file_fingerprint(weights)
    else:
        model = _draw_weights(path, config, weights)
        fingerprint = models.state_fingerprint(model)
    return LoadedSam2(model, fingerprint, models.plain_fingerprint(OmegaConf.to_container(config)))


def fetch(profile: Sam2Profile) -> Path | None:
    """Bring the weights to this disk; return their path, None if they are drawn from a seed.

    Raises:
        ModelError: the model is unknown, or comes without weights.
        WeightsUnavailable: the weights are not to be had.
    """
    _, weights = _locate(profile)
    return weights if isinstance(weights, Path) else None


def hub_file(model: str) -> str | None:
    """Return the checkpoint's file name of a model that upstream has on the hub, else None."""
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    config_and_checkpoint: tuple[str, str] | None = HF_MODEL_ID_TO_FILENAMES.get(model)
    return None if config_and_checkpoint is None else config_and_checkpoint[1]


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
            return config, models.fetch_from_hub(profile.model, profile.model, (checkpoint_name,))
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
