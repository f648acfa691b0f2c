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


def test_the_rates_rise_again_in_every_cycle() -> None:
    cycles = (runs.Cycle(4, 1.0, warmup=1), runs.Cycle(2, 0.5, warmup=1))
    assert [round(runs.rate(cycles, step), 3) for step in (0, 1, 4)] == [1.0, 1.0, 0.5]
    assert runs.rate(cycles, 3) < 0.3
    with pytest.raises(IndexError, match="step 6 comes after 6 planned ones"):
        runs.rate(cycles, 6)


class Counter:
    """A run that only counts its steps."""

    def __init__(self) -> None:
        self.step, self.plan = 0, runs.Cycle(5, 1.0, warmup=1)

    def train_step(self, data: list[int]) -> dict[str, float]:
        self.step += 1
        return {"step": self.step, "data": len(data)}

    def save(self, path: Path) -> None:
        path.write_text(str(self.step))

    def load(self, path: Path) -> None:
        self.step = int(path.read_text())


def test_a_run_goes_on_from_its_checkpoint_to_the_end_of_its_plan(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_text("1")
    opened: list[int] = []

    def read() -> list[int]:
        opened.append(1)
        return list(opened)

    runs.train(Counter(), tmp_path, read, lambda: {"seen": 7}, minutes=5, every=2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4, 5]
    assert [line["data"] for line in lines] == [1, 2, 2, 3]
    assert [line.get("seen") for line in lines] == [7, None, 7, 7]
    assert (tmp_path / "checkpoint.pt").read_text() == "5"


def test_a_run_without_time_takes_no_step_but_can_be_gone_on_with(tmp_path: Path) -> None:
    runs.train(Counter(), tmp_path / "run", list, dict, minutes=0)
    assert (tmp_path / "run" / "checkpoint.pt").read_text() == "0"
    assert not (tmp_path / "run" / "log.jsonl").exists()


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
