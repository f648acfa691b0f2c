"""Where weights come from, what they are (fingerprints), what runs them and how precisely.

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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.errors import ModelError, WeightsUnavailable
from indexer.profiles import configs_dir

if TYPE_CHECKING:
    import torch

#: A transformers-format SAM 2 state dict starts its keys with one of these; upstream's never do.
_TRANSFORMERS_KEYS = ("vision_encoder.", "prompt_encoder.", "mask_decoder.", "shared_image_")
_NOT_TENSORS = "it holds other things than tensors, or is damaged"
#: Formats that cannot hold code, or are read by numpy, which runs none.
_NEVER_CODE = (".safetensors", ".npz", ".npy")
_SEEDED = "seeded:"

#: Held while a model is built: the random state that seeded weights are drawn from, and the
#: scripting of upstream's transforms, belong to the whole process.
BUILDING = threading.RLock()
_READ_SIZE = 1 << 20
#: HTTP status codes that may be gone a moment later.
_BUSY = (408, 429, 500, 502, 503, 504)


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


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn `auto`, `float32`, `bfloat16` or `float16` into what models compute with on a device.

    `auto` is bfloat16 on a CUDA device that has it, and float16 on an older one; on a CPU, bfloat16
    where it multiplies matrices of it natively (AMX, AVX512_BF16), else float32: without, bfloat16
    made the demo SAM 2's image encoder and ViT-B-32 two to four times slower. On MPS it is float32;
    nothing else was measured there. `SEGSEARCH_PRECISION` in the environment is what `auto` means
    instead, for results that are the same on all machines.

    Raises:
        ModelError: there is no such precision.
    """
    import torch

    if name == "auto":
        name = os.environ.get("SEGSEARCH_PRECISION", name)
    if name == "auto":
        if device.type == "cpu" and _cpu_multiplies_bfloat16():
            return torch.bfloat16
        if device.type != "cuda":
            return torch.float32
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    known = {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }
    if name not in known:
        raise ModelError(f"unknown precision {name!r}", f"use auto, {', '.join(known)}")
    return known[name]


def _cpu_multiplies_bfloat16() -> bool:
    import torch

    # torch has no public name for either, and the second is not in all of its versions
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def autocast(
    device: torch.device, precision: torch.dtype
) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which models on a device compute with a precision."""
    import torch

    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, precision)


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


def find_in_cache(repo: str, filenames: Sequence[str]) -> Path | None:
    """Return the first of these files of a hub repository that is in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    for filename in filenames:
        path = try_to_load_from_cache(repo, filename)
        if isinstance(path, str):
            return Path(path)
    return None


def fetch_from_hub(what: str, repo: str, filenames: Sequence[str]) -> Path:
    """Return the local path of a hub file, downloading it if it is not in the cache.

    What is in the cache is taken without asking the hub whether there is something newer: an
    index must find the weights that it was built with, and a search must not wait for a network.
    Removing the repository from the cache (`hf cache rm`) brings the newest at the next fetch.

    Args:
        what: names the weights in the error.
        repo: such as `facebook/sam2.1-hiera-tiny`.
        filenames: the first that exists is meant.

    Raises:
        WeightsUnavailable: none is in the cache or to be had.
    """
    from huggingface_hub import hf_hub_download

    try:
        cached = find_in_cache(repo, filenames)
        if cached is not None:
            return cached
        return Path(hf_hub_download(repo, _first_on_hub(repo, filenames)))
    except Exception as error:  # among them those of its HTTP client, another in every version
        file = f"{repo}/{filenames[0]}"
        named = file if what == repo else f"{what} ({file})"
        raise weights_unavailable(named, error) from error


def quiet_downloads() -> None:
    """Show no progress of downloads from the hub, for the rest of the process."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()


def _first_on_hub(repo: str, filenames: Sequence[str]) -> str:
    """Return the first of the files that the hub has.

    `hf_hub_download` asks an unreachable hub for half a minute; this asks once, for as long as
    `HF_HUB_ETAG_TIMEOUT` says (10 s).
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    for filename in filenames:
        try:
            get_hf_file_metadata(hf_hub_url(repo, filename), timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except EntryNotFoundError:
            continue
        except HfHubHTTPError as error:
            if error.response.status_code not in _BUSY:
                raise
        # a busy hub is for the download, which tries again
        return filename
    return filenames[0]


def weights_unavailable(what: str, error: Exception) -> WeightsUnavailable:
    """Return the error that names the weights, what was tried, and the three ways on."""
    from huggingface_hub import constants

    offline = "offline (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else constants.ENDPOINT
    return WeightsUnavailable(
        f"the weights {what} are not in the cache {constants.HF_HUB_CACHE}, "
        f"and {offline} gave: {' '.join(str(error).split()) or type(error).__name__}",
        "go online once and run: segsearch models fetch PROFILE; or give the path of a weights "
        "file in the profile; or try --profile demo, which needs no download",
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
    with _reading(path):
        if path.suffix == ".safetensors":
            weights: object = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(weights, Mapping) and isinstance(weights.get("model"), Mapping):
        weights = weights["model"]
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    ):
        raise ModelError(f"{path} holds no state dict", "use upstream's .pt or .safetensors")
    return dict(weights)


def check_safe(path: Path) -> None:
    """Refuse a weights file that is not of tensors alone, before a library of others reads it.

    open_clip falls back to reading without this check where the bytes make the first try raise a
    `TypeError`; with a torch before 2.6, or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`, that runs code.

    Raises:
        ModelError: it has other things in it, or is damaged.
    """
    import torch

    if path.suffix not in _NEVER_CODE:
        with _reading(path):
            torch.load(path, map_location="meta", weights_only=True)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of whatever goes wrong that it is the file."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # torch raises whatever the bytes lead its unpickler to
        raise ModelError(
            f"{path} is not a weights file that can be read safely: {_NOT_TENSORS}",
            "use upstream's .pt, or a .safetensors file",
        ) from error


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
