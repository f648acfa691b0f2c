"""Rankings of made-up segments: which queries count, and what is right."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import search_figures
from benchmarks.figures import Figure
from benchmarks.search_figures import (
    Gallery,
    Item,
    first_hits,
    image_figures,
    image_precision,
    text_figures,
    text_precision,
)
from indexer.records import Vector

MUG, STAR = ("blue", "mug"), ("red", "star")


def unit(*values: float) -> Vector:
    vector = np.array(values, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def text(words: str) -> Vector:
    """Embed everything blue as (1, 0), all else as (0, 1)."""
    return unit(1, 0) if words.startswith("blue") else unit(0, 1)


def of(picture: int, pair: tuple[str, str], *, large: bool = True) -> Item:
    return Item(picture, 0, pair, large)


def five_each() -> Gallery:
    """Five mugs in pictures 0 to 4 and five stars in 5 to 9; the last star looks like a mug."""
    objects = [of(n, MUG) for n in range(5)] + [of(n, STAR) for n in range(5, 10)]
    vectors = [unit(1, 0)] * 5 + [unit(0, 1)] * 4 + [unit(1, 0.1)]
    return Gallery(vectors, list(objects), objects)


def test_precision_counts_right_answers_among_the_first_five() -> None:
    gallery = five_each()
    assert text_precision(gallery, text, [MUG, STAR]) == [1, 1]
    gallery.vectors[9] = unit(1, 0)
    gallery.vectors[0] = unit(0.5, 1)
    assert text_precision(gallery, text, [MUG, STAR]) == [4 / 5, 4 / 5]


def test_a_pair_is_asked_for_if_five_objects_exist_found_or_not() -> None:
    gallery = five_each()
    found = Gallery(gallery.vectors[1:5], gallery.items[1:5], gallery.objects[:5])
    assert text_precision(found, text, [MUG, STAR]) == [4 / 5]
    few = Gallery(gallery.vectors[1:], gallery.items[1:], gallery.objects[1:])
    assert text_precision(few, text, [MUG]) == []
    assert text_precision(Gallery(objects=gallery.objects), text, [MUG]) == [0]


def test_of_several_segments_of_an_object_the_first_counts() -> None:
    twice = [Item(0, 1, MUG, True), Item(0, 1, MUG, True), Item(1, 1, MUG, True)]
    nothing = [Item(0, -1, None, True), Item(0, -1, None, True)]
    scores = np.array([0.3, 0.9, 0.5, 0.8, 0.1])
    assert first_hits(scores, twice + nothing) == [1, 3, 2, 4]


def test_duplicates_do_not_answer_a_query() -> None:
    gallery = five_each()
    gallery.items[1:5] = [gallery.items[0]] * 4  # five segments of the first mug
    assert text_precision(gallery, text, [MUG]) == [1 / 5]


def test_an_image_query_leaves_out_its_own_picture() -> None:
    items = [of(0, MUG), Item(0, 1, MUG, True), of(1, STAR), of(2, MUG), Item(3, -1, None, True)]
    vectors = [unit(1, 0), unit(1, 0), unit(1, 0.1), unit(1, 0.2), unit(0, 1)]
    # both first mugs: the star before the third mug; the third mug: the star, then both
    expected = [1 / 2, 1 / 2, (1 / 2 + 2 / 3) / 2]
    assert image_precision(Gallery(vectors, items, items[:4])) == pytest.approx(expected)
    assert image_precision(Gallery()) == []


def test_small_objects_are_left_out_of_the_figures_of_large_ones() -> None:
    gallery = five_each()
    gallery.items[0] = gallery.objects[0] = of(0, MUG, large=False)
    figures = image_figures("map", gallery)
    assert (figures["map"].n, figures["map_large"].n) == (10, 9)
    figures = text_figures("text", gallery, text, together=True)
    assert (figures["text"].n, figures["text_large"].n) == (2, 1)


def test_held_out_pairs_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_figures, "HELD_OUT_PAIRS", frozenset({STAR}))
    gallery = five_each()
    gallery.vectors[5] = unit(-1, -1)
    figures = text_figures("text", gallery, text, together=False)
    assert figures["text_seen_pairs"] == Figure(1, 1)
    assert figures["text_held_out_pairs"] == Figure(4 / 5, 1)
    assert "text" not in figures
