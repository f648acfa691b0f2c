"""Upstream's own automatic mask generator, its failures put right, for what ours lacks.

A part of the adapter of the `sam2` package, see `sam2_model.py`; imported when masks are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.utils.amg import MaskData

from indexer.errors import Stopped
from indexer.memory import Batches

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


class UpstreamGenerator(SAM2AutomaticMaskGenerator):  # type: ignore[misc]
    """Upstream's generator, which can be stopped and lives with less memory."""

    def __init__(
        self,
        model: SAM2Base,
        batches: Batches,
        stopped: Callable[[], bool],
        *,
        min_mask_region_area: int,
        **settings: Any,  # noqa: ANN401
    ) -> None:
        """Take upstream's settings, but for `points_per_batch`: how many is `batches`' matter."""
        # upstream hands the area to a CUDA kernel that its wheel lacks, warns, and goes on
        super().__init__(model, points_per_batch=batches.size, **settings)
        self.min_mask_region_area = min_mask_region_area
        self._batches = batches
        self._stopped = stopped

    def _process_crop(
        self,
        image: NDArray[np.uint8],
        crop_box: list[int],
        layer: int,
        size: tuple[int, ...],
    ) -> MaskData:
        x0, y0, x1, y1 = crop_box
        if x0 >= x1 or y0 >= y1:
            return MaskData()  # of a picture too small for this many crops
        data = super()._process_crop(image, crop_box, layer, size)
        data["crop_boxes"] = data["crop_boxes"].reshape(-1, 4)  # so also where there are none
        return data

    def _process_batch(
        self,
        points: NDArray[np.float64],
        *where: Any,  # noqa: ANN401
        normalize: bool,
    ) -> MaskData:
        data = MaskData()
        for found in self._batches.run(
            len(points), lambda part: self._masks_of(points[part], *where, normalize=normalize)
        ):
            found["iou_preds"] = found["iou_preds"].float()
            for rle in found["rles"]:
                rle["counts"] = _Unchanging(rle["counts"])
            data.cat(found)
        return data

    def _masks_of(
        self,
        points: NDArray[np.float64],
        *where: Any,  # noqa: ANN401
        normalize: bool,
    ) -> MaskData:
        if self._stopped():
            raise Stopped("stopped within a picture", "run the same command again to go on")
        self.points_per_batch = self._batches.size  # of later crops, and of `use_m2m`
        return super()._process_batch(points, *where, normalize=normalize)

    def _generate_masks(self, image: NDArray[np.uint8]) -> MaskData:
        data = super()._generate_masks(image)
        if self.min_mask_region_area == 0:
            return data
        nms_thresh = max(self.box_nms_thresh, self.crop_nms_thresh)
        return self.postprocess_small_regions(data, self.min_mask_region_area, nms_thresh)


class _Unchanging(list[int]):
    """Run lengths that nobody changes: upstream copies all of them for every batch of points."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Unchanging:
        return self
