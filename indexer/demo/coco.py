"""The truth about drawn scenes in COCO's format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

if TYPE_CHECKING:
    from indexer.demo.scenes import Scene

BACKGROUND = "background"


def coco_annotations(
    files: Sequence[str], scenes: Iterable[Scene], classes: Sequence[str]
) -> dict[str, Any]:
    """Return COCO's images, categories and annotations of the scenes.

    Objects have "isthing" 1 and attributes colour, pattern, size and depth (0 is furthest
    back); background regions belong to a category of their own with "isthing" 0.

    Args:
        files: The scenes' file names, in their order.
        scenes: The scenes; each is asked for once and let go, they are large.
        classes: The names of the objects' categories, in the order of their ids from 1.
    """
    names = [*classes, BACKGROUND]
    ids = {name: number for number, name in enumerate(names, start=1)}
    images, annotations = [], []
    for number, (file, scene) in enumerate(zip(files, scenes, strict=True), start=1):
        height, width = scene.pixels.shape[:2]
        images.append({"id": number, "file_name": file, "width": width, "height": height})
        found = [_annotation(region, number, ids[BACKGROUND]) for region in scene.regions]
        for depth, drawn in enumerate(scene.objects):
            looks = {"colour": drawn.colour, "pattern": drawn.pattern, "size": drawn.size}
            attributes = {"attributes": {**looks, "depth": depth}}
            found.append(_annotation(drawn.mask, number, ids[drawn.name]) | attributes)
        annotations += found
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    categories = [
        {"id": ids[name], "name": name, "isthing": int(name != BACKGROUND)} for name in names
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def _annotation(mask: NDArray[np.bool_], image: int, category: int) -> dict[str, Any]:
    encoded = pycocotools.mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode()},
        "bbox": [float(side) for side in pycocotools.mask.toBbox(encoded)],
        "area": int(mask.sum()),
        "iscrowd": 0,
    }
