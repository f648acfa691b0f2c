"""What the tiny CLIP is trained for: sentences, alike crops, and what is where in a crop."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.clip_batches import Batch
from training.pool import GRID, NO_COLOUR, NO_NAME, UNKNOWN
from training.sentences import BACKGROUND, OBJECT, PIECE, SEVERAL, UNSEEN

_ALIKE_SCALE = 10.0
_MAX_SCALE = 50.0


class Heads(nn.Module):
    """Linear heads that only training has: they tell names, colours and the subject."""

    def __init__(self, embed_dim: int, width: int) -> None:
        super().__init__()
        self.name = nn.Linear(embed_dim, NO_NAME + 1)
        self.colour = nn.Linear(embed_dim, NO_COLOUR + 1)
        self.places = nn.Linear(width, NO_NAME + NO_COLOUR + 2)


def sentence_loss(images: Tensor, texts: Tensor, batch: Batch, log_scale: Tensor) -> Tensor:
    """Contrast sentences and crops both ways; all that is true counts alike.

    Args:
        images: unit vectors of the crops, shape (n, d).
        texts: unit vectors of the sentences, shape (n, d).
        batch: says what is true of what.
        log_scale: logarithm of what cosines are multiplied by.
    """
    logits = log_scale.exp().clamp(max=_MAX_SCALE) * texts @ images.T
    logits = logits.masked_fill(~batch.known, -torch.inf)
    return (_many_right(logits, batch.true) + _many_right(logits.T, batch.true.T)) / 2


def alike_loss(images: Tensor, codes: Tensor) -> Tensor:
    """Bring crops of objects of the same name and colour together (arXiv 2004.11362)."""
    objects = codes[:, 0] == OBJECT
    same = (codes[:, None, 1:3] == codes[None, :, 1:3]).all(-1) & objects & objects[:, None]
    own = torch.eye(len(images), dtype=torch.bool, device=images.device)
    logits = (_ALIKE_SCALE * images @ images.T).masked_fill(own, -torch.inf)
    return _many_right(logits[objects], (same & ~own)[objects])


def looks_loss(heads: Heads, vectors: Tensor, codes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Tell the name and the colour from a crop's vector; also return how often that is right."""
    kind, name, colour = codes[:, 0], codes[:, 1], codes[:, 2]
    background, several = kind == BACKGROUND, kind == SEVERAL
    name = name.masked_fill(background, NO_NAME).masked_fill(several | (kind == PIECE), UNKNOWN)
    colour = colour.masked_fill(background, NO_COLOUR).masked_fill(several, UNKNOWN)
    names, colours = heads.name(vectors), heads.colour(vectors)
    names, colours = _without_unseen(names, colours, name, colour)
    loss = functional.cross_entropy(names, name, ignore_index=UNKNOWN)
    loss = loss + functional.cross_entropy(colours, colour, ignore_index=UNKNOWN)
    objects = kind == OBJECT
    right = {
        "name_right": float((names.argmax(1) == name)[objects].float().mean()),
        "colour_right": float((colours.argmax(1) == colour)[objects].float().mean()),
    }
    return loss, right


def places_loss(heads: Heads, tokens: Tensor, places: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Tell from each patch what lies under its centre, and whether that is the subject.

    Also return how often the name is right where the subject is.

    Args:
        heads: the linear heads.
        tokens: patches, shape (n, side², width).
        places: int64, shape (n, 3, GRID, GRID).
    """
    names, colours, subject = (
        heads.places(tokens).transpose(1, 2).split([NO_NAME, NO_COLOUR + 1, 1], dim=1)
    )
    side = math.isqrt(tokens.shape[1])
    at = (torch.arange(side) * 2 + 1) * GRID // (2 * side)  # the patches' centres
    name, colour, is_subject = places[:, :, at][..., at].flatten(2).unbind(1)
    # where the subject is not, only colours are told: the rest may be cut off, or background
    name = name.masked_fill((is_subject == 0) | (name == NO_NAME), UNKNOWN)
    names, colours = _without_unseen(names, colours, name, colour)
    loss = functional.cross_entropy(names, name, ignore_index=UNKNOWN)
    loss = loss + functional.cross_entropy(colours, colour, ignore_index=UNKNOWN)
    loss = loss + functional.binary_cross_entropy_with_logits(subject[:, 0], is_subject.float())
    right = (names.argmax(1) == name)[name != UNKNOWN]
    return loss, {"places_right": float(right.float().mean())}


def _without_unseen(
    names: Tensor, colours: Tensor, name: Tensor, colour: Tensor
) -> tuple[Tensor, Tensor]:
    """Take the names never seen in a colour out of the choice, and the colours of a name.

    Or it would be learned that what is white is no fish, because no scene has a white fish.

    Args:
        names: logits, shape (n, names, ...).
        colours: logits, shape (n, colours, ...).
        name: the right ones, or `UNKNOWN`; shape (n, ...).
        colour: likewise.
    """
    unseen = torch.from_numpy(UNSEEN).to(names.device)
    by_colour = unseen.T[colour.clamp(max=NO_COLOUR)].movedim(-1, 1)[:, : names.shape[1]]
    by_name = unseen[name.clamp(max=NO_NAME)].movedim(-1, 1)
    return names.masked_fill(by_colour, -torch.inf), colours.masked_fill(by_name, -torch.inf)


def _many_right(logits: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy of each row against the uniform distribution over what is right in it."""
    counts = right.sum(1)
    kept = counts > 0
    logs = torch.log_softmax(logits, dim=1).masked_fill(~right, 0.0)
    return (-logs.sum(1)[kept] / counts[kept]).mean()
