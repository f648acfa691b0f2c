"""Draw the curves of training runs: `python -m training.curves OUT.svg sam2=RUN clip=RUN`.

One panel for each figure that a run's log has more than once; a point is the mean of a stretch.
"""

from __future__ import annotations

import argparse
import html
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

#: A curve: steps and values.
Curve = tuple[list[float], list[float]]

_POINTS = 60
_PANEL = (300, 170)
_MARGIN = (46, 26, 14, 26)  # left, top, right, bottom
_COLUMNS = 3
_NO_FIGURES = {"step", "seconds"}


def curves_of(lines: Iterable[str]) -> dict[str, Curve]:
    """Return each figure of a log, in at most `_POINTS` stretches of equally many values.

    Steps that a run took again, because it was killed after its last checkpoint, count once.
    """
    values: defaultdict[str, Curve] = defaultdict(lambda: ([], []))
    steps = {figures["step"]: figures for figures in map(json.loads, lines)}
    for _, figures in sorted(steps.items()):
        for name in figures.keys() - _NO_FIGURES:
            values[name][0].append(figures["step"])
            values[name][1].append(figures[name])
    return {
        name: (_thinned(steps), _thinned(found))
        for name, (steps, found) in sorted(values.items())
        if len(steps) > 1
    }


def svg(runs: Mapping[str, Mapping[str, Curve]]) -> str:
    """Return one picture of all runs' curves."""
    panels = [
        (f"{run}: {name}", curve) for run, found in runs.items() for name, curve in found.items()
    ]
    width, height = _PANEL
    rows = -(-len(panels) // _COLUMNS)
    drawn = [
        f'<g transform="translate({i % _COLUMNS * width},{i // _COLUMNS * height})">'
        f"{_panel(title, curve)}</g>"
        for i, (title, curve) in enumerate(panels)
    ]
    size = f'width="{_COLUMNS * width}" height="{rows * height}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *drawn, "</svg>\n"])


def _panel(title: str, curve: Curve) -> str:
    left, top, right, bottom = _MARGIN
    width, height = _PANEL[0] - left - right, _PANEL[1] - top - bottom
    steps, values = curve
    last, low, high = max(steps), min(0.0, *values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{left + width * step / last:.1f},{top + height * (high - value) / span:.1f}"
        for step, value in zip(steps, values, strict=True)
    )
    return (
        f'<text x="{left}" y="{top - 9}">{html.escape(title)}</text>'
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#bbb"/>'
        f'<text x="{left - 5}" y="{top + 9}" text-anchor="end">{high:.2f}</text>'
        f'<text x="{left - 5}" y="{top + height}" text-anchor="end">{low:.2f}</text>'
        f'<text x="{left + width}" y="{top + height + 15}" text-anchor="end">step {last:.0f}</text>'
        f'<polyline points="{points}" fill="none" stroke="#1e60be" stroke-width="1.5"/>'
    )


def _thinned(values: Sequence[float]) -> list[float]:
    stretches = np.array_split(np.asarray(values), min(_POINTS, len(values)))
    return [float(stretch.mean()) for stretch in stretches]


def main() -> None:
    """Draw from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("runs", nargs="+", metavar="NAME=RUN", help="a folder with log.jsonl")
    given = arguments.parse_args()
    runs = {}
    for run in given.runs:
        name, _, folder = run.partition("=")
        with (Path(folder) / "log.jsonl").open(encoding="utf-8") as lines:
            runs[name] = curves_of(lines)
    given.out.write_text(svg(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
