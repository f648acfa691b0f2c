"""The folded decoder against upstream's, on the same weights and image embedding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from indexer.profiles import Profile, load_profile
from indexer.segmentation.sam2_decoder import FoldedDecoder, ImageSide
from indexer.segmentation.sam2_model import Embedded, Sam2Model

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module", params=["seeded", "demo"])
def model(request: pytest.FixtureRequest, fast_profile: Profile) -> Sam2Model:
    """Once with a token for whether there is an object at all, once without."""
    profile = fast_profile if request.param == "seeded" else load_profile("demo")
    model = Sam2Model(profile.sam2, CPU)
    assert model.upstream.sam_mask_decoder.pred_obj_scores is (request.param == "seeded")
    return model


@pytest.fixture(scope="module")
def embedded(model: Sam2Model, scene: Pixels) -> Embedded:
    return model.embed(scene)


def image_side(decoder: FoldedDecoder, embedded: Embedded) -> ImageSide:
    features = embedded.predictor._features
    return decoder.image_side(
        features["image_embed"][0], [level[0] for level in features["high_res_feats"]]
    )


def by_upstream(
    model: Sam2Model, embedded: Embedded, points: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the logits of all mask tokens, (B, 4, h, w), and their predicted IoUs, (B, 4)."""
    sam, features = model.upstream, embedded.predictor._features
    sparse, dense = sam.sam_prompt_encoder((points, labels), None, None)
    logits, ious, _, _ = sam.sam_mask_decoder.predict_masks(
        image_embeddings=features["image_embed"],
        image_pe=sam.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=True,
        high_res_features=features["high_res_feats"],
    )
    return logits, ious


def grid(model: Sam2Model, side: int) -> tuple[Tensor, Tensor]:
    """Return one point a prompt, (side², 1, 2) in the model's pixels, and their labels."""
    at = (torch.arange(side) + 0.5) / side * model.image_size
    points = torch.cartesian_prod(at, at).flip(1)[:, None]
    return points, torch.ones(points.shape[:2], dtype=torch.int32)


def clicks(model: Sam2Model) -> tuple[Tensor, Tensor]:
    """Return two prompts of three points each, some of them beside the object."""
    shares = torch.tensor([[[0.2, 0.3], [0.6, 0.4], [0.9, 0.9]], [[0.5, 0.5], [0.0, 0.1], [1, 1]]])
    return shares * model.image_size, torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=torch.int32)


def boxes(model: Sam2Model) -> tuple[Tensor, Tensor]:
    """Return the upper left and lower right corners of three boxes, labelled as such."""
    shares = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.0, 0.0, 1.0, 1.0], [0.6, 0.7, 0.62, 0.75]])
    corners = shares.view(3, 2, 2) * model.image_size
    return corners, torch.tensor([[2, 3]] * 3, dtype=torch.int32)


PROMPTS: dict[str, Callable[[Sam2Model], tuple[Tensor, Tensor]]] = {
    "a point": lambda model: grid(model, 1),
    "a grid": lambda model: grid(model, 4),
    "clicks": clicks,
    "boxes": boxes,
    "a box": lambda model: (boxes(model)[0][:1], boxes(model)[1][:1]),
}


@pytest.mark.parametrize("prompts", PROMPTS)
@torch.no_grad()
def test_logits_and_ious_are_upstreams(model: Sam2Model, embedded: Embedded, prompts: str) -> None:
    points, labels = PROMPTS[prompts](model)
    expected, ious = by_upstream(model, embedded, points, labels)
    decoder = FoldedDecoder(model.upstream, torch.float32)
    decoded = decoder.decode(image_side(decoder, embedded), decoder.prompts(points, labels))
    assert decoded.ious.shape == (len(points), 4)
    # the seeded weights magnify: there upstream's own float32 is 2e-3 away from its float64
    nearly = 1e-4 if model.upstream.sam_mask_decoder.pred_obj_scores else 1e-5
    torch.testing.assert_close(decoded.ious, ious, rtol=0, atol=nearly)
    found = decoder.logits(decoded, range(len(points)), range(4))
    side = model.image_size // 4
    assert (found.shape, found.dtype) == ((len(points), 4, side, side), torch.float32)
    assert (found - expected).abs().max() <= 1e-3 * expected.std()


@torch.no_grad()
def test_masks_are_made_of_the_prompts_and_tokens_asked_for(
    model: Sam2Model, embedded: Embedded
) -> None:
    points, labels = grid(model, 2)
    decoder = FoldedDecoder(model.upstream, torch.float32)
    decoded = decoder.decode(image_side(decoder, embedded), decoder.prompts(points, labels))
    every = decoder.logits(decoded, range(4), range(4))
    least = 1e-4 * every.std()
    for prompts, masks in (([3, 1], [2, 0]), ([2], [3]), ([0], [1, 2]), ([0, 2], [0])):
        found = decoder.logits(decoded, prompts, masks)
        assert (found - every[prompts][:, masks]).abs().max() <= least
    assert (every[0] - every[3]).abs().max() > every.std()  # so an exchange would be seen
    assert (every[:, 1] - every[:, 2]).abs().max() > 100 * least


@torch.no_grad()
def test_bfloat16_makes_nearly_the_same_masks(scene: Pixels) -> None:
    model = Sam2Model(load_profile("demo").sam2, CPU)
    embedded = model.embed(scene)
    points, labels = grid(model, 5)
    expected, ious = by_upstream(model, embedded, points, labels)
    rough = FoldedDecoder(model.upstream, torch.bfloat16)
    decoded = rough.decode(image_side(rough, embedded), rough.prompts(points, labels))
    logits = rough.logits(decoded, range(len(points)), range(4))
    assert (decoded.keys.dtype, decoded.ious.dtype) == (torch.bfloat16, torch.float32)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(decoded.ious, ious, rtol=0, atol=0.05)
    good = ious > 0.7
    assert good.sum() > 10
    found, exact = logits[good] > 0, expected[good] > 0
    overlaps = (found & exact).sum((1, 2)) / (found | exact).sum((1, 2))
    assert overlaps.min() >= 0.95
    assert (logits - expected).abs().max() > 0  # it did compute with less


@torch.no_grad()
def test_which_single_masks_are_stable(fast_profile: Profile) -> None:
    """Those with nearly no pixel from -0.05 to 0.05; of a decoder that never gives way, all."""
    model = Sam2Model(fast_profile.sam2, CPU)
    logits = torch.tensor([[[1.0, 0.0]], [[1.0, -1.0]], [[-1.0, -1.0]], [[0.06, 0.04]]])
    decoder = FoldedDecoder(model.upstream, torch.float32)
    assert decoder.are_stable(logits).tolist() == [False, True, True, False]
    model.upstream.sam_mask_decoder.dynamic_multimask_via_stability = False
    assert decoder.are_stable(logits).tolist() == [True] * 4
