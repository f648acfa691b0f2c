"""How good search is on drawn scenes: small objects, relations, and things that are not there.

Libraries of held-out scenes are drawn and indexed with the demo profile; then the product's own
`Searcher` is asked. Every figure is over all libraries.

small objects: for every colour and class of which a picture has an object of less than 5 % of it,
the text "colour class" is asked for, and right is a picture with such an object (of our hits: a
segment whose mask has an IoU of 0.5 with it). R@5: the share of queries with a right one in five.
The peers, on the same weights: CLIP on whole pictures, and on tight crops of the *true* boxes.

scenes: pairs of things that lie beside or above each other in one picture are asked for as
"A left-of B" and the like. A picture returned is right if it shows both, each by its centre, so.

absent: all 240 texts "colour class" are asked in every library twice: as it is, and without the
pictures that show such an object. Where none is, the share is given that finds nothing; where
some are, how much of R@5 (and of all right answers among five) is lost by the cut. The curve gives
both for cuts around the one that is used. `unknown` are words that the demo models never saw.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from benchmarks.report import parser, show
from benchmarks.scene_truth import SAME, iou
from indexer import Indexer
from indexer.demo.scenes import CLASSES, COLOURS, DrawnObject, Scene, draw_scene
from indexer.segmentation import masks
from indexer.store.base import Filter, Match
from search import Answer, Filters, Hit, Ranking, Searcher
from search import Scene as SceneQuery

Pair = tuple[str, str]
Figures = dict[str, float]

_PAIRS = [(colour, name) for colour in COLOURS for name in CLASSES]
_SMALL, _AMONG = 0.05, 5
_UNKNOWN = (
    "giraffe", "airplane", "wedding cake", "helicopter", "a person riding a bicycle", "kitchen",
    "elephant", "snowy mountain", "hot dog", "keyboard", "traffic light", "zebra", "pizza",
)  # fmt: skip
_SCENE_QUERIES = 60
_CURVE = (-0.4, -0.2, 0.0, 0.2, 0.4)


@dataclass(frozen=True)
class _Without(Filters):
    """No segment of these images."""

    images: tuple[str, ...] = ()

    def to_store(self, roots: dict[str, Path]) -> Filter:
        where = super().to_store(roots)
        return replace(where, must_not=(Match("image_id", self.images),)) if self.images else where


@dataclass(frozen=True, eq=False)
class Library:
    """An index of drawn scenes, and the scenes by the names of their pictures."""

    searcher: Searcher
    scenes: dict[str, Scene]

    @cached_property
    def shown(self) -> set[Pair]:
        """All pairs of a colour and a class that there are."""
        return {_pair(one) for scene in self.scenes.values() for one in scene.objects}

    def without(self, pair: Pair, ranking: Ranking) -> Answer:
        """Ask for a pair in the pictures that do not show it."""
        shown = tuple(
            image
            for name, image in self.images.items()
            if any(_pair(one) == pair for one in self.scenes[name].objects)
        )
        return self.searcher.text(" ".join(pair), filters=_Without(images=shown), ranking=ranking)

    @cached_property
    def images(self) -> dict[str, str]:
        """Ids of the pictures, by their names."""
        return {PurePath(one.paths[0]).name: one.id for one in self.searcher.index.all_images()}

    def shows(self, hit: Hit, pair: Pair, most: float = 1.0) -> bool:
        """Return whether a hit's segment is, or its picture has, such an object."""
        scene = self.scenes[hit.path.name]
        objects = [one for one in scene.objects if _pair(one) == pair and one.mask.mean() < most]
        if hit.segment is None:
            return bool(objects)
        mask = masks.decode(hit.segment.region.rle)
        return any(iou(mask, one.mask) >= SAME for one in objects)


