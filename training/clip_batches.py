"""Batches for the tiny CLIP: crops in pairs that show the same, and sentences about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.clip_model import UNKNOWN_WORD, Words
from training.pool import MEAN, NO_COLOUR, NO_NAME, UNKNOWN, Pool
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
)

Rows = NDArray[np.int64]

#: What can be put around a subject; the fifth is any tone.
_BLUR, _NOISE, _MEAN, _GRAY = range(4)
_FILLS = 5
#: Shares of masks that are a pixel too wide, or too narrow.
_WIDE, _NARROW = 0.35, 0.15


@dataclass(frozen=True)
class BatchShape:
    """What a batch is made of.

    Attributes:
        pairs: how often two crops of objects with the same name and colour.
        pieces: crops of pieces.
        backgrounds: crops without an object.
        several: crops of several objects.
        filled: share of the objects in which something else takes the place of what is around.
        margin: the greatest margin of an object's crop.
    """

    pairs: int
    pieces: int
    backgrounds: int
    several: int
    filled: float
    margin: float


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of n crops, with one sentence about each.

    Attributes:
        images: float32 in 0 to 1, shape (n, 3, SIDE, SIDE).
        tokens: int64, shape (n, context length).
        true: bool, shape (n, n): whether sentence i is true of crop j.
        known: bool, shape (n, n): whether that is certain.
        codes: int64, shape (n, 5), see `training.sentences`.
        places: int64, shape (n, 3, GRID, GRID), see `training.pool`.
    """

    images: Tensor
    tokens: Tensor
    true: Tensor
    known: Tensor
    codes: Tensor
    places: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in dataclasses.fields(self)))


