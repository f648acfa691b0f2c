"""Sentences about crops, and which of them are true of which crop.

A crop is described by a row of codes, one for each of `FIELDS`; a statement is such a row with
some fields left open (`OPEN`), and is true of every crop that agrees with it in the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.demo.scenes import CLASSES, COLOURS, HELD_OUT_PAIRS, PATTERNS

Codes = NDArray[np.int8]

FIELDS = ("kind", "name", "colour", "pattern", "size")
#: What a crop can show: a whole object, a piece of one, none, or several.
OBJECT, PIECE, BACKGROUND, SEVERAL = range(4)
OPEN = -1
VALUES: tuple[tuple[str, ...], ...] = (
    CLASSES,
    tuple(COLOURS),
    PATTERNS,
    ("small", "medium", "large"),
)
#: Which name (row) with which colour (column) no training scene shows; the last row and column,
#: where codes of `OPEN` lead as well, are for background.
UNSEEN = np.array([[(c, n) in HELD_OUT_PAIRS for c in (*COLOURS, "")] for n in (*CLASSES, "")])
#: Which fields a sentence about an object or a piece of one states, and how often.
_STATED: tuple[tuple[tuple[str, ...], float], ...] = (
    (("name", "colour"), 0.44),
    (("name",), 0.18),
    (("colour",), 0.12),
    (("name", "colour", "pattern"), 0.12),
    (("name", "pattern"), 0.05),
    (("name", "colour", "size"), 0.05),
    (("pattern",), 0.04),
)
_SHARES = np.cumsum([share for _, share in _STATED])
_MASKS = np.array(
    [[field == "kind" or field in stated for field in FIELDS] for stated, _ in _STATED]
)
#: "{}" is a noun phrase with its article, "[]" the same without.
_TEMPLATES = (
    "[]", "[]", "{}", "{}.", "a [].", "a photo of {}.", "a drawing of {}.", "a drawing of a [].",
    "a picture of {}.", "{} in a picture.", "there is {} here.",
)  # fmt: skip
_THINGS = ("thing", "object", "one")
_BACKGROUNDS = (
    "background", "the background", "a background", "a plain wall", "an empty wall", "a table",
    "a plain surface", "nothing", "a texture", "an empty place", "the floor", "wall", "surface",
)  # fmt: skip
_PIECES = ("part of {}", "a part of {}", "a piece of {}.", "a detail of {}", "a detail of {}.")
_OFTEN, _SOMETIMES = 0.7, 0.3


def statements(subjects: Codes, rng: np.random.Generator) -> Codes:
    """Return one statement about each crop that is true of it; shape (n, 5) like subjects."""
    chosen = np.searchsorted(_SHARES, rng.uniform(0, _SHARES[-1], len(subjects)))
    return np.where(_MASKS[chosen], subjects, np.int8(OPEN))


def truth(stated: Codes, subjects: Codes) -> NDArray[np.bool_]:
    """Return which statement is true of which crop; shape (statements, crops)."""
    agree = (stated[:, None] == OPEN) | (stated[:, None] == subjects[None])
    return np.asarray(agree.all(axis=2))


def uncertain(stated: Codes, subjects: Codes) -> NDArray[np.bool_]:
    """Return where a statement must not be learned to be false; shape (statements, crops).

    No scene shows some pair: that "a fish" is never true of what is white must not be concluded.
    """
    name, colour = stated[:, None, 1], stated[:, None, 2]
    others, tints = subjects[None, :, 1], subjects[None, :, 2]
    by_name = (name != OPEN) & (colour == OPEN) & UNSEEN[name, tints]
    by_colour = (name == OPEN) & (colour != OPEN) & UNSEEN[others, colour]
    return np.asarray(by_name | by_colour)


def sentence(statement: Codes, rng: np.random.Generator) -> str:
    """Say a statement about one thing, in one of many ways."""
    kind = int(statement[0])
    if kind == BACKGROUND:
        return _one(_BACKGROUNDS, rng)
    phrase = _phrase(statement, rng)
    if kind == PIECE:
        return _one(_PIECES, rng).replace("{}", with_article(phrase))
    template = _one(_TEMPLATES, rng)
    return template.replace("{}", with_article(phrase)).replace("[]", phrase)


def list_sentence(things: Sequence[tuple[int, int]], rng: np.random.Generator) -> str:
    """Name several things, each given as the codes of its name and colour."""
    names = []
    for name, colour in things:
        full = rng.random() < _OFTEN
        noun = f"{VALUES[1][colour]} {VALUES[0][name]}" if full else VALUES[0][name]
        names.append(with_article(noun))
    listed = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    return _one(("{}", "{}.", "a picture of {}.", "a drawing of {}."), rng).replace("{}", listed)


def with_article(phrase: str) -> str:
    """Put the right indefinite article before a phrase."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def vocabulary() -> Iterator[str]:
    """Give texts that together hold every word a sentence can have."""
    for words in (*VALUES, _THINGS, _BACKGROUNDS, _TEMPLATES, _PIECES):
        yield from (re.sub(r"[\[\]{}]", " ", word) for word in words)
    yield "a, an and the pattern."


def _phrase(statement: Codes, rng: np.random.Generator) -> str:
    name, colour, pattern, size = (
        "" if code == OPEN else values[code]
        for code, values in zip(statement[1:].tolist(), VALUES, strict=True)
    )
    if not name:
        name = _one(_THINGS, rng) if rng.random() < _OFTEN else ""
    looks = [word for word in (pattern, colour) if word]
    if rng.random() < _SOMETIMES:
        looks.reverse()
    return " ".join(word for word in (size, *looks, name) if word)


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
