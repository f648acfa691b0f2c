from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from platformdirs import user_cache_path
from safetensors.torch import save_file

from indexer import models
from indexer.errors import ModelError, WeightsUnavailable
from indexer.profiles import Profile, configs_dir
from indexer.segmentation.sam2_model import Sam2Model

CPU = torch.device("cpu")
FINGERPRINTS = user_cache_path("segsearch") / "fingerprints.json"

Save = Callable[[dict[str, torch.Tensor], Path], object]


def small(value: float = 0.0) -> torch.nn.Linear:
    model = torch.nn.Linear(2, 3)
    torch.nn.init.constant_(model.weight, value)
    torch.nn.init.constant_(model.bias, value + 1)
    return model


def weights_of(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_devices_that_are_here(name: str) -> None:
    device = models.choose_device(name)
    assert torch.zeros(2, device=device).sum().item() == 0
    assert name == "auto" or device == CPU


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:99", "there is no cuda:99 device here"),
        ("meta", "there is no meta device here"),
        ("gpu", "unknown device 'gpu'"),
        ("", "unknown device ''"),
    ],
)
def test_devices_that_are_not(name: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.choose_device(name)
    assert caught.value.message == message
    assert "cpu" in caught.value.hint


def test_one_gpu_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert models.choose_device("cuda:1") == torch.device("cuda:1")
    assert models.choose_device("cuda") == torch.device("cuda")
    with pytest.raises(ModelError, match="no cuda:2 device"):
        models.choose_device("cuda:2")


def test_precisions_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {
        name: models.choose_precision(name, CPU) for name in ("float32", "bfloat16", "float16")
    }
    assert named == {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }
    monkeypatch.delenv("SEGSEARCH_PRECISION")
    assert models.choose_precision("auto", torch.device("mps")) == torch.float32
    with pytest.raises(ModelError, match="unknown precision 'half'") as caught:
        models.choose_precision("half", CPU)
    assert caught.value.hint == "use auto, float32, bfloat16, float16"


@pytest.mark.parametrize(
    ("amx", "avx512", "expected"),
    [
        (True, True, torch.bfloat16),
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
        (False, False, torch.float32),
    ],
)
def test_precision_follows_what_a_cpu_multiplies(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, expected: torch.dtype
) -> None:
    monkeypatch.delenv("SEGSEARCH_PRECISION")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert models.choose_precision("auto", CPU) == expected
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")  # torch before 2.6
    assert models.choose_precision("auto", CPU) == (torch.bfloat16 if amx else torch.float32)


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_precision_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: torch.dtype
) -> None:
    monkeypatch.delenv("SEGSEARCH_PRECISION")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    assert models.choose_precision("auto", torch.device("cuda")) == expected


def test_the_environment_says_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGSEARCH_PRECISION", "bfloat16")
    assert models.choose_precision("auto", CPU) == torch.bfloat16
    assert models.choose_precision("float16", CPU) == torch.float16
    monkeypatch.setenv("SEGSEARCH_PRECISION", "half")
    with pytest.raises(ModelError, match="unknown precision 'half'"):
        models.choose_precision("auto", CPU)


def test_seeds() -> None:
    assert [models.seed_of(w) for w in ("seeded:0", "seeded:42")] == [0, 42]
    assert [models.seed_of(w) for w in (None, "openai", "/x/seeded:1", "")] == [None] * 4


@pytest.mark.parametrize("weights", ["seeded:", "seeded:-1", "seeded:1.5", "seeded: 1", "seeded:x"])
def test_seeds_that_are_no_numbers(weights: str) -> None:
    with pytest.raises(ModelError, match=f"'{weights}' has no seed"):
        models.seed_of(weights)


def test_configurations_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    assert models.find_config("demo/sam2_tiny.yaml") == configs_dir() / "demo" / "sam2_tiny.yaml"
    assert models.find_config(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"
    with pytest.raises(ModelError, match="no model configuration 'demo/sam3"):
        models.find_config("demo/sam3.yaml")
    with pytest.raises(ModelError, match="no model configuration"):
        models.find_config(str(tmp_path))


def _save_as_upstream(weights: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"model": weights, "epoch": 3}, path)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("w.pt", torch.save),
        ("w.pth", torch.save),
        ("w.safetensors", save_file),
        ("w.pt", _save_as_upstream),
    ],
)
def test_saved_weights_are_loaded(tmp_path: Path, name: str, save: Save) -> None:
    save(small(5.0).state_dict(), tmp_path / name)
    model = small()
    models.load_weights(model, tmp_path / name)
    assert model.weight.tolist() == [[5, 5]] * 3
    assert model.bias.tolist() == [6] * 3


@pytest.mark.parametrize("name", ["sam2.pt", "sam2.safetensors"])
def test_the_demo_sam2_is_saved_and_loaded(
    tmp_path: Path, fast_profile: Profile, name: str
) -> None:
    from dataclasses import replace

    drawn = Sam2Model(fast_profile.sam2, CPU)
    save: Save = save_file if name.endswith("safetensors") else _save_as_upstream
    save(drawn.upstream.state_dict(), tmp_path / name)
    profile = replace(fast_profile.sam2, checkpoint=str(tmp_path / name))
    loaded = Sam2Model(profile, CPU)
    np.testing.assert_equal(weights_of(loaded.upstream), weights_of(drawn.upstream))
    assert loaded.fingerprint == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert loaded.config == drawn.config


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.zeros(3, 2)}, "1 keys are missing, 0 unknown, 0 of another shape"),
        ({**small().state_dict(), "x": torch.zeros(1)}, "0 keys are missing, 1 unknown, 0 of"),
        (
            {"weight": torch.zeros(2, 3), "bias": torch.zeros(3)},
            "0 keys are missing, 0 unknown, 1 of another shape (such as weight)",
        ),
        ({}, "2 keys are missing"),
    ],
)
def test_weights_of_another_model_change_nothing(
    tmp_path: Path, weights: dict[str, torch.Tensor], message: str
) -> None:
    torch.save(weights, tmp_path / "w.pt")
    model = small(7.0)
    with pytest.raises(ModelError, match="does not fit") as caught:
        models.load_weights(model, tmp_path / "w.pt")
    assert message in caught.value.message
    np.testing.assert_equal(weights_of(model), weights_of(small(7.0)))


