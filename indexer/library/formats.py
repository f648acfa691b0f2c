"""What the first bytes of a file say: its format, its depth, its pages. Needs no Pillow."""

from __future__ import annotations

import struct

#: Pages of a TIFF are counted up to here; a crafted file could have millions.
MAX_PAGES = 65_535

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_ANY_BRANDS = {b"mif1", b"msf1", b"mif2"}

_PNG_DEPTH_AT = 24
_BIG_TIFF = 43


def sniff(data: bytes) -> str | None:
    """Return the format as Pillow names it, or None if it is none of the allowed ones.

    This is the allow-list: JPEG (with MPO), PNG, WEBP, GIF, BMP, TIFF, AVIF and HEIF.
    """
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _sniff_brands(data)
    return None


def png_depth(data: bytes) -> int:
    """Return the bits per sample that a PNG's header states."""
    return data[_PNG_DEPTH_AT]


def tiff_pages(data: bytes) -> int:
    """Count the pages of a TIFF, at most `MAX_PAGES`; a chain that breaks off ends the count.

    Pillow's own count sets every page up, takes quadratic time, and fails on a bad later page.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = _number(struct.Struct(f"{order}H"), data, 2) == _BIG_TIFF
    count, entry_size, offset = (
        (struct.Struct(f"{order}Q"), 20, struct.Struct(f"{order}Q"))
        if big
        else (struct.Struct(f"{order}H"), 12, struct.Struct(f"{order}L"))
    )
    pages: set[int] = set()
    page = _number(offset, data, 8 if big else 4)
    while page and page not in pages and len(pages) < MAX_PAGES:
        pages.add(page)
        page = _number(offset, data, page + count.size + _number(count, data, page) * entry_size)
    return max(len(pages), 1)


def _number(form: struct.Struct, data: bytes, at: int) -> int:
    """Return the number at an offset, 0 where the data ends before it does."""
    return int(form.unpack_from(data, at)[0]) if at + form.size <= len(data) else 0


def _sniff_brands(data: bytes) -> str | None:
    length = min(int.from_bytes(data[:4], "big"), 4096)
    # A box is: length, "ftyp", major brand, version, then the compatible brands, 4 bytes each.
    brands = {data[at : at + 4] for at in range(8, min(length, len(data)), 4) if at != 12}  # noqa: PLR2004
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & (_HEIF_BRANDS | _ANY_BRANDS) else None
