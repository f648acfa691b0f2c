"""Hits as pictures: the found object drawn into its picture, and a contact sheet of all hits."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
from numpy.typing import NDArray

from indexer import library
from indexer.errors import PictureError, SegsearchError
from indexer.records import Region
from indexer.segmentation.masks import decode
from search.hits import Hit

_COLOUR = (255, 45, 120)
_TINT = 0.35
_JPEG_QUALITY = 90
_THUMBNAIL_PX = 420
#: Characters of the picture's name in the names of what is written; 4 bytes each at most.
_NAME_LENGTH = 50
#: Outline width over the picture's longer side.
_OUTLINE = 1 / 300

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.2rem;
     list-style: none; padding: 0; }
img { width: 100%; height: 13rem; object-fit: contain; background: #8882; border-radius: 6px; }
.name { overflow-wrap: anywhere; }
.facts { opacity: .75; font-size: 13px; }
</style></head><body>
<h1>$title</h1>
<p>$count</p>
<ol>
$cards
</ol></body></html>
""")
_CARD = Template("""<li><a href="$link"><img src="$thumbnail" alt="$name"></a>
<div><strong>$score</strong> <span class="name">$name</span></div>
<div class="facts">$facts</div></li>""")
_GONE = Template("""<li><div><strong>$score</strong> <span class="name">$name</span></div>
<div class="facts">not drawn: $why</div></li>""")


@dataclass(frozen=True)
class Drawn:
    """What became of one hit.

    Attributes:
        hit: the hit.
        file: the picture with the mask drawn, or None.
        why: why there is none, or "".
    """

    hit: Hit
    file: Path | None
    why: str = ""


def draw(pixels: NDArray[np.uint8], region: Region) -> PIL.Image.Image:
    """Draw a region into its picture: the object tinted and outlined, the rest as it is.

    Args:
        pixels: uint8 RGB, shape (H, W, 3).
        region: with a mask of that size.
    """
    mask = decode(region.rle)
    picture = pixels.copy()
    tinted = picture[mask] * (1 - _TINT) + np.asarray(_COLOUR) * _TINT
    picture[mask] = np.rint(tinted).astype(np.uint8)
    width = max(1, round(max(mask.shape) * _OUTLINE))
    grown = PIL.Image.fromarray(mask).convert("L").filter(PIL.ImageFilter.MaxFilter(2 * width + 1))
    picture[np.asarray(grown, dtype=np.bool_) & ~mask] = _COLOUR
    return PIL.Image.fromarray(picture)


def read_picture(hit: Hit) -> NDArray[np.uint8]:
    """Read a hit's picture from the first of its files that still has the indexed bytes.

    Returns:
        uint8 RGB, shape (H, W, 3), the frame that the hit's box and mask are in.

    Raises:
        PictureError: none of them can be read, or all have changed since.
    """
    failure = PictureError("vanished", "no file of it is left")
    for path in hit.paths:
        try:
            content = library.read(path)
            if content.sha256 == hit.image.picture.sha256:
                return library.decode(content).pixels
            failure = PictureError("vanished", "it has changed since it was indexed")
        except PictureError as error:
            failure = error
    raise failure


def save_hits(hits: Sequence[Hit], folder: Path, title: str) -> list[Drawn]:
    """Write every hit as its picture with the mask drawn, and `index.html` to look at them all.

    Files are called after rank and picture: `001-beach.jpg`. The page holds its own thumbnails.

    Returns:
        What became of each hit, in their order; a picture that is gone is no error.

    Raises:
        SegsearchError: the folder cannot be written to.
    """
    try:
        return _save_hits(hits, folder, title)
    except OSError as error:
        raise SegsearchError(
            f"cannot write to {folder}: {error.strerror}", "give another folder"
        ) from error


def _save_hits(hits: Sequence[Hit], folder: Path, title: str) -> list[Drawn]:
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Drawn] = []
    cards: list[str] = []
    for rank, hit in enumerate(hits, start=1):
        try:
            picture = _draw_hit(hit)
        except PictureError as error:
            drawn.append(Drawn(hit, None, error.message))
            cards.append(_gone(hit, error.message))
            continue
        file = folder / f"{rank:03d}-{_safe(hit.path.stem)[:_NAME_LENGTH]}.jpg"
        picture.save(file, quality=_JPEG_QUALITY)
        drawn.append(Drawn(hit, file))
        cards.append(_card(hit, file, picture))
    page = _PAGE.substitute(
        title=html.escape(_safe(title)), count=_count(len(hits)), cards="\n".join(cards)
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    return drawn


def _draw_hit(hit: Hit) -> PIL.Image.Image:
    pixels = read_picture(hit)
    if hit.segment is None:
        return PIL.Image.fromarray(pixels)
    return draw(pixels, hit.segment.region)


def _card(hit: Hit, file: Path, picture: PIL.Image.Image) -> str:
    thumbnail = picture.copy()
    thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return _CARD.substitute(
        link=quote(file.name),
        thumbnail=f"data:image/jpeg;base64,{data}",
        name=html.escape(_safe(hit.path.name)),
        score=f"{hit.score:.3f}",
        facts=html.escape(_facts(hit)),
    )


def _gone(hit: Hit, why: str) -> str:
    return _GONE.substitute(
        name=html.escape(_safe(hit.path.name)), score=f"{hit.score:.3f}", why=html.escape(why)
    )


def _facts(hit: Hit) -> str:
    if hit.segment is None:
        return f"{hit.image.n_segments} segments"
    region = hit.segment.region
    place = f"{region.area_fraction:.1%} of the picture, box {','.join(map(str, region.box))}"
    if region.label is None:
        return place
    sure = "" if region.label_score is None else f" {region.label_score:.2f}"
    return f"{_safe(region.label)}{sure}, {place}"


def _count(number: int) -> str:
    return "No hits." if number == 0 else f"{number} hit{'s' if number > 1 else ''}, best first."


def _safe(name: str) -> str:
    """Return a file name without bytes that are not text and characters that are not shown."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character.isprintable() else "?" for character in text)
