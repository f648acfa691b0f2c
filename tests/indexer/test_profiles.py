from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from indexer.errors import ProfileError
from indexer.profiles import (
    ClipProfile,
    MaskSettings,
    Profile,
    Sam2Profile,
    configs_dir,
    load_profile,
    profile_data,
    profile_from,
    profile_names,
)

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"


def demo(**changes: object) -> dict[str, Any]:
    """Return the demo profile as plain data, with changes such as `masks__points_per_side=3`."""
    data = profile_data(load_profile("demo"))
    for name, value in changes.items():
        group, key = name.split("__")
        data[group][key] = value
    return data


def refused(data: object) -> str:
    with pytest.raises(ProfileError) as caught:
        profile_from(data)
    return caught.value.message


def test_the_packaged_profiles() -> None:
    assert profile_names() == ["balanced", "demo", "fast", "quality"]
    models = {name: load_profile(name) for name in profile_names()}
    assert models["fast"].sam2 == Sam2Profile("facebook/sam2.1-hiera-tiny", None)
    assert models["balanced"].sam2 == Sam2Profile("facebook/sam2.1-hiera-small", None)
    assert models["quality"].sam2 == Sam2Profile("facebook/sam2.1-hiera-large", None)
    assert [models[n].clip.model for n in ("fast", "balanced", "quality")] == [
        "ViT-B-32",
        "ViT-B-16",
        "ViT-L-14",
    ]
    assert (configs_dir() / models["demo"].sam2.model).is_file()
    assert (configs_dir() / models["demo"].clip.model).is_file()


@pytest.mark.parametrize("name", ["balanced", "demo", "fast", "quality"])
def test_the_vocabulary_has_enough_words_to_compete_with(name: str) -> None:
    """Each once, and all of them short; see `search.relevance.LEAST_SAMPLE`."""
    vocabulary = configs_dir() / load_profile(name).clip.vocabulary
    lines = vocabulary.read_text(encoding="utf-8").splitlines()
    words = [line for line in lines if line and not line.startswith("#")]
    assert len(words) == len(set(words)) >= 30
    assert all(word == word.strip().lower() and len(word) < 30 for word in words)


@pytest.mark.parametrize("name", ["fast", "balanced", "quality"])
def test_mask_settings_that_upstream_has_are_upstreams_defaults(name: str) -> None:
    from inspect import signature

    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    defaults = {
        key: parameter.default
        for key, parameter in signature(SAM2AutomaticMaskGenerator).parameters.items()
    }
    settings = dataclasses.asdict(load_profile(name).masks)
    shared = settings.keys() & defaults.keys()
    assert len(shared) == 14
    assert {key: settings[key] for key in shared} == {key: defaults[key] for key in shared}


def test_the_crop_overlap_is_upstreams_to_the_last_bit() -> None:
    assert load_profile("demo").masks.crop_overlap_ratio == 512 / 1500


@pytest.mark.parametrize("name", ["balanced", "demo", "fast", "quality"])
def test_a_profile_survives_plain_data_and_yaml(name: str) -> None:
    profile = load_profile(name)
    assert profile_from(profile_data(profile)) == profile
    assert profile_from(yaml.safe_load(yaml.safe_dump(profile_data(profile)))) == profile


def test_a_users_own_file(tmp_path: Path) -> None:
    for name in ("mine.yaml", "mine.yml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(demo(masks__points_per_side=5)), encoding="utf-8")
        assert load_profile(str(path)).masks.points_per_side == 5


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="no profile 'quick'") as caught:
        load_profile("quick")
    assert "balanced, demo, fast, quality" in caught.value.hint


@pytest.mark.parametrize("content", [b"a: [1", b"\xff\xfe", b"a: !!python/object:os.system {}"])
def test_a_file_that_is_no_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=r"broken\.yaml cannot be read"):
        load_profile(str(path))


def test_a_folder_that_is_named_like_a_profile(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ProfileError, match=r"folder\.yaml cannot be read"):
        load_profile(str(tmp_path / "folder.yaml"))


def test_what_is_wrong_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(demo(masks__points=5)), encoding="utf-8")
    with pytest.raises(ProfileError, match=r"mine\.yaml: unknown key masks\.points") as caught:
        load_profile(str(path))
    assert "docs/profiles.md" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "the profile must be a mapping, not None"),
        (["sam2"], "the profile must be a mapping, not ['sam2']"),
        (demo() | {"sam2": None}, "sam2 must be a mapping, not None"),
        (demo() | {"sam": {}}, "unknown key sam"),
        (demo() | {1: 2}, "unknown key 1"),
        (demo(clip__template=["{}"]), "unknown key clip.template"),
    ],
)
def test_data_of_another_shape(data: object, message: str) -> None:
    assert refused(data) == message


def test_every_unknown_and_missing_key_is_named() -> None:
    data = demo(masks__pred_iou_tresh=0.5, masks__colour="red")
    del data["masks"]["pred_iou_thresh"]
    assert refused(data) == (
        "unknown key masks.pred_iou_tresh; unknown key masks.colour; "
        "missing key masks.pred_iou_thresh"
    )


