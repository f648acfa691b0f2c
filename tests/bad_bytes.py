"""Bytes of pictures that no writer would write, for `tests.bad_traps`."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import PIL.Image

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
#: Of `quarters`.
SIZE = (48, 32)
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def quarters() -> PIL.Image.Image:
    """Return a picture with another colour in each corner: red, green, blue, yellow."""
    image = PIL.Image.new("RGB", SIZE, RED)
    width, height = SIZE
    for colour, corner in (
        (GREEN, (width // 2, 0)),
        (BLUE, (0, height // 2)),
        (YELLOW, (width // 2, height // 2)),
    ):
        image.paste(colour, (*corner, width, height) if corner[0] else (0, height // 2, 24, height))
    return image


def written(image: PIL.Image.Image, form: str, **options: object) -> bytes:
    """Return an image as a file."""
    buffer = BytesIO()
    image.copy().save(buffer, form, **options)  # saving leaves traces in the image
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG's chunk with its right checksum."""
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def png(
    size: tuple[int, int], rows: bytes = b"", *chunks: bytes, depth: int = 8, colours: int = 2
) -> bytes:
    """Return a PNG that says it has a size, with these rows (packed here), whatever they are."""
    header = struct.pack(">LLBBBBB", *size, depth, colours, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows, 9)) if rows else b""
    return PNG_MAGIC + chunk(b"IHDR", header) + b"".join(chunks) + data + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int, components: int = 3) -> bytes:
    """Return a JPEG up to its first scan, which says it has a size, and nothing after that."""
    parts = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    frame = struct.pack(">BHHB", 8, height, width, components) + parts
    return JPEG_START + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame


def gif(screen: tuple[int, int], frame: tuple[int, int], data: bytes = b"\2\2\x44\1\0") -> bytes:
    """Return a GIF of black and white, with a screen and a frame of these sizes."""
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return header + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + data + b";"


def bmp(width: int, height: int, depth: int = 24, data: bytes = bytes(64)) -> bytes:
    """Return a BMP that says it has a size."""
    info = struct.pack("<LllHHLLllLL", 40, width, height, 1, depth, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<LHHL", 54 + len(data), 0, 0, 54) + info + data


def tiff(
    tags: dict[int, tuple[int, int, int]], data: bytes = b"", next_at: int | None = 0
) -> bytes:
    """Return a little-endian TIFF of one directory, behind its data (which begins at 8).

    Args:
        tags: tag → type, count, value.
        data: the pixels and what else is pointed at.
        next_at: where it says the next directory is; None is where this one is.
    """
    at = 8 + len(data)
    entries = b"".join(struct.pack("<HHLL", tag, *rest) for tag, rest in sorted(tags.items()))
    following = struct.pack("<L", at if next_at is None else next_at)
    head = b"II*\0" + struct.pack("<L", at) + data
    return head + struct.pack("<H", len(tags)) + entries + following


def grey_tags(width: int, height: int) -> dict[int, tuple[int, int, int]]:
    """Return the tags of an uncompressed 8-bit grey picture whose data begins at 8."""
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags = {tag: (4, 1, value) for tag, value in values.items()}
    return tags | {279: (4, 1, min(width * height, 2**32 - 1))}


def webp_canvas(width: int, height: int) -> bytes:
    """Return an extended WebP that says it has a canvas, and has no picture."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<L", 10) + b"\2\0\0\0" + size
    body += b"ANIM" + struct.pack("<LLH", 6, 0, 0)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def avif_sized(width: int, height: int) -> bytes:
    """Return a good AVIF whose header says another size."""
    data = written(quarters(), "AVIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">LL", width, height) + data[at + 8 :]


def many_scans(scans: int, side: int) -> bytes:
    """Return a progressive JPEG whose scans have a few bytes each, and go over a whole picture."""
    image = PIL.Image.new("L", (side, side))
    data = written(image, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def exif_block(
    entries: list[tuple[int, int, int, int]], rest: bytes = b"", next_at: int = 0
) -> bytes:
    """Return EXIF of one directory: of tag, type, count, value each; the rest begins behind it."""
    body = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    head = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return head + body + struct.pack("<L", next_at) + rest
