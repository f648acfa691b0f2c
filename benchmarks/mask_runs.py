"""Runs of automatic masks whose time and memory are measured, each in a process of its own.

How memory is got cannot be changed back (`indexer.malloc`), and the most that a process has taken
is known of it as a whole: so each variant has its own. Memory is read from Linux's /proc.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmarks import upstream
from indexer.malloc import keep_freed_memory
from indexer.models import choose_device, choose_precision
from indexer.profiles import MaskSettings, Sam2Profile
from indexer.segmentation.sam2_model import Pixels, RawMask, Sam2Model

P = ParamSpec("P")
R = TypeVar("R")

#: Points along each side of the grid where a run is warmed up.
_WARM = 4
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Options:
    """What the benchmark was asked for.

    Attributes:
        model: SAM 2 of a real size, as in a profile; its weights are drawn.
        pixels: uint8 RGB, (H, W, 3): the picture.
        settings: upstream's defaults, but for the points.
        passing: shares of masks that pass the least predicted IoU, 0 to 1.
        device: as `indexer.models.choose_device` takes it.
        precisions: of ours, as `indexer.models.choose_precision` takes them.
        repeats: how often ours is timed.
    """

    model: str
    pixels: Pixels
    settings: MaskSettings
    passing: tuple[float, ...]
    device: str
    precisions: tuple[str, ...]
    repeats: int


@dataclass(frozen=True)
class Task:
    """Masks to be made.

    Attributes:
        sam2: the model.
        settings: of the masks.
        device: as `indexer.models.choose_device` takes it.
        pixels: uint8 RGB, (H, W, 3).
    """

    sam2: Sam2Profile
    settings: MaskSettings
    device: str
    pixels: Pixels


@dataclass(frozen=True)
class Run:
    """What came of a task.

    Attributes:
        masks: that were made.
        seconds: each time that they were made.
        peak_bytes: the most resident memory that the process had, ever.
    """

    masks: list[RawMask]
    seconds: list[float]
    peak_bytes: int


def say(what: str) -> None:
    """Tell who waits what is done now."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def apart(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do the work in a process of its own that leaves malloc as it is."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


def apart_tuned(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do the work in a process of its own that keeps freed memory, as our commands do."""
    with ProcessPoolExecutor(1, get_context("spawn"), keep_freed_memory) as pool:
        return pool.submit(work, *args, **kwargs).result()


def by_upstream(task: Task, points_per_batch: int) -> Run:
    """Make the masks by upstream's generator, once, in float32.

    Its time ends with the run lengths that it holds: what form its user wants is not counted.
    """
    model = load(task, "float32")
    few = replace(task.settings, points_per_side=2)
    upstream.generator(model, few, upstream.RUN_LENGTHS, points_per_batch).generate(task.pixels)
    generator = upstream.generator(model, task.settings, upstream.RUN_LENGTHS, points_per_batch)
    started = time.perf_counter()
    found = generator.generate(task.pixels)
    seconds = time.perf_counter() - started
    return Run(upstream.raw_masks(found), [seconds], peak_bytes())


def by_us(task: Task, precision: str, times: int) -> Run:
    """Make the masks by ours, so many times, after a few points to warm up."""
    model = load(task, precision)
    model.automatic(task.pixels, replace(task.settings, points_per_side=_WARM))
    seconds = []
    for _ in range(times):
        each, found = timed(model, task.pixels, task.settings)
        seconds.append(each)
    return Run(found, seconds, peak_bytes())


def timed(model: Sam2Model, pixels: Pixels, settings: MaskSettings) -> tuple[float, list[RawMask]]:
    """Make the masks by ours; return how long it took, in seconds, and the masks."""
    started = time.perf_counter()
    found = model.automatic(pixels, settings)
    return time.perf_counter() - started, found


def load(task: Task, precision: str) -> Sam2Model:
    """Load the model of a task."""
    device = choose_device(task.device)
    return Sam2Model(task.sam2, device, choose_precision(precision, device))


def peak_bytes() -> int:
    """Return the most resident memory of this process since it began, or since `forget_peak`."""
    return _status("VmHWM")


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Let `peak_bytes` count from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in _STATUS.read_text("ascii").splitlines())
    return int(lines[name].removesuffix("kB")) * 1024
