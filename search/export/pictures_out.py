"""Segments as pictures: masks, cut-outs, before a background, crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import PIL.Image

from indexer.crops import Pixels
from indexer.records import Region
from search.caching import Lru
from search.export.files import name_of, replacing
from search.export.kinds import How, Kind, Written
from search.export.shots import Shot, segment_of
from search.pictures import cutout, mask_picture, replace_background, square_crop

_JPEG_QUALITY = 92
#: Decoded pictures that are kept for the next hits, bytes.
_KEPT_BYTES = 256 * 2**20


def recent() -> Lru[str, Pixels]:
    """Return what keeps the last pictures, by id: good hits often lie in the same picture."""
    return Lru(_KEPT_BYTES, lambda pixels: pixels.nbytes)


def write_picture(picture: PIL.Image.Image, file: Path) -> None:
    """Write a picture, whole or not at all: PNG where it ends so, else JPEG."""
    with replacing(file) as part:
        if file.suffix == ".png":
            picture.save(part, "PNG")
        else:
            picture.save(part, "JPEG", quality=_JPEG_QUALITY, subsampling=0)


def write_pictures(
    shot: Shot, pixels: Pixels, folder: Path, kinds: Iterable[Kind], how: How
) -> Iterator[Written]:
    """Write each segment of a picture as each of the kinds.

    Args:
        shot: segments of one picture.
        pixels: uint8 RGB, shape (H, W, 3), the picture.
        folder: is there.
        kinds: those of `_MAKERS`; others are left out.
        how: see `How`.
    """
    makers = [(kind, _MAKERS[kind]) for kind in kinds if kind in _MAKERS]
    for hit in shot.hits:
        for kind, make in makers:
            file = folder / name_of(hit, shot.rank, kind)
            write_picture(make(pixels, segment_of(hit).region, how), file)
            yield Written(kind, file, 1, hit)


def _mask(_pixels: Pixels, region: Region, _how: How) -> PIL.Image.Image:
    return mask_picture(region)


def _cutout(pixels: Pixels, region: Region, how: How) -> PIL.Image.Image:
    return cutout(pixels, region, trim=how.trim)


def _background(pixels: Pixels, region: Region, how: How) -> PIL.Image.Image:
    return replace_background(pixels, region, how.background)


def _crop(pixels: Pixels, region: Region, how: How) -> PIL.Image.Image:
    return square_crop(pixels, region.box, how.margin, how.size)


_MAKERS: dict[Kind, Callable[[Pixels, Region, How], PIL.Image.Image]] = {
    Kind.mask: _mask,
    Kind.cutout: _cutout,
    Kind.background: _background,
    Kind.crop: _crop,
}
