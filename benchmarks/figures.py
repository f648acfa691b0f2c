"""Figures with the number of things that they were taken over, against what was aimed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Share of the picture from which an object counts as large.
LARGE = 0.01


@dataclass(frozen=True)
class Figure:
    """A measured value.

    Attributes:
        value: what was measured.
        n: over how many objects, masks, queries or pictures.
    """

    value: float
    n: int


Figures = dict[str, Figure]


def mean(name: str, values: Sequence[float] | NDArray[np.bool_ | np.float64]) -> Figures:
    """Return the mean as a figure, or nothing where there is nothing to take it over."""
    return {name: Figure(float(np.mean(values)), len(values))} if len(values) else {}


def by_size(name: str, values: Sequence[float], shares: Sequence[float]) -> Figures:
    """Return the mean over all objects, over the large and over the small ones.

    Args:
        name: of the figure over all.
        values: one for each object.
        shares: how much of its picture each object covers, 0 to 1.
    """
    every, large = np.array(values, dtype=np.float64), np.array(shares) >= LARGE
    return {
        **mean(name, every),
        **mean(f"{name}_large", every[large]),
        **mean(f"{name}_small", every[~large]),
    }


def flat(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Return the values, and after each, as `<name>_n`, what it was taken over."""
    return {
        key: value
        for name, figure in figures.items()
        for key, value in ((name, figure.value), (f"{name}_n", float(figure.n)))
    }


def table(
    figures: Mapping[str, Figure], aims: Mapping[str, float], peer: Mapping[str, Figure]
) -> str:
    """Return lines of figure, aim, measured, n, whether the aim is met, and the peer's figure.

    An aim without a figure stays in the table, as not measured.
    """
    names = [*figures, *(name for name in aims if name not in figures)]
    width = max(map(len, names), default=0)
    heads = ["aim", "measured", "n", "", *(["random weights", "n"] if peer else [])]
    lines = [_line("figure", heads, width)]
    for name in names:
        figure, aim = figures.get(name), aims.get(name)
        cells = ["" if aim is None else f"{aim:.2f}", *_cells(figure), _verdict(figure, aim)]
        lines.append(_line(name, [*cells, *(_cells(peer.get(name)) if peer else [])], width))
    return "\n".join(lines)


def _cells(figure: Figure | None) -> list[str]:
    return ["–", "0"] if figure is None else [f"{figure.value:.3f}", str(figure.n)]


def _verdict(figure: Figure | None, aim: float | None) -> str:
    if aim is None or figure is None:
        return ""
    return "met" if figure.value >= aim else "NOT MET"


def _line(name: str, cells: Sequence[str], width: int) -> str:
    widths = (5, 9, 6, 8, 15, 6)
    rest = (f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=False))
    return f"{name:<{width}} {' '.join(rest)}".rstrip()
