"""The kinds of objects in the drawn scenes, each with its own outline and details."""

from __future__ import annotations

import math

import numpy as np

from indexer.demo.outlines import (
    Part,
    Shape,
    ellipse,
    mirrored,
    normalised,
    polygon,
    smooth,
    stroke,
)


def _star() -> Shape:
    turn = np.arange(10) * math.pi / 5 - math.pi / 2
    reach = np.where(np.arange(10) % 2, 0.21, 0.5)
    return (Part("body", 0.5 + np.stack([reach * np.cos(turn), reach * np.sin(turn)], axis=1)),)


def _heart() -> Shape:
    t = np.linspace(0, math.tau, 60, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    curve = 0.5 + np.stack([16 * np.sin(t) ** 3, y], axis=1) / 34
    return (Part("body", curve), *ellipse("light", (0.27, 0.3), (0.06, 0.1), 35))


def _moon() -> Shape:
    outer = np.linspace(60, 300, 40)
    far = np.stack([np.cos(np.radians(outer)), np.sin(np.radians(outer))], axis=1)
    tips = math.sin(math.radians(60))
    bow = np.stack([0.5 - 0.72 * np.sin(np.linspace(0, math.pi, 40)), np.linspace(-tips, tips, 40)])
    return (Part("body", np.concatenate([far, bow.T])),)


def _fish() -> Shape:
    return (
        *smooth("body", (0.0, 0.5), (0.14, 0.34), (0.38, 0.24), (0.62, 0.36), (0.76, 0.46),
                (0.76, 0.54), (0.62, 0.64), (0.38, 0.76), (0.14, 0.66)),
        *polygon("body", (0.68, 0.5), (1.0, 0.24), (0.92, 0.5), (1.0, 0.76)),
        *polygon("body", (0.28, 0.3), (0.5, 0.12), (0.58, 0.36)),
        *polygon("dark", (0.38, 0.5), (0.54, 0.42), (0.5, 0.52), (0.54, 0.62)),
        *stroke("dark", 0.025, (0.25, 0.32), (0.285, 0.42), (0.285, 0.58), (0.25, 0.68)),
        *ellipse("light", (0.15, 0.44), (0.055, 0.055)),
        *ellipse("dark", (0.145, 0.44), (0.028, 0.028)),
    )  # fmt: skip


def _key() -> Shape:
    return (
        *ellipse("body", (0.2, 0.5), (0.2, 0.2)),
        *ellipse("hole", (0.18, 0.5), (0.1, 0.1)),
        *polygon("body", (0.36, 0.45), (1.0, 0.45), (1.0, 0.55), (0.36, 0.55)),
        *polygon("body", (0.9, 0.5), (1.0, 0.5), (1.0, 0.74), (0.9, 0.74)),
        *polygon("body", (0.72, 0.5), (0.82, 0.5), (0.82, 0.68), (0.72, 0.68)),
    )


def _house() -> Shape:
    return (
        *polygon("body", (0.68, 0.06), (0.8, 0.06), (0.8, 0.4), (0.68, 0.4)),
        *polygon("body", (0.12, 0.44), (0.88, 0.44), (0.88, 0.98), (0.12, 0.98)),
        *polygon("body", (0.0, 0.48), (0.5, 0.02), (1.0, 0.48)),
        *stroke("dark", 0.035, (0.08, 0.465), (0.92, 0.465)),
        *polygon("dark", (0.42, 0.66), (0.6, 0.66), (0.6, 0.98), (0.42, 0.98)),
        *polygon("light", (0.19, 0.58), (0.34, 0.58), (0.34, 0.74), (0.19, 0.74)),
        *polygon("light", (0.68, 0.58), (0.82, 0.58), (0.82, 0.74), (0.68, 0.74)),
    )


def _bottle() -> Shape:
    return (
        *smooth("body", (0.42, 0.1), (0.42, 0.1), (0.42, 0.28), (0.36, 0.38), (0.3, 0.48),
                (0.3, 0.7), (0.3, 0.96), (0.33, 1.0), (0.5, 1.0), (0.67, 1.0), (0.7, 0.96),
                (0.7, 0.7), (0.7, 0.48), (0.64, 0.38), (0.58, 0.28), (0.58, 0.1), (0.58, 0.1)),
        *polygon("body", (0.4, 0.0), (0.6, 0.0), (0.6, 0.1), (0.4, 0.1)),
        *polygon("dark", (0.4, 0.0), (0.6, 0.0), (0.6, 0.1), (0.4, 0.1)),
        *polygon("light", (0.29, 0.58), (0.71, 0.58), (0.71, 0.78), (0.29, 0.78)),
    )  # fmt: skip


def _mug() -> Shape:
    return (
        *ellipse("body", (0.72, 0.52), (0.27, 0.28)),
        *ellipse("hole", (0.72, 0.52), (0.16, 0.17)),
        *polygon("body", (0.0, 0.12), (0.72, 0.12), (0.7, 0.9), (0.64, 0.98), (0.08, 0.98),
                 (0.02, 0.9)),
        *ellipse("body", (0.36, 0.12), (0.36, 0.09)),
        *ellipse("dark", (0.36, 0.12), (0.3, 0.06)),
    )  # fmt: skip


def _tree() -> Shape:
    return (
        *polygon("body", (0.43, 0.8), (0.57, 0.8), (0.57, 1.0), (0.43, 1.0)),
        *polygon("body", (0.5, 0.0), (0.74, 0.34), (0.26, 0.34)),
        *polygon("body", (0.5, 0.16), (0.82, 0.6), (0.18, 0.6)),
        *polygon("body", (0.5, 0.36), (0.9, 0.86), (0.1, 0.86)),
        *polygon("dark", (0.43, 0.86), (0.57, 0.86), (0.57, 1.0), (0.43, 1.0)),
        *polygon("dark", (0.32, 0.34), (0.68, 0.34), (0.72, 0.39), (0.28, 0.39)),
        *polygon("dark", (0.26, 0.6), (0.74, 0.6), (0.78, 0.65), (0.22, 0.65)),
    )


def _flower() -> Shape:
    parts: list[Part] = [*stroke("body", 0.06, (0.5, 0.4), (0.5, 0.97))]
    parts += mirrored(ellipse("body", (0.36, 0.82), (0.16, 0.065), 35))
    for turn in range(0, 360, 60):
        x, y = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        parts += ellipse("body", (0.5 + 0.19 * x, 0.34 + 0.19 * y), (0.15, 0.105), turn)
    heart = ((0.5, 0.34), (0.1, 0.1))
    return (*parts, *ellipse("body", *heart), *ellipse("dark", *heart))


def _leaf() -> Shape:
    veins: list[Part] = []
    for y in (0.3, 0.44, 0.58):
        veins += mirrored(stroke("dark", 0.022, (0.5, y + 0.1), (0.5 - 0.2, y - 0.02)))
    return (
        *smooth("body", (0.5, 0.0), (0.5, 0.0), (0.7, 0.18), (0.8, 0.42), (0.7, 0.68), (0.5, 0.84),
                (0.5, 0.84), (0.3, 0.68), (0.2, 0.42), (0.3, 0.18)),
        *stroke("body", 0.05, (0.5, 0.8), (0.52, 0.92), (0.58, 1.0)),
        *stroke("dark", 0.03, (0.5, 0.1), (0.5, 0.84)),
        *veins,
    )  # fmt: skip


def _mushroom() -> Shape:
    stalk = ((0.39, 0.5), (0.38, 0.75), (0.34, 0.94), (0.5, 0.98), (0.66, 0.94), (0.62, 0.75),
             (0.61, 0.5))  # fmt: skip
    cap = ((0.0, 0.54), (0.0, 0.54), (0.08, 0.28), (0.28, 0.1), (0.5, 0.05), (0.72, 0.1),
           (0.92, 0.28), (1.0, 0.54), (1.0, 0.54), (0.5, 0.6))  # fmt: skip
    return (
        *smooth("body", *stalk),
        *smooth("light", *stalk),
        *smooth("body", *cap),
        *polygon("dark", (0.38, 0.55), (0.62, 0.55), (0.62, 0.61), (0.38, 0.61)),
        *ellipse("light", (0.5, 0.2), (0.1, 0.085)),
        *ellipse("light", (0.24, 0.36), (0.08, 0.075)),
        *ellipse("light", (0.76, 0.36), (0.08, 0.075)),
        *ellipse("light", (0.5, 0.44), (0.07, 0.055)),
    )


def _apple() -> Shape:
    return (
        *smooth("body", (0.5, 0.3), (0.34, 0.23), (0.14, 0.3), (0.06, 0.52), (0.14, 0.78),
                (0.3, 0.97), (0.42, 0.99), (0.5, 0.96), (0.58, 0.99), (0.7, 0.97), (0.86, 0.78),
                (0.94, 0.52), (0.86, 0.3), (0.66, 0.23)),
        *stroke("body", 0.06, (0.5, 0.32), (0.5, 0.18), (0.46, 0.06)),
        *stroke("dark", 0.06, (0.5, 0.32), (0.5, 0.18), (0.46, 0.06)),
        *smooth("body", (0.52, 0.2), (0.52, 0.2), (0.6, 0.04), (0.82, 0.02), (0.82, 0.02),
                (0.74, 0.18)),
        *ellipse("light", (0.24, 0.45), (0.045, 0.09), 15),
    )  # fmt: skip


def _umbrella() -> Shape:
    scallops = [
        part
        for x in (0.125, 0.375, 0.625, 0.875)
        for part in ellipse("hole", (x, 0.55), (0.125, 0.07))
    ]
    ribs = [*stroke("dark", 0.018, (0.5, 0.07), (0.25, 0.55))]
    ribs += stroke("dark", 0.018, (0.5, 0.07), (0.75, 0.55))
    return (
        *stroke("body", 0.05, (0.5, 0.0), (0.5, 0.12)),
        *smooth("body", (0.0, 0.55), (0.0, 0.55), (0.06, 0.32), (0.24, 0.12), (0.5, 0.05),
                (0.76, 0.12), (0.94, 0.32), (1.0, 0.55), (1.0, 0.55)),
        *scallops,
        *ribs,
        *stroke("body", 0.055, (0.5, 0.45), (0.5, 0.9), (0.53, 0.96), (0.59, 0.97), (0.65, 0.94),
                (0.66, 0.86)),
        *stroke("dark", 0.018, (0.5, 0.07), (0.5, 0.5)),
    )  # fmt: skip


def _car() -> Shape:
    wheels: list[Part] = []
    for x in (0.24, 0.76):
        wheels += ellipse("body", (x, 0.68), (0.115, 0.115))
        wheels += ellipse("dark", (x, 0.68), (0.115, 0.115))
        wheels += ellipse("light", (x, 0.68), (0.05, 0.05))
    return (
        *smooth("body", (0.0, 0.66), (0.0, 0.66), (0.02, 0.5), (0.18, 0.45), (0.18, 0.45),
                (0.32, 0.27), (0.45, 0.25), (0.62, 0.25), (0.72, 0.3), (0.84, 0.44), (0.84, 0.44),
                (0.97, 0.48), (1.0, 0.66), (1.0, 0.66), (1.0, 0.68), (1.0, 0.68), (0.0, 0.68),
                (0.0, 0.68)),
        *polygon("light", (0.25, 0.45), (0.36, 0.31), (0.47, 0.31), (0.47, 0.45)),
        *polygon("light", (0.52, 0.31), (0.64, 0.31), (0.76, 0.45), (0.52, 0.45)),
        *wheels,
    )  # fmt: skip


def _boat() -> Shape:
    return (
        *polygon("body", (0.0, 0.7), (1.0, 0.7), (0.84, 0.95), (0.16, 0.95)),
        *stroke("body", 0.035, (0.5, 0.02), (0.5, 0.75)),
        *polygon("body", (0.55, 0.03), (0.55, 0.64), (0.95, 0.64)),
        *polygon("body", (0.45, 0.14), (0.45, 0.64), (0.12, 0.64)),
        *polygon("dark", (0.0, 0.7), (1.0, 0.7), (0.96, 0.76), (0.04, 0.76)),
    )


def _butterfly() -> Shape:
    wings = (
        *smooth("body", (0.48, 0.46), (0.3, 0.16), (0.08, 0.08), (0.0, 0.22), (0.08, 0.46),
                (0.3, 0.54)),
        *smooth("body", (0.48, 0.48), (0.26, 0.54), (0.12, 0.68), (0.18, 0.88), (0.34, 0.88)),
        *ellipse("light", (0.17, 0.29), (0.08, 0.07)),
        *ellipse("dark", (0.28, 0.73), (0.06, 0.06)),
        *stroke("body", 0.025, (0.5, 0.28), (0.44, 0.1), (0.38, 0.06)),
    )  # fmt: skip
    return (
        *mirrored(wings),
        *ellipse("body", (0.5, 0.52), (0.04, 0.28)),
        *ellipse("dark", (0.5, 0.52), (0.04, 0.28)),
    )


def _hat() -> Shape:
    return (
        *ellipse("body", (0.5, 0.8), (0.5, 0.12)),
        *polygon("body", (0.2, 0.12), (0.8, 0.12), (0.76, 0.8), (0.24, 0.8)),
        *ellipse("body", (0.5, 0.12), (0.3, 0.05)),
        *polygon("dark", (0.225, 0.56), (0.775, 0.56), (0.76, 0.74), (0.24, 0.74)),
    )


def _crown() -> Shape:
    points = ((0.04, 0.9), (0.0, 0.3), (0.25, 0.58), (0.5, 0.16), (0.75, 0.58), (1.0, 0.3),
              (0.96, 0.9))  # fmt: skip
    balls = [part for xy in points[1:6:2] for part in ellipse("body", xy, (0.06, 0.06))]
    jewels = [part for x in (0.2, 0.5, 0.8) for part in ellipse("light", (x, 0.8), (0.055, 0.045))]
    return (
        *polygon("body", *points),
        *balls,
        *polygon("dark", (0.03, 0.72), (0.97, 0.72), (0.96, 0.9), (0.04, 0.9)),
        *jewels,
    )


def _bell() -> Shape:
    return (
        *ellipse("body", (0.5, 0.09), (0.09, 0.09)),
        *ellipse("hole", (0.5, 0.08), (0.04, 0.04)),
        *ellipse("body", (0.5, 0.9), (0.11, 0.1)),
        *ellipse("dark", (0.5, 0.9), (0.11, 0.1)),
        *smooth("body", (0.5, 0.14), (0.32, 0.2), (0.24, 0.4), (0.2, 0.62), (0.08, 0.78),
                (0.04, 0.86), (0.04, 0.86), (0.96, 0.86), (0.96, 0.86), (0.92, 0.78), (0.8, 0.62),
                (0.76, 0.4), (0.68, 0.2)),
        *polygon("dark", (0.2, 0.64), (0.8, 0.64), (0.85, 0.7), (0.15, 0.7)),
    )  # fmt: skip


def _rocket() -> Shape:
    fin = polygon("body", (0.34, 0.5), (0.14, 0.74), (0.14, 0.9), (0.38, 0.78))
    return (
        *mirrored(fin),
        *polygon("body", (0.4, 0.78), (0.5, 1.0), (0.6, 0.78)),
        *polygon("light", (0.4, 0.8), (0.5, 1.0), (0.6, 0.8)),
        *smooth("body", (0.5, 0.0), (0.5, 0.0), (0.66, 0.2), (0.7, 0.46), (0.62, 0.8), (0.62, 0.8),
                (0.38, 0.8), (0.38, 0.8), (0.3, 0.46), (0.34, 0.2)),
        *ellipse("dark", (0.5, 0.36), (0.11, 0.11)),
        *ellipse("light", (0.5, 0.36), (0.075, 0.075)),
        *stroke("dark", 0.035, (0.38, 0.72), (0.62, 0.72)),
    )  # fmt: skip


def _cactus() -> Shape:
    return (
        *stroke("body", 0.24, (0.5, 0.13), (0.5, 0.85)),
        *stroke("body", 0.14, (0.5, 0.6), (0.18, 0.58), (0.16, 0.34)),
        *stroke("body", 0.14, (0.5, 0.5), (0.82, 0.48), (0.84, 0.22)),
        *polygon("body", (0.26, 0.78), (0.74, 0.78), (0.68, 1.0), (0.32, 1.0)),
        *stroke("dark", 0.022, (0.46, 0.14), (0.46, 0.72)),
        *stroke("dark", 0.022, (0.55, 0.14), (0.55, 0.72)),
        *polygon("dark", (0.26, 0.78), (0.74, 0.78), (0.68, 1.0), (0.32, 1.0)),
    )


def _shirt() -> Shape:
    half = ((0.36, 0.06), (0.24, 0.08), (0.0, 0.3), (0.14, 0.46), (0.24, 0.38), (0.24, 0.98))
    other = tuple((1 - x, y) for x, y in reversed(half))
    return (
        *polygon("body", *half, *other),
        *ellipse("hole", (0.5, 0.05), (0.14, 0.11)),
        *stroke("dark", 0.025, (0.24, 0.24), (0.24, 0.38)),
        *stroke("dark", 0.025, (0.76, 0.24), (0.76, 0.38)),
        *ellipse("dark", (0.5, 0.46), (0.028, 0.028)),
        *ellipse("dark", (0.5, 0.62), (0.028, 0.028)),
    )


def _boot() -> Shape:
    return (
        *smooth("body", (0.16, 0.0), (0.16, 0.0), (0.18, 0.4), (0.12, 0.7), (0.12, 0.98),
                (0.12, 0.98), (0.9, 0.98), (0.9, 0.98), (0.92, 0.78), (0.78, 0.66), (0.56, 0.58),
                (0.54, 0.4), (0.56, 0.0), (0.56, 0.0)),
        *polygon("dark", (0.12, 0.88), (0.95, 0.88), (0.95, 0.99), (0.4, 0.99), (0.38, 0.95),
                 (0.36, 0.99), (0.1, 0.99)),
        *polygon("light", (0.1, 0.0), (0.6, 0.0), (0.6, 0.1), (0.1, 0.1)),
    )  # fmt: skip


_BUILDERS = {
    "star": _star, "heart": _heart, "moon": _moon, "fish": _fish, "key": _key, "house": _house,
    "bottle": _bottle, "mug": _mug, "tree": _tree, "flower": _flower, "leaf": _leaf,
    "mushroom": _mushroom, "apple": _apple, "umbrella": _umbrella, "car": _car, "boat": _boat,
    "butterfly": _butterfly, "hat": _hat, "crown": _crown, "bell": _bell, "rocket": _rocket,
    "cactus": _cactus, "shirt": _shirt, "boot": _boot,
}  # fmt: skip
#: Every class with its shape, centred on the origin, the longest side being 1.
SHAPES: dict[str, Shape] = {name: normalised(build()) for name, build in _BUILDERS.items()}
