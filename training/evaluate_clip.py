"""How well a profile's CLIP tells the segments of held-out scenes, cut out by their true masks.

`python -m training.evaluate_clip --pretrained WEIGHTS`; benchmarks measure the same end to end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from benchmarks.retrieval import average_precision, precision_at
from indexer import malloc
from indexer.demo.scenes import HELD_OUT_PAIRS, Scene, draw_scene
from indexer.embedding import Embedder
from indexer.profiles import load_profile
from indexer.records import Vector
from training.pool import tight_box

#: Queries with fewer answers are not asked; so many of the first are looked at.
ANSWERS = 5
_LEAST_PIXELS = 1
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Embedded segments.

    Attributes:
        vectors: float32, shape (n, dim), rows of length 1.
        pairs: colour and class of each; the empty pair of a background region.
        pictures: which picture each is of, shape (n,).
    """

    vectors: Vector
    pairs: Sequence[Pair]
    pictures: NDArray[np.int64]


def embed(embedder: Embedder, scenes: Iterable[Scene]) -> Gallery:
    """Embed every visible object and background region of the scenes."""
    vectors, pairs, pictures = [], [], []
    for number, scene in enumerate(scenes):
        picture = PIL.Image.fromarray(scene.pixels)
        parts = [((one.colour, one.name), one.mask) for one in scene.objects]
        parts += [(("", ""), region) for region in scene.regions]
        shown = [(pair, mask) for pair, mask in parts if mask.sum() >= _LEAST_PIXELS]
        cut = [embedder.crop_segment(picture, mask, tight_box(mask)) for _, mask in shown]
        vectors.append(embedder.vectors(cut))
        pairs += [pair for pair, _ in shown]
        pictures += [number] * len(shown)
    return Gallery(np.concatenate(vectors), pairs, np.array(pictures))


def figures(embedder: Embedder, gallery: Gallery) -> dict[str, float]:
    """Return precision of text queries and mean average precision of image queries."""
    kinds = sorted(set(gallery.pairs) - {("", "")})
    ids = np.array([kinds.index(pair) if pair[0] else -1 for pair in gallery.pairs])
    asked = [kind for kind, _ in enumerate(kinds) if (ids == kind).sum() >= ANSWERS]
    found = {
        kinds[kind]: precision_at(
            gallery.vectors @ embedder.text(" ".join(kinds[kind])), ids == kind, ANSWERS
        )
        for kind in asked
    }
    held_out = [value for pair, value in found.items() if pair in HELD_OUT_PAIRS]
    return {
        "segments": float(len(ids)),
        "text_queries": float(len(found)),
        "text_precision_at_5": float(np.mean(list(found.values()))),
        "held_out_pair_queries": float(len(held_out)),
        "held_out_pair_precision_at_5": float(np.mean(held_out)),
        "image_mean_average_precision": _image_precision(gallery, ids),
    }


def _image_precision(gallery: Gallery, ids: NDArray[np.int64]) -> float:
    """Query with every object; what is in its own picture is no answer."""
    scores, values = gallery.vectors @ gallery.vectors.T, []
    for row in np.flatnonzero(ids >= 0):
        others = gallery.pictures != gallery.pictures[row]
        relevant = ids[others] == ids[row]
        if relevant.any():
            values.append(average_precision(scores[row][others], relevant))
    return float(np.mean(values))


def main() -> None:
    """Measure from the command line and print one JSON object."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--profile", default="demo")
    arguments.add_argument("--pretrained", help="weights to use instead of the profile's")
    arguments.add_argument("--scenes", type=int, default=200)
    arguments.add_argument("--first-seed", type=int, default=0)
    given = arguments.parse_args()
    malloc.keep_freed_memory()
    clip = load_profile(given.profile).clip
    if given.pretrained:
        clip = dataclasses.replace(clip, pretrained=given.pretrained)
    embedder = Embedder(clip, torch.device("cpu"))
    seeds = range(given.first_seed, given.first_seed + given.scenes)
    gallery = embed(embedder, (draw_scene(seed) for seed in seeds))
    json.dump(figures(embedder, gallery), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
