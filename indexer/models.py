"""Where weights come from, what they are (fingerprints), and which device runs them.

Weights are named as the ecosystem names them and fetched through huggingface_hub, so its cache
and its variables (`HF_HOME`, `HF_HUB_OFFLINE`, `HF_TOKEN`) are honoured; there is no cache of
our own but that of the fingerprints.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import ModelError, WeightsUnavailable
from indexer.profiles import configs_dir

if TYPE_CHECKING:
    import torch

#: A transformers-format SAM 2 state dict starts its keys with one of these; upstream's never do.
_TRANSFORMERS_KEYS = ("vision_encoder.", "prompt_encoder.", "mask_decoder.", "shared_image_")
_NOT_TENSORS = "it holds other things than tensors, or is damaged"
_SEEDED = "seeded:"

#: Held while a model is built: the random state that seeded weights are drawn from, and the
#: scripting of upstream's transforms, belong to the whole process.
BUILDING = threading.RLock()
_READ_SIZE = 1 << 20


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device that is there.

    Raises:
        ModelError: there is no such device here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else _mps_or_cpu()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"unknown device {name!r}", "use auto, cpu, cuda or mps") from error
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": _mps_or_cpu() == "mps"}
    there = usable.get(device.type, False)
    if device.type == "cuda" and device.index is not None:
        there = there and device.index < torch.cuda.device_count()
    if not there:
        raise ModelError(f"there is no {name} device here", "use --device cpu, or auto")
    return device


def seed_of(weights: str | None) -> int | None:
    """Return N where the weights are `seeded:N`, else None.

    Raises:
        ModelError: the seed is not a number.
    """
    if weights is None or not weights.startswith(_SEEDED):
        return None
    digits = weights.removeprefix(_SEEDED)
    if not digits.isdecimal():
        raise ModelError(f"{weights!r} has no seed", "write seeded: and a whole number")
    return int(digits)


def find_config(name: str) -> Path:
    """Return the model configuration `name` in the configs folder, or at that path.

    Raises:
        ModelError: neither is there.
    """
    path = find_file(name)
    if path is None:
        raise ModelError(
            f"there is no model configuration {name!r}",
            f"give a path, or a name relative to {configs_dir()}",
        )
    return path


def find_file(name: str) -> Path | None:
    """Return the file `name` in the configs folder, or at that path; None if neither is there."""
    for path in (configs_dir() / name, Path(name)):
        if path.is_file():
            return path
    return None


def fetch_from_hub(repo: str, filename: str) -> Path:
    """Return the local path of a hub file, downloading it if it is not in the cache.

    Raises:
        WeightsUnavailable: it is neither in the cache nor to be had.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, filename))
    except (OSError, ValueError) as error:
        # huggingface_hub's own errors derive from these two
        raise weights_unavailable(f"{repo}/{filename}", error) from error


def weights_unavailable(what: str, error: Exception) -> WeightsUnavailable:
    """Return the error that names the weights, what was tried, and the three ways on."""
    from huggingface_hub import constants

    offline = "offline (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "the hub"
    return WeightsUnavailable(
        f"the weights {what} are not in the local cache, and {offline} gave: {reason_of(error)}",
        "go online once, or give the path of a weights file in the profile, "
        "or try --profile demo, which needs no download",
    )


def reason_of(error: Exception) -> str:
    """Return in one line why a library could not build or load a model."""
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
        return _NOT_TENSORS  # torch would advise to run it
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the state dict of a `.safetensors` or a `.pt` file, never running code from it.

    Raises:
        WeightsUnavailable: there is no such file.
        ModelError: it is not such a file, or is in transformers' format.
    """
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsUnavailable(f"there is no weights file {path}", "check the profile's path")
    try:
        if path.suffix == ".safetensors":
            weights: object = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # torch raises whatever the bytes lead its unpickler to
        raise ModelError(
            f"{path} is not a weights file that can be read safely: {_NOT_TENSORS}",
            "use upstream's .pt, or a .safetensors file",
        ) from error
    if isinstance(weights, Mapping) and isinstance(weights.get("model"), Mapping):
        weights = weights["model"]
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    ):
        raise ModelError(f"{path} holds no state dict", "use upstream's .pt or .safetensors")
    return dict(weights)


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a weights file into the model, all keys or none.

    Raises:
        WeightsUnavailable: there is no such file.
        ModelError: its keys or shapes are not the model's.
    """
    weights = read_weights(path)
    expected = model.state_dict()
    missing, unexpected = expected.keys() - weights.keys(), weights.keys() - expected.keys()
    if missing and any(key.startswith(_TRANSFORMERS_KEYS) for key in unexpected):
        raise ModelError(
            f"{path} is in the format of the transformers library",
            "use the original checkpoint: the .pt file in the same hub repository",
        )
    wrong = [k for k in expected.keys() & weights.keys() if expected[k].shape != weights[k].shape]
    if missing or unexpected or wrong:
        example = sorted(missing or unexpected or wrong)[0]
        raise ModelError(
            f"{path} does not fit the model: {len(missing)} keys are missing, "
            f"{len(unexpected)} unknown, {len(wrong)} of another shape (such as {example})",
            "the profile's model and checkpoint must belong together",
        )
    model.load_state_dict(weights)


def state_fingerprint(model: torch.nn.Module) -> str:
    """Return the SHA-256 over the names and bytes of a model's weights, as 64 hex digits."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """Return the SHA-256 of a weights file, remembered by its path, size and mtime."""
    from platformdirs import user_cache_path

    status = path.stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    cache = user_cache_path("segsearch") / "fingerprints.json"
    known = _read_fingerprints(cache)
    if key not in known:
        known[key] = _hash_file(path)
        with contextlib.suppress(OSError):  # a full or read-only disk: hashed again next time
            cache.parent.mkdir(parents=True, exist_ok=True)
            fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
            fresh.write_text(json.dumps(known, indent=1), encoding="utf-8")
            fresh.replace(cache)
    return known[key]


def plain_fingerprint(plain: object) -> str:
    """Return a short digest of plain data, such as a model's configuration: 16 hex digits."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_SIZE):
            digest.update(block)
    return digest.hexdigest()


def _read_fingerprints(cache: Path) -> dict[str, str]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a cache: whatever is wrong with it, hashing again is right
    if not isinstance(known, dict):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)}


def _mps_or_cpu() -> str:
    import torch

    return "mps" if torch.backends.mps.is_available() else "cpu"
