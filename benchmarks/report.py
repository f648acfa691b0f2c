"""How benchmarks measure and print."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Values = Mapping[str, float]


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--format", choices=("table", "json"), default="table")
    return made


def milliseconds(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Run the calls in turn and return how long each took, in milliseconds."""
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return times


def percentiles(name: str, times: Sequence[float]) -> dict[str, float]:
    """Return the p50 and p99 of the times as figures."""
    p50, p99 = np.percentile(times, (50, 99))
    return {f"{name}_p50_ms": float(p50), f"{name}_p99_ms": float(p99)}


def show(figures: Values, output: str) -> None:
    """Print the figures as a table or as one flat JSON object."""
    if output == "json":
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
        return
    width = max(len(name) for name in figures)
    for name, value in figures.items():
        print(f"{name:<{width}}  {value:12.4f}")
