"""Charts of an evaluation as PNG files. The only module that imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from search.evaluation.mask_recall import FOUND
from search.evaluation.measures import AMONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

#: Okabe and Ito's colours, which people with any colour vision tell apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_DPI = 120
#: A group of bars is so wide; the next one begins at 1.
_GROUP = 0.84
#: Above this share of the range, a cell of the heat map is light.
_LIGHT = 0.55


def save_charts(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw what the rows hold and return the files, which are replaced if they are there.

    Args:
        rows: see `evaluate.Evaluation.rows`.
        folder: must be there.
    """
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row["part"], []).append(row)
    figures = {"masks.png": _masks(parts["masks"]), "search.png": _search(parts)}
    if "caption" in parts:
        figures["captions.png"] = _captions(parts["caption"])
    if "recipe" in parts:
        figures["recipes.png"] = _recipes(parts["recipe"])
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=_DPI)
    return [folder / name for name in figures]


def _masks(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    labels = [f"{row['size']}\n{row['objects']} objects" for row in rows]
    bars = {f"IoU ≥ {at:g}": [row[f"recall_{at * 100:.0f}"] for row in rows] for at in FOUND}
    _grouped(axes, labels, bars)
    axes.set(title="Objects that automatic masks find", xlabel="size of the object")
    axes.set_ylabel("recall")
    _legend(figure, axes)
    return figure


def _search(parts: dict[str, list[Row]]) -> Figure:
    figure = Figure(figsize=(11, 8.5), layout="constrained")
    titles = {"text": "text → segment", "segment": "segment → segment"}
    sizes = {"text": "size of the answers", "segment": "size of the object asked with"}
    for place, (part, title) in enumerate(titles.items(), start=1):
        rows = parts[part]
        axes = figure.add_subplot(2, 1, place)
        first = [row for row in rows if row["searched"] == rows[0]["searched"]]
        labels = [f"{row['size']}\n{row['queries']} queries" for row in first]
        names = dict.fromkeys(row["searched"] for row in rows)
        chosen = {name: [row for row in rows if row["searched"] == name] for name in names}
        bars = {name: [row["map"] for row in each] for name, each in chosen.items()}
        ends = {name: [_errors(row) for row in each] for name, each in chosen.items()}
        _grouped(axes, labels, bars, ends)
        axes.set(title=title, xlabel=sizes[part], ylabel="mAP, 95 % interval")
    _legend(figure, figure.axes[0])
    return figure


def _captions(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    labels = [f"R@{k}" for k in AMONG]
    _grouped(axes, labels, {row["searched"]: [row[f"r{k}"] for k in AMONG] for row in rows})
    axes.set(title=f"caption → picture, {rows[0]['queries']} captions", ylabel="share of captions")
    axes.set_xlabel("the right picture is among the first k")
    _legend(figure, axes)
    return figure


def _recipes(rows: Sequence[Row]) -> Figure:
    crops = sorted({(row["surroundings"] != "kept", *_crop(row)) for row in rows})
    weights = sorted({row["focus_weight"] for row in rows})
    figure = Figure(figsize=(12, 1.8 + 0.55 * len(crops)), layout="constrained")
    measures = {"text_map": "text → segment", "segment_map": "segment → segment"}
    for place, (key, title) in enumerate(measures.items(), start=1):
        axes = figure.add_subplot(1, 2, place)
        values = np.full((len(crops), len(weights)), np.nan)
        for row in rows:
            at = crops.index((row["surroundings"] != "kept", *_crop(row)))
            if row[key] is not None:
                values[at, weights.index(row["focus_weight"])] = row[key]
        _heat(axes, values)
        _mark(axes, rows, [crop[1:] for crop in crops], weights)
        axes.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
        axes.set_yticks(range(len(crops)), [f"{crop[1]:g}, {crop[2]}" for crop in crops])
        axes.set(title=f"{title}, mAP", xlabel="focus_weight")
        axes.set_ylabel("crop_margin, surroundings" if place == 1 else "")
    figure.supxlabel("solid frame: best of the recipes that a profile can say; dashed: the profile")
    return figure


def _crop(row: Row) -> tuple[float, str]:
    return row["crop_margin"], row["surroundings"]


def _heat(axes: Axes, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    axes.imshow(values, cmap="cividis", aspect="auto")
    low, high = np.nanmin(values, initial=1), np.nanmax(values, initial=0)
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            light = value > low + _LIGHT * (high - low)
            axes.text(x, y, f"{value:.3f}", ha="center", va="center", color="k" if light else "w")


def _mark(
    axes: Axes,
    rows: Sequence[Row],
    crops: Sequence[tuple[float, str]],
    weights: Sequence[float],
) -> None:
    """Frame the cells of the best recipe and of the profile's."""
    for row in rows:
        x, y = weights.index(row["focus_weight"]), crops.index(_crop(row))
        for word, inset, style in (("best", 0.0, "-"), ("profile", 0.08, "--")):
            if word in row["mark"]:
                low, high = -0.5 + inset, 0.5 - inset
                xs, ys = (low, high, high, low, low), (low, low, high, high, low)
                axes.plot(
                    [x + one for one in xs],
                    [y + one for one in ys],
                    linestyle=style,
                    color="#D55E00",
                    linewidth=2.5,
                    clip_on=False,
                )


def _errors(row: Row) -> tuple[float, float]:
    """Return how far the interval reaches below and above the value; 0 where there is none."""
    if row["map"] is None:
        return 0.0, 0.0
    return max(0.0, row["map"] - row["map_low"]), max(0.0, row["map_high"] - row["map"])


def _grouped(
    axes: Axes,
    labels: Sequence[str],
    bars: dict[str, list[float | None]],
    errors: dict[str, list[tuple[float, float]]] | None = None,
) -> None:
    """Draw a group of bars for each label, a bar of each name in it, with its value."""
    width = _GROUP / len(bars)
    for place, (name, values) in enumerate(bars.items()):
        at = np.arange(len(labels)) + (place - (len(bars) - 1) / 2) * width
        heights = np.array([value or 0.0 for value in values])
        spread = None if errors is None else np.array(errors[name]).T
        axes.bar(
            at, heights, 0.92 * width, label=name, color=_COLOURS[place], yerr=spread,
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#444444"},
        )  # fmt: skip
        tops = heights if spread is None else heights + spread[1]
        for x, top, value in zip(at, tops, values, strict=True):
            said = "–" if value is None else f"{value:.2f}"
            axes.text(float(x), float(top) + 0.012, said, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylim(0, 1.08)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axes: Axes) -> None:
    """Put the names of the bars above everything, where they hide none."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
