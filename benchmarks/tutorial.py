"""Indexing as tutorials have it: one picture, one crop, one point at a time.

The peer of `benchmarks.indexing`, on the same weights and settings: upstream's generator with
masks as arrays, each box cut out and preprocessed by open_clip, one call of CLIP for each crop,
one upsert for each segment into qdrant-client's local store.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from qdrant_client import QdrantClient, models

from benchmarks import upstream
from indexer.profiles import MaskSettings
from indexer.stages import Clock
from indexer.work import Models


def index(
    pictures: Sequence[Path], folder: Path, loaded: Models, settings: MaskSettings
) -> tuple[int, dict[str, float]]:
    """Index the pictures into `folder`; return the number of segments, and stage → seconds."""
    clip = loaded.embedder.upstream
    config = PreprocessCfg(**clip.visual.preprocess_cfg)
    preprocess = image_transform_v2(config, is_train=False)
    generator = upstream.generator(loaded.segmenter.model, settings, "binary_mask")
    clock, count = Clock(), 0
    store = QdrantClient(path=str(folder))
    size = models.VectorParams(size=loaded.embedder.dim, distance=models.Distance.COSINE)
    store.create_collection("segments", vectors_config=size)
    for path in pictures:
        with clock.timed("decode"):
            picture = PIL.Image.open(path).convert("RGB")
            pixels = np.array(picture)
        with clock.timed("segment"):
            found = generator.generate(pixels)
        for mask in found:
            with clock.timed("embed"):
                vector = _vector(picture, mask["bbox"], clip, preprocess)
            with clock.timed("write"):
                _upsert(store, vector, path, mask)
        count += len(found)
    store.close()
    return count, clock.seconds()


@torch.inference_mode()
def _vector(picture: PIL.Image.Image, bbox: list[float], clip: Any, preprocess: Any) -> list[float]:  # noqa: ANN401
    x, y, width, height = bbox
    crop = picture.crop((int(x), int(y), int(x + width) + 1, int(y + height) + 1))
    rows = clip.encode_image(preprocess(crop).unsqueeze(0), normalize=True)
    vector: list[float] = rows[0].tolist()
    return vector


def _upsert(store: QdrantClient, vector: list[float], path: Path, mask: dict[str, Any]) -> None:
    payload = {"path": str(path), "bbox": mask["bbox"], "area": int(mask["area"])}
    point = models.PointStruct(id=str(uuid.uuid4()), vector=vector, payload=payload)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not made for many points, and says so
        store.upsert("segments", [point])
