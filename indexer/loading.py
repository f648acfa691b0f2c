"""The models of a run: which profile says them, loaded once, checked against the index."""

from __future__ import annotations

import dataclasses
import platform
import threading
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from indexer.profiles import Profile, load_profile, profile_data, profile_from
from indexer.recipe import Recipe, require_same

if TYPE_CHECKING:
    from indexer.work import Models

#: The profile of a new index where none is named.
DEFAULT_PROFILE = "balanced"
#: Versions recorded as provenance.
_PACKAGES = ("segsearch", "sam2", "open-clip-torch", "torch")


@dataclass(frozen=True)
class Choice:
    """What the user said about the models; see `Indexer`."""

    profile: Profile | None
    device: str
    precision: str
    merge: bool
    boxes: bool
    grid: bool
    batch_size: int
    points_per_batch: int | None

    @property
    def prompts(self) -> str:
        """What SAM 2 is asked about: decides which segments a picture has."""
        if not self.boxes:
            return "grid"
        return "grid and boxes" if self.grid else "boxes"


class Loader:
    """Loads the models when they are first needed, and says what they are."""

    def __init__(self, choice: Choice) -> None:
        """Load nothing yet."""
        self._choice = choice
        self._profile: Profile | None = None
        self._models: Models | None = None
        self._loading = threading.Lock()

    def settle(self, stored: Recipe | None) -> None:
        """Decide on the profile: the user's, else the index's, else the default one.

        Raises:
            ProfileError: it cannot be used.
        """
        if self._profile is not None:
            return
        profile = self._choice.profile
        if profile is None and stored is not None:
            profile = profile_from(stored.provenance["profile"])
        if profile is None:
            profile = load_profile(DEFAULT_PROFILE)
        masks = profile.masks
        if not self._choice.merge:
            masks = dataclasses.replace(masks, merge_iou_thresh=None)
        if self._choice.points_per_batch is not None:
            masks = dataclasses.replace(masks, points_per_batch=self._choice.points_per_batch)
        self._profile = dataclasses.replace(profile, masks=masks)

    def choice(self) -> Choice:
        """Return the choice with the profile that was decided on, for another process."""
        return dataclasses.replace(self._choice, profile=self._settled())

    def models(self) -> Models:
        """Load the models of the profile, once.

        Raises:
            ModelError: they cannot be built, or their weights cannot be had.
        """
        with self._loading:
            if self._models is None:
                from indexer.embedding import Embedder
                from indexer.models import choose_device, choose_precision
                from indexer.segmentation.segmenter import Segmenter
                from indexer.work import Models

                profile, choice = self._settled(), self._choice
                device = choose_device(choice.device)
                precision = choose_precision(choice.precision, device)
                self._models = Models(
                    Segmenter(profile.sam2, profile.masks, device, precision),
                    Embedder(profile.clip, device, precision, choice.batch_size),
                    concurrent=device.type == "cuda",
                    device=str(device),
                    precision=str(precision).removeprefix("torch."),
                )
            return self._models

    def recipe(self) -> Recipe:
        """Return what an index built with these models is built with; loads them.

        Raises:
            ModelError: see `models`.
        """
        models = self.models()
        provenance: dict[str, Any] = {
            "profile": profile_data(self._settled()),
            "device": models.device,
            "precision": models.precision,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        }
        segmentation = {**models.segmenter.recipe(), "prompts": self._choice.prompts}
        return Recipe(models.embedder.vector_space(), segmentation, provenance)

    def check_profile(self, stored: Recipe, where: str) -> None:
        """Refuse a profile that differs from the index's, as far as can be told without models.

        Raises:
            RecipeMismatch: naming both sides.
        """
        profile = self._settled()
        given = {
            "model": profile.sam2.model,
            "prompts": self._choice.prompts,
            **profile.masks.deciding(),
        }
        known = {key: stored.segmentation.get(key) for key in given}
        require_same("segmentation", known, given, where)
        clip = profile.clip
        given = {"crop_margin": clip.crop_margin, "focus_weight": clip.focus_weight}
        known = {key: stored.vector_space.get(key) for key in given}
        require_same("CLIP", known, given, where)

    def checked_models(self, stored: Recipe, where: str) -> Models:
        """Return the models, refusing those that the index was not built with.

        Raises:
            RecipeMismatch: naming both sides.
            ModelError: see `models`.
        """
        given = self.recipe()
        require_same("CLIP", stored.vector_space, given.vector_space, where)
        require_same("segmentation", stored.segmentation, given.segmentation, where)
        return self.models()

    def unload(self) -> None:
        """Let go of the models."""
        self._models = None

    def _settled(self) -> Profile:
        self.settle(None)
        assert self._profile is not None  # noqa: S101 - narrows the type
        return self._profile
