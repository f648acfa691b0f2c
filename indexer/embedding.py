"""CLIP: vectors of segments, whole pictures and texts.

With `clip_weights.py`, which loads the models, the only module that imports open_clip.

One pass of the vision transformer gives two views of a crop. `context` is CLIP's usual output.
`focus` is the same with the last block's pooling attention limited to the patches that the mask
touches (Alpha-CLIP, arXiv 2312.03818, appendix B, reports that this helps frozen CLIP while
filling the surroundings hurts it). The stored vector is their normalised blend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from indexer import clip_weights, crops, memory, models
from indexer.errors import ModelError, SegsearchError
from indexer.profiles import ClipProfile
from indexer.records import Box, Vector
from indexer.work import BATCH_SIZE

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer

Pixels = NDArray[np.uint8]
Views = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Embedder:
    """A CLIP on a device.

    Attributes:
        dim: length of its vectors.
        image_size: side of the square it looks at, pixels.
        patches: patches along each side of that square.
        upstream: the model itself, open_clip's, in evaluation mode on its device.
    """

    def __init__(
        self,
        profile: ClipProfile,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Load the model.

        Args:
            profile: which model, with which weights, and what it is shown.
            device: where it runs.
            precision: what it computes with, see `indexer.models.choose_precision`; vectors are
                float32 all the same.
            batch_size: most crops in one pass.

        Raises:
            ModelError: the model is unknown, or its weights cannot be used.
            WeightsUnavailable: the weights are not to be had.
        """
        loaded = clip_weights.load(profile)
        self._profile = profile
        self._device = device
        self._precision = precision
        self._batches = memory.Batches(batch_size, "one crop for CLIP", device)
        self._fingerprint, self._config = loaded.fingerprint, loaded.config
        self.upstream = loaded.model.to(device).eval()
        self._tokenize = loaded.tokenize
        preprocess = self.upstream.visual.preprocess_cfg
        self._mean, self._std = tuple(preprocess["mean"]), tuple(preprocess["std"])
        red, green, blue = (round(255 * value) for value in self._mean)
        self._fill = (red, green, blue)
        self.image_size = _square_side(preprocess["size"], profile.model)
        self._views, self.patches = _views(self.upstream.visual, profile)
        self.dim = int(self.texts(["a"]).shape[1])

    def vector_space(self) -> Mapping[str, object]:
        """Return everything that must match for two vectors to be comparable, as plain data."""
        return {
            "model": Path(self._profile.model).name,
            "config": self._config,
            "weights": self._fingerprint,
            "dim": self.dim,
            "image_size": self.image_size,
            "mean": list(self._mean),
            "std": list(self._std),
            "crop": f"square, bicubic, mean fill, version {crops.CROP_VERSION}",
            "crop_margin": self._profile.crop_margin,
            "focus_weight": self._profile.focus_weight,
        }

    def crop_segment(
        self,
        picture: PIL.Image.Image,
        mask: NDArray[np.bool_],
        box: Box,
        margin: float | None = None,
        surroundings: crops.Surroundings = "kept",
    ) -> crops.Crop:
        """Cut out what CLIP is to see of a segment.

        Args:
            picture: RGB.
            mask: shape (H, W), the picture's size.
            box: tight half-open box around the mask.
            margin: side of the crop over the box's longer side; None is the profile's.
            surroundings: what is shown around the mask. Indexing keeps what is there; the others
                are there to be compared with it.

        Raises:
            SegsearchError: the mask is of a picture of another size.
        """
        if mask.shape != (picture.height, picture.width):
            raise SegsearchError(
                f"a mask of {mask.shape[1]}×{mask.shape[0]} pixels does not belong to "
                f"a picture of {picture.width}×{picture.height}",
                "give the picture that the region was cut out of",
            )
        margin = self._profile.crop_margin if margin is None else margin
        crop = self._crop(picture, mask, box, margin)
        if surroundings == "kept":
            return crop
        window = crops.square_window(box, margin, picture.width, picture.height)
        covered = crops.cut_mask(mask, window, self.image_size)
        colour = self._fill if surroundings == "mean" else None
        return crops.Crop(crops.replace_surroundings(crop.pixels, covered, colour), crop.touched)

    def crop_picture(self, picture: PIL.Image.Image) -> crops.Crop:
        """Return the whole RGB picture, scaled into the square and padded."""
        mask = np.ones((picture.height, picture.width), dtype=np.bool_)
        return self._crop(picture, mask, (0, 0, picture.width, picture.height), 1.0)

    def vectors(self, batch: Sequence[crops.Crop]) -> Vector:
        """Embed any number of crops; float32, shape (n, dim), rows of length 1.

        They are passed in batches, which are halved where the device runs out of memory and
        remain so.

        Raises:
            OutOfDeviceMemory: a single crop does not fit.
        """
        return blend(*self.views(batch), self._profile.focus_weight)

    @torch.inference_mode()
    def views(self, batch: Sequence[crops.Crop]) -> tuple[Vector, Vector]:
        """Return both views of any number of crops, `context` and `focus`, as `vectors` does.

        Returns:
            Twice float32 of shape (n, dim), rows of length 1.

        Raises:
            OutOfDeviceMemory: a single crop does not fit.
        """
        parts = list(self._batches.run(len(batch), lambda part: self._embed(batch[part])))
        if not parts:
            return (np.zeros((0, self.dim), dtype=np.float32),) * 2
        return np.concatenate([part[0] for part in parts]), np.concatenate([p[1] for p in parts])

    def text(self, words: str) -> Vector:
        """Embed a query by averaging over the profile's templates; float32, shape (dim,)."""
        query: Vector = self.queries([words])[0]
        return query

    def queries(self, texts: Sequence[str]) -> Vector:
        """Embed queries as `text` does, in one pass; float32, shape (n, dim), rows of length 1."""
        templates = self._profile.templates
        sentences = [template.replace("{}", words) for words in texts for template in templates]
        means = self.texts(sentences).reshape(len(texts), len(templates), -1).mean(axis=1)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)

    @torch.inference_mode()
    def texts(self, sentences: Sequence[str]) -> Vector:
        """Embed sentences as they are; float32, shape (n, dim), rows of length 1."""
        tokens = self._tokenize(list(sentences)).to(self._device)
        with models.autocast(self._device, self._precision):
            rows = self.upstream.encode_text(tokens)
        return _array(torch.nn.functional.normalize(rows.float(), dim=-1))

    def _crop(
        self, picture: PIL.Image.Image, mask: NDArray[np.bool_], box: Box, margin: float
    ) -> crops.Crop:
        window = crops.square_window(box, margin, picture.width, picture.height)
        return crops.Crop(
            crops.cut(picture, window, self.image_size, self._fill),
            crops.touched_patches(mask, box, window, self.patches),
        )

    def _embed(self, batch: Sequence[crops.Crop]) -> tuple[Vector, Vector]:
        pixels = torch.from_numpy(np.stack([crop.pixels for crop in batch])).to(self._device)
        images = pixels.permute(0, 3, 1, 2).float().div_(255)
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (self._mean, self._std))
        touched = torch.from_numpy(np.stack([crop.touched for crop in batch])).flatten(1)
        touched[touched.sum(1) < crops.MIN_PATCHES] = False
        with models.autocast(self._device, self._precision):
            views = self._views((images - mean) / std, touched.to(self._device))
        context, focus = (torch.nn.functional.normalize(view.float(), dim=-1) for view in views)
        return _array(context), _array(focus)