def test_the_format_of_transformers_is_explained(tmp_path: Path) -> None:
    names = ("vision_encoder.backbone.x", "mask_decoder.y", "shared_image_embedding.z")
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="format of the transformers library") as caught:
        models.load_weights(small(), tmp_path / "w.pt")
    assert ".pt file in the same hub repository" in caught.value.hint


class Evil:
    """Would create a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("layout", ["plain pickle", "torch"])
def test_code_in_a_weights_file_is_refused_and_does_not_run(tmp_path: Path, layout: str) -> None:
    path, trace = tmp_path / "w.pt", tmp_path / "trace"
    content = {"weight": Evil(trace)}
    if layout == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match="holds other things than tensors") as caught:
        models.read_weights(path)
    assert not trace.exists()
    assert "weights_only" not in str(caught.value)  # torch's advice is to switch it off
    with path.open("rb") as file:  # without the guard it would have run
        torch.load(file, weights_only=False) if layout == "torch" else pickle.load(file)  # noqa: S301
    assert trace.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world" * 10, bytes(500), b"\x80\x02}", b"(ta."])
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"can be read safely|holds no state dict"):
        models.read_weights(tmp_path / name)


def test_a_download_that_broke_off_is_refused(tmp_path: Path) -> None:
    for name, save in (("w.pt", torch.save), ("w.safetensors", save_file)):
        save(small().state_dict(), tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        for length in range(0, len(whole) - 1, len(whole) // 20):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(ModelError, match="can be read safely"):
                models.read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [{"weight": [1, 2]}, {1: torch.zeros(1)}, torch.zeros(2), [1]])
def test_files_without_a_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        models.read_weights(tmp_path / "w.pt")


def test_a_weights_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="no weights file"):
        models.read_weights(tmp_path / "w.pt")


def test_a_model_that_the_hub_would_have() -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        models.fetch_from_hub("SAM 2", "facebook/sam2.1-hiera-tiny", ("sam2.1_hiera_tiny.pt",))
    assert "facebook/sam2.1-hiera-tiny/sam2.1_hiera_tiny.pt" in caught.value.message
    assert "offline (HF_HUB_OFFLINE)" in caught.value.message
    ways_on = ("segsearch models fetch", "path of a weights file", "--profile demo")
    assert all(way in caught.value.hint for way in ways_on)


def test_a_state_fingerprint_depends_on_every_weight_and_name() -> None:
    first = models.state_fingerprint(small())
    assert first == models.state_fingerprint(small())
    assert len(first) == 64
    changed = small()
    with torch.no_grad():
        changed.bias[2] += 1e-6
    renamed = torch.nn.Sequential(small())
    others = [models.state_fingerprint(model) for model in (changed, renamed, small(1.0))]
    assert len({first, *others}) == 4


def test_a_state_fingerprint_of_every_kind_of_tensor() -> None:
    model = torch.nn.Module()
    for i, kind in enumerate((torch.bfloat16, torch.float16, torch.int64, torch.bool)):
        model.register_buffer(f"b{i}", torch.ones(2, 3, dtype=kind).T)
    model.register_buffer("scalar", torch.tensor(2.0))
    model.register_buffer("empty", torch.zeros(0))
    assert len(models.state_fingerprint(model)) == 64


def test_the_fingerprint_of_a_file_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"abc")
    first = hashlib.sha256(b"abc").hexdigest()
    assert models.file_fingerprint(path) == first
    status = path.stat()
    path.write_bytes(b"xyz")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert models.file_fingerprint(path) == first  # same path, size and mtime: not read again
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert models.file_fingerprint(path) == hashlib.sha256(b"xyz").hexdigest()
    path.write_bytes(b"longer")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert models.file_fingerprint(path) == hashlib.sha256(b"longer").hexdigest()
    other = tmp_path / "other.pt"
    other.write_bytes(b"abcdef")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert models.file_fingerprint(other) == hashlib.sha256(b"abcdef").hexdigest()


@pytest.mark.parametrize("content", ["{", "[]", "null", "{{}}", "\x00", '{"KEY": 5}'])
def test_a_damaged_memory_of_fingerprints_is_harmless(tmp_path: Path, content: str) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"abc")
    key = f"{path.resolve()}|3|{path.stat().st_mtime_ns}"
    FINGERPRINTS.parent.mkdir(parents=True, exist_ok=True)
    FINGERPRINTS.write_text(content.replace("KEY", key), encoding="utf-8")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert models.file_fingerprint(path) == expected
    assert models._read_fingerprints(FINGERPRINTS)[key] == expected


def test_no_place_to_remember_fingerprints_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert models.file_fingerprint(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_plain_fingerprints_ignore_the_order_of_keys() -> None:
    assert models.plain_fingerprint({"a": 1, "b": [2]}) == models.plain_fingerprint(
        {"b": [2], "a": 1}
    )
    assert models.plain_fingerprint({"a": 1}) != models.plain_fingerprint({"a": 2})
