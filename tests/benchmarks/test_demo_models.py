"""The benchmark as it is run, and its table."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks import demo_models
from benchmarks.figures import Figure, by_size, flat, mean, table
from indexer.profiles import Profile, profile_data


def test_one_scene_with_random_weights(
    tmp_path: Path,
    fast_profile: Profile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "fast.yaml"
    random = demo_models._random(fast_profile)
    random = replace(random, masks=replace(random.masks, points_per_side=3))
    file.write_text(yaml.safe_dump(profile_data(random)), encoding="utf-8")
    given = f"--scenes 2 --mask-scenes 1 --profile {file} --format json"
    monkeypatch.setattr(sys, "argv", ["demo_models", *given.split()])
    demo_models.main()
    printed, progress = capsys.readouterr()
    figures = json.loads(printed)
    assert progress.splitlines()[-1].startswith("scene 2 of 2")
    assert figures["automatic_masks_per_picture_n"] == 1
    assert figures["click_iou_n"] == figures["box_iou_n"] == figures["refined_click_iou_n"] > 0
    assert 0 <= figures["click_iou"] < 0.5
    assert all(isinstance(value, float) for value in figures.values())


def test_figures_by_size() -> None:
    figures = by_size("iou", [0.5, 1.0, 0.0], [0.01, 0.2, 0.009])
    assert figures == {
        "iou": Figure(0.5, 3),
        "iou_large": Figure(0.75, 2),
        "iou_small": Figure(0.0, 1),
    }
    assert mean("none", []) == {}
    assert flat({"a": Figure(0.5, 2)}) == {"a": 0.5, "a_n": 2.0}


def test_the_table_says_what_is_met() -> None:
    figures = {"good": Figure(0.9, 3), "bad": Figure(0.1, 4), "plain": Figure(0.5, 5)}
    aims = {"good": 0.9, "bad": 0.2, "missing": 0.3}
    lines = table(figures, aims, {"bad": Figure(0.05, 1)}).splitlines()
    cells = [line.split() for line in lines[1:]]
    assert cells == [
        ["good", "0.90", "0.900", "3", "met", "–", "0"],
        ["bad", "0.20", "0.100", "4", "NOT", "MET", "0.050", "1"],
        ["plain", "0.500", "5", "–", "0"],
        ["missing", "0.30", "–", "0", "–", "0"],
    ]
