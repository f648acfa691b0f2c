"""Profiles: named YAML files that say which models and settings an index is built with.

The packaged ones lie in `configs/`; `--profile` also takes the path of a YAML file, so that a
user can copy one and edit it. Unknown and missing keys are refused by name: a misspelt
threshold must never be silently ignored.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from indexer.errors import ProfileError
from indexer.store.storage import DEFAULT_STORAGE, Storage


@dataclass(frozen=True)
class Sam2Profile:
    """Which SAM 2 cuts the pictures.

    Attributes:
        model: a hub name as upstream spells it (`facebook/sam2.1-hiera-small`), or the path of a
            model configuration, relative to the configs folder or to the working directory.
        checkpoint: None for the hub's own weights, else the path of a `.pt` or `.safetensors`
            file, relative to the configs folder or the working directory, or `seeded:N` for
            random weights drawn from seed N.
    """

    model: str
    checkpoint: str | None


@dataclass(frozen=True)
class MaskSettings:
    """How automatic masks are made and which of them become segments.

    From `points_per_side` to `multimask_output` they have upstream's names and meanings
    (`SAM2AutomaticMaskGenerator`).

    Attributes:
        mode: `exact` decodes every point of the grid, as upstream does; `fast` leaves out points
            on what is found already, see `indexer.segmentation.points`.
        points_per_side: prompt points along each side of the grid.
        points_per_batch: points decoded at once, at most; on a CPU, for each core.
        pred_iou_thresh: least predicted IoU, 0 to 1.
        stability_score_thresh: least stability score, 0 to 1.
        stability_score_offset: logits by which the threshold is moved for the stability score.
        mask_threshold: logit above which a pixel belongs to the mask.
        box_nms_thresh: box IoU above which the lesser of two masks is dropped.
        crop_n_layers: extra layers of picture crops to run on.
        crop_nms_thresh: like `box_nms_thresh`, between crops.
        crop_overlap_ratio: share of the picture's length by which crops overlap.
        crop_n_points_downscale_factor: how the grid thins out from layer to layer.
        min_mask_region_area: holes and islands below this many pixels are removed; 0 is off.
        use_m2m: one refinement step with the mask as prompt.
        multimask_output: three masks per point instead of one.
        min_area_fraction: least share of the picture a segment covers.
        max_area_fraction: largest share of the picture a segment covers.
        merge_iou_thresh: mask IoU from which two segments are one; None keeps all.
        containment_thresh: share of a segment's pixels inside another that makes it a part.
    """

    mode: str
    points_per_side: int
    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    mask_threshold: float
    box_nms_thresh: float
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    min_mask_region_area: int
    use_m2m: bool
    multimask_output: bool
    min_area_fraction: float
    max_area_fraction: float
    merge_iou_thresh: float | None
    containment_thresh: float

    def __post_init__(self) -> None:
        _require(self.mode in {"exact", "fast"}, "mode", "exact or fast")
        for name in ("points_per_side", "points_per_batch", "crop_n_points_downscale_factor"):
            _require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("crop_n_layers", "min_mask_region_area", "stability_score_offset"):
            _require(getattr(self, name) >= 0, name, "at least 0")
        for name in ("pred_iou_thresh", "stability_score_thresh", "min_area_fraction"):
            _require(0 <= getattr(self, name) <= 1, name, "between 0 and 1")
        for name in ("box_nms_thresh", "crop_nms_thresh", "containment_thresh"):
            _require(0 < getattr(self, name) <= 1, name, "above 0 and at most 1")
        _require(0 < self.max_area_fraction <= 1, "max_area_fraction", "above 0 and at most 1")
        _require(0 <= self.crop_overlap_ratio < 1, "crop_overlap_ratio", "at least 0 and below 1")
        merge = self.merge_iou_thresh
        _require(merge is None or 0 < merge <= 1, "merge_iou_thresh", "null, or above 0 to 1")
        thinned = self.points_per_side / self.crop_n_points_downscale_factor**self.crop_n_layers
        _require(thinned >= 1, "points_per_side", "enough for a point in every layer of crops")

    def deciding(self) -> dict[str, Any]:
        """Return, as plain data, the settings that decide which segments a picture has."""
        settings = dataclasses.asdict(self)
        del settings["points_per_batch"]  # how fast, not what
        return settings


@dataclass(frozen=True)
class ClipProfile:
    """Which CLIP embeds the segments, and what it is shown of them.

    Attributes:
        model: an open_clip model name (`ViT-B-16`, `hf-hub:org/repo`, `local-dir:/path`), or the
            path of an open_clip model configuration, relative to the configs folder or to the
            working directory.
        pretrained: an open_clip tag, the path of a weights file, relative to the configs folder
            or the working directory, `seeded:N` for random weights drawn from seed N, or None
            where the model name already says it.
        crop_margin: side of the square crop over the longer side of the segment's box.
        focus_weight: weight of the `focus` view in the stored vector, 0 to 1; the rest is
            `context`.
        templates: sentences with `{}` for the text of a query; their vectors are averaged.
        vocabulary: the path, likewise, of a text file with words that the model knows, one a
            line: what the text of a query competes with, and what segments may be called.
    """

    model: str
    pretrained: str | None
    crop_margin: float
    focus_weight: float
    templates: tuple[str, ...]
    vocabulary: str

    def __post_init__(self) -> None:
        _require(self.crop_margin >= 1, "crop_margin", "at least 1")
        _require(0 <= self.focus_weight <= 1, "focus_weight", "between 0 and 1")
        _require(bool(self.templates), "templates", "at least one sentence")
        _require(all("{}" in t for t in self.templates), "templates", "sentences that contain {}")


@dataclass(frozen=True)
class Profile:
    """Everything that decides what an index contains, and how it is kept.

    Attributes:
        sam2: the segmenting model.
        masks: the settings of automatic masks.
        clip: the embedding model.
        storage: how a new index keeps its vectors; may be left out.
    """

    sam2: Sam2Profile
    masks: MaskSettings
    clip: ClipProfile
    storage: Storage = DEFAULT_STORAGE


def configs_dir() -> Path:
    """Return the folder of the packaged profiles and demo models."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "configs"


