from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from indexer.records import Rle
from indexer.segmentation import masks, postprocess

SIZES = [(1, 1), (1, 50), (50, 1), (5, 3), (12, 20), (37, 41), (96, 160)]


def noise(count: int, height: int, width: int) -> Tensor:
    """Return logits, one in eight of them exactly 0."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(count, height, width, generator=generator)
    return logits * (torch.rand(logits.shape, generator=generator) > 1 / 8)


def kernels_and_torch(logits: Tensor, size: tuple[int, int], *levels: float) -> None:
    """Check that the CPU's way and that of other devices come to the same."""
    found = postprocess.measure(logits, size, *levels)
    counted = postprocess.measure_on_device(logits, size, *levels)
    assert (counted.shape, counted.dtype) == ((len(logits), 6), torch.int32)
    assert torch.equal(found.boxes, counted[:, 2:].long())
    expected = counted[:, 0] / counted[:, 1]
    torch.testing.assert_close(found.stability, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("size", SIZES)
def test_the_cpus_way_and_that_of_other_devices_agree(size: tuple[int, int]) -> None:
    kernels_and_torch(noise(20, 12, 20), size, 0.0, 1.0)
    kernels_and_torch(noise(20, 12, 20), size, 0.3, 0.05)
    kernels_and_torch(noise(20, 12, 20) - 4, size, 0.0, 1.0)  # hardly any pixels


def test_literal_masks() -> None:
    logits = torch.tensor(
        [
            [[-2.0, 0.5, 2.0], [-2.0, -0.5, 2.0]],
            [[-2.0, -2.0, -2.0], [-2.0, -2.0, -2.0]],
            [[0.5, -2.0, -2.0], [-2.0, -2.0, -2.0]],
        ]
    )
    for found in (
        postprocess.measure(logits, (2, 3), 0.0, 1.0),
        postprocess.measure(logits.transpose(1, 2).contiguous().transpose(1, 2), (2, 3), 0.0, 1.0),
    ):
        assert (found.stability.dtype, found.boxes.dtype) == (torch.float32, torch.int64)
        assert found.boxes.tolist() == [[1, 0, 2, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
        assert found.stability[[0, 2]].tolist() == [0.5, 0.0]
        assert found.stability[1].isnan()
    on_device = postprocess.measure_on_device(logits, (2, 3), 0.0, 1.0)
    assert on_device.tolist() == [[2, 4, 1, 0, 2, 1], [0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]


def test_rows_longer_than_16_bits_count() -> None:
    logits = torch.tensor([[[-1.0, 1.0, 1.0, 1.0]]])
    kernels_and_torch(logits, (2, 40_000), -0.8, 0.1)
    assert postprocess.measure_on_device(logits, (2, 40_000), -0.8, 0.0)[0, 0] == 68_000


def test_no_masks() -> None:
    found = postprocess.measure(torch.empty(0, 1, 1), (5, 7), 0.0, 1.0)
    assert (found.stability.shape, found.boxes.shape) == ((0,), (0, 4))
    assert (found.stability.dtype, found.boxes.dtype) == (torch.float32, torch.int64)


def rle_of(logits: Tensor, crop: tuple[int, int, int, int], size: tuple[int, int]) -> Rle:
    x0, y0, x1, y1 = crop
    measured = postprocess.measure(logits[None], (y1 - y0, x1 - x0), 0.0, 1.0)
    left, top, right, bottom = measured.boxes[0].tolist()
    box = (left, top, right, bottom)
    return masks.from_changes(postprocess.changes(logits, box, crop, size[0], 0.0), size)


def test_a_mask_of_a_crop() -> None:
    logits = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    found = rle_of(logits, (1, 1, 3, 3), (4, 5))
    assert masks.decode(found).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("crop", "size"),
    [
        ((0, 0, 40, 30), (30, 40)),
        ((0, 0, 25, 30), (30, 40)),
        ((15, 12, 40, 30), (30, 40)),
        ((3, 4, 4, 29), (30, 40)),
        ((0, 7, 40, 8), (30, 40)),
    ],
)
def test_masks_of_crops_are_those_of_torchs_pixels(
    crop: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    x0, y0, x1, y1 = crop
    for logits in (*noise(5, 12, 20), torch.full((12, 20), -1.0), torch.full((12, 20), 1.0)):
        pixels = functional.interpolate(logits[None, None], (y1 - y0, x1 - x0), mode="bilinear")
        expected = np.zeros(size, np.bool_)
        expected[y0:y1, x0:x1] = (pixels[0, 0] > 0).numpy()
        assert rle_of(logits, crop, size) == masks.encode(expected)


def test_no_masks_on_another_device() -> None:
    nothing = torch.empty(0, 1, 1, device="meta")
    found = postprocess.measure(nothing, (5, 7), 0.0, 1.0)
    assert (found.stability.shape, found.boxes.shape) == ((0,), (0, 4))
