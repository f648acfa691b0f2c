"""Pictures scaled in strips against upstream's transforms, and how much memory they take."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from indexer.segmentation import sam2_picture

SIDE = 64


def transformed(pixels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return what ours makes of a picture, and upstream's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
        from sam2.utils.transforms import SAM2Transforms

        ours = sam2_picture.Transforms(SIDE, 0.0)
        upstreams = SAM2Transforms(SIDE, 0.0)
        return ours(pixels), upstreams(pixels)


@pytest.mark.parametrize("at_once", [1, 130, 1000, 1 << 22])
@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (1, 2),
        (2, 1),
        (1, 500),
        (500, 1),
        (64, 64),
        (63, 65),
        (7, 640),
        (640, 7),
        (150, 201),
    ],
)
def test_strips_make_upstreams_picture(
    size: tuple[int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam2_picture, "_PIXELS_AT_ONCE", at_once)
    pixels = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    found, expected = transformed(pixels)
    assert (found.shape, found.dtype) == ((3, SIDE, SIDE), torch.float32)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert found.std() > 0.1 or min(size) == 1


def test_colours() -> None:
    """Means and deviations of ImageNet's red, green and blue."""
    pixels = np.broadcast_to(np.array([255, 0, 51], np.uint8), (30, 40, 3)).copy()
    found, _ = transformed(pixels)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    torch.testing.assert_close(found[:, 5, 7], torch.tensor(expected))
    torch.testing.assert_close(found.amax((1, 2)), found.amin((1, 2)))


_TRANSFORM_48_MEGAPIXELS = """
import warnings
import numpy as np
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
from indexer.segmentation.sam2_picture import Transforms

def kilobytes(what):  # the kernel's: a new process inherits the other count from its parent
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what))

transforms = Transforms(1024, 0.0)
transforms(np.zeros((30, 40, 3), np.uint8))
huge = np.ones((6000, 8000, 3), np.uint8)
before = kilobytes("VmRSS")
transforms(huge)
print(kilobytes("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is not counted here")
def test_memory_does_not_grow_with_the_picture() -> None:
    """Upstream takes 1.2 GB for it."""
    done = subprocess.run(
        [sys.executable, "-c", _TRANSFORM_48_MEGAPIXELS], capture_output=True, text=True, check=True
    )
    megabytes = int(done.stdout) / 1000
    assert 70 < megabytes < 400  # the picture, of the model's width and its own height, is 74
