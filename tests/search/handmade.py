"""Records by hand, in an index of their own: vectors and masks that can be checked by eye."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from indexer.index import Index
from indexer.library.paths import full_path, split_path
from indexer.recipe import Recipe
from indexer.records import (
    Box,
    File,
    Image,
    Picture,
    Region,
    Segment,
    Vector,
    image_id,
    segment_id,
)
from indexer.segmentation import masks
from indexer.store.edge import EdgeStore

_INDEXED = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """A segment to be made: a full box, with a vector; inside another segment or not."""

    box: Box
    vector: Vector
    label: str | None = None
    source: str | None = None
    inside: int | None = None


def at(degrees: float) -> Vector:
    """A vector of length 1 in the plane; the cosine of two is that of their angle."""
    turn = math.radians(degrees)
    return np.asarray([math.cos(turn), math.sin(turn)], dtype=np.float32)


@contextmanager
def empty_index(
    folder: Path,
    dim: int = 2,
    vector_space: Mapping[str, object] | None = None,
    *,
    profile: Mapping[str, object] | None = None,
) -> Iterator[Index]:
    """Open a new index."""
    store = EdgeStore(folder)
    space = {"model": "none", **(vector_space or {}), "dim": dim}
    recipe = Recipe(space, {"model": "none"}, {"profile": profile or {}})
    store.create(recipe.to_plain(), dim)
    with closing(Index(store, str(folder))) as index:
        yield index


def clear(index: Index) -> None:
    """Take all pictures and files out again: faster than a new index."""
    for image in list(index.all_images()):
        for path in image.paths:
            index.remove_path(image.id, path)
            index.forget_file(*split_path(path))


def add(
    index: Index,
    root: Path,
    *names: str,
    vector: Vector,
    segments: Sequence[Made] = (),
    picture: Picture | None = None,
    bytes_: int | None = None,
) -> Image:
    """Write a picture that lies in these files of a root, 20 × 10 pixels unless told.

    Args:
        index: to be written to.
        root: absolute.
        names: relative to it.
        vector: of the whole picture.
        segments: in it.
        picture: what its file says.
        bytes_: what the records of its files say; without it there are none.
    """
    sha256 = hashlib.sha256(names[0].encode()).hexdigest()
    picture = replace(picture or Picture("0" * 64, 20, 10, "PNG"), sha256=sha256)
    root_ = index.add_root(root)
    id_ = image_id(sha256)
    paths = tuple(full_path(root_, name) for name in names)
    made = [_segment(each, i, id_, paths, picture) for i, each in enumerate(segments)]
    image = Image(id_, picture, paths, len(made), _INDEXED, vector)
    index.write_image(image, made)
    if bytes_ is not None:
        for name in names:
            index.write_file(File(root_, name, bytes_, 1, image_id=id_))
    return image


def _segment(
    made: Made, ordinal: int, image: str, paths: tuple[str, ...], picture: Picture
) -> Segment:
    x0, y0, x1, y1 = made.box
    mask = np.zeros((picture.height, picture.width), dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    score = None if made.label is None else 0.5
    region = Region(
        masks.encode(mask),
        made.box,
        int(mask.sum()),
        0.9,
        0.9,
        parent=made.inside,
        depth=0 if made.inside is None else 1,
        label=made.label,
        label_score=score,
        label_source=made.source,
    )
    parent = None if made.inside is None else segment_id(image, "made", made.inside)
    of_picture = (picture.taken_at, picture.gps, picture.format, picture.camera)
    return Segment(
        segment_id(image, "made", ordinal), image, region, parent, paths, *of_picture, made.vector
    )
