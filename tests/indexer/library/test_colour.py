"""Every mode comes out as the 8-bit sRGB that a viewer would show."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from tests.indexer.library.conftest import DecodeBytes, Encode

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)
GREY = (128, 128, 128)

Colours = list[tuple[int, int, int]]


def png(depth: int, colour_type: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    """Write a PNG whose rows are given as packed samples."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    width = len(rows[0]) * 8 // (depth * channels)
    header = struct.pack(">LLBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    everything = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
        for kind, body in everything
    )


def grey_tiff(width: int, bits: int, photometric: int, samples: bytes) -> bytes:
    """Write an uncompressed little-endian TIFF of one row of grey."""
    tags = [
        (256, width),
        (257, 1),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, len(samples)),
    ]
    directory = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
    start = 8 + len(samples)
    return (
        b"II*\0"
        + struct.pack("<L", start)
        + samples
        + struct.pack("<H", len(tags))
        + directory
        + bytes(4)
    )


def icc_profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    """Put an ICC 2 profile together."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">L", 5) + b"test\0" + bytes(78), **tags}
    table, body = b"", b""
    for name, tag in tags.items():
        at = 128 + 4 + 12 * len(tags) + len(body)
        table += struct.pack(">4sLL", name, at, len(tag))
        body += tag + bytes(-len(tag) % 4)
    white = struct.pack(">lll", 63190, 65536, 54061)
    header = struct.pack(
        ">LLL4s4s4s12s4sLLLLLQL12sL", 0, 0, 0x02400000, b"mntr", space, pcs, bytes(12), b"acsp",
        0, 0, 0, 0, 0, 0, 0, white, 0,
    )  # fmt: skip
    size = 128 + 4 + len(table) + len(body)
    profile = struct.pack(">L", size) + header[4:].ljust(124, b"\0")
    return profile + struct.pack(">L", len(tags)) + table + body


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">lll", *(round(v * 65536) for v in (x, y, z)))


LINEAR = b"curv" + bytes(8)
#: sRGB's primaries under D50, but red and green change places, and the values are linear.
SWAPPED = icc_profile(
    b"RGB ",
    {
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"gXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": LINEAR,
        b"gTRC": LINEAR,
        b"bTRC": LINEAR,
    },
)
LINEAR_GREY = icc_profile(b"GRAY", {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"kTRC": LINEAR})


def inks() -> bytes:
    """Return a CMYK profile whose cyan ink is red and whose other colours are white."""
    identity = struct.pack(">9l", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    white, red, black = bytes([255, 128, 128]), bytes([138, 209, 198]), bytes([0, 128, 128])
    corners = b"".join(
        black if key else red if cyan else white
        for cyan in (0, 1)
        for _ in range(4)  # magenta and yellow
        for key in (0, 1)
    )
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + corners + ramp * 3
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"A2B0": lut}
    return icc_profile(b"CMYK", tags, pcs=b"Lab ").replace(b"mntr", b"prtr", 1)


def check(decode_bytes: DecodeBytes, data: bytes, expected: Colours, atol: float = 0) -> None:
    """Compare the first row."""
    pixels = decode_bytes(data).pixels
    np.testing.assert_allclose(pixels[0].astype(int), expected, atol=atol)


def grey(*values: int) -> Colours:
    return [(value, value, value) for value in values]


def test_16_bit_grey_png(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.fromarray(np.array([[0, 257, 128 * 257, 65_535]], np.uint16))
    check(decode_bytes, encode(image, "PNG"), grey(0, 1, 128, 255))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_tiff(
    encode: Encode, decode_bytes: DecodeBytes, order: str, compression: str
) -> None:
    image = Image.fromarray(np.array([[0, 257, 128 * 257, 65_535]], order))
    data = encode(image, "TIFF", compression=compression)
    check(decode_bytes, data, grey(0, 1, 128, 255))


def test_12_bit_grey_tiff(decode_bytes: DecodeBytes) -> None:
    # Two samples in three bytes: 0x000, 0xFFF, 0x808, 0x000.
    data = grey_tiff(4, 12, 1, bytes.fromhex("000fff 808000"))
    check(decode_bytes, data, grey(0, 255, 128, 0))


def test_16_bit_grey_tiff_where_zero_is_white(decode_bytes: DecodeBytes) -> None:
    data = grey_tiff(3, 16, 0, struct.pack("<HHH", 0, 128 * 257, 65_535))
    check(decode_bytes, data, grey(255, 127, 0))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 128 * 257, 65_535], [0, 128, 255]),  # fits 16 bits
        ([0, 255 * 1_000_000, 128 * 1_000_000], [0, 255, 128]),
        ([-100, 155, 28], [0, 255, 128]),
    ],
)
def test_32_bit_integers(
    encode: Encode, decode_bytes: DecodeBytes, values: list[int], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([values], np.int32))
    check(decode_bytes, encode(image, "TIFF"), grey(*expected))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.25, 0.25, 0.25], [64, 64, 64]),
        ([NAN, 0.5, INF], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([100.0, 355.0, NAN], [0, 255, 0]),
        ([-INF, 100.0, 355.0], [0, 0, 255]),
        ([7.0, 7.0, 7.0], [0, 0, 0]),
        ([NAN, NAN, NAN], [0, 0, 0]),
        ([-3e38, 0, 3e38], [0, 128, 255]),
    ],
)
def test_floats(
    encode: Encode, decode_bytes: DecodeBytes, values: list[float], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    check(decode_bytes, encode(image, "TIFF"), grey(*expected), atol=1)


def test_16_bit_colour(decode_bytes: DecodeBytes) -> None:
    row = struct.pack(">6H", 65_535, 0, 128 * 257, 0, 65_535, 257)
    check(decode_bytes, png(16, 2, [row]), [(255, 0, 128), (0, 255, 1)])


def test_1_bit(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.fromarray(np.array([[True, False]]))
    check(decode_bytes, encode(image, "PNG"), grey(255, 0))
    check(decode_bytes, encode(image, "TIFF", compression="group4"), grey(255, 0))


def test_grey(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.fromarray(np.array([[0, 7, 255]], np.uint8))
    check(decode_bytes, encode(image, "PNG"), grey(0, 7, 255))


def test_transparency_shows_white(encode: Encode, decode_bytes: DecodeBytes) -> None:
    rgba = np.array([[(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)]], np.uint8)
    seen = [RED, WHITE, (127, 127, 127)]
    check(decode_bytes, encode(Image.fromarray(rgba), "PNG"), seen)
    check(decode_bytes, encode(Image.fromarray(rgba), "TIFF"), seen)
    check(decode_bytes, encode(Image.fromarray(rgba), "WEBP", lossless=True, exact=True), seen)


def test_grey_with_alpha(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.new("LA", (2, 1))
    image.putdata([(9, 255), (9, 0)])
    check(decode_bytes, encode(image, "PNG"), grey(9, 255))
    check(decode_bytes, encode(image, "TIFF"), grey(9, 255))
    row = struct.pack(">4H", 9 * 257, 65_535, 9 * 257, 0)
    check(decode_bytes, png(16, 4, [row]), grey(9, 255))


def test_palettes(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 0, 255, 0, 255, 0])
    image.putdata([0, 1, 2])
    red_blue_green = [RED, (0, 0, 255), (0, 255, 0)]
    for form in "PNG", "GIF", "BMP", "TIFF":
        check(decode_bytes, encode(image, form), red_blue_green)
    for form in "PNG", "GIF":
        seen = [RED, WHITE, (0, 255, 0)]
        check(decode_bytes, encode(image, form, transparency=1), seen)
    seen = [WHITE, (127, 127, 255), (0, 255, 0)]
    check(decode_bytes, encode(image, "PNG", transparency=b"\x00\x80\xff"), seen)


def test_a_palette_with_an_alpha_channel(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.new("PA", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([(0, 255), (1, 0)])
    check(decode_bytes, encode(image, "TIFF"), [RED, WHITE])


@pytest.mark.parametrize(
    ("kind", "row", "key", "expected"),
    [
        ((1, 0), b"\x80", (1,), grey(255, 0, 0, 0, 0, 0, 0, 0)),
        ((1, 0), b"\x80", (0,), grey(*[255] * 8)),
        ((2, 0), b"\x1b", (2,), grey(0, 85, 255, 255)),
        ((4, 0), b"\x05\xf0", (5,), grey(0, 255, 255, 0)),
        ((8, 0), b"\x05\x06", (5,), grey(255, 6)),
        ((16, 0), b"\x05\x05\x06\x06", (0x0505,), grey(255, 6)),
        ((8, 2), b"\x01\x02\x03\x01\x02\x04", (1, 2, 3), [WHITE, (1, 2, 4)]),
        ((16, 2), b"\x01\x01\x02\x02\x03\x03", (0x0101, 0x0202, 0x0303), [WHITE]),
    ],
)
def test_one_transparent_colour(
    decode_bytes: DecodeBytes,
    kind: tuple[int, int],
    row: bytes,
    key: tuple[int, ...],
    expected: Colours,
) -> None:
    data = png(*kind, [row], (b"tRNS", struct.pack(f">{len(key)}H", *key)))
    check(decode_bytes, data, expected)


def test_premultiplied_alpha(decode_bytes: DecodeBytes, encode: Encode) -> None:
    data = bytearray(encode(Image.new("RGBA", (2, 1), (100, 0, 0, 128)), "TIFF"))
    tag = data.index(struct.pack("<HHL", 338, 3, 1))  # ExtraSamples
    struct.pack_into("<H", data, tag + 8, 1)  # associated
    check(decode_bytes, bytes(data), [(227, 127, 127)] * 2, atol=1)


def test_cmyk(encode: Encode, decode_bytes: DecodeBytes) -> None:
    for ink, seen in ((0, 255, 255, 0), RED), ((0, 0, 0, 255), BLACK), ((0, 0, 0, 0), WHITE):
        image = Image.new("CMYK", (16, 16), ink)
        check(decode_bytes, encode(image, "TIFF"), [seen] * 16)
        # Pillow writes JPEGs as Adobe does, inverted.
        check(decode_bytes, encode(image, "JPEG", quality=95), [seen] * 16, atol=4)


def test_lab(encode: Encode, decode_bytes: DecodeBytes) -> None:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    for colour in RED, WHITE, BLACK, (30, 90, 200):
        image = Image.new("RGB", (3, 1), colour)
        converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert converted is not None
        assert converted.mode == "LAB"
        check(decode_bytes, encode(converted, "TIFF"), [colour] * 3, atol=6)


def test_ycbcr(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.new("RGB", (3, 1), RED).convert("YCbCr")
    check(decode_bytes, encode(image, "TIFF"), [RED] * 3, atol=2)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_icc_profiles_are_followed(encode: Encode, decode_bytes: DecodeBytes, form: str) -> None:
    image = Image.new("RGB", (16, 16), RED)
    data = encode(image, form, icc_profile=SWAPPED, quality=95)
    # The profile is linear, so that what a lossy format changes near black counts tenfold.
    check(decode_bytes, data, [(0, 255, 0)] * 16, atol=25)


def test_icc_profiles_of_palettes_grey_and_alpha(encode: Encode, decode_bytes: DecodeBytes) -> None:
    palette = Image.new("RGB", (2, 1), RED).convert("P")
    check(decode_bytes, encode(palette, "PNG", icc_profile=SWAPPED), [(0, 255, 0)] * 2, atol=1)
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 128))
    seen = [(127, 255, 127)] * 2
    check(decode_bytes, encode(rgba, "PNG", icc_profile=SWAPPED), seen, atol=1)
    # Linear 55/255 is sRGB 128/255.
    grey_image = Image.new("L", (2, 1), 55)
    check(decode_bytes, encode(grey_image, "PNG", icc_profile=LINEAR_GREY), [GREY] * 2, atol=1)
    check(decode_bytes, encode(grey_image, "PNG", icc_profile=SWAPPED), [GREY] * 2, atol=1)
    deep = Image.fromarray(np.array([[55 * 257]], np.uint16))
    check(decode_bytes, encode(deep, "PNG", icc_profile=LINEAR_GREY), [GREY], atol=1)


def test_icc_profiles_of_cmyk(encode: Encode, decode_bytes: DecodeBytes) -> None:
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    check(decode_bytes, encode(image, "TIFF", icc_profile=inks()), [RED] * 16, atol=4)
    check(decode_bytes, encode(image, "JPEG", icc_profile=inks()), [RED] * 16, atol=8)
    # A profile for other channels is not followed.
    cyan = [(0, 255, 255)] * 16
    check(decode_bytes, encode(image, "TIFF", icc_profile=SWAPPED), cyan)
    rgb = Image.new("RGB", (16, 16), RED)
    check(decode_bytes, encode(rgb, "TIFF", icc_profile=inks()), [RED] * 16)


def test_srgb_profiles_change_nothing(encode: Encode, decode_bytes: DecodeBytes) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(3).integers(0, 255, (8, 8, 3), np.uint8)
    data = encode(Image.fromarray(noise), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(decode_bytes(data).pixels, noise)


@pytest.mark.parametrize(
    "profile",
    [b"rubbish", SWAPPED[:150], SWAPPED.replace(b"RGB ", b"\xff\xfe  "), inks()[:400]],
)
def test_broken_profiles_are_passed_over(
    encode: Encode, decode_bytes: DecodeBytes, profile: bytes
) -> None:
    image = Image.new("RGB", (2, 1), RED)
    check(decode_bytes, encode(image, "PNG", icc_profile=profile), [RED] * 2)