def blend(context: Vector, focus: Vector, focus_weight: float) -> Vector:
    """Return the vectors that are stored for two views: their weighted mean, of length 1.

    Args:
        context: float32, shape (n, dim), rows of length 1.
        focus: likewise.
        focus_weight: of `focus`, 0 to 1; the rest is `context`.
    """
    rows = (1 - focus_weight) * context + focus_weight * focus
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _array(rows: torch.Tensor) -> Vector:
    return np.asarray(rows.cpu().numpy(), dtype=np.float32)


def _square_side(size: object, name: str) -> int:
    sides = {size} if isinstance(size, int) else set(np.atleast_1d(np.asarray(size)).tolist())
    if len(sides) != 1:
        raise ModelError(f"{name} looks at pictures of {size}, not at squares", "use another CLIP")
    return int(sides.pop())


def _views(visual: Any, profile: ClipProfile) -> tuple[Views, int]:  # noqa: ANN401
    """Return the function that gives both views of a batch, and the patches per side.

    The function takes normalised images (n, 3, s, s) and the touched patches (n, patches²), with
    no patch touched where `focus` is to equal `context`.
    """
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
    from timm.layers.attention_pool import AttentionPoolLatent

    if isinstance(visual, VisionTransformer):
        last = visual.transformer.resblocks[-1]
        plain = visual.attn_pool is None and visual.pool_type == "tok"
        if plain and isinstance(last, ResidualAttentionBlock) and last.attn.batch_first:
            return (lambda images, touched: _cls_views(visual, images, touched)), _side(
                visual.positional_embedding.shape[0] - 1
            )
    trunk = getattr(visual, "trunk", None)
    maskable = isinstance(getattr(trunk, "attn_pool", None), AttentionPoolLatent)
    if trunk is not None and maskable and trunk.num_prefix_tokens == 0:
        return (lambda images, touched: _pooled_views(visual, images, touched)), _side(
            trunk.patch_embed.num_patches
        )
    raise ModelError(
        f"the vision tower of {profile.model} has no attention to limit to a mask",
        "use a CLIP with a ViT and a class token, or a SigLIP",
    )


