from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from indexer.records import Failure, File, Region, Rle, Segment
from indexer.store.points import file_from, file_point, segment_from, segment_point

PLAIN = Region(Rle((3, 4), "02106"), (0, 0, 2, 2), 4, 0.9, 0.8)


def fields(segment: Segment) -> tuple[object, ...]:
    """What a segment is compared by: the records themselves have no equality."""
    where = (segment.id, segment.image_id, segment.parent_id, segment.paths)
    return (*where, segment.region, segment.taken_at, segment.gps)


@pytest.mark.parametrize(
    "region",
    [
        PLAIN,
        replace(
            PLAIN, label="mug", label_score=0.87, label_source="detector", stability_score=None
        ),
        replace(PLAIN, label="mug"),
        replace(PLAIN, label_score=0.0, point=(1.5, 0.5)),
    ],
)
def test_segments_come_back(region: Region) -> None:
    segment = Segment(
        "s", "i", region, None, ("r/a.jpg",), datetime(2024, 5, 1), (48.1, 11.6), "JPEG", "Canon R5"
    )
    point = segment_point(segment)
    assert point.payload["label"] == region.label
    assert point.payload["label_score"] == region.label_score
    assert fields(segment_from(point.id, point.payload)) == fields(segment)


def test_segments_whose_label_was_taken_away() -> None:
    point = segment_point(Segment("s", "i", PLAIN, None))
    del point.payload["label"], point.payload["label_score"], point.payload["label_source"]
    assert segment_from("s", point.payload).region == PLAIN


@pytest.mark.parametrize(
    "file",
    [
        File("r", "a.jpg", 1, 2, "i"),
        File("r", "a.jpg", 1, 2, "i", detections="0123456789abcdef"),
        File("r", "a.jpg", 1, 2, failure=Failure("corrupt", "it ends early", retryable=False)),
    ],
)
def test_files_come_back(file: File) -> None:
    payload = file_point(file).payload
    assert payload["detections"] == file.detections
    assert file_from(payload) == file


def test_files_of_before_there_were_detections() -> None:
    file = File("r", "a.jpg", 1, 2, "i")
    payload = file_point(file).payload
    del payload["detections"]
    assert file_from(payload) == file
