"""From pictures to hits with the demo models as they are shipped: words find what they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import search.demo
from benchmarks.scene_truth import iou
from indexer import Indexer
from indexer.demo.scenes import HELD_OUT_PAIRS, Scene, draw_scene, write_library
from indexer.segmentation.masks import decode
from search import Searcher
from search.demo import run_demo
from search.hits import Hit
from search.ranking import UNCUT

_SCENES = 3


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """An index of a few drawn scenes."""
    folder = tmp_path_factory.mktemp("meaning")
    write_library(folder / "pictures", _SCENES)
    with Indexer(str(folder / "index"), "demo") as indexer:
        report = indexer.index([folder / "pictures"])
    assert report.images == _SCENES
    with Searcher(str(folder / "index")) as opened:
        yield opened


def test_words_find_the_objects_that_they_name(searcher: Searcher) -> None:
    scenes = [draw_scene(seed) for seed in range(_SCENES)]
    pairs = {(one.colour, one.name) for scene in scenes for one in scene.objects}
    asked = sorted(pairs - HELD_OUT_PAIRS)
    best = {pair: searcher.text(" ".join(pair), limit=1, ranking=UNCUT)[0] for pair in asked}
    right = [pair in _shown(hit, scenes) for pair, hit in best.items()]
    assert len(asked) > 10
    assert np.mean(right) > 0.6  # guessing would be right once in thirty times


def test_the_demo_draws_a_library_and_three_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.demo, "_SCENES", 2)
    shown: list[str] = []
    found: list[int] = []

    def show(title: str, hits: Sequence[Hit]) -> None:
        shown.append(title)
        found.append(len(hits))

    sheets = run_demo(tmp_path, None, lambda _: None, show)
    assert [sheet.is_file() for sheet in sheets] == [True] * 3
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 2
    assert (tmp_path / "pictures" / "annotations.json").is_file()
    assert shown[0] == "the text “red star”"
    assert shown[1] == "the picture query.png"
    assert shown[2].endswith("of query-scene.png")
    assert max(found) in range(1, 6)


def _shown(hit: Hit, scenes: list[Scene]) -> list[tuple[str, str]]:
    """Return colour and class of the objects that a hit shows: none, or the best one."""
    assert hit.segment is not None
    scene = scenes[int(Path(hit.path).stem.removeprefix("scene-"))]
    mask = decode(hit.segment.region.rle)
    found = [one for one in scene.objects if iou(mask, one.mask) >= 0.5]
    return [(one.colour, one.name) for one in found]
