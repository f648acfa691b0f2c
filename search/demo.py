"""The main job from one command: pictures, an index, three queries, contact sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer import Indexer, library
from indexer.demo.draw import draw_library
from indexer.errors import PictureError, SegsearchError
from indexer.segmentation.segmenter import Prompt
from search.engine import Searcher
from search.render import save_hits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.pipeline import Report
    from search.hits import Hit

#: Pictures drawn where none are given: enough to search among, few enough for a minute.
_SCENES = 8
_HITS = 5

Show = Callable[[str, Sequence["Hit"]], None]


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
        photos = folder / "pictures"
        draw_library(photos, _SCENES)
    index = folder / "index"
    with Indexer(index, "demo") as indexer:
        indexer.index([photos], on_progress=on_progress)
    with Searcher(index) as searcher:
        found = _found(searcher, *_first_picture(photos))
    sheets = []
    for name, (title, hits) in found.items():
        show(title, hits)
        save_hits(hits, folder / name, f"Most like {title}")
        sheets.append(folder / name / "index.html")
    return sheets


def _found(
    searcher: Searcher, name: str, query: NDArray[np.uint8]
) -> dict[str, tuple[str, list[Hit]]]:
    """Run the three queries; return each one's title and hits."""
    height, width, _ = query.shape
    box = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
    return {
        "text": ("the text “red star”", searcher.text("red star", limit=_HITS)),
        "image": (f"the picture {name}", searcher.image(query, limit=_HITS)),
        "box": (
            f"the object in the box {','.join(map(str, box))} of {name}",
            searcher.image(query, Prompt(box=box), limit=_HITS),
        ),
    }


def _first_picture(photos: Path) -> tuple[str, NDArray[np.uint8]]:
    """Return the name and the pixels of the first picture that can be used."""
    for found in library.scan(photos):
        if isinstance(found, library.Found):
            try:
                return found.path, library.decode(library.read(found.location)).pixels
            except PictureError:
                continue  # the index run has recorded it
    raise SegsearchError(f"there is no usable picture in {photos}", "give another folder")
