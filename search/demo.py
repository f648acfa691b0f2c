"""The main job from one command: pictures, an index, three queries, contact sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image

from indexer import Indexer, library
from indexer.demo.scenes import DrawnObject, draw_scene, write_library
from indexer.errors import PictureError, QueryError, RecipeMismatch, SegsearchError
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt
from search.engine import Searcher
from search.export.export import save

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.records import Box
    from indexer.report import Report
    from search.hits import Hit

#: Pictures drawn where none are given: enough that most of what one asks for is there.
_SCENES = 60
_HITS = 5
#: Around an object that is cut out as a query, over its longer side.
_BORDER = 0.15

Show = Callable[[str, Sequence["Hit"]], None]


@dataclass(frozen=True, eq=False)
class _Queries:
    """What is searched for: words, a picture, and the object in the box of another picture."""

    words: str
    picture: NDArray[np.uint8]
    picture_name: str
    scene: NDArray[np.uint8]
    scene_name: str
    box: Box


def run_demo(
    folder: Path,
    photos: Path | None,
    on_progress: Callable[[Report], None],
    show: Show,
) -> list[Path]:
    """Index pictures with the demo profile and search them.

    Args:
        folder: where the drawn pictures, the index and the contact sheets go.
        photos: a folder of pictures to use instead of drawn ones.
        on_progress: called after every indexed file.
        show: called with each query and its hits.

    Returns:
        The contact sheets.

    Raises:
        SegsearchError: the pictures cannot be indexed or searched.
    """
    if photos is None:
        photos, index = folder / "pictures", folder / "index"
        write_library(photos, _SCENES)
        queries = _drawn_queries(folder)
    else:
        index = folder / "index-of-photos"
        queries = _photo_queries(photos)
    _index(photos, index, on_progress)
    with Searcher(index) as searcher:
        found = _found(searcher, queries)
    sheets = []
    for name, (title, hits) in found.items():
        show(title, hits)
        save(hits, folder / name, f"Most like {title}")
        sheets.append(folder / name / "index.html")
    return sheets


def _index(photos: Path, index: Path, on_progress: Callable[[Report], None]) -> None:
    try:
        with Indexer(index, "demo") as indexer:
            indexer.index([photos], on_progress=on_progress)
    except RecipeMismatch as error:
        hint = f"it is of an earlier demo: remove {index}, or give the demo another folder"
        raise RecipeMismatch(error.message, hint) from error


def _found(searcher: Searcher, queries: _Queries) -> dict[str, tuple[str, Sequence[Hit]]]:
    """Run the three queries; return each one's title and hits."""
    box = ",".join(map(str, queries.box))
    return {
        "text": (f"the text “{queries.words}”", searcher.text(queries.words, limit=_HITS)),
        "image": (
            f"the picture {queries.picture_name}",
            searcher.image(queries.picture, limit=_HITS),
        ),
        "box": (
            f"the object in the box {box} of {queries.scene_name}",
            _boxed(searcher, queries),
        ),
    }


def _boxed(searcher: Searcher, queries: _Queries) -> Sequence[Hit]:
    """Return what is like the object in the box; nothing where SAM 2 sees no object in it."""
    try:
        return searcher.image(queries.scene, Prompt(box=queries.box), limit=_HITS)
    except QueryError:
        return []


def _drawn_queries(folder: Path) -> _Queries:
    """Draw a scene that is not in the library; write it, and its largest object cut out."""
    scene = draw_scene(_SCENES)
    first, second = sorted(scene.objects, key=lambda one: one.mask.sum(), reverse=True)[:2]
    cut_out = scene.pixels[_window(first)]
    for name, pixels in (("query.png", cut_out), ("query-scene.png", scene.pixels)):
        PIL.Image.fromarray(pixels).save(folder / name)
    return _Queries("red star", cut_out, "query.png", scene.pixels, "query-scene.png", _box(second))


def _photo_queries(photos: Path) -> _Queries:
    """Ask for the first picture, and for what is in the middle of it."""
    name, pixels = _first_picture(photos)
    height, width, _ = pixels.shape
    middle = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
    return _Queries("red star", pixels, name, pixels, name, middle)


def _box(drawn: DrawnObject) -> Box:
    return masks.tight_box(masks.encode(drawn.mask))


def _window(drawn: DrawnObject) -> tuple[slice, slice]:
    """Return the rows and columns of an object with a border around it."""
    x0, y0, x1, y1 = _box(drawn)
    border = round(_BORDER * max(x1 - x0, y1 - y0))
    return slice(max(0, y0 - border), y1 + border), slice(max(0, x0 - border), x1 + border)


def _first_picture(photos: Path) -> tuple[str, NDArray[np.uint8]]:
    """Return the name and the pixels of the first picture that can be used."""
    for found in library.scan(photos):
        if isinstance(found, library.Found):
            try:
                return found.path, library.decode(library.read(found.location)).pixels
            except PictureError:
                continue  # the index run has recorded it
    raise SegsearchError(f"there is no usable picture in {photos}", "give another folder")
