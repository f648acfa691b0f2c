"""Charts as files: which there are, and that they show what the rows hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from search.evaluation import charts
from search.evaluation.charts import save_charts

SIZES = ("all", "small", "medium", "large")
FIGURES = {
    "queries": 3,
    "map": 0.42,
    "map_low": 0.4,
    "map_high": 0.5,
    "r1": 0.1,
    "r5": 0.2,
    "r10": 1.0,
}
NONE = dict.fromkeys(FIGURES, None) | {"queries": 0}


def rows() -> list[dict[str, Any]]:
    masks = {"objects": 3, "recall_50": 0.9, "recall_75": 0.7, "mean_iou": 0.8}
    made: list[dict[str, Any]] = [{"part": "masks", "size": size, **masks} for size in SIZES]
    for part in ("text", "segment"):
        for name in ("automatic segments", "true masks", "tight boxes", "whole pictures"):
            for size in SIZES:
                figures = NONE if size == "large" else FIGURES
                made.append({"part": part, "searched": name, "size": size, **figures})
    made += [
        {"part": "caption", "searched": name, **FIGURES} for name in ("whole pictures", "both")
    ]
    recipe = {"part": "recipe", "text_map": 0.5, "mean_map": 0.5, "segment_map": None, "mark": ""}
    for margin, around, weight in ((1.2, "kept", 0.5), (1.2, "mean", 0.0), (2.0, "kept", 0.0)):
        said = {"crop_margin": margin, "surroundings": around, "focus_weight": weight}
        made.append({**recipe, **said, "mark": "best" if weight else "profile"})
    return made


def test_a_file_for_each_part(tmp_path: Path) -> None:
    paths = save_charts(rows(), tmp_path)
    assert [path.name for path in paths] == [
        *("masks.png", "search.png", "captions.png", "recipes.png"),
    ]
    for path in paths:
        with PIL.Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 200


def test_only_what_was_measured(tmp_path: Path) -> None:
    some = [row for row in rows() if row["part"] in ("masks", "text", "segment")]
    assert [path.name for path in save_charts(some, tmp_path)] == ["masks.png", "search.png"]


def test_every_bar_has_its_value_and_every_axis_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in rows():
        parts.setdefault(row["part"], []).append(row)
    text, segment = charts._search(parts).axes
    for axes in (text, segment):
        written = [one.get_text() for one in axes.texts]
        assert written.count("0.42") == 12
        assert written.count("–") == 4  # nothing large was asked for
        assert axes.get_xlabel()
        assert axes.get_ylabel() == "mAP, 95 % interval"
    left, right = charts._recipes(parts["recipe"]).axes
    assert [one.get_text() for one in left.texts] == ["0.500"] * 3
    assert not right.texts
