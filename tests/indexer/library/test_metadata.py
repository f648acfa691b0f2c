from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from indexer.records import Picture

if TYPE_CHECKING:
    from tests.indexer.library.conftest import DecodeBytes, Encode

MAKE, MODEL, DATE_TIME, ORIGINAL = 271, 272, 306, 36867
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]


class Write:
    """Encodes a tiny picture with EXIF, and returns what decoding tells about it."""

    def __init__(self, encode: Encode, decode_bytes: DecodeBytes) -> None:
        self.encode = encode
        self.decode_bytes = decode_bytes

    def raw(self, exif: bytes, form: str = "JPEG") -> Picture:
        data = self.encode(Image.new("RGB", (3, 2)), form, exif=exif)
        return self.decode_bytes(data).picture

    def tags(
        self,
        main: dict[int, object],
        details: dict[int, object] | None = None,
        gps: dict[int, object] | None = None,
        form: str = "JPEG",
    ) -> Picture:
        exif = Image.Exif()
        exif.update(main)
        exif.get_ifd(ExifTags.IFD.Exif).update(details or {})
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps or {})
        return self.raw(exif.tobytes(), form)  # for a TIFF, Pillow takes the parts from bytes only


@pytest.fixture
def write(encode: Encode, decode_bytes: DecodeBytes) -> Write:
    return Write(encode, decode_bytes)


def rationals(*values: int) -> tuple[IFDRational, ...]:
    return tuple(IFDRational(value) for value in values)


@pytest.mark.parametrize("form", FORMATS)
def test_everything_together(write: Write, form: str) -> None:
    picture = write.tags(
        {MAKE: "Acme", MODEL: "Zoom 3", DATE_TIME: "2022:01:01 00:00:00"},
        {ORIGINAL: "2021:06:30 12:34:56"},
        {1: "S", 2: rationals(33, 30, 36), 3: "E", 4: rationals(151, 15, 0)},
        form,
    )
    assert picture.taken_at == datetime(2021, 6, 30, 12, 34, 56)
    assert picture.camera == "Acme Zoom 3"
    assert picture.gps == pytest.approx((-33.51, 151.25))


@pytest.mark.parametrize("form", [*FORMATS, "GIF", "BMP"])
def test_nothing_at_all(encode: Encode, decode_bytes: DecodeBytes, form: str) -> None:
    picture = decode_bytes(encode(Image.new("RGB", (3, 2)), form)).picture
    assert (picture.taken_at, picture.camera, picture.gps) == (None, None, None)


@pytest.mark.parametrize(
    ("original", "changed", "expected"),
    [
        ("2021:06:30 12:34:56", "2022:01:01 00:00:00", datetime(2021, 6, 30, 12, 34, 56)),
        (None, "2022:01:01 00:00:00", datetime(2022, 1, 1)),
        ("0000:00:00 00:00:00", "2022:01:01 00:00:00", datetime(2022, 1, 1)),
        ("2021-06-30 12:34:56", None, datetime(2021, 6, 30, 12, 34, 56)),
        ("2021:06:30 12:34:56\0\0junk", None, datetime(2021, 6, 30, 12, 34, 56)),
        ("2021:02:30 12:34:56", None, None),
        ("2021:06:30 24:00:00", None, None),
        ("    :  :     :  :  ", None, None),
        ("yesterday", None, None),
        ("", "", None),
    ],
)
def test_taken_at(
    write: Write, original: str | None, changed: str | None, expected: datetime | None
) -> None:
    main: dict[int, object] = {} if changed is None else {DATE_TIME: changed}
    details: dict[int, object] = {} if original is None else {ORIGINAL: original}
    assert write.tags(main, details).taken_at == expected


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("Acme", "", "Acme"),
        ("", "Zoom", "Zoom"),
        ("", "", None),
        (" \0 ", "\0", None),
        ("Ac\x07me \n\t Inc.\0\0rest", "Zo\x1bom", "Ac me Inc. Zo om"),
        ("A" * 60, "B" * 60, "A" * 60 + " " + "B" * 39),
    ],
)
def test_camera(write: Write, make: str, model: str, expected: str | None) -> None:
    assert write.tags({MAKE: make, MODEL: model}).camera == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({1: "N", 2: rationals(10, 30, 0), 3: "E", 4: rationals(20, 15, 0)}, (10.5, 20.25)),
        ({1: "s", 2: rationals(10, 30, 0), 3: "W", 4: rationals(20, 15, 0)}, (-10.5, -20.25)),
        ({1: "N", 2: rationals(90, 0, 0), 3: "W", 4: rationals(180, 0, 0)}, (90.0, -180.0)),
        ({1: "N", 2: (IFDRational(1, 4), *rationals(0, 0)), 3: "E", 4: rationals(1, 0)}, (0.25, 1)),
        ({1: "N", 2: rationals(10, 30, 0), 3: "E", 4: rationals(1)}, None),
        ({1: "N", 2: (IFDRational(10, 0), *rationals(0, 0)), 3: "E", 4: rationals(20, 0, 0)}, None),
        ({1: "N", 2: (*rationals(10, 0), IFDRational(0, 0)), 3: "E", 4: rationals(20, 0, 0)}, None),
        ({1: "N", 2: rationals(90, 0, 1), 3: "E", 4: rationals(20, 0, 0)}, None),
        ({1: "N", 2: rationals(10, 0, 0), 3: "E", 4: rationals(181, 0, 0)}, None),
        ({2: rationals(10, 30, 0), 4: rationals(20, 15, 0)}, None),
        ({1: "X", 2: rationals(10, 30, 0), 3: "E", 4: rationals(20, 15, 0)}, None),
        ({1: "N", 2: rationals(10, 30, 0)}, None),
        ({1: "N", 3: "E"}, None),
    ],
)  # fmt: skip
def test_gps(write: Write, tags: dict[int, object], expected: tuple[float, float] | None) -> None:
    gps = write.tags({}, gps=tags).gps
    assert gps == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0rubbish",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",  # many entries, none there
        b"Exif\0\0II*\0\xff\xff\xff\xff",  # a directory behind the end
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + b"\x69\x87\x04\0\x01\0\0\0\xff\xff\xff\x7f" + bytes(4),
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + b"\x0f\x01\x02\0\xff\xff\xff\xff\x08\0\0\0" + bytes(4),
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + b"\x12\x01\x02\0\x04\0\0\0six\0" + bytes(4),
    ],
)
def test_broken_exif_does_not_fail_a_good_picture(write: Write, exif: bytes, form: str) -> None:
    picture = write.raw(exif, form)
    assert (picture.width, picture.height) == (3, 2)
    assert (picture.taken_at, picture.camera, picture.gps) == (None, None, None)


def test_a_broken_part_leaves_the_rest(write: Write) -> None:
    camera = b"\x0f\x01\x02\0\x04\0\0\0Abc\0"
    turned = b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    nowhere = b"\x69\x87\x04\0\x01\0\0\0\xff\xff\xff\x7f"
    picture = write.raw(b"Exif\0\0II*\0\x08\0\0\0\x03\0" + camera + turned + nowhere + bytes(4))
    assert (picture.width, picture.height) == (2, 3)
    assert picture.camera == "Abc"
