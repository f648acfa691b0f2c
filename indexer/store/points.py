"""Records to points and back: the stored form of images, segments, files and roots.

Times are stored as ISO 8601 with a Z. `taken_at` is the camera's local time, written as if it
were UTC, because EXIF rarely knows the zone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from indexer.records import Failure, File, Image, Picture, Region, Rle, Segment
from indexer.store.base import Payload, Point, Vector


def image_point(image: Image) -> Point:
    """Return the stored form of an image."""
    picture = image.picture
    payload: Payload = {
        "sha256": picture.sha256,
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "frames": picture.frames,
        "taken_at": time_text(picture.taken_at),
        "camera": picture.camera,
        "gps": _gps_payload(picture.gps),
        "paths": list(image.paths),
        "n_segments": image.n_segments,
        "indexed_at": time_text(image.indexed_at),
    }
    return Point(image.id, payload, image.vector)


def image_from(point_id: str, payload: Payload, vector: Vector | None = None) -> Image:
    """Read an image back; its vector is None unless given."""
    picture = Picture(
        sha256=payload["sha256"],
        width=payload["width"],
        height=payload["height"],
        format=payload["format"],
        frames=payload["frames"],
        taken_at=_time(payload["taken_at"]),
        camera=payload["camera"],
        gps=_gps(payload["gps"]),
    )
    return Image(
        id=point_id,
        picture=picture,
        paths=tuple(payload["paths"]),
        n_segments=payload["n_segments"],
        indexed_at=datetime.fromisoformat(payload["indexed_at"]),
        vector=vector,
    )


def segment_point(segment: Segment) -> Point:
    """Return the stored form of a segment."""
    region = segment.region
    payload: Payload = {
        "image_id": segment.image_id,
        "box": list(region.box),
        "area_px": region.area_px,
        "area_fraction": region.area_fraction,
        "predicted_iou": region.predicted_iou,
        "stability_score": region.stability_score,
        "height": region.rle.size[0],
        "width": region.rle.size[1],
        "rle": {"size": list(region.rle.size), "counts": region.rle.counts},
        "point": None if region.point is None else list(region.point),
        "parent_id": segment.parent_id,
        "depth": region.depth,
        "label": region.label,
        "label_score": region.label_score,
        "label_source": region.label_source,
        "paths": list(segment.paths),
        "format": segment.format,
        "camera": segment.camera,
        "taken_at": time_text(segment.taken_at),
        "gps": _gps_payload(segment.gps),
    }
    return Point(segment.id, payload, segment.vector)


def segment_from(point_id: str, payload: Payload, vector: Vector | None = None) -> Segment:
    """Read a segment back; its vector is None unless given, and so is `region.parent`."""
    rle, point = payload["rle"], payload["point"]
    region = Region(
        rle=Rle((rle["size"][0], rle["size"][1]), rle["counts"]),
        box=(payload["box"][0], payload["box"][1], payload["box"][2], payload["box"][3]),
        area_px=payload["area_px"],
        predicted_iou=payload["predicted_iou"],
        stability_score=payload["stability_score"],
        point=None if point is None else (point[0], point[1]),
        depth=payload["depth"],
        label=payload.get("label"),  # absent once a label was taken away
        label_score=payload.get("label_score"),
        label_source=payload.get("label_source"),
    )
    return Segment(
        id=point_id,
        image_id=payload["image_id"],
        region=region,
        parent_id=payload["parent_id"],
        paths=tuple(payload["paths"]),
        taken_at=_time(payload["taken_at"]),
        gps=_gps(payload["gps"]),
        format=payload["format"],
        camera=payload["camera"],
        vector=vector,
    )


def label_payload(label: tuple[str, float] | None, source: str) -> Payload:
    """Return the fields of a segment's label and how sure it is; None takes the label away."""
    if label is None:
        return {"label": None, "label_score": None, "label_source": None}
    return {"label": label[0], "label_score": label[1], "label_source": source}


def file_point(file: File) -> Point:
    """Return the stored form of a file."""
    payload: Payload = {
        "root": file.root,
        "path": file.path,
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "image_id": file.image_id,
        "failed": file.failure is not None,
        "reason": None if file.failure is None else file.failure.reason,
        "message": None if file.failure is None else file.failure.message,
        "retryable": None if file.failure is None else file.failure.retryable,
        "detections": file.detections,
    }
    return Point(file.id, payload)


def file_from(payload: Payload) -> File:
    """Read a file back."""
    failure = None
    if payload["failed"]:
        failure = Failure(payload["reason"], payload["message"], payload["retryable"])
    return File(
        root=payload["root"],
        path=payload["path"],
        size=payload["size"],
        mtime_ns=payload["mtime_ns"],
        image_id=payload["image_id"],
        failure=failure,
        detections=payload.get("detections"),  # absent before there were any
    )


def time_text(time: datetime | None) -> str | None:
    """Return a time as it is stored and compared: naive times as they are, others as UTC."""
    if time is None:
        return None
    naive = time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
    return naive.isoformat() + "Z"


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=None)


def _gps_payload(gps: tuple[float, float] | None) -> dict[str, float] | None:
    return None if gps is None else {"lat": gps[0], "lon": gps[1]}


def _gps(payload: dict[str, float] | None) -> tuple[float, float] | None:
    return None if payload is None else (payload["lat"], payload["lon"])
