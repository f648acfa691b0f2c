"""The vocabulary of outlines."""

from __future__ import annotations

import numpy as np

from indexer.demo.classes import SHAPES
from indexer.demo.outlines import ellipse, mirrored, normalised, polygon, smooth, stroke


def test_a_smooth_curve_goes_through_its_knots() -> None:
    knots = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    (part,) = smooth("body", *knots)
    assert part.points.shape == (40, 2)
    assert np.allclose(part.points[::10], knots)


def test_a_knot_given_twice_is_a_corner_without_a_loop() -> None:
    (part,) = smooth("body", (0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (0.5, 1.0))
    steps = np.diff(part.points, axis=0)
    assert (np.hypot(*steps.T) > 0).all()
    assert part.points.shape == (30, 2)


def test_a_stroke_is_as_wide_as_asked() -> None:
    points = np.concatenate([part.points for part in stroke("dark", 0.2, (0.2, 0.5), (0.8, 0.5))])
    assert np.allclose(points.min(axis=0), (0.1, 0.4))
    assert np.allclose(points.max(axis=0), (0.9, 0.6))


def test_mirrored_adds_the_other_half() -> None:
    left, right = mirrored(ellipse("hole", (0.2, 0.5), (0.1, 0.3)))
    assert (left.role, right.role) == ("hole", "hole")
    assert np.allclose(right.points.mean(axis=0), (0.8, 0.5))


def test_normalised_centres_the_body_and_scales_it_to_one() -> None:
    shape = polygon("body", (2.0, 2.0), (6.0, 2.0), (6.0, 4.0)) + polygon("dark", (2.0, 2.0))
    body, detail = normalised(shape)
    assert np.allclose(body.points, [(-0.5, -0.25), (0.5, -0.25), (0.5, 0.25)])
    assert np.allclose(detail.points, [(-0.5, -0.25)])


def test_every_shape_fits_its_square() -> None:
    for shape in SHAPES.values():
        body = np.concatenate([part.points for part in shape if part.role == "body"])
        assert np.isclose(np.ptp(body, axis=0).max(), 1)
        assert np.allclose((body.min(axis=0) + body.max(axis=0)) / 2, 0)