def profile_names() -> list[str]:
    """Return the names of the packaged profiles."""
    return sorted(path.stem for path in configs_dir().glob("*.yaml"))


def load_profile(name: str) -> Profile:
    """Read a packaged profile by its name, or any by the path of its YAML file.

    Raises:
        ProfileError: there is none, or it has unknown, missing or unusable keys.
    """
    import yaml  # not needed by --help

    path = Path(name) if name.endswith((".yaml", ".yml")) else configs_dir() / f"{name}.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(profile_names())
        raise ProfileError(
            f"there is no profile {name!r}", f"use one of {known}, or the path of a YAML file"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProfileError(f"the profile {path} cannot be read: {error}") from error
    try:
        return profile_from(data)
    except ProfileError as error:
        raise ProfileError(f"profile {name}: {error.message}", error.hint) from error


def profile_from(data: object) -> Profile:
    """Build a profile from plain data, as read from YAML or JSON.

    Raises:
        ProfileError: unknown, missing or unusable keys, each named.
    """
    profile = _build(Profile, data, "")
    assert isinstance(profile, Profile)  # noqa: S101 - narrows the type of a generic builder
    return profile


def profile_data(profile: Profile) -> dict[str, Any]:
    """Return the profile as plain data that `profile_from` reads back."""
    data = dataclasses.asdict(profile)
    data["clip"]["templates"] = list(profile.clip.templates)
    return data


def _build(kind: type, data: object, where: str) -> object:
    """Build the dataclass `kind` from a mapping of its fields; those with a default may lack."""
    if not isinstance(data, Mapping):
        raise ProfileError(f"{where.rstrip('.') or 'the profile'} must be a mapping, not {data!r}")
    hints = get_type_hints(kind)
    unknown = [str(key) for key in data if key not in hints]
    optional = {each.name for each in dataclasses.fields(kind) if each.default is not MISSING}
    missing = [key for key in hints if key not in data and key not in optional]
    if unknown or missing:
        parts = [f"unknown key {where}{key}" for key in unknown]
        parts += [f"missing key {where}{key}" for key in missing]
        raise ProfileError("; ".join(parts), "the keys are described in docs/profiles.md")
    return kind(**{key: _value(hints[key], data[key], where + key) for key in data})


def _value(hint: object, value: object, where: str) -> object:
    """Check a value against its field's type; an int may stand for a float."""
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{where}.")  # type: ignore[arg-type]
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if value is None and NoneType in allowed:
        return None
    if get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif float in allowed and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:
            raise ProfileError(f"{where} must be a finite number, not {value!r}")
        return float(value)
    elif type(value) in allowed:
        return value
    expected = "a list of texts" if get_origin(hint) is tuple else _type_names(allowed)
    raise ProfileError(f"{where} must be {expected}, not {value!r}")


def _type_names(allowed: tuple[type, ...]) -> str:
    return " or ".join("null" if kind is NoneType else kind.__name__ for kind in allowed)


def _require(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise ProfileError(f"{name} must be {what}")
