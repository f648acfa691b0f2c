"""How good the demo models are, on drawn scenes that no training saw.

`python -m benchmarks.demo_models --scenes 200 --mask-scenes 60`; `--first-seed` takes others.
Everything goes through `Segmenter` and `Embedder` with the profile as it is shipped. The truth
about a scene is the visible pixels of its objects. An object is *large* from 1 % of the picture's
pixels, else *small*; figures without a suffix are over both, but for automatic_recall.

Masks, on the first --mask-scenes scenes:

- `automatic_recall`: the share of large objects of which some automatic mask has IoU ≥ 0.75;
  `automatic_recall_small`: the same of the small ones.
- `automatic_precision`: the share of automatic masks that have IoU ≥ 0.5 with something: an
  object; a region of the background (the whole backdrop, or wall or table); the whole
  background; or a connected component (over corners too) of an object's or a region's visible
  pixels, where others cut it into pieces. A stripe of a pattern or a detail of an object is
  none of these, nor are several objects together.
- `automatic_masks_per_picture`; `automatic_seconds_per_picture`: the mean wall time of
  `Segmenter.automatic`, on the machine as busy as it is.

Prompts, on the same scenes, each for every object; means of the answer's IoU with the object:

- `click_iou`: one click on the object's innermost pixel, the one farthest from all other pixels
  and from the picture's edge. The answer is the one that the product gives: of three candidates
  that of the best predicted IoU.
- `box_iou`: the tight box around the object's visible pixels.
- `refined_click_iou`: the same click, then a second one together with the first answer's logits.
  The second is on the innermost pixel of the largest connected component of missed or of surplus
  pixels, and says whether the object is there. An exact first answer stays.

Search; a query counts only if the scenes searched show at least five objects that answer it:

- `text_seen_pairs`: precision@5 of the text "<colour> <class>", mean over the pairs that training
  scenes show. Searched are the segments of all --scenes scenes, one of each object and each
  background region, cut out by their true masks. An answer is right if both colour and class are.
  `text_held_out_pairs`: the same over `HELD_OUT_PAIRS`, which no training scene shows.
- `text_automatic`: the same end to end, over both kinds of pairs. Searched are all automatic
  masks of the first --mask-scenes scenes. A mask is of the object with which it has the highest
  IoU, if that is at least 0.5, else of none, and a wrong answer. Of several masks of one object
  only the first in the ranking stays. Queries are those with five objects in these scenes, found
  or not; where --mask-scenes is small, they are few.
- `image_map`: every object's true-mask segment as the query, all segments of the other pictures,
  background included, searched; right is the same colour and class. Mean average precision over
  the queries that have a right answer.
- With the suffix `_large`: the same as if small objects had no segments and did not exist.

There is no outside peer for models of such scenes. `--peer` also measures the same architectures
with random weights, which shows what is had for nothing: searches with true masks on all scenes,
everything else on the first few.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Iterable

import PIL.Image
import torch

from benchmarks.figures import Figures, flat, table
from benchmarks.mask_figures import AutomaticFigures, PromptFigures
from benchmarks.report import parser, show
from benchmarks.scene_truth import Truth, truth_of
from benchmarks.search_figures import Gallery, cut_views, image_figures, text_figures, true_views
from indexer.demo.scenes import Scene, draw_scene
from indexer.embedding import Embedder
from indexer.profiles import Profile, load_profile
from indexer.segmentation.segmenter import Segmenter

#: What we want the shipped weights to reach.
AIMS = {
    "automatic_recall": 0.85,
    "automatic_precision": 0.70,
    "click_iou": 0.85,
    "box_iou": 0.90,
    "text_seen_pairs": 0.90,
    "text_held_out_pairs": 0.65,
    "text_automatic": 0.80,
    "image_map": 0.75,
}
PARTS = ("masks", "prompts", "retrieval")
#: Which of the aims each part measures, by the start of their names.
_STARTS = {"masks": ("automatic",), "prompts": ("click", "box"), "retrieval": ("text", "image")}
#: The peer: random weights of these seeds, and on how many scenes it is asked for masks.
_PEER_SAM2, _PEER_CLIP, _PEER_SCENES = "seeded:4", "seeded:2", 4


class Contender:
    """A profile's models, and what was measured of them so far."""

    def __init__(self, profile: Profile, parts: Iterable[str], mask_scenes: int) -> None:
        """Load the models.

        Args:
            profile: which, and with what settings.
            parts: what to measure, of `PARTS`.
            mask_scenes: on how many of the scenes masks are made.
        """
        self._parts = frozenset(parts)
        self._mask_scenes = mask_scenes
        device = torch.device("cpu")
        self._segmenter = Segmenter(profile.sam2, profile.masks, device)
        self._embedder = Embedder(profile.clip, device)
        self._automatic, self._prompts = AutomaticFigures(), PromptFigures()
        self._true, self._cut = Gallery(), Gallery()

    def see(self, number: int, scene: Scene, truth: Truth) -> None:
        """Measure on the scene with that number, counted from 0."""
        picture = PIL.Image.fromarray(scene.pixels)
        if number < self._mask_scenes:
            self._see_masks(scene, picture, truth)
        if "retrieval" in self._parts:
            views = true_views(truth, scene.regions)
            self._true.add(self._embedder, picture, truth, views)

    def figures(self) -> Figures:
        """Return what was measured on all scenes seen."""
        figures: Figures = {}
        if "masks" in self._parts:
            figures |= self._automatic.figures()
        if "prompts" in self._parts:
            figures |= self._prompts.figures()
        if "retrieval" in self._parts:
            text = functools.cache(self._embedder.text)
            figures |= text_figures("text", self._true, text, together=False)
            figures |= text_figures("text_automatic", self._cut, text, together=True)
            figures |= image_figures("image_map", self._true)
        return figures

    def _see_masks(self, scene: Scene, picture: PIL.Image.Image, truth: Truth) -> None:
        if self._parts & {"masks", "retrieval"}:
            cuts = self._automatic.see(self._segmenter, scene.pixels, truth)
            if "retrieval" in self._parts:
                self._cut.add(self._embedder, picture, truth, cut_views(truth, cuts))
        if "prompts" in self._parts:
            self._prompts.see(self._segmenter, scene.pixels, truth)


