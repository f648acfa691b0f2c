"""A cache on disk of drawn training scenes, in shards that are read without loading them.

Shard NNN is three files: `pixels-NNN.npy`, `labels-NNN.npy` and, written last, `objects-NNN.json`.
A label below `FIRST_OBJECT` is a background region, `FIRST_OBJECT` + i is object i of the scene.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.demo.scenes import Scene, draw_scene

Pixels = NDArray[np.uint8]
Labels = NDArray[np.uint8]
#: name, colour, pattern and size of a drawn object.
Attributes = dict[str, str]

FIRST_OBJECT = 16
PER_SHARD = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Shard:
    pixels: Pixels
    labels: Labels
    objects: list[list[Attributes]]


class Shards:
    """The scenes that a folder holds at the moment it is opened; open it again to see more."""

    def __init__(self, folder: Path) -> None:
        """Open every complete shard of the folder, in order."""
        self._shards: list[_Shard] = []
        while (path := _path(folder, "objects", len(self._shards))).is_file():
            self._shards.append(_open(folder, len(self._shards), path))

    def __len__(self) -> int:
        return sum(len(shard.objects) for shard in self._shards)

    def scene(self, number: int) -> tuple[Pixels, Labels, list[Attributes]]:
        """Return pixels (H, W, 3) and labels (H, W), both uint8 and mapped, and the objects."""
        shard, row = divmod(number, PER_SHARD)
        found = self._shards[shard]
        return found.pixels[row], found.labels[row], found.objects[row]


def draw_shards(folder: Path, count: int) -> None:
    """Draw the training scenes of seeds 0 to count − 1; a whole number of shards.

    Shards that are there are kept, so a stopped run goes on where it was.

    Raises:
        ValueError: count is no multiple of a shard's scenes.
    """
    if count % PER_SHARD:
        raise ValueError(f"{count} scenes are no whole number of shards of {PER_SHARD}")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count // PER_SHARD):
        if not _path(folder, "objects", number).is_file():
            _draw_shard(folder, number)
            _log.info("drew shard %d of %d", number + 1, count // PER_SHARD)


def _draw_shard(folder: Path, number: int) -> None:
    seeds = range(number * PER_SHARD, (number + 1) * PER_SHARD)
    scenes = [draw_scene(seed, "training") for seed in seeds]
    _write_array(_path(folder, "pixels", number), np.stack([scene.pixels for scene in scenes]))
    _write_array(_path(folder, "labels", number), np.stack([labels_of(scene) for scene in scenes]))
    fresh = folder / f"fresh-{os.getpid()}"
    fresh.write_text(json.dumps([_attributes(scene) for scene in scenes]), encoding="utf-8")
    fresh.replace(_path(folder, "objects", number))


def labels_of(scene: Scene) -> Labels:
    """Return which region or object each pixel shows; shape (H, W).

    Raises:
        ValueError: the scene has more regions or objects than labels can tell.
    """
    if len(scene.regions) > FIRST_OBJECT or len(scene.objects) > 256 - FIRST_OBJECT:
        raise ValueError(f"scene {scene.seed} has too many parts for its labels")
    labels = np.zeros(scene.pixels.shape[:2], dtype=np.uint8)
    for number, region in enumerate(scene.regions):
        labels[region] = number
    for number, drawn in enumerate(scene.objects):
        labels[drawn.mask] = FIRST_OBJECT + number
    return labels


def _attributes(scene: Scene) -> list[Attributes]:
    return [
        {"name": one.name, "colour": one.colour, "pattern": one.pattern, "size": one.size}
        for one in scene.objects
    ]


def _open(folder: Path, number: int, objects: Path) -> _Shard:
    pixels: Any = np.load(_path(folder, "pixels", number), mmap_mode="r")
    labels: Any = np.load(_path(folder, "labels", number), mmap_mode="r")
    return _Shard(pixels, labels, json.loads(objects.read_text(encoding="utf-8")))


def _write_array(path: Path, array: NDArray[np.uint8]) -> None:
    fresh = path.with_name(f"fresh-{os.getpid()}")
    with fresh.open("wb") as file:
        np.save(file, array)
    fresh.replace(path)


def _path(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{kind}-{number:03d}.{'json' if kind == 'objects' else 'npy'}"


def main() -> None:
    """Draw from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--count", type=int, default=4000)
    options = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    draw_shards(options.folder, options.count)


if __name__ == "__main__":
    main()
