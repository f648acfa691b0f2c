"""Weights files of strangers: whatever they hold, they are tensors or are refused, by name."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import shutil
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from indexer import clip_weights
from indexer.errors import ModelError
from indexer.profiles import ClipProfile, Sam2Profile, configs_dir, load_profile
from indexer.segmentation import sam2_build

CLIP = load_profile("demo").clip
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Load = Callable[[], object]
#: torch's warning, which would be an error here, would keep the code from running.
pytestmark = pytest.mark.filterwarnings("ignore:Environment variable TORCH_FORCE")


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._command = f"touch '{canary}'"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self._command,)


class Confusing:
    """Makes torch's safe reading stumble over itself (a `TypeError`), and pickle not at all."""

    def __reduce__(self) -> tuple[object, tuple[()], object]:
        return OrderedDict, (), (None, {})


def zipped(content: object) -> bytes:
    return _saved(content, new=True)


def legacy(content: object) -> bytes:
    return _saved(content, new=False)


def _saved(content: object, *, new: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def array(content: object) -> bytes:
    """Return an archive of numpy's with objects in it."""
    buffer = io.BytesIO()
    np.savez(buffer, np.array([content], dtype=object))
    return buffer.getvalue()


LAYOUTS = [zipped, legacy, pickle.dumps]


def refused(load: Load, file: Path, canary: Path) -> None:
    """Load what was put into a file, and see that it did nothing and is named."""
    with pytest.raises(ModelError) as caught:
        load()
    assert str(file) in caught.value.message or str(file.parent) in caught.value.message
    assert "weights_only" not in str(caught.value)
    assert not canary.exists()


def runs(data: bytes, canary: Path) -> None:
    """See that the file would have run its code, were it not looked at first."""
    torch.load(io.BytesIO(data), weights_only=False)
    assert canary.exists()
    canary.unlink()


def sam2(model: str, checkpoint: Path | None) -> Load:
    named = None if checkpoint is None else str(checkpoint)
    return lambda: sam2_build.load(Sam2Profile(model, named))


def clip(model: str, pretrained: Path | str | None) -> Load:
    named = None if pretrained is None else str(pretrained)
    profile: ClipProfile = dataclasses.replace(CLIP, model=model, pretrained=named)
    return lambda: clip_weights.load(profile)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "it ran"


@pytest.fixture(params=["", "1"])
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without what tells torch to trust everything, which old scripts ask for."""
    if request.param:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", request.param)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_code_in_a_file(
    tmp_path: Path, canary: Path, environment: None, layout: Callable[[object], bytes], suffix: str
) -> None:
    for content in ({"model": {"a": Evil(canary)}}, {"a": Confusing(), "b": Evil(canary)}):
        file = tmp_path / f"weights{suffix}"
        file.write_bytes(layout(content))
        refused(sam2("demo/sam2_tiny.yaml", file), file, canary)
        refused(clip("demo/clip_tiny.json", file), file, canary)
        if layout is not pickle.dumps:
            runs(file.read_bytes(), canary)


def test_objects_in_an_archive_of_arrays(tmp_path: Path, canary: Path) -> None:
    for suffix in (".npz", ".pt"):
        file = tmp_path / f"weights{suffix}"
        file.write_bytes(array(Evil(canary)))
        refused(clip("demo/clip_tiny.json", file), file, canary)
        refused(sam2("demo/sam2_tiny.yaml", file), file, canary)


def lay_out(folder: Path, name: str, data: bytes, **text: object) -> Path:
    """Write a model as it lies in a hub repository; return the file of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = json.loads((configs_dir() / "demo" / "clip_tiny.json").read_text(encoding="utf-8"))
    demo["text_cfg"] |= text
    config = json.dumps({"model_cfg": demo, "preprocess_cfg": {}})
    (folder / "open_clip_config.json").write_text(config, encoding="utf-8")
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "model.pth", "any.bin", "a.pth"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_code_in_a_folder(
    tmp_path: Path, canary: Path, environment: None, layout: Callable[[object], bytes], name: str
) -> None:
    content = {"a": Confusing(), "b": Evil(canary)}
    file = lay_out(tmp_path / "model", name, layout(content))
    refused(clip(f"local-dir:{file.parent}", None), file, canary)


@pytest.fixture
def hub() -> Iterator[Callable[[str], Path]]:
    """Return what makes the folder of a repository in the hub's cache."""
    made = []

    def repository(name: str) -> Path:
        repo = Path(os.environ["HF_HOME"]) / "hub" / f"models--{name.replace('/', '--')}"
        made.append(repo)
        (repo / "refs").mkdir(parents=True)
        (repo / "refs" / "main").write_text(COMMIT, encoding="ascii")
        (repo / "snapshots" / COMMIT).mkdir(parents=True)
        return repo / "snapshots" / COMMIT

    yield repository
    for repo in made:
        shutil.rmtree(repo)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_code_in_the_hubs_cache(
    canary: Path,
    environment: None,
    layout: Callable[[object], bytes],
    hub: Callable[[str], Path],
) -> None:
    data = layout({"a": Confusing(), "b": Evil(canary)})
    file = lay_out(hub("org/evil"), "open_clip_pytorch_model.bin", data)
    refused(clip("hf-hub:org/evil", None), file, canary)
    published = hub("laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K") / "open_clip_pytorch_model.bin"
    published.write_bytes(data)
    refused(clip("ViT-B-32", "datacomp_xl_s13b_b90k"), published, canary)
    checkpoint = hub("facebook/sam2.1-hiera-tiny") / "sam2.1_hiera_tiny.pt"
    checkpoint.write_bytes(data)
    refused(sam2("facebook/sam2.1-hiera-tiny", None), checkpoint, canary)


def test_a_tokenizer_with_code(tmp_path: Path, canary: Path, hub: Callable[[str], Path]) -> None:
    """What transformers would import from the folder, if the configuration asks for it."""
    code = f"import pathlib; pathlib.Path({str(canary)!r}).touch()"
    asks = {"hf_tokenizer_name": "own", "tokenizer_kwargs": {"trust_remote_code": True}}
    model = clip_weights.load(dataclasses.replace(CLIP, model="demo/clip_tiny.json")).model
    for folder, name in ((tmp_path / "own", f"local-dir:{tmp_path / 'own'}"),
                         (hub("org/own"), "hf-hub:org/own")):  # fmt: skip
        file = lay_out(folder, "open_clip_pytorch_model.bin", zipped(model.state_dict()), **asks)
        (folder / "tokenization_own.py").write_text(code, encoding="utf-8")
        with pytest.raises(ModelError, match="wants to run code of its own"):
            clip(name, None)()
        assert file.exists()
        assert not canary.exists()


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def tensor(**changes: object) -> bytes:
    told = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return header(json.dumps({"a": told}).encode()) + bytes(8)


SAFETENSORS = {
    "endless": header(b"{}", 2**63),
    "negative": header(b"{}", 2**64 - 1),
    "100 MB that are not there": header(b"{}", 100_000_000),
    "deep": header(b'{"a":' * 100_000),
    "wide": header(json.dumps({str(i): {} for i in range(100_000)}).encode()),
    "no JSON": header(b"\xff" * 100),
    "a list": header(b"[]"),
    "huge shape": tensor(shape=[2**62, 2**62]),
    "shape of another size": tensor(shape=[2**40]),
    "negative shape": tensor(shape=[-2]),
    "offsets beyond the end": tensor(data_offsets=[0, 2**40]),
    "offsets that run back": tensor(data_offsets=[8, 0]),
    "unknown type": tensor(dtype="os.system"),
    "nothing": b"",
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_headers_that_make_no_sense(tmp_path: Path, canary: Path, name: str) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(SAFETENSORS[name])
    began = time.monotonic()
    refused(sam2("demo/sam2_tiny.yaml", file), file, canary)
    refused(clip("demo/clip_tiny.json", file), file, canary)
    folder = lay_out(tmp_path / "model", "open_clip_model.safetensors", SAFETENSORS[name])
    refused(clip(f"local-dir:{folder.parent}", None), folder, canary)
    assert time.monotonic() - began < 20