def main() -> None:
    """Draw, index, ask, and print the figures."""
    arguments = parser((__doc__ or "").partition("\n")[0])
    arguments.add_argument("--libraries", type=int, default=2)
    arguments.add_argument("--scenes", type=int, default=60, help="in each library")
    arguments.add_argument("--first-seed", type=int, default=8000)
    options = arguments.parse_args()
    found: list[Figures] = []
    for number in range(options.libraries):
        first = options.first_seed + number * options.scenes
        print(f"library {number + 1} of {options.libraries}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            scenes = _index(Path(folder), first, options.scenes)
            with Searcher(Path(folder) / "index") as searcher:
                found.append(measure(Library(searcher, scenes), first))
    show(
        {name: float(np.mean([each[name] for each in found])) for name in found[0]}, options.format
    )


def measure(library: Library, seed: int) -> Figures:
    """Return the figures of one library."""
    return small_objects(library) | relations(library, seed) | absence(library)


def small_objects(library: Library) -> Figures:
    """Return R@5 of small objects: ours, whole pictures, tight crops."""
    small = sorted(
        {
            _pair(one)
            for scene in library.scenes.values()
            for one in scene.objects
            if one.mask.any() and one.mask.mean() < _SMALL
        }
    )
    crops = _TightCrops(library)
    right: dict[str, list[bool]] = {"ours": [], "whole_pictures": [], "tight_crops": []}
    for pair in small:
        text = " ".join(pair)
        ours = library.searcher.text(text, limit=_AMONG)
        whole = library.searcher.text(text, limit=_AMONG, by="image")
        right["ours"].append(any(library.shows(hit, pair, _SMALL) for hit in ours))
        right["whole_pictures"].append(any(library.shows(hit, pair, _SMALL) for hit in whole))
        right["tight_crops"].append(crops.finds(text, pair))
    figures: Figures = {f"small_r5_{name}": float(np.mean(hit)) for name, hit in right.items()}
    gain = figures["small_r5_ours"] - figures["small_r5_whole_pictures"]
    return {**figures, "small_gain_points": 100 * gain, "small_queries": float(len(small))}


class _TightCrops:
    """CLIP, as it is, on the boxes of all true objects."""

    def __init__(self, library: Library) -> None:
        self._embedder = library.searcher.embedder()
        self._objects: list[DrawnObject] = []
        rows = []
        for scene in library.scenes.values():
            picture = PIL.Image.fromarray(scene.pixels)
            shown = [one for one in scene.objects if one.mask.any()]
            cut = [
                self._embedder.crop_segment(
                    picture, one.mask, masks.tight_box(masks.encode(one.mask)), margin=1.0
                )
                for one in shown
            ]
            self._objects += shown
            rows.append(self._embedder.views(cut)[0])
        self._vectors = np.concatenate(rows)

    def finds(self, text: str, pair: Pair) -> bool:
        """Return whether a small object of the pair is among the first five."""
        order = np.argsort(-(self._vectors @ self._embedder.text(text)), kind="stable")
        first = [self._objects[number] for number in order[:_AMONG]]
        return any(_pair(one) == pair and one.mask.mean() < _SMALL for one in first)


def relations(library: Library, seed: int) -> Figures:
    """Return the precision of scenes with a relation, and how often the picture meant is found."""
    figures: Figures = {}
    for kind, asked in (("class", False), ("colour_class", True)):
        right, found, returned = 0, 0, 0
        queries = _scene_queries(library, random.Random(seed), coloured=asked)  # noqa: S311
        for source, one, how, other in queries:
            query = SceneQuery.parse([one, other], [f"{one} {how} {other}"])
            names = [hit.hits[0].path.name for hit in library.searcher.scene(query).hits]
            right += sum(holds(library.scenes[name], one, how, other) for name in names)
            returned += len(names)
            found += source in names
        figures[f"scene_precision_{kind}"] = right / max(returned, 1)
        figures[f"scene_recall_{kind}"] = found / len(queries)
        figures[f"scene_returned_{kind}"] = returned / len(queries)
    return figures


def absence(library: Library) -> Figures:
    """Return how often nothing is found of what is not there, and what that costs the rest."""
    least = library.searcher.text("red star").least
    assert least is not None
    figures: Figures = {"least": least}
    there = [pair for pair in _PAIRS if pair in library.shown]
    before = np.array([_recall(library, pair, Ranking(None)) for pair in there])
    for shift in _CURVE:
        ranking = Ranking(least + shift)
        empty = [not library.without(pair, ranking) for pair in _PAIRS]
        after = np.array([_recall(library, pair, ranking) for pair in there])
        name = "" if shift == 0 else f"_at{shift:+.1f}"
        figures[f"absent_empty{name}"] = float(np.mean(empty))
        figures[f"present_r5_lost{name}"] = 1 - _share(after) / _share(before)
        figures[f"present_recall_lost{name}"] = 1 - float(after.sum() / before.sum())
    unknown = [not library.searcher.text(text) for text in _UNKNOWN]
    return {
        **figures,
        "unknown_empty": float(np.mean(unknown)),
        "absent_queries": float(len(_PAIRS)),
        "present_queries": float(len(there)),
    }


def _recall(library: Library, pair: Pair, ranking: Ranking) -> int:
    """Return how many of the first five hits are right."""
    hits = library.searcher.text(" ".join(pair), limit=_AMONG, ranking=ranking)
    return sum(library.shows(hit, pair) for hit in hits)


def _share(right: NDArray[np.int_]) -> float:
    return float((right > 0).mean())


def _scene_queries(
    library: Library, rng: random.Random, *, coloured: bool
) -> list[tuple[str, str, str, str]]:
    """Return picture, thing, relation and other thing of true relations, drawn by chance."""
    every = [
        (name, _called(one, coloured=coloured), how, _called(other, coloured=coloured))
        for name, scene in library.scenes.items()
        for one in scene.objects
        for other in scene.objects
        for how in ("left-of", "right-of", "above", "below")
        if _called(one, coloured=coloured) != _called(other, coloured=coloured)
        and lies(one, how, other)
    ]
    return rng.sample(every, min(_SCENE_QUERIES, len(every)))


def holds(scene: Scene, one: str, how: str, other: str) -> bool:
    """Return whether a scene shows two things, by class or colour and class, lying so."""
    ones, others = (list(_named(scene, name)) for name in (one, other))
    return any(lies(a, how, b) for a in ones for b in others)


def _named(scene: Scene, name: str) -> Iterator[DrawnObject]:
    for drawn in scene.objects:
        if name in (drawn.name, _called(drawn, coloured=True)):
            yield drawn


def lies(one: DrawnObject, how: str, other: DrawnObject) -> bool:
    """Return whether the centre of one object's visible pixels lies so to the other's."""
    if not (one.mask.any() and other.mask.any()):
        return False
    (y, x), (y_other, x_other) = _centre(one.mask), _centre(other.mask)
    return {
        "left-of": x < x_other,
        "right-of": x > x_other,
        "above": y < y_other,
        "below": y > y_other,
    }[how]


def _centre(mask: NDArray[np.bool_]) -> Sequence[float]:
    return [float(axis.mean()) for axis in np.nonzero(mask)]


def _called(drawn: DrawnObject, *, coloured: bool) -> str:
    return f"{drawn.colour} {drawn.name}" if coloured else drawn.name


def _pair(drawn: DrawnObject) -> Pair:
    return drawn.colour, drawn.name


def _index(folder: Path, first: int, count: int) -> dict[str, Scene]:
    """Draw scenes and index them with the demo profile."""
    (folder / "pictures").mkdir()
    scenes = {f"scene-{seed}.jpg": draw_scene(seed) for seed in range(first, first + count)}
    for name, scene in scenes.items():
        (folder / "pictures" / name).write_bytes(scene.jpeg)
    with Indexer(folder / "index", "demo") as indexer:
        indexer.index([folder / "pictures"])
    return scenes


if __name__ == "__main__":
    main()
