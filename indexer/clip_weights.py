"""Loading CLIPs: where their weights lie, the model, its tokenizer.

With `embedding.py`, which runs the models, the only module that imports open_clip.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer import models
from indexer.errors import ModelError
from indexer.profiles import ClipProfile

if TYPE_CHECKING:
    import torch

HUB, FOLDER = "hf-hub:", "local-dir:"
#: What open_clip calls weights in a hub repository, the preferred first.
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_HUB_CONFIG = "open_clip_config.json"
#: What a file must have to be an open_clip model configuration.
_CONFIG_KEYS = {"embed_dim", "vision_cfg", "text_cfg"}

Tokenizer = Callable[[list[str]], "torch.Tensor"]


@dataclass(frozen=True, eq=False)
class LoadedClip:
    """A CLIP as open_clip builds it, on the CPU.

    Attributes:
        model: open_clip's model; untyped, as that package is.
        tokenize: sentences → tokens, int64, shape (n, context length).
        fingerprint: SHA-256 of the weights.
        config: short digest of a configuration of the user's, None where the name says it.
    """

    model: Any
    tokenize: Tokenizer
    fingerprint: str
    config: str | None


def load(profile: ClipProfile) -> LoadedClip:
    """Build the model of a profile with its weights, which are fetched if need be.

    Raises:
        ModelError: the model is unknown, or its weights cannot be used.
        WeightsUnavailable: the weights are not to be had.
    """
    with models.BUILDING:
        name, model, fingerprint = _load(profile)
    return LoadedClip(model, _tokenizer(name), fingerprint, _own_config(profile, name))


def fetch(profile: ClipProfile) -> Path | None:
    """Bring the weights and the tokenizer to this disk; return the weights' path.

    None stands for weights without a file: drawn from a seed.

    Raises:
        ModelError: the model or the weights are unknown.
        WeightsUnavailable: they are not to be had.
    """
    name = _checked_name(profile)
    if models.seed_of(profile.pretrained) is not None:
        return None
    if name.startswith(FOLDER):
        return _in_folder(Path(name.removeprefix(FOLDER)))
    if name.startswith(HUB):
        name, weights = _from_hub(name)
    else:
        weights = _weights_file(name, _tag_or_path(name, profile.pretrained))
    _tokenizer(name)
    return weights


def hub_source(name: str, tag: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the hub repository of a tag's weights and their possible file names, if any.

    Raises:
        ModelError: open_clip does not know the tag.
    """
    import open_clip

    config = open_clip.get_pretrained_cfg(name, tag)
    if not config:
        raise _unknown_weights(name, tag)
    repo, _, filename = config.get("hf_hub", "").rpartition("/")
    if not repo:
        return None
    return repo, (filename,) if filename else HUB_FILES


def _load(profile: ClipProfile) -> tuple[str, Any, str]:
    """Return open_clip's name of the model, the model, and the fingerprint of its weights."""
    name = _checked_name(profile)
    seed = models.seed_of(profile.pretrained)
    if seed is not None:
        import torch

        with torch.random.fork_rng(devices=[]), _without_warning("No pretrained weights"):
            torch.manual_seed(seed)
            model = _create(name, None)
        return name, model, models.state_fingerprint(model)
    if name.startswith(FOLDER):
        _check_folder(Path(name.removeprefix(FOLDER)))
        model = _create(name, None, require_pretrained=True)
        return name, model, models.state_fingerprint(model)
    if name.startswith(HUB):
        tokenizer, weights = _from_hub(name)
        _check_folder(weights.parent)
        folder = f"{FOLDER}{weights.parent}"  # by its hub name, open_clip would ask the hub again
        model = _create(folder, None, require_pretrained=True)
        return tokenizer, model, models.file_fingerprint(weights)
    source = _tag_or_path(name, profile.pretrained)
    weights = _weights_file(name, source)
    models.check_safe(weights)
    model = _create(
        name, str(weights), require_pretrained=True, force_preprocess_cfg=_preprocess(name, source)
    )
    return name, model, models.file_fingerprint(weights)


def _checked_name(profile: ClipProfile) -> str:
    """Return open_clip's name of the model; refuse weights named twice or not at all."""
    name = profile.model
    if name.endswith(".json"):
        name = _registered(models.find_config(name))
    complete = name.startswith((HUB, FOLDER))
    if complete and profile.pretrained is not None:
        raise ModelError(
            f"{name} names its own weights, the profile names {profile.pretrained} as well",
            "set clip.pretrained to null",
        )
    if not complete and profile.pretrained is None:
        raise ModelError(
            f"the CLIP {profile.model} comes without weights",
            "set clip.pretrained in the profile to an open_clip tag or the path of a weights file",
        )
    return name


def _own_config(profile: ClipProfile, name: str) -> str | None:
    """Return the digest of a configuration of the user's, None where the model's name says it."""
    import open_clip

    if not profile.model.endswith(".json") and not profile.model.startswith(FOLDER):
        return None
    return models.plain_fingerprint(open_clip.get_model_config(name))


