"""SAM 2's mask decoder for many prompts on one picture: upstream's mathematics, less of it.

A part of the adapter of the `sam2` package, see `sam2_model.py`; upstream's is
`sam2/modeling/sam/mask_decoder.py` and `transformer.py`. Prompts are a few tokens, the picture is
thousands, so whatever can be is done to the tokens or once for the picture:

- *Shared.* Before the first layer has changed it, the picture looks the same to every prompt: its
  projections there are computed once, and no prompt gets a copy.
- *Folded.* A token t of head h scores pixel n by q_th · (W_h (k_n + p_n)). Instead of projecting
  all pixels, the token is taken through W_hᵀ; what is attended is summed first and projected then;
  positions p_n go through W_h once, as they never change.
- *Late.* Only the token of the predicted IoU goes through the last attention at first. Those of a
  mask, and the upscaling to its logits, follow for the masks that are asked for.

Shapes: B prompts, T tokens each, N = h·w pixels of the image embedding, C channels, H heads, D
channels inside an attention. Folded tokens have H·T rows, heads first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from sam2.modeling.sam.mask_decoder import MaskDecoder
    from sam2.modeling.sam2_base import SAM2Base


@dataclass(frozen=True, eq=False)
class ImageSide:
    """What the decoder takes from one picture, the same for all prompts.

    Attributes:
        keys: the image embedding, (1, N, C).
        looked_at: keys and values of the first layer's attention of tokens to the picture, each
            (1, H, N, D / H).
        looking: queries of its attention of the picture to tokens, (D, N).
        upscaled: what the picture adds to each of the two upscaling steps, ordered like their
            output: (1, N, 4 · C / 4) and (1, 4 N, 4 · C / 8).
    """

    keys: Tensor
    looked_at: tuple[Tensor, Tensor]
    looking: Tensor
    upscaled: tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Decoded:
    """Prompts of one picture on their way through the decoder.

    Attributes:
        ious: float32 predicted IoUs of all mask tokens, (B, 1 + 3): the single mask's, and those
            of the three candidates.
        queries: tokens after the last layer, float32, (B, T, C).
        prompts: tokens as they came in, float32, (B, T, C).
        keys: the picture as each prompt sees it after the last layer, (B, N, C).
        image: the picture.
    """

    ious: Tensor
    queries: Tensor
    prompts: Tensor
    keys: Tensor
    image: ImageSide


class FoldedDecoder:
    """SAM 2's prompt encoder and mask decoder.

    Attributes:
        size: (h, w) of the image embedding, pixels.
        image_size: side of the square that the model sees, pixels.
    """

    def __init__(self, model: SAM2Base, precision: torch.dtype) -> None:
        """Prepare what depends on the model alone.

        Args:
            model: upstream's, in evaluation mode on its device.
            precision: of everything that has N pixels; tokens are float32.
        """
        decoder: MaskDecoder = model.sam_mask_decoder
        self._decoder = decoder
        self._encoder = model.sam_prompt_encoder
        self._precision = precision
        self.size: tuple[int, int] = self._encoder.image_embedding_size
        self.image_size = int(model.image_size)
        positions = self._encoder.get_dense_pe()[0].flatten(1).t()
        self._positions = positions
        layers: Sequence[Any] = decoder.transformer.layers
        self._first, *self._later = layers
        self._to_picture = [
            _ToPicture(layer.cross_attn_token_to_image, positions, precision)
            for layer in self._later
        ]
        self._last = _ToPicture(decoder.transformer.final_attn_token_to_image, positions, precision)
        self._from_picture = [
            _FromPicture(layer.cross_attn_image_to_token, layer.norm4, positions, precision)
            for layer in layers
        ]
        own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if decoder.pred_obj_scores:
            own.insert(0, decoder.obj_score_token.weight)
        self._own_tokens = torch.cat(own)
        self._iou_token = len(own) - 2
        self._upscaling = _Upscaling(decoder.output_upscaling, self.size, precision)

    def image_side(self, embedding: Tensor, high_res: Sequence[Tensor]) -> ImageSide:
        """Compute what all prompts on a picture share.

        Args:
            embedding: the picture's, (C, h, w).
            high_res: its features at four times and at twice that size,
                (C / 8, 4 h, 4 w) and (C / 4, 2 h, 2 w); nothing if the model takes none.
        """
        no_mask: Tensor = self._encoder.no_mask_embed.weight
        keys = embedding.float().flatten(1).t() + no_mask
        placed = keys + self._positions
        at = self._first.cross_attn_token_to_image
        looked_at = (
            _split(at.k_proj(placed)[None].to(self._precision), at.num_heads),
            _split(at.v_proj(keys)[None].to(self._precision), at.num_heads),
        )
        looking = self._first.cross_attn_image_to_token.q_proj(placed)
        return ImageSide(
            keys[None].to(self._precision),
            looked_at,
            looking.to(self._precision).t().contiguous(),
            self._upscaling.image_side(high_res),
        )

    def prompts(self, points: Tensor, labels: Tensor) -> Tensor:
        """Return the tokens of prompts, (B, T, C).

        Args:
            points: float32 (x, y) in pixels of the square that the model sees, (B, P, 2).
            labels: int32 as in upstream's prompt encoder, (B, P).
        """
        given, _ = self._encoder((points, labels), None, None)
        return torch.cat([self._own_tokens.expand(len(given), -1, -1), given], 1)

    def decode(self, image: ImageSide, prompts: Tensor) -> Decoded:
        """Send prompts, (B, T, C), through the layers, and predict the IoUs of their masks."""
        first = self._first
        queries = first.norm1(first.self_attn(prompts, prompts, prompts))
        queries = self._update(first, queries, self._first_look(queries + prompts, image))
        keys = self._from_picture[0].first(queries, prompts, image)
        for number, layer in enumerate(self._later):
            placed = queries + prompts
            queries = layer.norm1(queries + layer.self_attn(placed, placed, queries))
            seen = self._to_picture[number].look(queries + prompts, keys)
            queries = self._update(layer, queries, seen)
            keys = self._from_picture[number + 1].later(queries, prompts, keys)
        token = [self._iou_token]
        (found,) = self._finish(queries[:, token], prompts[:, token], keys).unbind(1)
        ious = self._decoder.iou_prediction_head(found)
        return Decoded(ious, queries, prompts, keys, image)

    def logits(self, decoded: Decoded, prompts: Sequence[int], masks: Sequence[int]) -> Tensor:
        """Return float32 logits, (P, M, 4 h, 4 w).

        Args:
            decoded: what `decode` returned.
            prompts: which P of its prompts.
            masks: which M mask tokens of each: 0 is the single mask, from 1 on the candidates.
        """
        # a slice of one is a view; a list would copy the picture
        chosen = slice(prompts[0], prompts[0] + 1) if len(prompts) == 1 else list(prompts)
        tokens = [self._iou_token + 1 + mask for mask in masks]
        keys = decoded.keys[chosen]
        found = self._finish(
            decoded.queries[chosen][:, tokens], decoded.prompts[chosen][:, tokens], keys
        )
        networks = self._decoder.output_hypernetworks_mlps
        weights = [
            networks[mask](token) for mask, token in zip(masks, found.unbind(1), strict=True)
        ]
        return self._upscaling.logits(keys, decoded.image, torch.stack(weights, 1))

    def are_stable(self, logits: Tensor) -> Tensor:
        """Say which single masks, (P, 4 h, 4 w), need not give way to the best of three."""
        decoder = self._decoder
        if not decoder.dynamic_multimask_via_stability:
            return torch.ones(len(logits), dtype=torch.bool)
        scores: Tensor = decoder._get_stability_scores(logits)
        stable: Tensor = scores >= decoder.dynamic_multimask_stability_thresh
        return stable

    @staticmethod
    def _update(layer: Any, queries: Tensor, seen: Tensor) -> Tensor:  # noqa: ANN401
        """Give tokens what they have seen of the picture."""
        queries = layer.norm2(queries + seen)
        updated: Tensor = layer.norm3(queries + layer.mlp(queries))
        return updated

    def _first_look(self, tokens: Tensor, image: ImageSide) -> Tensor:
        """Attend to the picture that no prompt has changed yet: all prompts are one."""
        at = self._first.cross_attn_token_to_image
        queries = at.q_proj(tokens).flatten(0, 1)[None].to(self._precision)
        found = functional.scaled_dot_product_attention(
            _split(queries, at.num_heads), *image.looked_at
        )
        joined: Tensor = at.out_proj(found.transpose(1, 2).flatten(2).float())
        return joined.view(tokens.shape)

    def _finish(self, queries: Tensor, prompts: Tensor, keys: Tensor) -> Tensor:
        """Send some tokens through the last attention."""
        seen = self._last.look(queries + prompts, keys)
        finished: Tensor = self._decoder.transformer.norm_final_attn(queries + seen)
        return finished


class _ToPicture:
    """An attention of tokens to the picture, whose side of it is folded into the tokens."""

    def __init__(self, at: Any, positions: Tensor, precision: torch.dtype) -> None:  # noqa: ANN401
        self._at = at
        self._positions = at.k_proj(positions).to(precision).t().contiguous()
        self._precision = precision

    def look(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """Return what tokens, (B, T, C), see of the picture, (B, N, C): (B, T, C)."""
        at, heads = self._at, self._at.num_heads
        queries = at.q_proj(tokens) * (at.internal_dim // heads) ** -0.5
        folded = _fold(queries, at.k_proj.weight, heads).to(self._precision)
        placed = _spread(queries, heads).to(self._precision) @ self._positions
        shares = torch.baddbmm(placed, folded, keys.transpose(1, 2)).softmax(-1)
        seen = torch.bmm(shares, keys).float().view(len(tokens), heads, -1, keys.shape[-1])
        per_head = at.v_proj.weight.view(heads, -1, keys.shape[-1])
        found = torch.einsum("bhtc,hdc->bthd", seen, per_head)
        joined: Tensor = at.out_proj(found.flatten(2) + at.v_proj.bias)
        return joined


class _FromPicture:
    """An attention of the picture to tokens, and the norm that follows, folded likewise."""

    def __init__(self, at: Any, norm: Any, positions: Tensor, precision: torch.dtype) -> None:  # noqa: ANN401
        self._at = at
        self._norm = (norm.weight.shape, norm.weight.to(precision), norm.bias.to(precision))
        self._eps = norm.eps
        self._positions = at.q_proj(positions).to(precision).t().contiguous()
        self._precision = precision

    def first(self, queries: Tensor, prompts: Tensor, image: ImageSide) -> Tensor:
        """Return the picture as it becomes for each of B prompts, (B, N, C)."""
        scores = self._spread(self._tokens(queries, prompts)) @ image.looking
        return self._changed(scores, queries, image.keys.repeat(len(queries), 1, 1))

    def later(self, queries: Tensor, prompts: Tensor, keys: Tensor) -> Tensor:
        """Return the picture, (B, N, C), changed once more; what it was is overwritten."""
        tokens = self._tokens(queries, prompts)
        placed = self._spread(tokens) @ self._positions
        folded = _fold(tokens, self._at.q_proj.weight, self._at.num_heads)
        scores = torch.baddbmm(placed, folded.to(self._precision), keys.transpose(1, 2))
        return self._changed(scores, queries, keys)

    def _tokens(self, queries: Tensor, prompts: Tensor) -> Tensor:
        at = self._at
        tokens: Tensor = at.k_proj(queries + prompts) * (at.internal_dim // at.num_heads) ** -0.5
        return tokens

    def _spread(self, tokens: Tensor) -> Tensor:
        return _spread(tokens, self._at.num_heads).to(self._precision)

    def _changed(self, scores: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        at, heads = self._at, self._at.num_heads
        count, _, pixels = scores.shape
        shares = scores.view(count, heads, -1, pixels).softmax(2).view(scores.shape)
        values = _fold(at.v_proj(queries), at.out_proj.weight.t(), heads)
        # each pixel's shares of a head sum up to one: so the bias comes in just once
        values = (values + at.out_proj.bias / heads).to(self._precision)
        keys.baddbmm_(shares.transpose(1, 2), values)
        return functional.layer_norm(keys, *self._norm, self._eps)


class _Upscaling:
    """The upscaling to logits. A 2 × 2 step of stride 2 is a linear map of each pixel to four."""

    def __init__(self, steps: Any, size: tuple[int, int], precision: torch.dtype) -> None:  # noqa: ANN401
        first, norm, _, second, _ = steps
        self._weights = tuple(
            step.weight.permute(0, 2, 3, 1).flatten(1).to(precision) for step in (first, second)
        )
        self._biases = (first.bias, second.bias)
        self._norm = (norm.weight.shape, norm.weight.to(precision), norm.bias.to(precision))
        self._eps = norm.eps
        self._size = size
        self._precision = precision

    def image_side(self, high_res: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the picture's features add to each step, see `ImageSide.upscaled`."""
        if not high_res:  # a model that takes none
            height, width = self._size
            sizes = zip(self._biases, (2, 4), strict=True)
            coarse, fine = (
                bias.new_zeros(len(bias), times * height, times * width) for bias, times in sizes
            )
            high_res = fine, coarse
        fine, coarse = high_res
        return self._blocks(coarse, 1), self._blocks(fine, 2)

    def logits(self, keys: Tensor, image: ImageSide, weights: Tensor) -> Tensor:
        """Return (P, M, 4 h, 4 w) from keys, (P, N, C), and weights of masks, (P, M, C / 8)."""
        count = len(keys)
        coarse, fine = (one.expand(count, -1, -1) for one in image.upscaled)
        first, second = (weight.expand(count, -1, -1) for weight in self._weights)
        found = torch.baddbmm(coarse, keys, first).view(count, fine.shape[1], -1)
        found = functional.gelu(functional.layer_norm(found, *self._norm, self._eps))
        found = functional.gelu(torch.baddbmm(fine, found, second))
        found = found.view(count, 4 * fine.shape[1], -1)
        blocks = torch.bmm(weights.to(self._precision), found.transpose(1, 2)).float()
        height, width = self._size
        # each pixel's 4 × 4: of the first step, of the second; taken apart from the first on
        steps = blocks.view(-1, height * width, 4, 4).permute(0, 3, 2, 1)
        once = functional.pixel_shuffle(steps.reshape(-1, 16, height, width), 2)
        return functional.pixel_shuffle(once, 2).view(count, -1, 4 * height, 4 * width)

    def _blocks(self, features: Tensor, step: int) -> Tensor:
        """Order features, (c, 2ˢ h, 2ˢ w), as upscaling step s puts them out: (1, 4ˢ⁻¹ N, 4 c)."""
        height, width = self._size
        channels = len(features)
        split = features.float().view(channels, height, *[2] * step, width, *[2] * step)
        down, across = range(2, 2 + step), range(3 + step, 3 + 2 * step)
        within = [axis for pair in zip(down, across, strict=True) for axis in pair]
        ordered = split.permute(1, 2 + step, *within, 0) + self._biases[step - 1]
        blocks: Tensor = ordered.reshape(1, -1, 4 * channels).to(self._precision)
        return blocks


def _split(x: Tensor, heads: int) -> Tensor:
    """Turn (B, n, D) into (B, H, n, D / H)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _spread(x: Tensor, heads: int) -> Tensor:
    """Turn tokens, (B, T, D), into (B, H · T, D) with zeros outside of each row's head."""
    count, tokens, channels = x.shape
    of_head = torch.eye(heads, device=x.device).view(1, heads, 1, heads, 1)
    spread = x.view(count, 1, tokens, heads, -1) * of_head
    return spread.view(count, heads * tokens, channels)


def _fold(x: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Take tokens, (B, T, D), each head apart, through a weight, (D, C): (B, H · T, C)."""
    count, tokens, _ = x.shape
    per_head = weight.reshape(heads, -1, weight.shape[1])
    folded = torch.einsum("bthd,hdc->bhtc", x.view(count, tokens, heads, -1), per_head)
    joined: Tensor = folded.reshape(count, heads * tokens, -1)
    return joined
