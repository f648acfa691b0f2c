"""Building a SAM 2 from a configuration: what is refused, and what tells two models apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from indexer.errors import ModelError
from indexer.profiles import Profile, Sam2Profile, configs_dir
from indexer.segmentation import sam2_build
from indexer.segmentation.sam2_model import Sam2Model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(fast_profile: Profile) -> Sam2Model:
    return Sam2Model(fast_profile.sam2, CPU)


def config(tmp_path: Path, text: str) -> Sam2Profile:
    (tmp_path / "sam2.yaml").write_text(text, encoding="utf-8")
    return Sam2Profile(str(tmp_path / "sam2.yaml"), "seeded:1")


DEMO = (configs_dir() / "demo" / "sam2_tiny.yaml").read_text(encoding="utf-8")
NECK = "sam2.modeling.backbones.image_encoder.FpnNeck"


@pytest.mark.parametrize(
    "target",
    [
        "builtins.print",
        "os.getcwd",
        "sam2.build_sam.build_sam2",
        "sam2.modeling.sam2_base.torch.os.getcwd",  # reachable from sam2.modeling, not in it
        "sam2.modeling.sam2_base.torch.nn.Identity",
        "sam2.modeling.backbones.hieradet.partial",  # functools', a class all the same
        "sam2.modeling.nothing.Here",
        "sam2.modeling.sam2_base.Nothing",
        "sam2.modeling.sam2_base.get_1d_sine_pe",
        "sam2.modeling.${oc.env:HOME}",
    ],
)
def test_a_configuration_that_calls_anything_else(tmp_path: Path, target: str) -> None:
    profile = config(tmp_path, DEMO.replace(NECK, target))
    with pytest.raises(ModelError, match=r"sam2\.yaml calls ") as caught:
        Sam2Model(profile, CPU)
    assert caught.value.hint == "only classes of sam2.modeling are allowed"


def test_upstreams_configurations_are_allowed() -> None:
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    assert len(HF_MODEL_ID_TO_FILENAMES) == 8
    for name in HF_MODEL_ID_TO_FILENAMES:
        path, _ = sam2_build._locate(Sam2Profile(name, "seeded:1"))
        config = OmegaConf.to_container(sam2_build._read_config(path))
        sam2_build._check_targets(path, config)
        assert "sam2.modeling.backbones.hieradet.Hiera" in str(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no SAM 2 configuration"),
        ("- 1", "is no SAM 2 configuration"),
        ("models: {}", "is no SAM 2 configuration"),
        ("model: null", "is no SAM 2 configuration"),
        ("model: 3", "is no SAM 2 configuration"),
        ("model: {a: 1}", "is no SAM 2 configuration"),
        ("model: [1", "cannot be read"),
        ("model: {a: '${b}'}", "cannot be read"),
        (DEMO.replace("image_size:", "image_sise:"), "cannot be built"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Sam2Model(config(tmp_path, text), CPU)
    assert "sam2.yaml" in caught.value.message


@pytest.mark.parametrize("name", ["facebook/sam2.1-hiera-tinny", "demo/sam2_tinny.yaml", ""])
def test_a_misspelt_model(name: str) -> None:
    with pytest.raises(ModelError, match=f"no model configuration '{name}'"):
        Sam2Model(Sam2Profile(name, "seeded:1"), CPU)


def test_a_configuration_needs_weights() -> None:
    with pytest.raises(ModelError, match=r"demo/sam2_tiny\.yaml comes without weights") as caught:
        Sam2Model(Sam2Profile("demo/sam2_tiny.yaml", None), CPU)
    assert "facebook/sam2.1-hiera-tiny" in caught.value.hint


def test_the_seed_decides_the_weights(model: Sam2Model, fast_profile: Profile) -> None:
    random = torch.get_rng_state()
    same = Sam2Model(fast_profile.sam2, CPU)
    other = Sam2Model(dataclasses.replace(fast_profile.sam2, checkpoint="seeded:5"), CPU)
    assert torch.equal(torch.get_rng_state(), random)
    assert same.fingerprint == model.fingerprint != other.fingerprint
    assert (model.name, model.image_size) == (fast_profile.sam2.model, 384)


def test_the_configuration_counts_where_the_weights_are_the_same(
    tmp_path: Path, model: Sam2Model, fast_profile: Profile
) -> None:
    plain = Path(fast_profile.sam2.model).read_text(encoding="utf-8")
    commented = Sam2Model(config(tmp_path, "# mine\n" + plain), CPU)
    larger = Sam2Model(config(tmp_path, plain.replace("size: 384", "size: 512")), CPU)
    assert commented.fingerprint == larger.fingerprint
    assert commented.config == model.config != larger.config
