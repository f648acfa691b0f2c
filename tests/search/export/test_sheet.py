"""The contact sheet, read by an HTML parser."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import PIL.Image

from search.export import Kind
from search.export.export import export, save
from search.hits import Hit
from tests.search.export.made import block, made_hit

EVIL = '<script>alert("1")</script>&amp;'
MIDDLE = block(slice(30, 60), slice(40, 80), (90, 120))
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Collects what a page shows, and that its tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str | None] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        if tag == "img":
            self.images.append(found)
        if tag == "a":
            self.links.append(found["href"])
        if tag not in VOID:
            self._open.append((tag, found.get("class") or tag))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.texts.setdefault(self._open[-1][1], []).append(data)

    def sizes(self) -> list[tuple[int, int]]:
        """Sizes of the pictures that the page holds itself."""
        sizes = []
        for image in self.images:
            kind, _, data = (image["src"] or "").partition(",")
            assert kind == "data:image/jpeg;base64"
            with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                picture.load()
                sizes.append(picture.size)
        return sizes


def page(hits: Sequence[Hit], folder: Path, title: str = "x", *, ranked: bool = True) -> Page:
    list(export(hits, folder, title, kinds=[Kind.sheet], ranked=ranked))
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_a_query(tmp_path: Path) -> None:
    hits = [
        made_hit(tmp_path, "a.png", MIDDLE, score=0.3129, label="mug", label_score=0.5),
        made_hit(tmp_path, "b.png", MIDDLE, score=0.25, seed=1),
    ]
    hits[0] = replace(hits[0], standard_score=4.249, relevance=5.06)
    shown = page(hits, tmp_path, "red mug")
    assert shown.texts["title"] == shown.texts["h1"] == ["red mug"]
    assert shown.texts["p"] == ["2 hits, best first."]
    assert shown.texts["score"] == ["5.1", "0.250"]
    assert shown.texts["more"] == ["0.313", "+4.2 σ"]
    assert shown.texts["name"] == ["a.png", "b.png"]
    assert shown.texts["facts"] == [
        "mug 0.50, 11.1% of the picture, box 40,30,80,60",
        "120 × 90, 2024-05-01 23:30",
        "11.1% of the picture, box 40,30,80,60",
        "120 × 90, 2024-05-01 23:30",
    ]
    assert shown.texts["id"] == [hit.segment.id for hit in hits if hit.segment]
    assert shown.sizes() == [(120, 90), (104, 104)] * 2
    assert shown.links == []


def test_overlays_are_linked(tmp_path: Path) -> None:
    hits = [made_hit(tmp_path, "50% off #1.png", MIDDLE)]
    save(hits, tmp_path / "out", "x")
    shown = Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    (overlay,) = (tmp_path / "out").glob("*.jpg")
    assert shown.links == [overlay.name.replace(" ", "%20")]


def test_an_index_has_a_card_for_each_picture(tmp_path: Path) -> None:
    masks = [block(slice(row, row + 20), slice(0, 50), (90, 120)) for row in (0, 30, 60)]
    labels = ("mug", None, "mug")
    hits = [
        made_hit(tmp_path, "a.png", mask, label=label)
        for mask, label in zip(masks, labels, strict=True)
    ]
    hits.append(made_hit(tmp_path, "b.png", MIDDLE, seed=1))
    shown = page(hits, tmp_path, ranked=False)
    assert shown.texts["p"] == ["2 pictures, 4 segments."]
    assert shown.texts["facts"][::2] == ["3 segments: mug ×2", "1 segment"]
    assert "score" not in shown.texts
    assert shown.texts["id"] == [hits[0].image.id, hits[3].image.id]


def test_everything_is_escaped(tmp_path: Path) -> None:
    hit = made_hit(tmp_path, "a.png", MIDDLE, label=EVIL, label_score=1.0)
    evil = tmp_path / (EVIL.replace("/", "") + '" onload="x.png')
    evil.write_bytes(hit.path.read_bytes())
    picture = replace(hit.image.picture, camera=EVIL)
    hit = replace(hit, paths=(evil,), image=replace(hit.image, picture=picture))
    shown = page([hit], tmp_path, EVIL)
    assert "script" not in shown.tags
    assert all(set(image) == {"class", "src", "alt"} for image in shown.images)
    assert shown.images[0]["alt"] == shown.texts["name"][0] == evil.name
    assert shown.texts["h1"] == [EVIL]
    assert shown.texts["facts"][0].startswith(EVIL + " 1.00, ")
    assert shown.texts["facts"][1].endswith(EVIL)


def test_what_is_no_text_is_a_question_mark(tmp_path: Path) -> None:
    hit = made_hit(tmp_path, "a.png", MIDDLE)
    odd = tmp_path / "caf\udce9 \x1b[2J.png"
    odd.write_bytes(hit.path.read_bytes())
    assert page([replace(hit, paths=(odd,))], tmp_path).texts["name"] == ["caf? ?[2J.png"]


def test_a_picture_that_is_gone(tmp_path: Path) -> None:
    hit = made_hit(tmp_path, "a.png", MIDDLE, score=0.25)
    hit.path.unlink()
    shown = page([hit], tmp_path)
    assert shown.images == []
    assert shown.texts["facts"][0] == "not drawn: the file is gone: run again"


def test_no_hits(tmp_path: Path) -> None:
    assert page([], tmp_path).texts["p"] == ["No hits."]
    assert page([], tmp_path, ranked=False).texts["p"] == ["No pictures."]
