"""A pool of crops on disk, cut out of the drawn scenes: what the tiny CLIP is trained on.

Crops have the product's geometry (`indexer.crops`), but many margins, so that no recipe is
favoured; their masks are kept, to fill what is outside them when a batch is drawn. Shard NNN,
made from the scenes' shard NNN, is `pixels-NNN.npy` and, written last, `facts-NNN.npz`.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from indexer import crops
from indexer.records import Box
from indexer.segmentation import masks
from training.scenes import FIRST_OBJECT, PER_SHARD, Attributes, Labels, Pixels, Shards
from training.sentences import BACKGROUND, OBJECT, OPEN, PIECE, SEVERAL, VALUES, Codes

#: Side of a crop, and how many places along it have their content noted.
SIDE, GRID = 48, 24
#: Of a place: that nothing is known; that it is background (as a name, and as a colour).
UNKNOWN = 255
NO_NAME, NO_COLOUR = len(VALUES[0]), len(VALUES[1])
#: Several things are named up to so many.
MOST_THINGS = 4
#: An object is cut out once with a margin between each two of these.
_MARGINS = ((1.0, 1.25), (1.25, 1.75), (1.0, 2.5))
_PIECES = 2
_JITTER = 0.08
#: Objects with fewer visible pixels are not shown.
_LEAST_PIXELS = 150
_SEED = 7
_BEYOND = 254
#: open_clip's mean colour, with which the product fills what lies beyond the picture.
MEAN = (123, 117, 104)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PoolCrop:
    """A crop and what is known about it.

    Attributes:
        pixels: uint8 RGB, shape (SIDE, SIDE, 3).
        mask: uint8, shape (SIDE, SIDE / 8), the subject's pixels as packed bits.
        codes: int8, shape (5,), see `training.sentences`.
        things: int8, shape (MOST_THINGS, 2), name and colour; `OPEN` where there are fewer.
        places: uint8, shape (3, GRID, GRID): name, colour, and 1 where the subject is.
        margin: of the crop.
    """

    pixels: Pixels
    mask: NDArray[np.uint8]
    codes: Codes
    things: Codes
    places: NDArray[np.uint8]
    margin: float


class Pool:
    """The crops that a folder holds at the moment it is opened.

    Attributes:
        codes: int8, shape (n, 5).
        things: int8, shape (n, MOST_THINGS, 2).
        places: uint8, shape (n, 3, GRID, GRID).
        margins: float64, shape (n,).
    """

    def __init__(self, folder: Path) -> None:
        """Open every complete shard of the folder, in order.

        Raises:
            FileNotFoundError: there is none.
        """
        facts: list[dict[str, NDArray[Any]]] = []
        self._pixels: list[Pixels] = []
        while (path := folder / f"facts-{len(facts):03d}.npz").is_file():
            pixels = folder / f"pixels-{len(facts):03d}.npy"
            self._pixels.append(np.load(pixels, mmap_mode="r"))
            with np.load(path) as loaded:
                facts.append(dict(loaded))
        if not facts:
            raise FileNotFoundError(f"{folder} holds no crops; see training.pool")
        self.codes: Codes = np.concatenate([fact["codes"] for fact in facts])
        self.things: Codes = np.concatenate([fact["things"] for fact in facts])
        self.places: NDArray[np.uint8] = np.concatenate([fact["places"] for fact in facts])
        self.margins: NDArray[np.float64] = np.concatenate([fact["margins"] for fact in facts])
        self._masks: NDArray[np.uint8] = np.concatenate([fact["masks"] for fact in facts])
        self._starts = np.cumsum([0, *map(len, self._pixels)])

    def pixels(self, rows: NDArray[np.int64]) -> Pixels:
        """Read crops; uint8, shape (n, SIDE, SIDE, 3)."""
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        found = [
            self._pixels[shard][row - self._starts[shard]]
            for shard, row in zip(shards, rows, strict=True)
        ]
        return np.stack(found)

    def masks(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the subjects' pixels; shape (n, SIDE, SIDE)."""
        return np.unpackbits(self._masks[rows], axis=2).astype(np.bool_)


