"""Pictures that bite, each with what is promised of it. See `tests.bad_pictures`."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageCms

from indexer.library import REASONS
from tests import bad_bytes as made
from tests.bad_bytes import BLUE, GREEN, RED, YELLOW, quarters, written
from tests.indexer.library.test_colour import LINEAR_GREY, SWAPPED, inks

RGB = tuple[int, int, int]
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (128, 128, 128)
CORRUPT, TOO_LARGE = frozenset({"corrupt"}), frozenset({"too_large"})
_ORIENTATION, _MAKE, _MODEL, _TIME, _GPS = 274, 271, 272, 306, 0x8825


@dataclass(frozen=True)
class Promise:
    """What is promised of a file.

    Attributes:
        reasons: it may be recorded as a failure with one of these.
        indexed: it may be indexed.
        size: (width, height) that it has then; None is any.
        first: colour of its upper left pixel then; None is any.
    """

    reasons: frozenset[str] = frozenset()
    indexed: bool = False
    size: tuple[int, int] | None = None
    first: RGB | None = None


@dataclass(frozen=True)
class Case:
    """A file and what is promised of it."""

    name: str
    data: bytes
    promise: Promise


def good(
    name: str, data: bytes, first: RGB | None = RED, size: tuple[int, int] = made.SIZE
) -> Case:
    """Return a file that has to be indexed."""
    return Case(name, data, Promise(indexed=True, size=size, first=first))


def bad(name: str, data: bytes, reasons: frozenset[str] = CORRUPT) -> Case:
    """Return a file that has to be recorded."""
    return Case(name, data, Promise(reasons))


def either(name: str, data: bytes) -> Case:
    """Return a file that has to be indexed or recorded."""
    return Case(name, data, Promise(frozenset(REASONS), indexed=True))


def traps() -> Iterator[Case]:
    """Return every trap there is."""
    for kind in (formats, colours, icc, orientations, exif, frames, shapes):
        yield from kind()
    for kind in (bombs, damaged, strangers, disguises):
        yield from kind()


def formats() -> Iterator[Case]:
    """Return the formats themselves, and their variants."""
    image = quarters()
    yield good("plain.jpg", written(image, "JPEG"))
    yield good("progressive.jpg", written(image, "JPEG", progressive=True))
    yield good("plain.png", written(image, "PNG"))
    yield good("plain.gif", written(image, "GIF"))
    yield good("plain.bmp", written(image, "BMP"))
    yield good("lossy.webp", written(image, "WEBP"))
    yield good("lossless.webp", written(image, "WEBP", lossless=True))
    yield good("plain.avif", written(image, "AVIF"))
    for packing in "raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "lzma", "zstd":
        yield good(f"{packing}.tif", written(image, "TIFF", compression=packing))
    for packing in "group3", "group4", "tiff_ccitt":
        line = image.convert("L").point(lambda value: 255 * (value > 100)).convert("1")
        yield good(f"{packing}.tif", written(line, "TIFF", compression=packing), BLACK)
    yield good("big.tif", written(image, "TIFF", big_tiff=True))


def colours() -> Iterator[Case]:
    """Return deep, inked, transparent and otherwise coloured pictures."""
    deep = PIL.Image.fromarray(np.full((4, 5), 128 * 257, np.uint16))
    for form in "png", "tif":
        yield good(f"16-bit grey.{form}", written(deep, _form(form), exif=b""), GREY, (5, 4))
    rows = (b"\0" + struct.pack(">HHH", 0xFFFF, 0, 0x80FF) * 5) * 4
    yield good("16-bit.png", made.png((5, 4), rows, depth=16), (255, 0, 128), (5, 4))
    ink = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    yield good("ink.jpg", written(ink, "JPEG"), (0, 255, 255), (16, 16))
    yield good("ink.tif", written(ink, "TIFF"), (0, 255, 255), (16, 16))
    lab = PIL.ImageCms.profileToProfile(
        PIL.Image.new("RGB", (4, 4), RED),
        PIL.ImageCms.createProfile("sRGB"),
        PIL.ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    del lab.info["icc_profile"]  # it says when it was made
    yield good("lab.tif", written(lab, "TIFF"), RED, (4, 4))
    yield good("ycc.tif", written(quarters().convert("YCbCr"), "TIFF"))
    clear = PIL.Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    for form in "png", "webp", "tif", "avif":
        yield good(f"clear.{form}", written(clear, _form(form)), WHITE, (4, 4))
    yield good("clear grey.png", written(clear.convert("LA"), "PNG"), WHITE, (4, 4))
    key = written(PIL.Image.new("RGB", (4, 4), RED), "PNG", transparency=RED)
    yield good("one clear colour.png", key, WHITE, (4, 4))
    palette = PIL.Image.new("RGB", (4, 4), RED).quantize(4)
    yield good("palette.png", written(palette, "PNG"), RED, (4, 4))
    yield good("clear palette.png", written(palette, "PNG", transparency=0), WHITE, (4, 4))
    yield good("clear palette.gif", written(palette, "GIF", transparency=0), WHITE, (4, 4))
    yield good("1-bit.png", written(PIL.Image.new("1", (4, 4), 1), "PNG"), WHITE, (4, 4))
    for name, values in {
        "half": [0.5, 1.0, 0.0], "nan": [np.nan, 0.5, 1.0], "infinite": [-np.inf, 0.0, 9.0],
    }.items():  # fmt: skip
        image = PIL.Image.fromarray(np.array([values], np.float32))
        yield good(f"{name}.tif", written(image, "TIFF"), GREY if name == "half" else BLACK, (3, 1))
    numbers = PIL.Image.fromarray(np.array([[-100, 155]], np.int32))
    yield good("negative.tif", written(numbers, "TIFF"), BLACK, (2, 1))


def _form(ending: str) -> str:
    return {"tif": "TIFF", "jpg": "JPEG"}.get(ending, ending.upper())


def icc() -> Iterator[Case]:
    """Return pictures with profiles, which may be broken or for other pictures."""
    red = PIL.Image.new("RGB", (16, 16), RED)
    for form in "jpg", "png", "tif", "webp":
        options = {"lossless": True} if form == "webp" else {}
        data = written(red, _form(form), icc_profile=SWAPPED, **options)
        yield good(f"swapped by its profile.{form}", data, GREEN, (16, 16))
    ink = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    yield good("red by its profile.tif", written(ink, "TIFF", icc_profile=inks()), RED, (16, 16))
    grey = PIL.Image.new("L", (4, 4), 55)
    yield good("linear.png", written(grey, "PNG", icc_profile=LINEAR_GREY), GREY, (4, 4))
    for name, profile in {
        "rubbish": b"rubbish",
        "short": SWAPPED[:150],
        "no space": SWAPPED.replace(b"RGB ", b"\xff\xfe  "),
        "for inks": inks(),
        "long": SWAPPED + bytes(100_000),
        "zeros": bytes(3000),
        "endless tags": SWAPPED[:128] + b"\xff" * 400,
    }.items():
        expected = GREEN if name == "long" else RED
        data = written(red, "PNG", icc_profile=profile)
        yield good(f"profile, {name}.png", data, expected, (16, 16))
        tags = made.grey_tags(4, 4) | {34675: (4, 1, len(profile))}  # a number for a profile
        yield good(f"profile, {name}.tif", made.tiff(tags, b"\x80" * 16), GREY, (4, 4))


def orientations() -> Iterator[Case]:
    """Return pictures in every orientation, and in none that there is."""
    corners = {1: RED, 2: GREEN, 3: YELLOW, 4: BLUE, 5: RED, 6: BLUE, 7: YELLOW, 8: GREEN}
    for form in "jpg", "png", "webp", "tif", "avif":
        for orientation, first in corners.items():
            size = made.SIZE if orientation < 5 else made.SIZE[::-1]
            exif = PIL.Image.Exif()
            exif[_ORIENTATION] = orientation
            data = written(quarters(), _form(form), exif=exif)
            yield good(f"orientation {orientation}.{form}", data, first, size)
    for orientation in 0, 9, 99, 65_535:
        exif = PIL.Image.Exif()
        exif[_ORIENTATION] = orientation
        yield good(f"orientation {orientation}.jpg", written(quarters(), "JPEG", exif=exif))


def exif() -> Iterator[Case]:
    """Return pictures whose EXIF is absurd: it says nothing, and does no harm."""
    text = b"\x1b[31mred\0<script>\xff\xfe" + b"A" * 300
    blocks = {
        "rubbish": b"Exif\0\0rubbish",
        "nothing": b"Exif\0\0",
        "header only": b"Exif\0\0II*\0\x08\0\0\0",
        "directory outside": b"Exif\0\0II*\0\xff\xff\xff\xff",
        "directory in its header": b"Exif\0\0II*\0\0\0\0\0",
        "endless directory": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(100),
        "loop": made.exif_block([(_ORIENTATION, 3, 1, 1)], next_at=8),
        "loop of parts": made.exif_block([(0x8769, 4, 1, 8), (_GPS, 4, 1, 8), (0xA005, 4, 1, 8)]),
        "huge counts": made.exif_block([(_MAKE, 2, 2**32 - 1, 8), (_MODEL, 7, 2**31, 8)]),
        "values outside": made.exif_block([(_MAKE, 2, 99, 2**32 - 9), (_TIME, 2, 20, 2**31)]),
        "unknown types": made.exif_block([(_MAKE, 99, 4, 8), (_ORIENTATION, 0, 1, 1)]),
        "text for numbers": made.exif_block([(_ORIENTATION, 2, 2, 0x37)]),
        "many orientations": made.exif_block([(_ORIENTATION, 3, 9999, 8)]),
        "strange camera": made.exif_block([(_MAKE, 2, len(text), 26)], text),
        "no date": made.exif_block([(_TIME, 2, 20, 26)], b"0000:00:00 00:00:00\0"),
        "date of nonsense": made.exif_block([(_TIME, 2, 20, 26)], b"9999:99:99 99:99:99\0"),
        "position of nonsense": _position(999, 0),
        "position over nothing": _position(1, 0),
        "position as text": made.exif_block([(_GPS, 2, 4, 0x4E4E4E4E)]),
    }
    for name, block in blocks.items():
        yield good(f"exif, {name}.jpg", written(quarters(), "JPEG", exif=block))
        yield good(f"exif, {name}.png", written(quarters(), "PNG", exif=block[6:]))


def _position(degrees: int, over: int) -> bytes:
    values = struct.pack("<LL", degrees, over) * 3
    parts = [(1, 2, 2, 0x4E), (2, 5, 3, 80), (3, 2, 2, 0x45), (4, 5, 3, 80)]
    directory = struct.pack("<H", 4) + b"".join(struct.pack("<HHLL", *part) for part in parts)
    return made.exif_block([(_GPS, 4, 1, 26)], directory + bytes(4) + values)


def frames() -> Iterator[Case]:
    """Return animations and documents: the first picture counts."""
    others = [PIL.Image.new("RGB", made.SIZE, colour) for colour in (GREEN, BLUE)]
    for form in "gif", "webp", "png", "tif", "avif":
        data = written(quarters(), _form(form), save_all=True, append_images=others)
        yield good(f"frames.{form}", data)
    yield good("two.jpg", written(quarters(), "MPO", save_all=True, append_images=others))


def shapes() -> Iterator[Case]:
    """Return pictures that are very long, or very small."""
    for size in (1, 1), (32_767, 1), (1, 32_767), (2000, 1):
        name = f"{size[0]}×{size[1]}"
        yield good(f"{name}.png", written(PIL.Image.new("RGB", size, RED), "PNG"), RED, size)
    for size in (40_000, 1), (1, 40_000), (32_768, 1):
        name, image = f"{size[0]}×{size[1]}", PIL.Image.new("L", size)
        yield bad(f"{name}.png", written(image, "PNG"), TOO_LARGE)
        yield bad(f"{name}.tif", written(image, "TIFF"), TOO_LARGE)


def bombs() -> Iterator[Case]:
    """Return small files that claim to be, or become, very large."""
    for side in 12_000, 20_000, 60_000:
        yield bad(f"{side}.png", made.png((side, side), bytes(1000)), TOO_LARGE)
        yield bad(f"{side}.jpg", made.jpeg_header(side, side), TOO_LARGE)
        yield bad(f"{side}.bmp", made.bmp(side, side), TOO_LARGE)
        yield bad(f"{side}.tif", made.tiff(made.grey_tags(side, side)), TOO_LARGE)
        yield bad(f"{side}.gif", made.gif((side, side), (1, 1)), TOO_LARGE)
        yield bad(f"{side}.avif", made.avif_sized(side, side), CORRUPT | TOO_LARGE)
    yield bad("2^31.png", made.png((2**31 - 1, 2**31 - 1), b"1"), TOO_LARGE)
    yield bad("2^32 - 1.tif", made.tiff(made.grey_tags(2**32 - 1, 2**32 - 1)), CORRUPT | TOO_LARGE)
    yield bad("2^24.webp", made.webp_canvas(2**24, 2**24), CORRUPT | TOO_LARGE)
    yield bad("16384.webp", made.webp_canvas(16_384, 16_384), CORRUPT | TOO_LARGE)
    yield bad("8000, no data.png", made.png((8000, 8000)))
    yield bad("8000, little data.png", made.png((8000, 8000), bytes(10_000)))
    yield bad("8000, no data.jpg", made.jpeg_header(8000, 8000))
    yield bad("8000, little data.tif", made.tiff(made.grey_tags(8000, 8000), bytes(100)))
    yield either("frame beyond its screen.gif", made.gif((1, 1), (65_535, 65_535)))
    packed = zlib.compress(bytes(50_000_000), 9)
    row = b"\0\0\0\0"
    yield bad("zTXt.png", made.png((1, 1), row, made.chunk(b"zTXt", b"k\0\0" + packed)))
    yield bad("iTXt.png", made.png((1, 1), row, made.chunk(b"iTXt", b"k\0\1\0\0\0" + packed)))
    profile = made.chunk(b"iCCP", b"k\0\0" + packed)
    yield either("iCCP.png", made.png((1, 1), row, profile))
    many = [made.chunk(b"zTXt", b"k%d\0\0" % i + zlib.compress(bytes(900_000))) for i in range(99)]
    yield bad("many zTXt.png", made.png((1, 1), row, *many))
    yield good("more rows than it says.png", made.png((1, 1), bytes(9_000_000)), BLACK, (1, 1))
    yield either("many scans.jpg", made.many_scans(60, 1000))
    yield either("millions of frames.png", made.png(
        (1, 1), row, made.chunk(b"acTL", struct.pack(">LL", 2**31 - 1, 0))
    ))  # fmt: skip


def damaged() -> Iterator[Case]:
    """Return headers that make no sense, and directories that go in circles."""
    grey = made.grey_tags(4, 4)
    dots = b"\x80" * 16
    yield good("own successor.tif", made.tiff(grey, dots, next_at=None), GREY, (4, 4))
    yield good("successor outside.tif", made.tiff(grey, dots, next_at=2**31), GREY, (4, 4))
    yield bad("directory outside.tif", b"II*\0\xff\xff\xff\x7f" + bytes(40))
    yield bad("directory in its header.tif", b"II*\0\0\0\0\0" + bytes(40))
    yield bad("no tags.tif", made.tiff({}))
    for tag, name in {
        258: "bits", 259: "packing", 262: "colours", 273: "strips", 277: "samples",
        278: "rows", 279: "lengths", 317: "predictor", 338: "extra", 339: "format",
    }.items():  # fmt: skip
        for value in 0, 65_535, 2**32 - 1:
            tags = grey | {tag: (4, 1, value)}
            yield either(f"{name} {value}.tif", made.tiff(tags, dots))
        yield either(f"{name}, endless.tif", made.tiff(grey | {tag: (4, 2**30, 8)}, dots))
    loop = dict.fromkeys((330, 34_665, 34_853, 40_965), (4, 1, 24))
    yield good("parts in circles.tif", made.tiff(grey | loop, dots), GREY, (4, 4))
    for size in (0, 0), (0, 5), (5, 0):
        yield bad(f"{size[0]}×{size[1]}.png", made.png(size, b"\0"))
        yield bad(f"{size[0]}×{size[1]}.bmp", made.bmp(*size))
    yield either("upside down.bmp", made.bmp(4, -4))
    yield bad("least height.bmp", made.bmp(4, -(2**31)), CORRUPT | TOO_LARGE)
    yield either("17-bit.bmp", made.bmp(4, 4, 17))
    yield bad("no components.jpg", made.jpeg_header(8, 8, 0))
    yield bad("9 components.jpg", made.jpeg_header(8, 8, 9))
    yield bad("start only.jpg", b"\xff\xd8\xff")
    yield bad("start only.png", made.PNG_MAGIC)
    yield bad("start only.gif", b"GIF89a")
    yield bad("start only.webp", b"RIFF\xff\xff\xff\xffWEBP")


def strangers() -> Iterator[Case]:
    """Return what is no picture, or of a format that is not let in, under a picture's name."""
    empty = frozenset({"empty"})
    yield bad("empty.jpg", b"", empty)
    yield bad("empty.png", b"", empty)
    for name, data in {
        "text.jpg": b"this is no picture\n",
        "page.png": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
        "vector.jpg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "layers.jpg": b"8BPS\0\1" + bytes(60),
        "stars.jpg": b"SIMPLE  =                    T".ljust(2880),
        "icon.jpg": b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + bytes(99),
        "document.jpg": b"%PDF-1.7\n1 0 obj\n",
        "film.jpg": b"\0\0\0\x14ftypmp42\0\0\0\0mp42",
        "program.jpg": b"\x7fELF\2\1\1" + bytes(60),
        "archive.png": b"PK\3\4" + bytes(60),
        "wavelets.jpg": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "sound.webp": b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
        "spaces.gif": b" " * 1000,
        "zeros.tif": bytes(1000),
        "one byte.bmp": b"B",
        "shifted.jpg": b"\n" + written(quarters(), "JPEG"),
    }.items():
        yield bad(name, data, frozenset({"unsupported_format"}))
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    yield bad("phone.heic", heic, frozenset({"needs_extra", "corrupt"}))


def disguises() -> Iterator[Case]:
    """Return pictures under a wrong name, and with something behind them."""
    image = quarters()
    yield good("in truth png.jpg", written(image, "PNG"))
    yield good("in truth jpeg.png", written(image, "JPEG"))
    yield good("in truth gif.webp", written(image, "GIF"))
    yield good("in truth webp.tif", written(image, "WEBP"))
    behind = {"page": b"<html></html>", "archive": b"PK\3\4" + bytes(99), "itself": None}
    for name, more in behind.items():
        for form in "jpg", "png", "gif", "tif", "webp":
            data = written(image, _form(form))
            yield good(f"{name} behind.{form}", data + (data if more is None else more))
