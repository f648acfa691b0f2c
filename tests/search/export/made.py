"""Hits by hand: a picture that is there, and a mask that can be checked by eye."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from indexer.records import Image, Picture, Region, Segment, image_id, root_id, segment_id
from indexer.segmentation import masks
from search.hits import Hit

Mask = NDArray[np.bool_]
TAKEN = datetime(2024, 5, 1, 23, 30)


def block(rows: slice, columns: slice, size: tuple[int, int] = (9, 12)) -> Mask:
    mask = np.zeros(size, dtype=np.bool_)
    mask[rows, columns] = True
    return mask


def noise(seed: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 256, (*size, 3), dtype=np.uint8)


def made_hit(
    root: Path,
    name: str,
    mask: Mask,
    *,
    seed: int = 0,
    score: float = 0.0,
    label: str | None = None,
    label_score: float | None = None,
    vector: NDArray[np.float32] | None = None,
) -> Hit:
    """Write a picture of noise, as large as the mask, and return a segment in it.

    Args:
        root: library root.
        name: of the picture, relative to the root.
        mask: of the segment.
        seed: of the noise.
        score: see `Hit`.
        label: see `Region`.
        label_score: see `Region`.
        vector: see `Segment`.
    """
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(noise(seed, (mask.shape[0], mask.shape[1]))).save(path, "PNG")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    rle = masks.encode(mask)
    source = None if label is None else "detector"
    plain = Region(rle, masks.tight_box(rle), masks.area(rle), 1.02, 0.97)
    region = replace(plain, label=label, label_score=label_score, label_source=source)
    height, width = mask.shape
    picture = Picture(sha256, width, height, "PNG", taken_at=TAKEN, gps=(47.5, -8.25))
    paths = (f"{root_id(str(root))}/{name}",)
    image = Image(image_id(sha256), picture, paths, 1, datetime.now(UTC))
    id_ = segment_id(image.id, "made", int(mask.argmax()))
    segment = Segment(id_, image.id, region, None, paths, vector=vector)
    return Hit(score, image, segment, (path,))
