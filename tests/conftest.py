"""What every test shares: no network, no traces in the user's folders, and the demo models."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from indexer.profiles import Profile, profile_data
from tests.profiles import fast

if TYPE_CHECKING:
    from indexer.embedding import Embedder
    from indexer.segmentation.segmenter import Segmenter

_environment = pytest.MonkeyPatch()
_home = tempfile.TemporaryDirectory(prefix="segsearch-tests-")
hypothesis.settings.register_profile("segsearch", deadline=None)  # cores may be busy
hypothesis.settings.load_profile("segsearch")


def pytest_configure() -> None:
    """Set the environment before any test module is imported: huggingface_hub reads it then."""
    for name in ("HF_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        _environment.setenv(name, f"{_home.name}/{name.lower()}")
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "SEGSEARCH_INDEX"):
        _environment.delenv(name, raising=False)
    _environment.setenv("HF_HUB_OFFLINE", "1")
    _environment.setenv("SEGSEARCH_PRECISION", "float32")  # the same results on every CPU
    # tiny models are no slower on one thread, and many times faster where cores are shared
    _environment.setenv("OMP_NUM_THREADS", "1")


def pytest_unconfigure() -> None:
    _environment.undo()
    _home.cleanup()


@pytest.fixture(scope="session")
def fast_profile() -> Profile:
    """The demo profile with a very coarse grid, and a SAM 2 that finds many regions in anything."""
    return fast()


@pytest.fixture(scope="session")
def fine_profile(fast_profile: Profile) -> Profile:
    """The same with more points, where the regions themselves matter."""
    return replace(fast_profile, masks=replace(fast_profile.masks, points_per_side=6))


@pytest.fixture(scope="session")
def fast_yaml(fine_profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the fast profile as a user would write it."""
    path = tmp_path_factory.mktemp("profiles") / "fast.yaml"
    path.write_text(yaml.safe_dump(profile_data(fine_profile)), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def segmenter(fast_profile: Profile) -> Segmenter:
    """The seeded SAM 2 on the CPU."""
    import torch

    from indexer.segmentation.segmenter import Segmenter

    return Segmenter(fast_profile.sam2, fast_profile.masks, torch.device("cpu"))


@pytest.fixture(scope="session")
def embedder(fast_profile: Profile) -> Embedder:
    """The demo CLIP on the CPU."""
    import torch

    from indexer.embedding import Embedder

    return Embedder(fast_profile.clip, torch.device("cpu"))


@pytest.fixture(scope="session")
def scene() -> NDArray[np.uint8]:
    """A few drawn shapes: RGB, shape (120, 160, 3), read-only."""
    from tests.shapes import draw_scene

    pixels = np.array(draw_scene(0).resize((160, 120)))
    pixels.flags.writeable = False
    return pixels
