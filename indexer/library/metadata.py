"""What EXIF says about a picture. Broken EXIF is no EXIF, and never a broken picture."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from indexer.library.pillow import MALFORMED
from indexer.library.quiet import quiet

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIME = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_MAX_CAMERA = 100


@dataclass(frozen=True)
class Exif:
    """The parts of EXIF that are used.

    Attributes:
        orientation: 1 to 8; 1 where it is missing or nonsense.
        taken_at: naive local time, or None.
        camera: maker and model, or None.
        gps: (latitude, longitude) in degrees, or None.
    """

    orientation: int = 1
    taken_at: datetime | None = None
    camera: str | None = None
    gps: tuple[float, float] | None = None


def read_exif(image: Image.Image) -> Exif:
    """Read the EXIF of a loaded image.

    The image must be loaded: a PNG may have its EXIF after the pixels, and a TIFF's orientation
    is applied, and taken away, by Pillow's load.
    """
    try:
        with quiet():
            main = image.getexif()
    except MALFORMED:
        return Exif()
    details = _directory(main, ExifTags.IFD.Exif)
    orientation = _value(main, ExifTags.Base.Orientation)
    taken_at = _time(_value(details, ExifTags.Base.DateTimeOriginal))
    return Exif(
        orientation=orientation if orientation in _TRANSPOSE else 1,
        taken_at=taken_at or _time(_value(main, ExifTags.Base.DateTime)),
        camera=_camera(
            _text(_value(main, ExifTags.Base.Make)), _text(_value(main, ExifTags.Base.Model))
        ),
        gps=_gps(_directory(main, ExifTags.IFD.GPSInfo)),
    )


def transpose(image: Image.Image, exif: Exif) -> Image.Image:
    """Return the image the way up that its EXIF orientation asks for."""
    method = _TRANSPOSE.get(exif.orientation)
    return image if method is None else image.transpose(method)


def _directory(main: Image.Exif, tag: int) -> Mapping[int, Any]:
    try:
        with quiet():
            return main.get_ifd(tag)
    except MALFORMED:
        return {}


def _value(directory: Mapping[int, Any], tag: int) -> object:
    """Return a tag's value; it is parsed only now, and may turn out to be broken."""
    try:
        with quiet():
            return directory.get(tag)
    except MALFORMED:
        return None


def _text(value: object) -> str:
    """Return the printable part of an EXIF string, which ends at its first NUL."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    shown = "".join(c if c.isprintable() else " " for c in value.partition("\0")[0])
    return " ".join(shown.split())


def _time(value: object) -> datetime | None:
    found = _TIME.match(_text(value))
    if found is None:
        return None
    try:
        return datetime(*(int(part) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None  # digits that are no date, such as 0000:00:00


def _camera(make: str, model: str) -> str | None:
    repeated = make and model.casefold().startswith(make.split(maxsplit=1)[0].casefold())
    camera = model if repeated else f"{make} {model}".strip()
    return camera[:_MAX_CAMERA].strip() or None


def _gps(directory: Mapping[int, Any]) -> tuple[float, float] | None:
    latitude = _degrees(directory, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS", 90)
    longitude = _degrees(
        directory, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW", 180
    )
    return None if latitude is None or longitude is None else (latitude, longitude)


def _degrees(
    directory: Mapping[int, Any], tag: int, ref_tag: int, hemispheres: str, limit: int
) -> float | None:
    """Return degrees from (degrees, minutes, seconds) and a hemisphere, None if either is bad."""
    parts = _value(directory, tag)
    hemisphere = _text(_value(directory, ref_tag)).upper()
    if not isinstance(parts, tuple) or hemisphere not in set(hemispheres):
        return None
    try:
        degrees = math.fsum(float(part) / 60**power for power, part in enumerate(parts[:3]))
    except ZeroDivisionError:
        return None
    # Newer Pillows make not-a-number of a zero denominator, which no comparison lets pass.
    if not 0 <= degrees <= limit:
        return None
    return -degrees if hemisphere == hemispheres[1] else degrees
