"""Curves of training runs as a picture."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from training.curves import curves_of, svg


def test_a_log_becomes_curves() -> None:
    log = [json.dumps({"step": s, "loss": 10 - s, "seconds": 2.5}) for s in (1, 2, 3, 2, 3)]
    assert curves_of([*log, json.dumps({"step": 4, "iou": 0.5})]) == {
        "loss": ([1, 2, 3], [9, 8, 7])
    }


def test_long_logs_are_thinned() -> None:
    log = [json.dumps({"step": s, "loss": 1.0}) for s in range(1, 601)]
    steps, values = curves_of(log)["loss"]
    assert len(steps) == len(values) == 60
    assert steps[0] == 5.5
    assert set(values) == {1.0}


def test_the_picture_has_a_panel_for_each_curve() -> None:
    curve = ([1.0, 2.0], [4.0, 2.0])
    root = ET.fromstring(svg({"a<b": {"loss": curve, "iou": curve}, "c": {"loss": curve}}))  # noqa: S314
    titles = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [title for title in titles if ":" in str(title)] == ["a<b: loss", "a<b: iou", "c: loss"]
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 3
    assert lines[0].get("points") == "166.0,26.0 286.0,85.0"
