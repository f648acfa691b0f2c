"""Figures of search: text → segment and segment → segment, over segments whose truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from benchmarks.figures import LARGE, Figures, mean
from benchmarks.mask_figures import Cut
from benchmarks.scene_truth import Mask, Pair, Truth
from indexer.demo.scenes import HELD_OUT_PAIRS
from indexer.embedding import Embedder
from indexer.records import Box, Vector
from indexer.segmentation import masks
from search.evaluation.measures import average_precision, places

#: So many answers of a text query are looked at; pairs with fewer are not asked for.
ANSWERS = 5
Views = Iterable[tuple[Mask, Box, Pair | None, int]]


@dataclass(frozen=True)
class Item:
    """What is known about one segment.

    Attributes:
        picture: number of its picture.
        source: number of its object in that picture; −1 if it is of none.
        pair: colour and class of its object; None if it is of none.
        large: whether its object is large; true also if it is of none.
    """

    picture: int
    source: int
    pair: Pair | None
    large: bool


@dataclass(eq=False)
class Gallery:
    """Segments with their vectors, and the objects that there are to be found.

    Attributes:
        vectors: one for each item, length 1.
        items: the segments.
        objects: all objects of the pictures, whether or not a segment shows them.
    """

    vectors: list[Vector] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    objects: list[Item] = field(default_factory=list)

    def add(self, embedder: Embedder, picture: PIL.Image.Image, truth: Truth, views: Views) -> None:
        """Embed the segments of the next picture: their mask, box, pair and object's number."""
        number = 1 + max((one.picture for one in self.objects), default=-1)
        objects = [
            Item(number, source, pair, bool(share >= LARGE))
            for source, (pair, share) in enumerate(zip(truth.pairs, truth.shares, strict=True))
        ]
        cut = []
        for mask, box, pair, source in views:
            cut.append(embedder.crop_segment(picture, mask, box))
            self.items.append(objects[source] if source >= 0 else Item(number, -1, pair, True))
        self.vectors += list(embedder.vectors(cut))
        self.objects += objects

    def large(self) -> Gallery:
        """Return the same without the segments of small objects."""
        kept = [number for number, item in enumerate(self.items) if item.large]
        return Gallery(
            [self.vectors[number] for number in kept],
            [self.items[number] for number in kept],
            [one for one in self.objects if one.large],
        )


def true_views(truth: Truth, regions: Sequence[Mask]) -> Views:
    """Return the segments of perfect masks: every object and every background region."""
    for source, pair in enumerate(truth.pairs):
        mask = truth.mask(source)
        yield mask, masks.tight_box(masks.encode(mask)), pair, source
    for mask in regions:
        if mask.any():
            yield mask, masks.tight_box(masks.encode(mask)), None, -1


def cut_views(truth: Truth, cuts: Sequence[Cut]) -> Views:
    """Return the segments of automatic masks."""
    for cut in cuts:
        yield cut.mask, cut.region.box, cut.pair(truth), cut.source


def text_precision(
    gallery: Gallery, text: Callable[[str], Vector], pairs: Iterable[Pair]
) -> list[float]:
    """Return precision@5 of each pair of which the pictures show at least five objects.

    Args:
        gallery: what is searched.
        text: gives a query's vector.
        pairs: what may be asked for.
    """
    counts = Counter(one.pair for one in gallery.objects)
    asked = [pair for pair in sorted(pairs) if counts[pair] >= ANSWERS]
    if not asked or not gallery.items:
        return [0.0] * len(asked)
    vectors, values = np.stack(gallery.vectors), []
    for pair in asked:
        scores = vectors @ text(" ".join(pair))
        kept = first_hits(scores, gallery.items)
        relevant = np.array([gallery.items[number].pair == pair for number in kept])
        at = places(scores[kept][relevant], scores[kept][~relevant])
        values.append(int((at <= ANSWERS).sum()) / ANSWERS)
    return values


def first_hits(scores: NDArray[np.floating], items: Sequence[Item]) -> list[int]:
    """Return the segments, best first, without all but the first of every object's."""
    seen: set[tuple[int, int]] = set()
    kept = []
    for number in np.argsort(-scores, kind="stable").tolist():
        item = items[number]
        key = (item.picture, item.source)
        if item.source < 0 or key not in seen:
            kept.append(number)
        seen.add(key)
    return kept


def image_precision(gallery: Gallery) -> list[float]:
    """Return the average precision of each object's segment among those of other pictures."""
    if not gallery.items:
        return []
    vectors = np.stack(gallery.vectors)
    scores = vectors @ vectors.T
    pairs = sorted({item.pair for item in gallery.items if item.pair is not None})
    kinds = np.array([-1 if i.pair is None else pairs.index(i.pair) for i in gallery.items])
    pictures, values = np.array([item.picture for item in gallery.items]), []
    for row in np.flatnonzero(kinds >= 0):
        others = pictures != pictures[row]
        relevant = kinds[others] == kinds[row]
        if relevant.any():
            ranked = scores[row, others]
            at = places(ranked[relevant], ranked[~relevant])
            values.append(average_precision(at, len(at)))
    return values


def text_figures(
    name: str, gallery: Gallery, text: Callable[[str], Vector], *, together: bool
) -> Figures:
    """Return precision@5 over seen pairs and over held-out pairs, for all sizes and the large.

    Args:
        name: of the figures.
        gallery: what is searched.
        text: gives a query's vector.
        together: whether to give both kinds of pairs as one figure too, first.
    """
    figures: Figures = {}
    for suffix, searched in (("", gallery), ("_large", gallery.large())):
        shown = {one.pair for one in searched.objects if one.pair is not None}
        seen = text_precision(searched, text, shown - HELD_OUT_PAIRS)
        held_out = text_precision(searched, text, shown & HELD_OUT_PAIRS)
        if together:
            figures |= mean(f"{name}{suffix}", seen + held_out)
        figures |= mean(f"{name}_seen_pairs{suffix}", seen)
        figures |= mean(f"{name}_held_out_pairs{suffix}", held_out)
    return figures


def image_figures(name: str, gallery: Gallery) -> Figures:
    """Return the mean average precision, for all sizes and for the large."""
    return {
        **mean(name, image_precision(gallery)),
        **mean(f"{name}_large", image_precision(gallery.large())),
    }
