"""Where the time of our automatic masks goes, on a single core, and what it cannot go below.

Stages are timed by wrappers around our functions, in a process of its own in which a single
worker does everything, so that the sum of the stages is the time by the clock.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import mask_runs, mask_speed
from benchmarks.mask_runs import Options, Task, apart_tuned, say
from indexer.segmentation import postprocess, sam2_generator
from indexer.segmentation.sam2_decoder import FoldedDecoder
from indexer.segmentation.sam2_model import Sam2Model

#: Side of the square matrices whose product says how fast the core is.
_SIDE = 2048
_PRODUCTS = 5
#: Points that are decoded to count what one takes, as many as a core decodes at once; and along
#: each side of the grid to warm up.
_POINTS = 8


class _Stages:
    """Seconds in functions, and how often they were called."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()

    def watch(self, stage: str, owner: object, name: str) -> None:
        """Have the function `name` of a class or module timed from now on."""
        work: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(work)
        def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            started = time.perf_counter()
            result = work(*args, **kwargs)
            self.seconds[stage] += time.perf_counter() - started
            self.calls[stage] += 1
            return result

        setattr(owner, name, watched)


def figures(options: Options) -> dict[str, float]:
    """Return seconds by stage with the first share of masks that pass, and the floor."""
    with tempfile.TemporaryDirectory() as folder:
        sam2, *_ = mask_speed.rescaled(options, Path(folder))
        say("profile")
        task = Task(sam2, options.settings, "cpu", options.pixels)
        return {f"profile_{k}": v for k, v in apart_tuned(_profile, task).items()}


def _profile(task: Task) -> dict[str, float]:
    torch.set_num_threads(1)
    model = mask_runs.load(task, "float32")
    # what is compiled is compiled now, or loaded from the disk
    mask_runs.timed(model, task.pixels, replace(task.settings, points_per_side=_POINTS))
    decode_gflop, logits_gflop = _gflop(model, task)
    rate = _gflops()
    stages = _Stages()
    stages.watch("encode", Sam2Model, "embed")
    stages.watch("image_side", FoldedDecoder, "image_side")
    stages.watch("prompts", FoldedDecoder, "prompts")
    stages.watch("decode", FoldedDecoder, "decode")
    stages.watch("logits", FoldedDecoder, "logits")
    stages.watch("measure", postprocess, "measure")
    stages.watch("nms", sam2_generator, "_best")
    stages.watch("masks", sam2_generator, "_read_off")
    whole, _ = mask_runs.timed(model, task.pixels, task.settings)
    points = task.settings.points_per_side**2
    gflop = decode_gflop * points + logits_gflop * stages.calls["logits"]
    return {
        "seconds": whole,
        **{f"{stage}_seconds": seconds for stage, seconds in stages.seconds.items()},
        "rest_seconds": whole - sum(stages.seconds.values()),
        "points": float(points),
        "points_with_logits": float(stages.calls["logits"]),
        "decode_gflop_per_point": decode_gflop,
        "logits_gflop_per_point": logits_gflop,
        "gemm_gflop_per_second": rate,
        "decode_and_logits_floor_seconds": gflop / rate,
    }


@torch.no_grad()
def _gflop(model: Sam2Model, task: Task) -> tuple[float, float]:
    """Return what decoding a point takes in products of matrices, and making its three masks."""
    image, decoder = model._image_side(model.embed(task.pixels)), model._decoder
    points = torch.full((_POINTS, 1, 2), decoder.image_size / 2)
    prompts = decoder.prompts(points, torch.ones(_POINTS, 1, dtype=torch.int32))
    with _counter() as decoding:
        decoded = decoder.decode(image, prompts)
    with _counter() as finishing:
        decoder.logits(decoded, [0], [1, 2, 3])
    return decoding.get_total_flops() / _POINTS / 1e9, finishing.get_total_flops() / 1e9


def _counter() -> FlopCounterMode:
    """Return torch's counter, which by itself leaves out what is added in place."""

    def of_baddbmm(_: Any, left: Sequence[int], right: Sequence[int], **_named: Any) -> int:  # noqa: ANN401
        count, rows, inner = left
        return 2 * count * rows * inner * right[-1]

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.baddbmm_: of_baddbmm})


def _gflops() -> float:
    """Return the best rate of a product of square matrices on one core."""
    one = torch.rand(_SIDE, _SIDE)
    times = []
    for _ in range(_PRODUCTS):
        started = time.perf_counter()
        one @ one
        times.append(time.perf_counter() - started)
    return 2 * _SIDE**3 / min(times) / 1e9
