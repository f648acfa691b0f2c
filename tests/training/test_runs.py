"""The schedule, the moving average, checkpoints and exports of training runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training import runs


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    rates = [runs.learning_rate(step, 100, 2.0, warmup=10) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[99] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_average_follows_slowly() -> None:
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.weight)
    average = runs.MovingAverage(layer, decay=0.9)
    nn.init.ones_(layer.weight)
    average.update(layer, step=1000)
    assert average.state["weight"].item() == pytest.approx(0.1)
    average.update(layer, step=0)
    assert average.state["weight"].item() == pytest.approx(0.1 + 0.9 * 0.9)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        runs.save_checkpoint(path, {"step": step, "weights": {"a": torch.ones(2) * step}})
    back = runs.load_checkpoint(path, torch.device("cpu"))
    assert back["step"] == 2
    assert back["weights"]["a"].tolist() == [2, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_log_is_one_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    runs.log_line(path, {"step": 1, "loss": 2.5})
    runs.log_line(path, {"step": 2, "loss": 2.0})
    lines = path.read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [2.5, 2.0]


def test_exports_are_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    runs.export(path, {"a": torch.tensor([0.1]), "n": torch.tensor([3])})
    back = load_file(path)
    assert back["a"].dtype == torch.float16
    assert back["n"].tolist() == [3]
