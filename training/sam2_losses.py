"""What the demo SAM 2 is trained for: right masks, and to know how right they are."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

#: Weight of the pixels' cross entropy against the Dice loss.
_PIXEL_WEIGHT = 5.0


def mask_loss(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return cross entropy plus Dice loss of each mask, shape (...).

    Args:
        logits: (..., s, s).
        coverage: (..., s, s) in [0, 1]; broadcast against the logits.
    """
    coverage = coverage.expand_as(logits)
    pixels = F.binary_cross_entropy_with_logits(logits, coverage, reduction="none").mean((-2, -1))
    likely = logits.sigmoid()
    overlap = 2 * (likely * coverage).sum((-2, -1)) + 1
    dice = 1 - overlap / (likely.sum((-2, -1)) + coverage.sum((-2, -1)) + 1)
    return _PIXEL_WEIGHT * pixels + dice


def mask_ious(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return the IoU of each thresholded mask, shape (...); arguments as of `mask_loss`."""
    found, wanted = logits > 0, (coverage > 0.5).expand_as(logits)  # noqa: PLR2004  half a pixel
    common = (found & wanted).sum((-2, -1))
    return common / (found | wanted).sum((-2, -1)).clamp(min=1)


def prompt_loss(logits: Tensor, predicted: Tensor, coverage: Tensor, *, ambiguous: bool) -> Tensor:
    """Return the loss of the masks that one batch of prompts got.

    Token 0 answers every prompt. Of tokens 1 to 3 the best is taught most where prompts are
    ambiguous. (SAM's authors teach no other; but here most clicks are clear, and a token that is
    taught seldom learns slowly.)

    Args:
        logits: (P, 4, s, s), the masks of all tokens.
        predicted: (P, 4), their predicted IoUs.
        coverage: (P, s, s), what was asked for.
        ambiguous: whether the prompts leave open what is meant.
    """
    losses = mask_loss(logits, coverage[:, None])
    several = losses[:, 1:]
    quality = (predicted - mask_ious(logits, coverage[:, None])).square().mean(1)
    taught = several.mean(1)
    if ambiguous:
        taught = (taught + several.min(1).values) / 2
    return (losses[:, 0] + taught + quality).mean()