def cut_pool(scenes: Path, folder: Path, count: int) -> None:
    """Cut the crops of the first `count` scenes, waiting for scenes that are not drawn yet.

    Raises:
        ValueError: count is no multiple of a shard's scenes.
    """
    if count % PER_SHARD:
        raise ValueError(f"{count} scenes are no whole number of shards of {PER_SHARD}")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count // PER_SHARD):
        if (folder / f"facts-{number:03d}.npz").is_file():
            continue
        while len(shards := Shards(scenes)) < (number + 1) * PER_SHARD:
            _log.info("waiting for more scenes in %s", scenes)
            time.sleep(30)
        _cut_shard(shards, folder, number)
        _log.info("cut shard %d of %d", number + 1, count // PER_SHARD)


def _cut_shard(shards: Shards, folder: Path, number: int) -> None:
    found = [
        crop
        for scene in range(number * PER_SHARD, (number + 1) * PER_SHARD)
        for crop in crops_of(*shards.scene(scene), np.random.default_rng([_SEED, scene]))
    ]
    fresh = folder / f"fresh-{os.getpid()}.npy"
    np.save(fresh, np.stack([crop.pixels for crop in found]))
    fresh.replace(folder / f"pixels-{number:03d}.npy")
    masks, codes, things, places = (
        np.stack([getattr(crop, key) for crop in found])
        for key in ("mask", "codes", "things", "places")
    )
    fresh = folder / f"fresh-{os.getpid()}.npz"
    margins = np.array([crop.margin for crop in found])
    np.savez(fresh, margins=margins, masks=masks, codes=codes, things=things, places=places)
    fresh.replace(folder / f"facts-{number:03d}.npz")


def crops_of(
    pixels: Pixels, labels: Labels, objects: list[Attributes], rng: np.random.Generator
) -> Iterator[PoolCrop]:
    """Cut the crops of one scene: its objects, pieces and groups of them, background, all."""
    cutter = _Cutter(PIL.Image.fromarray(np.asarray(pixels)), np.asarray(labels), objects, rng)
    shown = [i for i in range(len(objects)) if cutter.area(i) >= _LEAST_PIXELS]
    for index in shown:
        for margins in _MARGINS:
            yield cutter.object(index, float(rng.uniform(*margins)))
    for _ in range(_PIECES):
        piece = cutter.piece(int(rng.choice(shown)))
        if piece is not None:
            yield piece
    yield cutter.group(shown)
    yield cutter.region()
    yield from cutter.empty()
    yield cutter.whole(shown)


@dataclass(frozen=True, eq=False)
class _Cutter:
    picture: PIL.Image.Image
    labels: Labels
    objects: list[Attributes]
    rng: np.random.Generator

    def area(self, index: int) -> int:
        return int(np.count_nonzero(self.labels == FIRST_OBJECT + index))

    def _box(self, label: int) -> Box:
        return masks.tight_box(masks.encode(self.labels == label))

    def object(self, index: int, margin: float) -> PoolCrop:
        """Cut out an object; its box is a little wrong, as those of found masks are."""
        x0, y0, x1, y1 = self._box(FIRST_OBJECT + index)
        sides = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
        corners = np.array([x0, y0, x1, y1]) + sides * self.rng.uniform(-_JITTER, _JITTER, 4)
        left, top, right, bottom = np.round(corners).astype(int).tolist()
        box = (max(0, left), max(0, top), max(left + 8, right), max(top + 8, bottom))
        codes = _codes(OBJECT, self.objects[index])
        return self._cut(box, margin, codes, [FIRST_OBJECT + index])

    def piece(self, index: int) -> PoolCrop | None:
        """Cut a small window out of an object, None if that would show most of it."""
        mask = self.labels == FIRST_OBJECT + index
        x0, y0, x1, y1 = self._box(FIRST_OBJECT + index)
        side = self.rng.uniform(0.12, 0.4) * max(x1 - x0, y1 - y0)
        ys, xs = np.nonzero(mask)
        at = int(self.rng.integers(len(xs)))
        box = _square(float(xs[at]), float(ys[at]), max(side, 6.0))
        margin = float(self.rng.uniform(1.0, 1.8))
        if margin * side > 0.6 * max(x1 - x0, y1 - y0):
            return None
        return self._cut(box, margin, _codes(PIECE, self.objects[index]), [FIRST_OBJECT + index])

    def group(self, shown: list[int]) -> PoolCrop:
        """Cut out two objects that are near to each other."""
        first = int(self.rng.choice(shown))
        boxes = {i: np.array(self._box(FIRST_OBJECT + i)) for i in shown}
        near = sorted(shown, key=lambda i: float(np.abs(boxes[i] - boxes[first]).sum()))[:2]
        corners = np.stack([boxes[i] for i in near])
        x0, y0 = corners[:, :2].min(axis=0).tolist()
        x1, y1 = corners[:, 2:].max(axis=0).tolist()
        return self._cut(
            (x0, y0, x1, y1), float(self.rng.uniform(1.0, 1.5)), _codes(SEVERAL),
            [FIRST_OBJECT + i for i in near], near,
        )  # fmt: skip

    def region(self) -> PoolCrop:
        """Cut out a whole backdrop or table, with what stands before it."""
        label = int(self.rng.integers(int(self.labels[self.labels < FIRST_OBJECT].max()) + 1))
        margin = float(self.rng.uniform(1.2, 2.5))
        return self._cut(self._box(label), margin, _codes(BACKGROUND), [label])

    def empty(self) -> Iterator[PoolCrop]:
        """Cut out places with hardly any object, of which there may be none."""
        height, width = self.labels.shape
        for _ in range(4):
            side = float(np.exp(self.rng.uniform(np.log(24), np.log(200))))
            box = _square(self.rng.uniform(0, width), self.rng.uniform(0, height), side)
            x0, y0, x1, y1 = box[0], box[1], min(box[2], width), min(box[3], height)
            if (self.labels[y0:y1, x0:x1] >= FIRST_OBJECT).mean() < 0.1:  # noqa: PLR2004
                margin = float(self.rng.uniform(1.0, 1.6))
                yield self._cut((x0, y0, x1, y1), margin, _codes(BACKGROUND), [0, 1])

    def whole(self, shown: list[int]) -> PoolCrop:
        """Show the whole picture; its largest objects are named."""
        largest = sorted(shown, key=self.area, reverse=True)
        named = largest[: int(self.rng.integers(1, MOST_THINGS + 1))]
        box = (0, 0, self.picture.width, self.picture.height)
        return self._cut(box, 1.0, _codes(SEVERAL), [FIRST_OBJECT + i for i in shown], named)

    def _cut(
        self,
        box: Box,
        margin: float,
        codes: Codes,
        mine: list[int],
        named: list[int] | tuple[()] = (),
    ) -> PoolCrop:
        window = crops.square_window(box, margin, self.picture.width, self.picture.height)
        pixels = crops.cut(self.picture, window, SIDE, MEAN)
        labels = _window_labels(self.labels, window)
        places = self._places(labels, mine)
        things = np.full((MOST_THINGS, 2), OPEN, dtype=np.int8)
        for row, index in enumerate(named):
            things[row] = _codes(OBJECT, self.objects[index])[1:3]
        mask = np.packbits(np.isin(labels, mine), axis=1)
        return PoolCrop(pixels, mask, codes, things, places, margin)

    def _places(self, labels: Labels, mine: list[int]) -> NDArray[np.uint8]:
        step = SIDE // GRID
        at = labels[step // 2 :: step, step // 2 :: step]
        names = np.full(256, NO_NAME, dtype=np.uint8)
        colours = np.full(256, NO_COLOUR, dtype=np.uint8)
        for index, one in enumerate(self.objects):
            codes = _codes(OBJECT, one)
            names[FIRST_OBJECT + index], colours[FIRST_OBJECT + index] = codes[1], codes[2]
        return np.stack([names[at], colours[at], np.isin(at, mine)]).astype(np.uint8)


def _window_labels(labels: Labels, window: Box) -> Labels:
    """Return the label at each of the crop's pixels, shape (SIDE, SIDE)."""
    left, top, right, _ = window
    steps = ((np.arange(SIDE) + 0.5) * (right - left) / SIDE).astype(np.int64)
    ys, xs = top + steps, left + steps
    height, width = labels.shape
    found = labels[np.ix_(ys.clip(0, height - 1), xs.clip(0, width - 1))]
    inside = ((ys >= 0) & (ys < height))[:, None] & ((xs >= 0) & (xs < width))
    return np.where(inside, found, np.uint8(_BEYOND))


def _codes(kind: int, one: Attributes | None = None) -> Codes:
    if one is None:
        return np.array([kind, *[OPEN] * 4], dtype=np.int8)
    looks = (one["name"], one["colour"], one["pattern"], one["size"])
    found = [values.index(look) for values, look in zip(VALUES, looks, strict=True)]
    return np.array([kind, *found], dtype=np.int8)


def _square(x: float, y: float, side: float) -> Box:
    left, top = max(0, round(x - side / 2)), max(0, round(y - side / 2))
    return left, top, left + round(side), top + round(side)


def main() -> None:
    """Cut from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("scenes", type=Path, help="from training.scenes")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--count", type=int, default=4000, help="scenes")
    given = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cut_pool(given.scenes, given.folder, given.count)


if __name__ == "__main__":
    main()
