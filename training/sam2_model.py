"""The demo SAM 2 as a module to train: upstream's parts, called as its predictor calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

if TYPE_CHECKING:
    from sam2.modeling.sam.transformer import Attention
    from sam2.modeling.sam2_base import SAM2Base

#: How many frequencies of the position encoding prompts are found by. The mean of two corners'
#: encodings is that of their middle, only weaker, where the box is shorter than half a period: so
#: most boxes are found as clicks are.
_CHOSEN = 16
_SHARPNESS = 3.2
#: One token of seven brings the position that all share.
_SHARE = 4.0
#: Scale of the nearness: at the start, a click makes a blob of an object's size.
_NEAR = 10.0


@torch.no_grad()
def look_at_the_prompt(model: SAM2Base) -> None:
    """Make the tokens look at the prompts' places in the picture, and hand on what is there.

    From upstream's initialisation a model needs a thousand steps to find out where a point is, and
    until then learns that no mask is the safest one. Here some channels are the sines and cosines
    of a few frequencies of the position encoding with nothing else in them; the tokens share
    theirs, and the heads compare just those of token and picture, which agree most where the
    prompt is.
    """
    layers = model.sam_mask_decoder.transformer.layers
    channels = _position_channels(model)
    for attention in _attentions(model):
        nn.init.orthogonal_(attention.v_proj.weight)
        attention.v_proj.weight[:, channels] = 0
        attention.out_proj.weight.copy_(attention.v_proj.weight.T)
    for layer in layers:
        nn.init.zeros_(layer.mlp.layers[-1].weight)
        for projection in (layer.self_attn.v_proj, layer.self_attn.out_proj):
            nn.init.eye_(projection.weight)
            nn.init.zeros_(projection.bias)
        nn.init.zeros_(layer.cross_attn_image_to_token.out_proj.weight)
    layers[0].self_attn.v_proj.weight[channels, channels] = _SHARE
    hold_on_the_prompt(model)


@torch.no_grad()
def hold_on_the_prompt(model: SAM2Base) -> None:
    """Undo what a training step changed of where the tokens look."""
    channels = _position_channels(model)
    prompts, decoder = model.sam_prompt_encoder, model.sam_mask_decoder
    written = [level.conv for level in model.image_encoder.neck.convs[:2]]  # strides 32 and 16
    for layer in decoder.transformer.layers:
        written += [layer.cross_attn_token_to_image.out_proj, layer.mlp.layers[-1]]
    for module in written:
        module.weight[channels] = 0
        module.bias[channels] = 0
    tokens = [prompts.not_a_point_embed, prompts.no_mask_embed, *prompts.point_embeddings]
    for token in [*tokens, decoder.iou_token, decoder.mask_tokens]:
        token.weight[:, channels] = 0
    model.no_mem_embed[..., channels] = 0
    for attention in _attentions(model):
        _compare(attention, channels)


def _position_channels(model: SAM2Base) -> Tensor:
    """Return the channels of the first frequencies: all sines, then all cosines."""
    frequencies = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    chosen = torch.arange(_CHOSEN, device=frequencies.device)
    return torch.cat([chosen, chosen + frequencies.shape[1]])


def _attentions(model: SAM2Base) -> list[Attention]:
    """Return those between tokens and picture, of either direction."""
    transformer = model.sam_mask_decoder.transformer
    found = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        found += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    return found


def _compare(attention: Attention, channels: Tensor) -> None:
    """Let each head's queries and keys be some of the channels."""
    sines, cosines = channels.chunk(2)
    weight = torch.zeros_like(attention.q_proj.weight)  # (dimensions of all heads, width)
    per_head = len(weight) // attention.num_heads // 2
    for row in range(len(weight) // 2):
        head, i = divmod(row, per_head)
        frequency = head * (len(sines) - per_head) // (attention.num_heads - 1) + i
        weight[head * 2 * per_head + i, sines[frequency]] = _SHARPNESS
        weight[(head * 2 + 1) * per_head + i, cosines[frequency]] = _SHARPNESS
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight.copy_(weight)
        projection.bias.zero_()


def set_side(model: SAM2Base, side: int, window: int | None = None) -> None:
    """Let the model take pictures of another side than it was built for, or windows of them.

    Args:
        model: the model.
        side: of whole pictures, in pixels.
        window: side of the square part that the model is shown; None shows whole pictures.
    """
    grid = (window or side) // model.backbone_stride
    encoder = model.sam_prompt_encoder
    model.image_size, model.sam_image_embedding_size = side, grid
    encoder.input_image_size = (side, side)
    encoder.image_embedding_size = (grid, grid)
    encoder.mask_input_size = (4 * grid, 4 * grid)


def encode(model: SAM2Base, pictures: Tensor) -> list[Tensor]:
    """Return the features of strides 16, 8 and 4, as upstream's image predictor hands them on."""
    fine, middle, deep = model.forward_image(pictures)["backbone_fpn"]
    return [deep + model.no_mem_embed.reshape(1, -1, 1, 1), middle, fine]


def decode(
    model: SAM2Base,
    features: list[Tensor],
    points: tuple[Tensor, Tensor],
    previous: Tensor | None = None,
    origin: tuple[int, int] = (0, 0),
) -> tuple[Tensor, Tensor]:
    """Answer prompts on one picture, or on a window of it.

    Args:
        model: the model.
        features: of the picture, each of batch size 1, from `encode`.
        points: coordinates (P, N, 2) in the window and labels (P, N).
        previous: logits (P, 1, s, s) of an earlier answer.
        origin: row and column of the window in the picture, in cells of the embedding.

    Returns:
        logits (P, 4, s, s) and predicted IoUs (P, 4) of all mask tokens.
    """
    encoder, stride = model.sam_prompt_encoder, model.backbone_stride
    offset = torch.tensor(origin[::-1], device=features[0].device) * stride
    sparse, dense = encoder((points[0] + offset, points[1]), boxes=None, masks=previous)
    whole = encoder.pe_layer((model.image_size // stride,) * 2)[None]
    (row, column), grid = origin, features[0].shape[-1]
    logits, ious, _, _ = model.sam_mask_decoder.predict_masks(
        image_embeddings=features[0],
        image_pe=whole[..., row : row + grid, column : column + grid],
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=True,
        high_res_features=[features[2], features[1]],
    )
    return logits, ious


def best_of_three(logits: Tensor, ious: Tensor) -> Tensor:
    """Return the masks (P, s, s) of the highest predicted IoU among those of tokens 1 to 3."""
    return logits[torch.arange(len(ious)), 1 + ious[:, 1:].argmax(1)]


class Shortcut(nn.Module):
    """Answers clicks without the decoder's transformer: so cheaply that a picture gets many.

    The features at a click, instead of the mask tokens that a prompt turns them into, go through
    the decoder's own hypernetworks; the picture's, as they are before any prompt, through its own
    upscaling. It teaches the encoder to tell objects apart, and those parts their work. That
    pixels near the click are likelier, which the transformer finds out by itself, is added here by
    the one layer of its own; it is dropped after training.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.nearness = nn.Linear(width, 1)

    def forward(self, model: SAM2Base, features: list[Tensor], places: Tensor) -> Tensor:
        """Answer clicks.

        Args:
            model: the model.
            features: of the picture, each of batch size 1, from `encode`.
            places: (K, 2), (x, y) in [-1, 1] over the window.

        Returns:
            logits (K, 4, s, s) of all mask tokens.
        """
        decoder, layers = model.sam_mask_decoder, model.sam_mask_decoder.transformer.layers
        deep, middle, fine = features
        deep = deep + model.sam_prompt_encoder.no_mask_embed.weight[:, :, None, None]
        for layer in layers:
            deep = layer.norm4(deep.movedim(1, -1)).movedim(-1, 1)
        first, norm, act, second, last_act = decoder.output_upscaling
        upscaled = last_act(second(act(norm(first(deep) + middle))) + fine)[0]
        clicked = F.grid_sample(deep, places[None, :, None], align_corners=False)[0, :, :, 0].T
        weights = [hypernetwork(clicked) for hypernetwork in decoder.output_hypernetworks_mlps]
        logits = torch.einsum("ktd,dyx->ktyx", torch.stack(weights, 1), upscaled)
        nearness = _NEAR * F.softplus(self.nearness(clicked))
        window: float = deep.shape[-1] * model.backbone_stride / model.image_size
        away = _squared_distances(places, logits.shape[-1]) * window**2
        return logits - nearness[:, :, None, None] * away[:, None]


def _squared_distances(places: Tensor, side: int) -> Tensor:
    """Return (K, side, side): how far each pixel is from each place, squared, in half windows."""
    steps = (2 * torch.arange(side, device=places.device) + 1) / side - 1
    x, y = (places[:, i, None] - steps for i in (0, 1))
    return x.square()[:, None] + y.square()[:, :, None]
