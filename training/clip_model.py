"""The tiny CLIP in training: open_clip's own class, with only the words that sentences use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.sentences import vocabulary

if TYPE_CHECKING:
    from open_clip import CLIP
    from open_clip.transformer import VisionTransformer

#: What stands for every word that no sentence has: its vector is zero, here and when exported.
UNKNOWN_WORD = 0


class Words:
    """The tokens that sentences use, renumbered.

    The order of CLIP's tokens is kept: the end of a text is the highest, as open_clip expects.

    Attributes:
        ids: CLIP's own number of each, ascending; the first is `UNKNOWN_WORD`.
    """

    def __init__(self, context_length: int) -> None:
        """Collect the tokens of the whole vocabulary."""
        from open_clip import SimpleTokenizer

        self._tokenizer = SimpleTokenizer(context_length=context_length)
        self.ids: list[int] = np.unique(self._tokenizer(list(vocabulary())).numpy()).tolist()
        assert self.ids[0] == UNKNOWN_WORD  # noqa: S101 - open_clip pads with it
        self._known: dict[str, Tensor] = {}

    def tokens(self, sentences: Sequence[str]) -> Tensor:
        """Return int64 tokens, shape (n, context length)."""
        return torch.stack([self._one(sentence) for sentence in sentences])

    def _one(self, sentence: str) -> Tensor:
        if sentence not in self._known:
            found = self._tokenizer([sentence])[0]
            at = torch.searchsorted(torch.tensor(self.ids), found)
            self._known[sentence] = at
        return self._known[sentence]


def read_config(path: Path) -> dict[str, Any]:
    """Read an open_clip model configuration."""
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def build(config: Mapping[str, Any], words: Words) -> CLIP:
    """Build the model with those words alone, ready to be trained."""
    from open_clip import CLIP

    text = {**config["text_cfg"], "vocab_size": len(words.ids)}
    model = CLIP(config["embed_dim"], dict(config["vision_cfg"]), text)
    embedding = nn.Embedding(len(words.ids), text["width"], padding_idx=UNKNOWN_WORD)
    with torch.no_grad():
        embedding.weight.mul_(0.02)
    model.token_embedding = embedding
    prepare(model.visual)
    return model


@torch.no_grad()
def prepare(visual: VisionTransformer) -> None:
    """Start attention where training on little data would bring it (arXiv 2305.09828).

    Patches begin by attending to those near them: positions are waves, queries are like keys.
    """
    from open_clip.pos_embed import get_2d_sincos_pos_embed

    width, grid = visual.positional_embedding.shape[1], visual.grid_size[0]
    waves = get_2d_sincos_pos_embed(width, grid, cls_token=True)
    visual.positional_embedding.copy_(torch.from_numpy(waves) * 0.7)
    for block in visual.transformer.resblocks:
        attention, heads = block.attn, block.attn.num_heads
        query, key, value = attention.in_proj_weight.chunk(3)
        for part in range(heads):
            rows = slice(part * width // heads, (part + 1) * width // heads)
            left, right = _factors(0.7, 0.7, width)
            query[rows], key[rows] = left.T[: width // heads], right[: width // heads]
        left, right = _factors(0.4, -0.4, width)
        attention.out_proj.weight.copy_(left)
        value.copy_(right)


def _factors(noise: float, identity: float, width: int) -> tuple[Tensor, Tensor]:
    """Return factors, strongest parts first, of a multiple of the identity with noise."""
    product = noise * torch.randn(width, width) / width**0.5 + identity * torch.eye(width)
    left, values, right = torch.linalg.svd(product)
    return left * values.sqrt(), right * values.sqrt()[:, None]


def look(visual: VisionTransformer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Look at pictures of any whole number of patches, as the model does at those of its side.

    Args:
        visual: the visual tower.
        images: normalised, shape (n, 3, s, s).

    Returns:
        Vectors, shape (n, d), and patches after the last block, shape (n, grid², width).
    """
    patches = visual.conv1(images)
    side = patches.shape[-1]
    first, others = visual.positional_embedding.split([1, visual.grid_size[0] ** 2])
    square = others.T.reshape(1, -1, *visual.grid_size)
    if side != visual.grid_size[0]:
        square = functional.interpolate(square, side, mode="bilinear", antialias=True)
    tokens = (patches + square).flatten(2).transpose(1, 2)
    start = (visual.class_embedding + first).expand(len(images), 1, -1)
    tokens = visual.transformer(visual.ln_pre(torch.cat([start, tokens], dim=1)))
    vectors, tokens = visual._pool(tokens)
    return vectors @ visual.proj, tokens


def widened(
    state: Mapping[str, Tensor], config: Mapping[str, Any], words: Words
) -> dict[str, Tensor]:
    """Return the state with CLIP's whole vocabulary, as open_clip's own model has it."""
    known = state["token_embedding.weight"]
    table = known.new_zeros(config["text_cfg"]["vocab_size"], known.shape[1])
    table[torch.tensor(words.ids, device=known.device)] = known
    return {**state, "token_embedding.weight": table}