class Sampler:
    """Draws batches from a pool."""

    def __init__(self, pool: Pool, words: Words) -> None:
        self._pool, self._words = pool, words
        kinds, objects = pool.codes[:, 0], pool.codes[:, 0] == OBJECT
        self._kinds = {kind: np.flatnonzero(kinds == kind) for kind in (PIECE, BACKGROUND, SEVERAL)}
        self._pairs = []
        for name, colour in np.argwhere(~UNSEEN[:-1, :-1]):
            rows = np.flatnonzero(
                objects & (pool.codes[:, 1] == name) & (pool.codes[:, 2] == colour)
            )
            if len(rows):
                self._pairs.append(rows[np.argsort(pool.margins[rows], kind="stable")])

    def draw(self, shape: BatchShape, rng: np.random.Generator) -> Batch:
        """Draw the batch that the generator decides."""
        rows = self._rows(shape, rng)
        codes = self._pool.codes[rows]
        stated = statements(codes, rng)
        tokens = self._words.tokens(self._sentences(rows, stated, rng))
        images, places = self._seen(rows, shape.filled, rng)
        several, own = codes[:, 0] == SEVERAL, np.eye(len(rows), dtype=np.bool_)
        true = np.where(several[:, None] | several[None], own, truth(stated, codes))
        # a picture of several things may well show the one thing of another's sentence
        known = own | ~(several[None] | uncertain(stated, codes))
        return Batch(
            images,
            _with_unknown_words(tokens, rng),
            torch.from_numpy(true),
            torch.from_numpy(known),
            torch.from_numpy(codes).long(),
            places,
        )

    def _rows(self, shape: BatchShape, rng: np.random.Generator) -> Rows:
        chosen = rng.choice(len(self._pairs), shape.pairs, replace=shape.pairs > len(self._pairs))
        rows = [rng.choice(self._narrow(pair, shape.margin), 2) for pair in chosen]
        counts = {PIECE: shape.pieces, BACKGROUND: shape.backgrounds, SEVERAL: shape.several}
        rows += [rng.choice(self._kinds[kind], count) for kind, count in counts.items()]
        return np.concatenate(rows)

    def _narrow(self, pair: int, margin: float) -> Rows:
        rows = self._pairs[pair]
        count = int(np.searchsorted(self._pool.margins[rows], margin, side="right"))
        return rows[: max(1, count)]

    def _sentences(self, rows: Rows, stated: Codes, rng: np.random.Generator) -> Sequence[str]:
        said = []
        for row, statement in zip(rows, stated, strict=True):
            if statement[0] == SEVERAL:
                things = self._pool.things[row]
                named = [(int(name), int(colour)) for name, colour in things if name != OPEN]
                said.append(list_sentence(named, rng))
            else:
                said.append(sentence(statement, rng))
        return said

    def _seen(self, rows: Rows, share: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return images and places of the crops, a share filled, half of them mirrored."""
        places = torch.from_numpy(self._pool.places[rows]).long()
        images = torch.from_numpy(self._pool.pixels(rows)).permute(0, 3, 1, 2).float().div_(255)
        filled = (self._pool.codes[rows, 0] == OBJECT) & (rng.random(len(rows)) < share)
        masks = torch.from_numpy(self._pool.masks(rows[filled])).unsqueeze(1)
        images[filled], places[filled] = fill(images[filled], masks, places[filled], rng)
        mirrored = rng.random(len(rows)) < 0.5  # noqa: PLR2004
        images[mirrored], places[mirrored] = images[mirrored].flip(-1), places[mirrored].flip(-1)
        gain = rng.uniform(0.88, 1.12, (len(rows), 1)) * rng.uniform(0.97, 1.03, (len(rows), 3))
        shift = rng.uniform(-0.04, 0.04, (len(rows), 1, 1, 1))
        images.mul_(torch.from_numpy(gain).float()[:, :, None, None])
        return images.add_(torch.from_numpy(shift).float()).clamp_(0, 1), places


def fill(
    images: Tensor, masks: Tensor, places: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Put something else where the subject is not; its edge is a little wrong.

    Args:
        images: shape (n, 3, SIDE, SIDE).
        masks: bool, the subjects, shape (n, 1, SIDE, SIDE).
        places: shape (n, 3, GRID, GRID).
        rng: decides what.

    Returns:
        The images, and what is known about places: what is covered is forgotten.
    """
    kind = torch.from_numpy(rng.integers(_FILLS, size=len(images)))
    other = torch.from_numpy(rng.random((len(images), 3, 1, 1), dtype=np.float32))
    other[kind == _MEAN] = torch.tensor(MEAN).view(3, 1, 1) / 255
    other[kind == _GRAY] = 0.5
    other = other.repeat(1, 1, *images.shape[2:])
    noise = rng.random((int((kind == _NOISE).sum()), *images.shape[1:]), dtype=np.float32)
    other[kind == _NOISE] = torch.from_numpy(noise)
    coarse = functional.avg_pool2d(images[kind == _BLUR], 8)
    other[kind == _BLUR] = functional.interpolate(coarse, images.shape[2:], mode="bilinear")
    masks = _wrong_edges(masks, rng)
    covered, blurred = places[:, 2] == 0, (kind == _BLUR).view(-1, 1, 1)
    names = places[:, 0].masked_fill(covered, NO_NAME).masked_fill(covered & blurred, UNKNOWN)
    colours = places[:, 1].masked_fill(covered, NO_COLOUR).masked_fill(covered & blurred, UNKNOWN)
    return torch.where(masks, images, other), torch.stack([names, colours, places[:, 2]], 1)


def _wrong_edges(masks: Tensor, rng: np.random.Generator) -> Tensor:
    """Make some masks a pixel wider or narrower; bool, shape (n, 1, SIDE, SIDE)."""
    edge = torch.from_numpy(rng.random(len(masks))).view(-1, 1, 1, 1)
    wider = functional.max_pool2d(masks.float(), 3, 1, 1) > 0
    narrower = functional.max_pool2d((~masks).float(), 3, 1, 1) == 0
    return torch.where(edge < _WIDE, wider, torch.where(edge > 1 - _NARROW, narrower, masks))


def _with_unknown_words(tokens: Tensor, rng: np.random.Generator) -> Tensor:
    """Put a word that nobody knows somewhere into some of the texts."""
    tokens = tokens.clone()
    for row in np.flatnonzero(rng.random(len(tokens)) < 0.15):  # noqa: PLR2004
        end = int(tokens[row].argmax())
        if end + 1 < tokens.shape[1]:
            at = int(rng.integers(1, end + 1))
            tokens[row, at + 1 : end + 2] = tokens[row, at : end + 1].clone()
            tokens[row, at] = UNKNOWN_WORD
    return tokens