def _registered(path: Path) -> str:
    """Make a model configuration known to open_clip, and return the name it has there."""
    import open_clip

    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the CLIP configuration {path} cannot be read: {error}") from error
    missing = _CONFIG_KEYS - config.keys() if isinstance(config, dict) else _CONFIG_KEYS
    if missing:  # open_clip would take another model of this name
        raise ModelError(f"{path} is no CLIP configuration: it lacks {', '.join(sorted(missing))}")
    open_clip.add_model_config(path)
    return path.stem


@contextlib.contextmanager
def _without_warning(start: str) -> Iterator[None]:
    """Keep open_clip's log lines that start so off stderr: seeded weights are meant."""

    def is_other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(start)

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def _tag_or_path(name: str, pretrained: str | None) -> str:
    """Return an open_clip tag as it is, and the name of a weights file as its path."""
    import open_clip

    assert pretrained is not None  # noqa: S101 - `_checked_name` has seen to it
    if open_clip.get_pretrained_cfg(name, pretrained):
        return pretrained
    path = models.find_file(pretrained)
    if path is None:
        raise _unknown_weights(name, pretrained)
    return str(path)


def _unknown_weights(name: str, pretrained: str) -> ModelError:
    return ModelError(
        f"open_clip knows no weights {pretrained!r} for {name}, and there is no such file",
        "open_clip.list_pretrained() lists the tags",
    )


def _weights_file(name: str, source: str) -> Path:
    """Return the local file of a tag's weights, fetched if need be, or the path as it is."""
    import open_clip

    config = open_clip.get_pretrained_cfg(name, source)
    if not config:
        return Path(source)
    if published := hub_source(name, source):
        return models.fetch_from_hub(f"{name} {source}", *published)
    try:
        return Path(open_clip.download_pretrained(config))
    except (OSError, ValueError) as error:
        raise models.weights_unavailable(f"{name} {source}", error) from error


def _preprocess(name: str, source: str) -> Mapping[str, object]:
    """Return what a tag says about pictures; open_clip goes by it only where it gets the tag.

    It is not given the tag, because it would then ask the hub once more.
    """
    import open_clip

    tagged: Mapping[str, object] = open_clip.get_pretrained_cfg(name, source)
    own = open_clip.get_model_config(name) or {}
    if tagged and tagged.get("quick_gelu", False) and not own.get("quick_gelu", False):
        logging.getLogger(__name__).warning(
            "the weights %s for %s were trained with QuickGELU: take the model whose name ends in "
            "-quickgelu, or vectors will be poor",
            *(source, name),
        )
    return tagged


def _from_hub(name: str) -> tuple[str, Path]:
    """Return the name by which a hub model's tokenizer is found, and the path of its weights.

    The configuration lies beside the weights: asked for last, it is of the same revision.
    """
    repo = name.removeprefix(HUB)
    weights = models.fetch_from_hub(repo, repo, HUB_FILES)
    config = models.fetch_from_hub(repo, repo, (_HUB_CONFIG,))
    try:
        given = json.loads(config.read_text(encoding="utf-8"))
        text = given.get("model_cfg", {}).get("text_cfg", {})
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"the CLIP configuration {config} cannot be read: {error}") from error
    return name if text.get("hf_tokenizer_name") else f"{FOLDER}{weights.parent}", weights


def _check_folder(folder: Path) -> None:
    """Refuse weights of more than tensors; and none, for which others would be fetched."""
    from open_clip.factory import _find_checkpoint_in_dir

    if not (folder / _HUB_CONFIG).is_file():
        return  # open_clip says so
    file = _find_checkpoint_in_dir(folder)
    if file is None:
        raise ModelError(
            f"the weights in {folder} could not be loaded: there are none", "add a .safetensors"
        )
    models.check_safe(Path(file))


def _in_folder(folder: Path) -> Path:
    for file in HUB_FILES:
        if (folder / file).is_file():
            return folder / file
    return folder


def _create(name: str, pretrained: str | None, **options: Any) -> Any:  # noqa: ANN401
    import open_clip

    what = f"{name} {pretrained or ''}".strip()
    try:
        return open_clip.create_model(name, pretrained=pretrained, weights_only=True, **options)
    except OSError as error:
        raise models.weights_unavailable(what, error) from error
    except Exception as error:  # open_clip and torch raise whatever they stumble over
        raise ModelError(f"open_clip cannot build {what}: {models.reason_of(error)}") from error


def _tokenizer(name: str) -> Tokenizer:
    """Return what makes tokens; one that brings its own code is refused."""
    import open_clip

    try:
        _check_tokenizer(name, open_clip.get_model_config(name) or {})
        tokenizer: Tokenizer = open_clip.get_tokenizer(name)
    except ImportError as error:
        raise ModelError(
            f"the tokenizer of {name} needs a package that is not here: {error}",
            f"pip install {error.name}" if error.name else "",
        ) from error
    except (OSError, ValueError) as error:
        raise models.weights_unavailable(f"the tokenizer of {name}", error) from error
    return tokenizer


def _check_tokenizer(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that asks for a tokenizer's own code to be run."""
    asked = (config.get("text_cfg") or {}).get("tokenizer_kwargs") or {}
    if "trust_remote_code" in asked:
        raise ModelError(
            f"the tokenizer of {name} wants to run code of its own", "take a model that does not"
        )
