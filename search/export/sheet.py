"""The contact sheet: one HTML file with all hits, for which nothing else is needed."""

from __future__ import annotations

import base64
import html
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import IO
from urllib.parse import quote

import PIL.Image

from indexer.crops import Pixels
from indexer.records import Region
from search.export.files import replacing
from search.export.shots import Shot
from search.pictures import square_crop

_THUMBNAIL_PX = 440
#: Side of the small picture of the object, pixels, and what it shows around it.
_DETAIL_PX, _DETAIL_MARGIN = 104, 1.2
_JPEG_QUALITY = 85
#: Most different labels that are named for a picture.
_LABELS = 4

_HEAD = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --card: #8881; --soft: #8883; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 110rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .2rem 0 1.4rem; opacity: .7; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.1rem;
     list-style: none; margin: 0; padding: 0; }
li { display: flex; flex-direction: column; overflow: hidden; background: var(--card);
     border: 1px solid var(--line); border-radius: 10px; }
.whole { display: block; width: 100%; height: 14rem; object-fit: contain;
         background: var(--soft); }
.text { padding: .7rem .8rem .8rem; overflow: hidden; overflow-wrap: anywhere; }
.detail { float: right; width: 3.6rem; height: 3.6rem; margin: 0 0 .3rem .6rem;
          border-radius: 6px; }
.score { font-weight: 650; font-variant-numeric: tabular-nums; margin-right: .4rem; }
.more { opacity: .75; font-variant-numeric: tabular-nums; margin-right: .4rem; }
.facts { opacity: .75; font-size: 13px; }
.id { font: 11px/1.4 ui-monospace, monospace; opacity: .55; user-select: all; }
@media print { li { break-inside: avoid; } }
</style></head><body>
<h1>$title</h1>
<p>$count</p>
<ol>
""")
_FOOT = "</ol>\n</body></html>\n"
_CARD = Template("""<li>$picture<div class="text">$detail
<div>$score<span class="name" title="$path">$name</span></div>
$facts
<div class="id">$id</div></div></li>
""")


class Sheet:
    """A sheet in the making; see `sheet_file`."""

    def __init__(self, cards: IO[str]) -> None:
        """Collect the cards in a file of their own."""
        self._cards = cards
        self.shown = 0
        self.segments = 0

    def add(self, shot: Shot, drawn: PIL.Image.Image, pixels: Pixels, file: Path | None) -> None:
        """Add a card for what is shown together.

        Args:
            shot: one or all hits of a picture.
            drawn: the picture with their masks.
            pixels: the picture, uint8 RGB, shape (H, W, 3).
            file: where `drawn` is, beside the sheet; None if it was not written.
        """
        thumbnail = drawn.copy()
        thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
        picture = _img(thumbnail, "whole", shot.first.path.name)
        if file is not None:
            picture = f'<a href="{quote(file.name)}">{picture}</a>'
        detail = ""
        regions = _regions(shot)
        if len(regions) == 1:
            crop = square_crop(pixels, regions[0].box, _DETAIL_MARGIN, _DETAIL_PX)
            detail = _img(crop, "detail", "")
        self._add(shot, picture, detail, _facts(shot, regions))

    def add_missing(self, shot: Shot, why: str) -> None:
        """Add a card without a picture."""
        self._add(shot, "", "", [f"not drawn: {why}", *_facts(shot, _regions(shot))])

    def _add(self, shot: Shot, picture: str, detail: str, facts: list[str]) -> None:
        first = shot.first
        id_ = first.segment.id if first.segment and shot.rank is not None else first.image.id
        card = _CARD.substitute(
            picture=picture,
            detail=detail,
            score=_score(shot),
            path=escaped(str(first.path)),
            name=escaped(first.path.name),
            facts="\n".join(f'<div class="facts">{escaped(fact)}</div>' for fact in facts),
            id=escaped(id_),
        )
        self._cards.write(card)
        self.shown += 1
        self.segments += len(shot.hits)


@contextmanager
def sheet_file(file: Path, title: str, *, ranked: bool) -> Iterator[Sheet]:
    """Yield a sheet; the file is there when the block has ended well.

    Args:
        file: to be written.
        title: above the pictures.
        ranked: the hits are a query's.
    """
    encoding = "utf-8"
    with (
        replacing(file) as part,
        part.open("w", encoding=encoding) as stream,
        tempfile.TemporaryFile("w+", encoding=encoding) as cards,
    ):
        sheet = Sheet(cards)
        yield sheet
        count = _count(sheet, ranked=ranked)
        stream.write(_HEAD.substitute(title=escaped(title), count=count))
        cards.seek(0)
        shutil.copyfileobj(cards, stream)
        stream.write(_FOOT)


def _regions(shot: Shot) -> list[Region]:
    return [hit.segment.region for hit in shot.hits if hit.segment is not None]


def _score(shot: Shot) -> str:
    if shot.rank is None:
        return ""
    first = shot.first
    shown = [("score", "cosine", f"{first.score:.3f}")]
    if first.relevance is not None:
        shown = [("score", "relevance", f"{first.relevance:.1f}"), ("more", *shown[0][1:])]
    if first.standard_score is not None:
        shown.append(("more", "above the mean of the index", f"{first.standard_score:+.1f} σ"))
    return "".join(
        f'<span class="{kind}" title="{what}">{value}</span>' for kind, what, value in shown
    )


def _facts(shot: Shot, regions: list[Region]) -> list[str]:
    """Return lines of text about what is shown: what was found, then the picture."""
    picture = shot.first.image.picture
    about = [f"{picture.width} × {picture.height}"]
    if picture.taken_at is not None:
        about.append(picture.taken_at.strftime("%Y-%m-%d %H:%M"))
    if picture.camera is not None:
        about.append(picture.camera)
    if shot.rank is not None and regions:
        return [_one(regions[0]), ", ".join(about)]
    return [_many(regions, shot), ", ".join(about)]


def _one(region: Region) -> str:
    box = ",".join(map(str, region.box))
    place = f"{region.area_fraction:.1%} of the picture, box {box}"
    if region.label is None:
        return place
    sure = "" if region.label_score is None else f" {region.label_score:.2f}"
    return f"{region.label}{sure}, {place}"


def _many(regions: list[Region], shot: Shot) -> str:
    count = len(regions) or shot.first.image.n_segments
    found = f"{count} segment{'' if count == 1 else 's'}"
    labels = Counter(region.label for region in regions if region.label is not None)
    named = [f"{name} ×{n}" if n > 1 else name for name, n in labels.most_common(_LABELS)]
    more = f" and {len(labels) - _LABELS} more" if len(labels) > _LABELS else ""
    return f"{found}: {', '.join(named)}{more}" if named else found


def _count(sheet: Sheet, *, ranked: bool) -> str:
    if ranked:
        many = f"{sheet.shown} hit{'' if sheet.shown == 1 else 's'}, best first."
        return many if sheet.shown else "No hits."
    if not sheet.shown:
        return "No pictures."
    pictures = f"{sheet.shown} picture{'' if sheet.shown == 1 else 's'}"
    return f"{pictures}, {sheet.segments} segment{'' if sheet.segments == 1 else 's'}."


def _img(picture: PIL.Image.Image, kind: str, alt: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img class="{kind}" src="data:image/jpeg;base64,{data}" alt="{escaped(alt)}">'


def escaped(text: str) -> str:
    """Return text for HTML; what is no text, or not shown, is a question mark."""
    valid = text.encode("utf-8", "replace").decode("utf-8")
    return html.escape("".join(c if c.isprintable() else "?" for c in valid))
