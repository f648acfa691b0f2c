from __future__ import annotations

import pytest

from indexer.profiles import Profile
from indexer.segmentation.segmenter import Segmenter


@pytest.fixture(scope="session")
def fast_profile(fine_profile: Profile) -> Profile:
    """Here masks are compared, elsewhere there just have to be some."""
    return fine_profile


@pytest.fixture(scope="session")
def segmenter(fast_profile: Profile) -> Segmenter:
    """The seeded SAM 2 on the CPU."""
    import torch

    return Segmenter(fast_profile.sam2, fast_profile.masks, torch.device("cpu"))
