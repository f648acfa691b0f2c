"""Formats, frames, orientation, limits: what `decode` accepts and refuses."""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, features

from indexer.errors import PictureError
from indexer.library import MAX_PIXELS, MAX_SIDE, REASONS

if TYPE_CHECKING:
    from tests.indexer.library.conftest import DecodeBytes, Encode

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
A, B, C, D, E, F = 10, 50, 90, 130, 170, 210
ORIENTATION = 274


def flat(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (4, 3)) -> Image.Image:
    return Image.new("RGB", size, colour)


def refusal(decode_bytes: DecodeBytes, data: bytes, **options: int) -> PictureError:
    with pytest.raises(PictureError) as caught:
        decode_bytes(data, **options)
    assert caught.value.reason in REASONS
    assert "object at 0x" not in caught.value.message
    return caught.value


def png_chunk(kind: bytes, body: bytes) -> bytes:
    checked = kind + body
    return struct.pack(">L", len(body)) + checked + struct.pack(">L", zlib.crc32(checked))


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {}),
        ("JPEG", {}),
        ("AVIF", {}),
    ],
)
def test_every_format(
    encode: Encode, decode_bytes: DecodeBytes, form: str, options: dict[str, object]
) -> None:
    data = encode(flat((200, 40, 90), (6, 5)), form, **options)
    decoded = decode_bytes(data)
    assert decoded.picture.format == form
    assert decoded.picture.sha256 == hashlib.sha256(data).hexdigest()
    assert (decoded.picture.width, decoded.picture.height, decoded.picture.frames) == (6, 5, 1)
    pixels = decoded.pixels
    assert pixels.shape == (5, 6, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert not pixels.flags.writeable
    np.testing.assert_allclose(pixels, np.full((5, 6, 3), (200, 40, 90)), atol=8)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_is_used_and_the_frames_are_counted(
    encode: Encode, decode_bytes: DecodeBytes, form: str
) -> None:
    others = [flat(GREEN), flat(BLUE)]
    decoded = decode_bytes(encode(flat(RED), form, save_all=True, append_images=others))
    assert decoded.picture.frames == 3
    np.testing.assert_allclose(decoded.pixels, np.full((3, 4, 3), RED), atol=4)


def test_a_jpeg_with_several_pictures(encode: Encode, decode_bytes: DecodeBytes) -> None:
    decoded = decode_bytes(encode(flat(), "MPO", save_all=True, append_images=[flat(GREEN)]))
    assert (decoded.picture.format, decoded.picture.frames) == ("MPO", 2)
    np.testing.assert_allclose(decoded.pixels, np.full((3, 4, 3), RED), atol=4)


def test_a_bad_later_page_does_no_harm(encode: Encode, decode_bytes: DecodeBytes) -> None:
    data = bytearray(encode(flat(), "TIFF"))
    [first] = struct.unpack_from("<L", data, 4)
    [entries] = struct.unpack_from("<H", data, first)
    end = first + 2 + entries * 12
    struct.pack_into("<L", data, end, len(data))
    page_without_size = struct.pack("<HHHLLL", 1, 270, 4, 1, 0, 0)
    assert decode_bytes(bytes(data) + page_without_size).picture.frames == 2
    struct.pack_into("<L", data, end, first)  # a page that is its own successor
    assert decode_bytes(bytes(data)).picture.frames == 1
    struct.pack_into("<L", data, end, 2**31)  # a page behind the end of the file
    decoded = decode_bytes(bytes(data))
    np.testing.assert_array_equal(decoded.pixels, np.full((3, 4, 3), RED))


UPRIGHT = {
    1: [[A, B, C], [D, E, F]],
    2: [[C, B, A], [F, E, D]],
    3: [[F, E, D], [C, B, A]],
    4: [[D, E, F], [A, B, C]],
    5: [[A, D], [B, E], [C, F]],
    6: [[D, A], [E, B], [F, C]],
    7: [[F, C], [E, B], [D, A]],
    8: [[C, F], [B, E], [A, D]],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_orientation_is_applied_once(
    encode: Encode,
    decode_bytes: DecodeBytes,
    form: str,
    options: dict[str, object],
    orientation: int,
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.array([[A, B, C], [D, E, F]], np.uint8))
    image = stored if form != "WEBP" else stored.convert("RGB")
    decoded = decode_bytes(encode(image, form, exif=exif, **options))
    np.testing.assert_array_equal(decoded.pixels[:, :, 1], UPRIGHT[orientation])
    height, width = np.shape(UPRIGHT[orientation])
    assert (decoded.picture.width, decoded.picture.height) == (width, height)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("form", ["JPEG", "AVIF"])
def test_orientation_of_lossy_formats(
    encode: Encode, decode_bytes: DecodeBytes, form: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    blocks = np.array([[A, B, C], [D, E, F]], np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    decoded = decode_bytes(encode(Image.fromarray(blocks), form, exif=exif, quality=95))
    centres = decoded.pixels[8::16, 8::16, 1].astype(int)
    np.testing.assert_allclose(centres, UPRIGHT[orientation], atol=4)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_nonsense_orientation_is_upright(
    encode: Encode, decode_bytes: DecodeBytes, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.array([[A, B, C], [D, E, F]], np.uint8))
    decoded = decode_bytes(encode(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(decoded.pixels[:, :, 0], [[A, B, C], [D, E, F]])


def test_the_content_counts_not_the_name(encode: Encode, decode_bytes: DecodeBytes) -> None:
    # Decoding never learns the file's name, so that a PNG called .jpg is simply a PNG.
    assert decode_bytes(encode(flat(), "PNG")).picture.format == "PNG"


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"8BPS\x00\x01" + bytes(40),
        b"SIMPLE  =                    T",
        b"\x00\x00\x00\x14ftypmp42\x00\x00\x00\x00mp42",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_formats_that_are_not_allowed(decode_bytes: DecodeBytes, data: bytes) -> None:
    error = refusal(decode_bytes, data)
    assert (error.reason, error.retryable) == ("unsupported_format", False)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_truncated_pictures_fail(
    encode: Encode, decode_bytes: DecodeBytes, form: str, share: float
) -> None:
    noise = np.random.default_rng(7).integers(0, 255, (64, 64, 3), np.uint8)
    data = encode(Image.fromarray(noise), form)
    error = refusal(decode_bytes, data[: int(len(data) * share)])
    assert (error.reason, error.retryable) == ("corrupt", False)


@pytest.mark.parametrize("magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\x00"])
def test_damaged_headers(decode_bytes: DecodeBytes, magic: bytes) -> None:
    assert refusal(decode_bytes, magic + b"rubbish" * 9).reason == "corrupt"


def test_pictures_over_the_limits(encode: Encode, decode_bytes: DecodeBytes) -> None:
    picture = encode(flat(size=(5, 4)), "PNG")
    assert decode_bytes(picture, max_pixels=20).pixels.shape == (4, 5, 3)
    error = refusal(decode_bytes, picture, max_pixels=19)
    assert (error.reason, error.retryable) == ("too_large", False)
    assert "5×4" in error.message
    assert MAX_PIXELS == 128_000_000


def test_a_picture_may_be_as_wide_as_sam2_can_sum(
    encode: Encode, decode_bytes: DecodeBytes
) -> None:
    assert MAX_SIDE == 32_767
    assert decode_bytes(encode(flat(size=(32_767, 1)), "PNG")).picture.width == 32_767
    for size in (32_768, 1), (1, 32_768):
        assert refusal(decode_bytes, encode(flat(size=size), "PNG")).reason == "too_large"


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (30_000, 30_000),  # more than Pillow ever opens
        (11_400, 11_400),  # Pillow would only warn, our limit is below
    ],
)
def test_decompression_bombs(decode_bytes: DecodeBytes, width: int, height: int) -> None:
    bomb = png_header(width, height) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    assert refusal(decode_bytes, bomb).reason == "too_large"


def test_pictures_that_pillow_warns_about_are_decoded_if_our_limit_allows(
    encode: Encode, decode_bytes: DecodeBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12)
    for form in "PNG", "TIFF", "WEBP":
        picture = decode_bytes(encode(flat(size=(5, 4)), form)).picture
        assert (picture.width, picture.height) == (5, 4)
    assert refusal(decode_bytes, encode(flat(size=(5, 5)), "PNG")).reason == "too_large"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_text_bombs(decode_bytes: DecodeBytes, kind: bytes) -> None:
    packed = zlib.compress(bytes(50_000_000), 9)
    body = b"k\0\0" + packed if kind == b"zTXt" else b"k\0\1\0\0\0" + packed
    rows = zlib.compress(bytes(4))
    bomb = png_header(1, 1) + png_chunk(kind, body)
    bomb += png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    assert refusal(decode_bytes, bomb).reason == "corrupt"


def test_tag_bombs(decode_bytes: DecodeBytes, encode: Encode) -> None:
    data = encode(flat(), "TIFF")
    [first] = struct.unpack_from("<L", data, 4)
    [entries] = struct.unpack_from("<H", data, first)
    for entry in range(first + 2, first + 2 + entries * 12, 12):
        bomb = bytearray(data)
        struct.pack_into("<HL", bomb, entry + 2, 4, 2**32 - 1)
        with suppress(PictureError):  # not for a tag that is not needed: it is skipped
            decode_bytes(bytes(bomb))


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1"])
def test_heic_without_its_extra(
    decode_bytes: DecodeBytes, monkeypatch: pytest.MonkeyPatch, brand: bytes
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    error = refusal(decode_bytes, HEIC.replace(b"ftypheic", b"ftyp" + brand))
    assert (error.reason, error.retryable) == ("needs_extra", True)
    assert "pip install 'segsearch[heic]'" in error.message


def test_a_pillow_without_avif(
    encode: Encode, decode_bytes: DecodeBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(flat(), "AVIF")
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    error = refusal(decode_bytes, data)
    assert (error.reason, error.retryable) == ("needs_extra", True)


def test_heic_with_its_extra(encode: Encode, decode_bytes: DecodeBytes) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[271] = "Acme"
    blocks = np.array([[A, B, C], [D, E, F]], np.uint8).repeat(32, axis=0).repeat(32, axis=1)
    decoded = decode_bytes(encode(Image.fromarray(blocks), "HEIF", exif=exif.tobytes(), quality=95))
    assert (decoded.picture.format, decoded.picture.camera) == ("HEIF", "Acme")
    centres = decoded.pixels[16::32, 16::32, 1].astype(int)
    np.testing.assert_allclose(centres, UPRIGHT[6], atol=4)
    assert refusal(decode_bytes, HEIC).reason == "corrupt"
