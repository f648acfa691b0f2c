"""What sentences say, and of which crops they are true."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.demo.scenes import CLASSES, COLOURS, HELD_OUT_PAIRS, PATTERNS
from training.sentences import (
    BACKGROUND,
    OBJECT,
    OPEN,
    PIECE,
    SEVERAL,
    UNSEEN,
    Codes,
    list_sentence,
    sentence,
    statements,
    truth,
    uncertain,
    with_article,
)


def codes(kind: int, name: str = "", colour: str = "", pattern: str = "", size: str = "") -> Codes:
    """Return a row of codes; an empty word is left open."""
    values = (CLASSES, tuple(COLOURS), PATTERNS, ("small", "medium", "large"))
    words = (name, colour, pattern, size)
    found = [known.index(word) if word else OPEN for known, word in zip(values, words, strict=True)]
    return np.array([kind, *found], dtype=np.int8)


def said(statement: Codes, count: int = 300) -> set[str]:
    return {sentence(statement, np.random.default_rng(seed)) for seed in range(count)}


RED_STAR = codes(OBJECT, "star", "red", "striped", "large")


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [("orange hat", "an orange hat"), ("umbrella", "an umbrella"), ("red apple", "a red apple")],
)
def test_articles(phrase: str, expected: str) -> None:
    assert with_article(phrase) == expected


def test_a_statement_is_said_with_its_words_alone() -> None:
    sentences = said(codes(OBJECT, "apple", "orange"))
    assert {"orange apple", "an orange apple.", "a photo of an orange apple."} <= sentences
    assert all("orange apple" in one for one in sentences)
    assert not any(word in one for one in sentences for word in ("striped", "large", "part"))


def test_colours_are_said_of_things_without_a_name() -> None:
    sentences = said(codes(OBJECT, colour="blue"))
    assert {"blue", "a blue thing.", "a blue object."} <= sentences
    assert not any(name in one.split() for one in sentences for name in CLASSES)


def test_pieces_and_background_are_called_so() -> None:
    assert {"part of a fish", "a piece of a fish."} <= said(codes(PIECE, "fish"))
    assert {"background", "a plain wall"} <= said(codes(BACKGROUND))


def test_several_things_are_listed() -> None:
    things = [(CLASSES.index(name), list(COLOURS).index("orange")) for name in ("key", "umbrella")]
    sentences = {list_sentence(things, np.random.default_rng(seed)) for seed in range(100)}
    assert "an orange key and an orange umbrella" in sentences
    assert "a picture of a key and an umbrella." in sentences
    three = list_sentence([*things, things[0]], np.random.default_rng(0))
    assert three.count(", ") == 1
    assert three.count(" and ") == 1


def test_a_statement_is_true_of_what_agrees_with_all_it_says() -> None:
    stated = np.stack([
        codes(OBJECT, "star"), codes(OBJECT, "star", "red"), codes(OBJECT, colour="red"),
        codes(PIECE, "star", "red"), codes(BACKGROUND),
    ])  # fmt: skip
    shown = np.stack([
        RED_STAR, codes(OBJECT, "star", "blue", "plain", "small"),
        codes(PIECE, "star", "red", "plain", "small"), codes(BACKGROUND), codes(SEVERAL),
    ])  # fmt: skip
    assert truth(stated, shown).astype(int).tolist() == [
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
    ]


def test_drawn_statements_are_true_and_of_every_sort() -> None:
    subjects = np.repeat(RED_STAR[None], 500, axis=0)
    stated = statements(subjects, np.random.default_rng(0))
    assert stated.dtype == np.int8
    assert truth(stated, RED_STAR[None]).all()
    assert len(np.unique(stated, axis=0)) == 7


def test_what_is_never_shown_is_not_learned_to_be_false() -> None:
    colour, name = next(pair for pair in sorted(HELD_OUT_PAIRS) if pair[1] != "star")
    stated = np.stack([
        codes(OBJECT, name), codes(OBJECT, colour=colour), codes(OBJECT, name, colour),
        codes(BACKGROUND),
    ])  # fmt: skip
    other = next(one for one in COLOURS if one != colour)
    shown = np.stack([
        codes(OBJECT, "star", colour), codes(OBJECT, name, other), codes(BACKGROUND),
    ])  # fmt: skip
    assert uncertain(stated, shown).astype(int).tolist() == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 0],
        [0, 0, 0],
    ]


def test_the_unseen_are_the_held_out_pairs() -> None:
    unseen = {(tuple(COLOURS)[colour], CLASSES[name]) for name, colour in np.argwhere(UNSEEN)}
    assert unseen == HELD_OUT_PAIRS
