"""Groups of duplicates to look at: one HTML file, for which nothing else is needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np
import PIL.Image

from indexer.errors import PictureError
from indexer.progress import amount
from search.duplicates import Copy, Group, Member
from search.export.files import replacing, writing_to
from search.export.sheet import escaped
from search.hits import Hit
from search.pictures import draw, square_crop
from search.reading import read_picture

#: Groups on a sheet, and members shown of each: beyond that, nobody looks.
_MOST_GROUPS, _MOST_MEMBERS = 300, 24
_THUMBNAIL_PX = 260
#: What is shown around an object, over its longer side.
_MARGIN = 1.5
_JPEG_QUALITY = 80

_HEAD = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --card: #8881; --soft: #8883; --keep: #1a9a50; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 110rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
p { margin: .2rem 0; opacity: .7; }
ol { display: flex; flex-wrap: wrap; gap: .8rem; list-style: none; margin: 0; padding: 0; }
li { width: 13rem; background: var(--card); border: 2px solid var(--line); border-radius: 10px;
     overflow: hidden; }
li.keep { border-color: var(--keep); }
img, .gone { display: block; width: 100%; height: 10.5rem; object-fit: contain;
             background: var(--soft); }
.gone { padding: 1rem; }
.text { padding: .5rem .7rem .6rem; overflow-wrap: anywhere; }
.facts { opacity: .75; font-size: 13px; }
.keep .mark { color: var(--keep); font-weight: 650; }
.path { font-size: 12px; opacity: .75; }
@media print { li { break-inside: avoid; } }
</style></head><body>
<h1>$title</h1>
<p>$about</p>
""")
_GROUP = Template("""<h2>$title</h2>
<ol>
$cards
</ol>
$more""")
_CARD = Template("""<li class="$kind">$picture<div class="text">
<div><span class="mark">$mark</span></div>
<div class="facts">$facts</div>
$paths</div></li>""")
_FOOT = "</body></html>\n"


def save_groups(groups: Sequence[Group], folder: Path) -> Path:
    """Write `index.html` with the groups, each in a row, the one to keep first.

    Args:
        groups: as they shall be shown; of many, the first are.
        folder: is made if it is not there.

    Returns:
        The file. A picture that is gone is no error.

    Raises:
        SegsearchError: the folder cannot be written to.
    """
    file = folder / "index.html"
    shown = groups[:_MOST_GROUPS]
    about = f"{len(groups)} group{'' if len(groups) == 1 else 's'}"
    if len(shown) < len(groups):
        about += f", of which the first {len(shown)} are shown"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part, part.open("w", encoding="utf-8") as page:
            page.write(_HEAD.substitute(title="Duplicates", about=about))
            for number, group in enumerate(shown, start=1):
                page.write(_row(number, group))
            page.write(_FOOT)
    return file


def _row(number: int, group: Group) -> str:
    kind = "exactly the same" if group.exact else "alike"
    title = f"{number}. {len(group.members)} {kind}"
    if group.spare_bytes and group.members[0].segment is None:
        title = f"{number}. {len(group.files)} files, {kind}, {amount(group.spare_bytes)} to spare"
    shown = group.members[:_MOST_MEMBERS]
    cards = [_card(member, first=i == 0) for i, member in enumerate(shown)]
    more = len(group.members) - len(shown)
    return _GROUP.substitute(
        title=title, cards="\n".join(cards), more=f"<p>and {more} more</p>\n" if more else ""
    )


def _card(member: Member, *, first: bool) -> str:
    score = f"{member.score:.3f}"
    mark = ("keep" if member.segment is None else "first") if first else score
    paths = "\n".join(f'<div class="path">{_path(file)}</div>' for file in member.files)
    return _CARD.substitute(
        kind="keep" if first else "", picture=_picture(member), mark=mark,
        facts=escaped(_facts(member)), paths=paths,
    )  # fmt: skip


def _facts(member: Member) -> str:
    if member.segment is None:
        picture, size = member.image.picture, member.files[0].bytes
        known = "" if size is None else f", {amount(size)}"
        return f"{picture.width} × {picture.height}{known}"
    region = member.segment.region
    label = "" if region.label is None else f"{region.label}, "
    return f"{label}{region.area_fraction:.1%} of the picture"


def _path(file: Copy) -> str:
    return escaped(str(file.path)) + ("" if file.there else " (gone)")


def _picture(member: Member) -> str:
    paths = tuple(file.path for file in member.files)
    try:
        pixels = read_picture(Hit(member.score, member.image, member.segment, paths))
    except PictureError as error:
        return f'<div class="gone">not shown: {escaped(error.message)}</div>'
    if member.segment is None:
        thumbnail = PIL.Image.fromarray(pixels)
        thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    else:
        region = member.segment.region
        drawn = draw(pixels, [region])
        thumbnail = square_crop(np.asarray(drawn), region.box, _MARGIN, _THUMBNAIL_PX)
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    name = escaped(paths[0].name)
    return f'<img src="data:image/jpeg;base64,{data}" alt="{name}">'
