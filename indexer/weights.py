"""Which weights a profile needs, how large they are, under which licence, and what is here of them.

What the packaged profiles need is written down here, so that listing it imports neither torch nor
the models' packages; for other models those are asked. A test compares the two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from indexer import clip_weights, models
from indexer.clip_weights import FOLDER, HUB, HUB_FILES
from indexer.errors import WeightsUnavailable
from indexer.profiles import ClipProfile, Profile, Sam2Profile, configs_dir

Role = Literal["sam2", "clip"]

_OUR_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Weights:
    """The weights of one model.

    Attributes:
        role: which of the two models.
        model: its name, as the profile has it.
        source: where they come from: hub repository and file, or a path.
        size_bytes: the file's size; about, where it is not on this disk; None if not known.
        licence: SPDX identifier, None if not known.
        path: where they are on this disk, None if they are not.
    """

    role: Role
    model: str
    source: str
    size_bytes: int | None
    licence: str | None
    path: Path | None


@dataclass(frozen=True)
class Published:
    """Weights in a hub repository.

    Attributes:
        repo: the repository.
        files: their possible names in it, the preferred first.
        size_bytes: of the tensors alone, which is all but a thousandth of the file; None if not
            known.
        licence: SPDX identifier, None if not known.
    """

    repo: str
    files: tuple[str, ...]
    size_bytes: int | None = None
    licence: str | None = None


#: SAM 2.1 by its name in the profile, which is that of its repository.
SAM2 = {
    repo: Published(repo, (file,), size, "Apache-2.0")
    for repo, file, size in (
        ("facebook/sam2.1-hiera-tiny", "sam2.1_hiera_tiny.pt", 155_851_016),
        ("facebook/sam2.1-hiera-small", "sam2.1_hiera_small.pt", 184_242_440),
        ("facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus.pt", 323_401_736),
        ("facebook/sam2.1-hiera-large", "sam2.1_hiera_large.pt", 897_787_592),
    )
}
#: CLIPs by their name and tag in the profile.
CLIP = {
    (name, "datacomp_xl_s13b_b90k"): Published(repo, HUB_FILES, size, "MIT")
    for name, repo, size in (
        ("ViT-B-32", "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", 605_109_252),
        ("ViT-B-16", "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", 598_482_948),
        ("ViT-L-14", "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", 1_710_466_052),
    )
}


def needed(profile: Profile) -> list[Weights]:
    """Return the weights that a profile's models need; nothing for those drawn from a seed.

    Raises:
        ModelError: a model or its weights are unknown.
    """
    found = (_of_sam2(profile.sam2), _of_clip(profile.clip))
    return [weights for weights in found if weights is not None]


def fetch(profile: Profile) -> list[Weights]:
    """Bring the weights that a profile needs to this disk, and return them with their paths.

    Raises:
        ModelError: a model or its weights are unknown.
        WeightsUnavailable: they are not to be had.
    """
    return [w if w.path is not None else _fetched(w, profile) for w in needed(profile)]


def _of_sam2(profile: Sam2Profile) -> Weights | None:
    if models.seed_of(profile.checkpoint) is not None:
        return None
    if profile.checkpoint is not None:
        return _local("sam2", profile.model, profile.checkpoint)
    published = _published_sam2(profile.model)
    if published is None:
        return Weights("sam2", profile.model, profile.model, None, None, None)
    return _on_hub("sam2", profile.model, published)


def _of_clip(profile: ClipProfile) -> Weights | None:
    name, tag = profile.model, profile.pretrained
    if models.seed_of(tag) is not None:
        return None
    if name.startswith(FOLDER):
        return _local("clip", name, name.removeprefix(FOLDER))
    published = _published_clip(profile)
    if published is not None:
        return _on_hub("clip", f"{name} {tag or ''}".strip(), published)
    return _local("clip", name, tag or name)


def _published_sam2(name: str) -> Published | None:
    """Return where on the hub a SAM 2 is; None where upstream has none of that name."""
    if name in SAM2:
        return SAM2[name]
    from indexer.segmentation.sam2_build import hub_file

    file = hub_file(name)
    return None if file is None else Published(name, (file,))


def _published_clip(profile: ClipProfile) -> Published | None:
    """Return where on the hub a CLIP's weights are; None where they are elsewhere."""
    name, tag = profile.model, profile.pretrained
    if name.startswith(HUB):
        return Published(name.removeprefix(HUB), HUB_FILES)
    if tag is None or models.find_file(tag) is not None:
        return None
    if (name, tag) in CLIP:
        return CLIP[name, tag]
    source = clip_weights.hub_source(name, tag)
    return None if source is None else Published(*source)


def _on_hub(role: Role, model: str, published: Published) -> Weights:
    path = models.find_in_cache(published.repo, published.files)
    source = f"{published.repo}/{path.name if path else published.files[0]}"
    size = path.stat().st_size if path else published.size_bytes
    return Weights(role, model, source, size, published.licence, path)


def _local(role: Role, model: str, name: str) -> Weights:
    path = models.find_file(name) or Path(name)
    if not path.exists():
        return Weights(role, model, name, None, None, None)
    licence = _OUR_LICENCE if path.is_relative_to(configs_dir()) else None
    size = path.stat().st_size if path.is_file() else _size_in(path, HUB_FILES)
    return Weights(role, model, str(path), size, licence, path)


def _size_in(folder: Path, files: Sequence[str]) -> int | None:
    """Return the size of the first of these files that is in the folder."""
    return next(
        ((folder / file).stat().st_size for file in files if (folder / file).is_file()), None
    )


def _fetched(weights: Weights, profile: Profile) -> Weights:
    path = _fetched_sam2(profile.sam2) if weights.role == "sam2" else _fetched_clip(profile.clip)
    if path is None or not path.exists():
        raise WeightsUnavailable(
            f"there is no weights file {weights.source}", "check the profile's path"
        )
    return dataclasses.replace(weights, path=path, size_bytes=path.stat().st_size)


def _fetched_sam2(profile: Sam2Profile) -> Path | None:
    if profile.checkpoint is None and profile.model in SAM2:
        published = SAM2[profile.model]
        return models.fetch_from_hub(profile.model, published.repo, published.files)
    from indexer.segmentation import sam2_build

    return sam2_build.fetch(profile)


def _fetched_clip(profile: ClipProfile) -> Path | None:
    published = CLIP.get((profile.model, profile.pretrained or ""))
    if published is not None:
        what = f"{profile.model} {profile.pretrained}"
        return models.fetch_from_hub(what, published.repo, published.files)
    return clip_weights.fetch(profile)