def main() -> None:
    """Measure from the command line and print the figures."""
    options = _options()
    parts = PARTS if options.only is None else (options.only,)
    profile = load_profile(options.profile)
    contenders = [Contender(profile, parts, options.mask_scenes)]
    if options.peer:
        contenders.append(Contender(_random(profile), parts, _PEER_SCENES))
    count = options.scenes
    if "retrieval" not in parts:
        count = min(count, options.mask_scenes)
    _see_all(contenders, options.first_seed, count)
    figures, *rest = [contender.figures() for contender in contenders]
    peer = rest[0] if rest else {}
    if options.format == "json":
        values = {f"random_{name}": value for name, value in flat(peer).items()}
        show(flat(figures) | values, "json")
        return
    starts = tuple(start for part in parts for start in _STARTS[part])
    aims = {name: aim for name, aim in AIMS.items() if name.startswith(starts)}
    print(table(figures, aims, peer))


def _see_all(contenders: list[Contender], first_seed: int, count: int) -> None:
    """Draw each scene once, show it to all, and say on stderr how far it is."""
    started = time.monotonic()
    for number in range(count):
        scene = draw_scene(first_seed + number, "held-out")
        truth = truth_of(scene)
        for contender in contenders:
            contender.see(number, scene, truth)
        seconds = time.monotonic() - started
        print(f"scene {number + 1} of {count}, {seconds:.0f} s", file=sys.stderr, flush=True)


def _random(profile: Profile) -> Profile:
    """Return the profile with random weights."""
    return dataclasses.replace(
        profile,
        sam2=dataclasses.replace(profile.sam2, checkpoint=_PEER_SAM2),
        clip=dataclasses.replace(profile.clip, pretrained=_PEER_CLIP),
    )


def _options() -> argparse.Namespace:
    summary = (__doc__ or "").partition("\n")[0]
    arguments = parser(summary)
    arguments.add_argument("--scenes", type=int, default=200, help="scenes to search")
    arguments.add_argument("--mask-scenes", type=int, default=60, help="of these, with masks made")
    arguments.add_argument("--first-seed", type=int, default=0, help="seed of the first scene")
    arguments.add_argument("--profile", default="demo", help="a profile's name or YAML file")
    arguments.add_argument("--only", choices=PARTS, help="measure this alone")
    arguments.add_argument("--peer", action="store_true", help="random weights as well")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