def _cls_views(
    visual: VisionTransformer, images: torch.Tensor, touched: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of a ViT with a class token: in the last block only that token asks, twice."""
    tokens = visual._embeds(images)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    bias = tokens.new_zeros(len(images), 2, tokens.shape[1])
    limited = touched.any(1)
    bias[limited, 1, 0] = -math.inf
    bias[limited, 1, 1:] = tokens.new_zeros(()).masked_fill(~touched[limited], -math.inf)
    keys = last.ln_1(tokens)
    asked = last.attn(
        keys[:, :1].expand(-1, 2, -1),
        keys,
        keys,
        need_weights=False,
        attn_mask=bias.repeat_interleave(last.attn.num_heads, dim=0),
    )[0]
    answers = tokens[:, :1] + last.ls_1(asked)
    answers = answers + last.ls_2(last.mlp(last.ln_2(answers)))
    both = visual.ln_post(answers)
    if visual.proj is not None:
        both = both @ visual.proj
    return both[:, 0], both[:, 1]


def _pooled_views(
    visual: Any,  # noqa: ANN401 - open_clip's TimmModel is untyped
    images: torch.Tensor,
    touched: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of a SigLIP-type tower, whose pooling head asks with a learned query."""
    trunk = visual.trunk
    tokens = trunk.forward_features(images)
    allowed = touched | ~touched.any(1, keepdim=True)
    bias = tokens.new_zeros(allowed.shape).masked_fill(~allowed, -math.inf)
    context, focus = (
        visual.head(trunk.head(trunk.head_drop(trunk.fc_norm(pooled))))
        for pooled in (
            trunk.attn_pool(tokens),
            trunk.attn_pool(tokens, attn_mask=bias[:, None, None, :]),
        )
    )
    return context, focus


def _side(count: int) -> int:
    side = math.isqrt(count)
    if side * side != count:
        raise ModelError(f"the vision tower has {count} patches, which is no square")
    return side
