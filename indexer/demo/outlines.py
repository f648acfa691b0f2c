"""The strokes that outlines are made of: polygons, ellipses, smooth curves and thick lines.

All coordinates lie in a unit square, x to the right and y downwards.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

XY = tuple[float, float]
#: "body" adds to the silhouette, "hole" takes away, "dark" and "light" are details inside it.
Role = Literal["body", "hole", "dark", "light"]


@dataclass(frozen=True)
class Part:
    """One filled polygon of a shape; later parts are painted over earlier ones.

    Attributes:
        role: What the polygon does to the shape.
        points: Its corners, float64 of shape (N, 2), as x and y in the unit square.
    """

    role: Role
    points: NDArray[np.float64]


Shape = tuple[Part, ...]


def polygon(role: Role, *corners: XY) -> Shape:
    """Return a polygon through the corners."""
    return (Part(role, np.array(corners, dtype=np.float64)),)


def ellipse(role: Role, centre: XY, radii: XY, turn: float = 0.0) -> Shape:
    """Return an ellipse, its axes turned clockwise by `turn` degrees."""
    angle = np.linspace(0, math.tau, 48, endpoint=False)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    points = np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1)
    return (Part(role, points),)


def smooth(role: Role, *knots: XY) -> Shape:
    """Return the closed Catmull-Rom curve through the knots; a knot given twice is a corner."""
    p1 = np.array(knots, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, axis=0), np.roll(p1, -1, axis=0), np.roll(p1, -2, axis=0)
    t = np.linspace(0, 1, 10, endpoint=False)[None, :, None]
    # From a corner to itself there is nothing to draw but a tiny loop.
    moving = (p1 != p2).any(axis=1)
    p0, p1, p2, p3 = (p[moving][:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return (Part(role, curve.reshape(-1, 2)),)


def stroke(role: Role, width: float, *points: XY) -> Shape:
    """Return a line of that width through the points, with round ends and joints."""
    parts: list[Part] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
        corners = ((x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy))
        parts += polygon(role, *corners)
    for point in points:
        parts += ellipse(role, point, (width / 2, width / 2))
    return tuple(parts)


def mirrored(shape: Shape) -> Shape:
    """Return the shape followed by its mirror image about x = 0.5."""
    return shape + tuple(Part(part.role, part.points * (-1, 1) + (1, 0)) for part in shape)


def normalised(shape: Shape) -> Shape:
    """Return the shape centred on the origin, the longest side of its silhouette being 1."""
    body = np.concatenate([part.points for part in shape if part.role == "body"])
    low, high = body.min(axis=0), body.max(axis=0)
    centre, side = (low + high) / 2, float((high - low).max())
    return tuple(Part(part.role, (part.points - centre) / side) for part in shape)
