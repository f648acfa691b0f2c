"""A whole index run against the same models used as tutorials have it, and how it grows.

Both take the same pictures, weights (demo profile) and settings (upstream's grid of 32 points a
side, small regions stay; ours in `fast` mode), one after the other in one process, models loaded;
then the same with models of real size (`benchmarks.indexing_real`, minutes a picture). Libraries
of two sizes are indexed by ours alone, on a coarse grid: the time for a picture and the memory
should not depend on how many there are. The first picture, for which the index is made and its host
process started, is not counted there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import PIL.Image

from benchmarks import indexing_real, tutorial
from benchmarks.report import parser, show
from indexer import Indexer, library
from indexer.demo.scenes import draw_scene
from indexer.malloc import keep_freed_memory
from indexer.profiles import load_profile
from indexer.report import peak_memory_bytes

T = TypeVar("T")

#: Points along each side of the grid where libraries of two sizes are compared.
_COARSE = 4
#: Scenes from here on are drawn for the comparison, from the next on for growing.
_FIRST, _GROWING = 0, 100_000
#: What drawn scenes are enlarged to for models of real size, pixels.
_LARGE = (1800, 1200)


def main() -> None:
    """Run both parts and print the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--photos", type=Path, help="pictures to use; drawn ones without it")
    arguments.add_argument("--limit", type=int, default=10, help="pictures at most")
    arguments.add_argument("--grid", type=int, default=32, help="points a side, demo models")
    arguments.add_argument("--real", type=int, default=1, help="pictures at real size; 0: none")
    arguments.add_argument("--small", type=int, default=10, help="pictures of the small library")
    arguments.add_argument("--large", type=int, default=1000, help="pictures of the large one")
    options = arguments.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        pictures = _pictures(options.photos, Path(folder) / "pictures", options.limit)
        figures = against_tutorial(pictures, Path(folder), options.grid)
        figures |= growth(Path(folder), options.small, options.large)
        if options.real:
            large = pictures if options.photos else _enlarged(pictures, Path(folder) / "large")
            figures |= indexing_real.figures(large[: options.real], Path(folder) / "real")
    show(figures, options.format)


def against_tutorial(pictures: list[Path], folder: Path, grid: int) -> dict[str, float]:
    """Index the pictures both ways; return seconds by stage, and the ratio of the whole."""
    demo = load_profile("demo")
    # upstream's own clean-up of small regions needs a CUDA kernel that its wheel lacks
    masks = replace(demo.masks, mode="fast", points_per_side=grid, min_mask_region_area=0)
    profile = replace(demo, masks=masks)
    with Indexer(folder / "compared", profile) as indexer:
        loaded = indexer.models()
        loaded.segmenter.automatic(draw_scene(_FIRST).pixels)  # the first call of all is slow
        whole, (count, theirs) = _timed(
            lambda: tutorial.index(pictures, folder / "tutorial", loaded, profile.masks)
        )
        ours, report = _timed(lambda: indexer.index(pictures))
    figures = {"pictures": float(len(pictures))}
    figures |= {"tutorial_segments": float(count), "segments": float(report.segments)}
    figures |= {f"tutorial_{_key(stage)}_seconds": value for stage, value in theirs.items()}
    figures |= {f"{_key(stage)}_seconds": value for stage, value in report.stages.items()}
    figures |= {"tutorial_seconds": whole, "seconds": ours, "tutorial_over_ours": whole / ours}
    return figures


def growth(folder: Path, small: int, large: int) -> dict[str, float]:
    """Index a small and a large library; return their times for a picture and their peaks."""
    demo = load_profile("demo")
    profile = replace(demo, masks=replace(demo.masks, points_per_side=_COARSE))
    figures: dict[str, float] = {}
    for name, count in (("warm", 3), ("small", small), ("large", large)):
        pictures = _drawn(folder / name, _GROWING, count)
        with Indexer(folder / f"index-{name}", profile) as indexer:
            indexer.index(pictures[0])  # makes the index, starts its host, loads the models
            before = time.process_time()
            seconds, report = _timed(partial(indexer.index, pictures[0].parent))
            cpu = time.process_time() - before
        assert report.images == count - 1
        figures |= {
            f"{name}_pictures": float(count),
            f"{name}_seconds_each": seconds / report.images,
            f"{name}_cpu_seconds_each": cpu / report.images,
            f"{name}_peak_memory_mb": peak_memory_bytes() / 1e6,
        }
    for what in ("seconds_each", "cpu_seconds_each", "peak_memory_mb"):
        figures[f"large_over_small_{what}"] = figures[f"large_{what}"] / figures[f"small_{what}"]
    return figures


def _enlarged(pictures: list[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    for path in pictures:
        with PIL.Image.open(path) as picture:
            picture.resize(_LARGE).save(folder / path.name)
    return sorted(folder.iterdir())


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _key(stage: str) -> str:
    return stage.replace(" ", "_")


def _pictures(photos: Path | None, folder: Path, limit: int) -> list[Path]:
    if photos is None:
        return _drawn(folder, _FIRST, limit)
    found = [one.location for one in library.scan(photos) if isinstance(one, library.Found)]
    return found[:limit]


def _drawn(folder: Path, first: int, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{seed}.jpg" for seed in range(first, first + count)]
    for seed, path in enumerate(paths, first):
        path.write_bytes(draw_scene(seed).jpeg)
    return paths


if __name__ == "__main__":
    main()
