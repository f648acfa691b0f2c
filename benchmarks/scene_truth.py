"""What is where in a drawn scene, and how well masks agree with it.

A *label map* is an int32 array of shape (H, W) that partitions a picture: 0 for what does not
count, 1 to n for n disjoint things. Masks are bool, of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from indexer.demo.scenes import Scene

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
Pair = tuple[str, str]

#: IoU from which a mask is of a thing at all.
SAME = 0.5


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth about one picture.

    Attributes:
        objects: label map of the objects' visible pixels.
        things: label maps of all that a mask may rightly be of, see `truth_of`.
        pairs: colour and class of each object.
        shares: how much of the picture each object covers, 0 to 1.
    """

    objects: Labels
    things: tuple[Labels, ...]
    pairs: tuple[Pair, ...]
    shares: NDArray[np.float64]

    def mask(self, number: int) -> Mask:
        """Return the visible mask of the object at that position in `pairs`."""
        return np.asarray(self.objects == number + 1, dtype=np.bool_)


def truth_of(scene: Scene) -> Truth:
    """Return the truth about a scene, of its objects that show at least a pixel.

    A mask may rightly be of an object, of a region of the background, of the whole background,
    or of a connected piece of an object or a region that others cut into pieces.
    """
    shown = [one for one in scene.objects if one.mask.any()]
    objects = label_map([one.mask for one in shown], scene.pixels.shape[:2])
    regions = label_map(scene.regions, scene.pixels.shape[:2])
    whole = objects + np.where(regions, regions + len(shown), 0).astype(np.int32)
    backdrop = (regions > 0).astype(np.int32)
    return Truth(
        objects,
        (whole, pieces(whole), backdrop),
        tuple((one.colour, one.name) for one in shown),
        np.bincount(objects.ravel(), minlength=len(shown) + 1)[1:] / objects.size,
    )


def label_map(masks: Sequence[Mask], shape: tuple[int, ...]) -> Labels:
    """Return the label map of disjoint masks, in their order."""
    labels = np.zeros(shape, dtype=np.int32)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
    return labels


def pieces(labels: Labels) -> Labels:
    """Return the label map of the connected components (also over corners) of every thing."""
    found, count = np.zeros_like(labels), 0
    for label in np.unique(labels[labels > 0]):
        more, parts = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=8)
        np.copyto(found, parts + count, where=parts > 0, casting="same_kind")
        count += more - 1
    return found


def overlaps(masks: Iterable[Mask], labels: Labels) -> NDArray[np.float64]:
    """Return the IoU of every mask with every thing of a label map, shape (masks, things)."""
    areas = np.bincount(labels.ravel())
    rows = []
    for mask in masks:
        inside = np.bincount(labels[mask], minlength=len(areas))
        rows.append((inside / np.maximum(1, areas + mask.sum() - inside))[1:])
    return np.array(rows).reshape(len(rows), len(areas) - 1)


def best_object(ious: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the object of each mask: that of the highest IoU, −1 if that is below `SAME`.

    Args:
        ious: shape (masks, objects).
    """
    if not ious.shape[1]:
        return np.full(len(ious), -1)
    return np.where(ious.max(axis=1) >= SAME, ious.argmax(axis=1), -1)


def iou(one: Mask, other: Mask) -> float:
    """Return intersection over union; 1 if both are empty."""
    union = int((one | other).sum())
    return float((one & other).sum()) / union if union else 1.0


def innermost(mask: Mask) -> tuple[int, int]:
    """Return (x, y) of a pixel of the mask that is farthest from all that is not the mask.

    What lies beyond the picture is not the mask.
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def correction(found: Mask, true: Mask) -> tuple[tuple[int, int], bool] | None:
    """Return where a person would click next, and whether the object is there; None if exact.

    It is the innermost pixel of the largest connected piece of missed or of surplus pixels.
    """
    wrong = pieces(label_map([true & ~found, found & ~true], true.shape))
    areas = np.bincount(wrong.ravel())[1:]
    if not areas.size:
        return None
    x, y = innermost(wrong == areas.argmax() + 1)
    return (x, y), bool(true[y, x])
