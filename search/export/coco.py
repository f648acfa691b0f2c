"""A COCO file of instances, written as a stream.

What stands in it, beside what COCO itself defines:

- `images`: `file_name` relative to the library's root, or, where the hits lie in several, to the
  deepest folder that holds all of these; `date_captured` if the camera wrote it, in its local time;
  `sha256` of the file; `segsearch_id`.
- `annotations`: `segmentation` is compressed RLE; `score`, 0 to 1, is how sure it is that this is
  an object: the label's score, or what SAM 2 says of the mask; of a query's hits `similarity` is
  the score of the hit, beside its `standard_score`, `contrast` and `relevance`, see
  `search.hits.Hit`; `segsearch_id`; and `attributes` with `depth`, `parent_id`, `predicted_iou`,
  `stability_score`, `label_score` and `label_source`, each if there is one.
- `categories`: the labels, in the order in which they come, and "object" for what has none.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from indexer.library.paths import split_path
from indexer.records import Region, Segment
from search.export.files import replacing
from search.export.shots import segment_of
from search.hits import Hit

#: The category of what has no label.
UNNAMED = "object"


@contextmanager
def coco_file(file: Path, title: str, *, ranked: bool) -> Iterator[Callable[[Hit], None]]:
    """Yield what adds a hit; the file is there when the block has ended well.

    Only the ids of images and the names of categories are kept in memory.

    Args:
        file: to be written.
        title: description of the data set.
        ranked: the hits are a query's, so that their scores mean something.
    """
    with (
        replacing(file) as part,
        part.open("w", encoding="ascii") as stream,
        tempfile.TemporaryFile("w+", encoding="ascii") as images,
    ):
        dataset = _Dataset(stream, images, ranked=ranked)
        stream.write(f'{{"info": {json.dumps({"description": title})},\n"licenses": [],\n')
        stream.write('"annotations": [')
        yield dataset.add
        stream.write('],\n"images": [')
        dataset.write_images()
        stream.write(f'],\n"categories": {json.dumps(dataset.categories())}}}\n')


class _Dataset:
    """The numbers of what has been written so far."""

    def __init__(self, annotations: IO[str], images: IO[str], *, ranked: bool) -> None:
        self._annotations = annotations
        self._images = images
        self._ranked = ranked
        self._image_ids: dict[str, int] = {}
        self._category_ids: dict[str, int] = {}
        self._roots: set[Path] = set()
        self._count = 0

    def add(self, hit: Hit) -> None:
        segment = segment_of(hit)
        image = self._image_ids.get(hit.image.id)
        if image is None:
            image = self._image_ids[hit.image.id] = len(self._image_ids) + 1
            path = hit.path
            self._images.write(json.dumps(_image(hit, image, path)) + "\n")
            self._roots.add(_root(hit, path))
        name = (segment.region.label or "").strip() or UNNAMED
        category = self._category_ids.setdefault(name, len(self._category_ids) + 1)
        self._count += 1
        plain = _annotation(segment, self._count, image, category)
        if self._ranked:
            plain |= _similarity(hit)
        self._annotations.write((",\n" if self._count > 1 else "\n") + json.dumps(plain))

    def write_images(self) -> None:
        """Write the images, now that it is known what their paths have in common."""
        if not self._roots:
            return
        base = os.path.commonpath(self._roots)
        self._images.seek(0)
        for number, line in enumerate(self._images):
            plain = json.loads(line)
            plain["file_name"] = Path(plain["file_name"]).relative_to(base).as_posix()
            self._annotations.write((",\n" if number else "\n") + json.dumps(plain))

    def categories(self) -> list[dict[str, Any]]:
        return [
            {"id": id_, "name": name, "supercategory": UNNAMED}
            for name, id_ in self._category_ids.items()
        ]


def _image(hit: Hit, number: int, path: Path) -> dict[str, Any]:
    """Return an image's entry; its name is still a whole path."""
    picture = hit.image.picture
    plain: dict[str, Any] = {
        "id": number,
        "file_name": str(path),
        "width": picture.width,
        "height": picture.height,
        "sha256": picture.sha256,
        "segsearch_id": hit.image.id,
    }
    if picture.taken_at is not None:
        plain["date_captured"] = picture.taken_at.isoformat(" ", "seconds")
    return plain


def _root(hit: Hit, path: Path) -> Path:
    """Return the library root that one of the hit's paths lies in."""
    _, relative = split_path(hit.image.paths[hit.paths.index(path)])
    return path.parents[relative.count("/")]


def _annotation(segment: Segment, number: int, image: int, category: int) -> dict[str, Any]:
    region = segment.region
    x0, y0, x1, y1 = region.box
    attributes = {
        "depth": region.depth,
        "parent_id": segment.parent_id,
        "predicted_iou": region.predicted_iou,
        "stability_score": region.stability_score,
        "label_score": region.label_score,
        "label_source": region.label_source,
    }
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": region.area_px,
        "iscrowd": 0,
        "score": _sureness(region),
        "segmentation": {"size": list(region.rle.size), "counts": region.rle.counts},
        "segsearch_id": segment.id,
        "attributes": {key: value for key, value in attributes.items() if value is not None},
    }


def _similarity(hit: Hit) -> dict[str, float]:
    """Return what the query made of the hit, as far as it could be told."""
    scores = {
        "similarity": hit.score,
        "standard_score": hit.standard_score,
        "contrast": hit.contrast,
        "relevance": hit.relevance,
    }
    return {key: value for key, value in scores.items() if value is not None}


def _sureness(region: Region) -> float:
    """Return how sure it is that this is an object, 0 to 1; SAM 2's guesses reach beyond that."""
    if region.label_score is not None:
        return region.label_score
    return min(1.0, max(0.0, region.predicted_iou))