@pytest.mark.parametrize("kind", [Sam2Profile, MaskSettings, ClipProfile])
def test_no_key_has_a_default(kind: type) -> None:
    group = {Sam2Profile: "sam2", MaskSettings: "masks", ClipProfile: "clip"}[kind]
    for name in (field.name for field in dataclasses.fields(kind)):
        data = demo()
        del data[group][name]
        assert refused(data) == f"missing key {group}.{name}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sam2__model": 3}, "sam2.model must be str, not 3"),
        ({"sam2__model": None}, "sam2.model must be str, not None"),
        ({"sam2__checkpoint": 4}, "sam2.checkpoint must be str or null, not 4"),
        ({"masks__points_per_side": True}, "masks.points_per_side must be int, not True"),
        ({"masks__points_per_side": 16.0}, "masks.points_per_side must be int, not 16.0"),
        ({"masks__points_per_side": "16"}, "masks.points_per_side must be int, not '16'"),
        ({"masks__use_m2m": 1}, "masks.use_m2m must be bool, not 1"),
        ({"masks__use_m2m": "no"}, "masks.use_m2m must be bool, not 'no'"),
        ({"masks__box_nms_thresh": False}, "masks.box_nms_thresh must be float, not False"),
        ({"masks__merge_iou_thresh": "0"}, "masks.merge_iou_thresh must be float or null, not '0'"),
        ({"masks__mask_threshold": float("nan")}, "masks.mask_threshold must be a finite number"),
        ({"masks__mask_threshold": 10**400}, "masks.mask_threshold must be a finite number"),
        ({"clip__crop_margin": float("inf")}, "clip.crop_margin must be a finite number"),
        ({"clip__vocabulary": None}, "clip.vocabulary must be str, not None"),
        ({"clip__templates": "a {}"}, "clip.templates must be a list of texts, not 'a {}'"),
        ({"clip__templates": ["{}", 1]}, "clip.templates must be a list of texts, not ['{}', 1]"),
    ],
)
def test_values_of_another_type(changes: dict[str, object], message: str) -> None:
    assert refused(demo(**changes)).startswith(message)


def test_a_whole_number_may_stand_for_a_fraction() -> None:
    margin = profile_from(demo(clip__crop_margin=2)).clip.crop_margin
    assert (margin, type(margin)) == (2.0, float)


@pytest.mark.parametrize(
    ("name", "worst_good", "best_bad"),
    [
        ("masks__points_per_side", 1, 0),
        ("masks__points_per_batch", 1, 0),
        ("masks__crop_n_points_downscale_factor", 1, 0),
        ("masks__crop_n_layers", 0, -1),
        ("masks__min_mask_region_area", 0, -1),
        ("masks__stability_score_offset", 0.0, -0.01),
        ("masks__pred_iou_thresh", 1.0, 1.01),
        ("masks__pred_iou_thresh", 0.0, -0.01),
        ("masks__stability_score_thresh", 1.0, 1.01),
        ("masks__min_area_fraction", 0.0, -0.01),
        ("masks__max_area_fraction", 1.0, 1.01),
        ("masks__max_area_fraction", 0.01, 0.0),
        ("masks__box_nms_thresh", 1.0, 1.01),
        ("masks__box_nms_thresh", 0.01, 0.0),
        ("masks__crop_nms_thresh", 0.01, 0.0),
        ("masks__containment_thresh", 0.01, 0.0),
        ("masks__crop_overlap_ratio", 0.0, -0.01),
        ("masks__crop_overlap_ratio", 0.99, 1.0),
        ("masks__merge_iou_thresh", None, 0.0),
        ("masks__merge_iou_thresh", 1.0, 1.01),
        ("clip__crop_margin", 1.0, 0.99),
        ("clip__focus_weight", 0.0, -0.01),
        ("clip__focus_weight", 1.0, 1.01),
        ("clip__templates", ["{}"], []),
        ("clip__templates", ["{}"], ["{}", "a thing"]),
    ],
)
def test_ranges(name: str, worst_good: object, best_bad: object) -> None:
    profile_from(demo(**{name: worst_good}))
    assert refused(demo(**{name: best_bad})).startswith(name.split("__")[1])


def test_every_layer_of_crops_needs_a_point() -> None:
    four = {"masks__points_per_side": 4, "masks__crop_n_points_downscale_factor": 2}
    profile_from(demo(**four, masks__crop_n_layers=2))
    assert refused(demo(**four, masks__crop_n_layers=3)).startswith("points_per_side")


def test_a_profile_is_checked_however_it_is_made() -> None:
    profile = load_profile("demo")
    with pytest.raises(ProfileError, match="focus_weight"):
        dataclasses.replace(profile.clip, focus_weight=2)


@pytest.mark.parametrize("kind", [Profile, Sam2Profile, MaskSettings, ClipProfile])
def test_every_key_is_documented(kind: type) -> None:
    text = DOCS.read_text(encoding="utf-8")
    missing = [f.name for f in dataclasses.fields(kind) if f"`{f.name}`" not in text]
    assert not missing
    assert all(field.name in (kind.__doc__ or "") for field in dataclasses.fields(kind))


def test_importing_profiles_needs_neither_torch_nor_yaml() -> None:
    code = "import indexer.profiles, sys; print({'torch', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
