"""One evaluation: what is measured on every picture, and the figures of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from indexer import library
from indexer.embedding import blend
from indexer.errors import OutOfDeviceMemory, PictureError
from indexer.profiles import ClipProfile
from indexer.records import Vector
from indexer.segmentation import masks
from search.evaluation.captions import caption_rows
from search.evaluation.coco import Id
from search.evaluation.galleries import (
    Gallery,
    Matches,
    Objects,
    Searched,
    each_itself,
    match,
    objects_of,
)
from search.evaluation.mask_recall import mask_rows
from search.evaluation.recipes import (
    CropRecipe,
    advice,
    crop_recipes,
    profile_recipe,
    recipe_rows,
    try_recipes,
)
from search.evaluation.retrieval import Retrieval
from search.evaluation.truth import SIZES, TruePicture

if TYPE_CHECKING:
    from indexer.crops import Crop
    from indexer.work import Models

Row = dict[str, Any]


@dataclass(frozen=True)
class Skipped:
    """A picture that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is kept of a picture.

    Attributes:
        views: for each way to cut, `context` and `focus` of all objects, (objects, dim).
        tight: vectors of the objects' boxes, (objects, dim).
        whole: the picture's vector, (1, dim).
        segments: vectors of the automatic segments, (segments, dim).
        matches: which objects these show.
        seconds: that SAM 2 took.
    """

    views: Mapping[CropRecipe, tuple[Vector, Vector]]
    tight: Vector
    whole: Vector
    segments: Vector
    matches: Matches
    seconds: float


class Evaluation:
    """Sees pictures one after the other, and keeps vectors of them, no pixels.

    Attributes:
        pictures: those that were seen.
        skipped: those that were not.
    """

    def __init__(self, models: Models, clip: ClipProfile, *, recipes: bool = False) -> None:
        """Begin with no picture.

        Args:
            models: what is evaluated.
            clip: the profile of their CLIP.
            recipes: whether to try other recipes than the profile's, too.
        """
        self.pictures: list[TruePicture] = []
        self.skipped: list[Skipped] = []
        self._models, self._clip, self._recipes = models, clip, recipes
        self._crops = crop_recipes(clip) if recipes else [profile_recipe(clip).crop]
        self._seen: list[_Seen] = []

    def see(self, picture: TruePicture) -> None:
        """Measure one picture, or note why that is not possible."""
        pixels = _usable(picture)
        if not isinstance(pixels, str):
            try:
                self._seen.append(self._look(picture, pixels))
            except OutOfDeviceMemory as error:
                pixels = error.message
            else:
                self.pictures.append(picture)
                return
        self.skipped.append(Skipped(picture.name, pixels))

    def rows(
        self,
        captions: Mapping[Id, Sequence[str]] | None = None,
        on_stage: Callable[[str], None] = lambda _: None,
    ) -> list[Row]:
        """Return the figures as flat rows; `part` says what each is about.

        At least one picture with an object must have been seen.

        Args:
            captions: image id → its captions.
            on_stage: told what is searched next.
        """
        objects, segments = objects_of(self.pictures), self._segments()
        text = _Remembered(self._models.embedder.text)
        best_ious = [iou for seen in self._seen for iou in seen.matches.best_ious]
        rows = [self._about(objects, segments), *mask_rows(best_ious, objects.sizes)]
        rows += self._search_rows(objects, segments, text, on_stage)
        if captions is not None:
            on_stage("captions")
            rows += self._caption_rows(captions, segments)
        if self._recipes:
            on_stage("recipes")
            views = {crop: self._both(crop) for crop in self._crops}
            tried, own = try_recipes(views, objects, text, self._clip), profile_recipe(self._clip)
            rows += recipe_rows(tried, own)
            rows += [{"part": "advice", "words": words} for words in advice(tried, own)]
        return rows

    def _look(self, picture: TruePicture, pixels: NDArray[np.uint8]) -> _Seen:
        image, embedder = PIL.Image.fromarray(pixels), self._models.embedder
        started = time.perf_counter()
        regions = self._models.segmenter.automatic(pixels)
        seconds = time.perf_counter() - started
        cut: dict[CropRecipe, list[Crop]] = {crop: [] for crop in self._crops}
        for one in picture.objects:
            mask = masks.decode(one.rle)
            for crop, found in cut.items():
                how = (crop.margin, crop.surroundings)
                found.append(embedder.crop_segment(image, mask, one.box, *how))
        segments = [
            embedder.crop_segment(image, masks.decode(region.rle), region.box) for region in regions
        ]
        tight = [embedder.crop_picture(image.crop(one.box)) for one in picture.objects]
        return _Seen(
            {crop: embedder.views(found) for crop, found in cut.items()},
            embedder.views(tight)[0],
            embedder.vectors([embedder.crop_picture(image)]),
            embedder.vectors(segments),
            match([region.rle for region in regions], picture),
            seconds,
        )

    def _segments(self) -> Searched:
        """Return the automatic segments of all pictures."""
        gallery, objects = Gallery(self._models.embedder.dim), 0
        for number, (picture, seen) in enumerate(zip(self.pictures, self._seen, strict=True)):
            shows = [(row, objects + shown) for row, shown in seen.matches.shows]
            gallery.add(number, seen.segments, shows, seen.matches.undecided)
            objects += len(picture.objects)
        return gallery.searched()

    def _both(self, crop: CropRecipe) -> tuple[Vector, Vector]:
        context, focus = (np.concatenate([s.views[crop][i] for s in self._seen]) for i in (0, 1))
        return context, focus

    def _about(self, objects: Objects, segments: Searched) -> Row:
        return {
            "part": "data",
            "sam2": Path(self._models.segmenter.model.name).name,
            "clip": Path(self._clip.model).name,
            "crop_margin": self._clip.crop_margin,
            "focus_weight": self._clip.focus_weight,
            "device": self._models.device,
            "precision": self._models.precision,
            "pictures": len(self.pictures),
            "skipped": len(self.skipped),
            "objects": len(objects.kinds),
            "kinds": len(np.unique(objects.kinds)),
            "segments_per_picture": len(segments.vectors) / len(self.pictures),
            "segmenting_seconds": float(np.median([seen.seconds for seen in self._seen])),
        }

    def _search_rows(
        self,
        objects: Objects,
        segments: Searched,
        text: Callable[[str], Vector],
        on_stage: Callable[[str], None],
    ) -> list[Row]:
        true = blend(*self._both(profile_recipe(self._clip).crop), self._clip.focus_weight)
        tight = np.concatenate([seen.tight for seen in self._seen])
        wholes = np.concatenate([seen.whole for seen in self._seen])[objects.pictures]
        ways = {
            "automatic segments": (segments, true),
            "true masks": (each_itself(true, objects), true),
            "tight boxes": (each_itself(tight, objects), tight),
            "whole pictures": (each_itself(wholes, objects), wholes),
        }
        by_text: list[Row] = []
        by_segment: list[Row] = []
        for name, (searched, queries) in ways.items():
            on_stage(name)
            retrieval = Retrieval(searched, objects)
            asked, numbers = retrieval.segments(queries)
            for size in ("all", *SIZES):
                named = {"searched": name, "size": size}
                answered = retrieval.text(text, None if size == "all" else size)
                by_text.append({"part": "text", **named, **answered.figures()})
                chosen = objects.sizes[numbers] == size if size != "all" else numbers >= 0
                by_segment.append({"part": "segment", **named, **asked.of(chosen).figures()})
        return by_text + by_segment

    def _caption_rows(self, captions: Mapping[Id, Sequence[str]], segments: Searched) -> list[Row]:
        numbered = [
            (words, number)
            for number, picture in enumerate(self.pictures)
            for words in captions.get(picture.id, ())
        ]
        wholes = np.concatenate([seen.whole for seen in self._seen])
        return caption_rows(numbered, self._models.embedder.text, wholes, segments)


class _Remembered:
    """The vectors of texts, each computed once."""

    def __init__(self, text: Callable[[str], Vector]) -> None:
        self._text = text
        self._known: dict[str, Vector] = {}

    def __call__(self, words: str) -> Vector:
        if words not in self._known:
            self._known[words] = self._text(words)
        return self._known[words]


def _usable(picture: TruePicture) -> NDArray[np.uint8] | str:
    """Return the pixels, or why the picture cannot be compared with the truth."""
    if picture.path is None:
        return "it is not in the folder"
    try:
        pixels = library.decode(library.read(picture.path)).pixels
    except PictureError as error:
        return error.message
    height, width = pixels.shape[:2]
    said = (picture.width, picture.height)
    if said == (width, height):
        return pixels
    turned = ": they are of the picture before its EXIF orientation turns it"
    return (
        f"it has {width}×{height} pixels, the annotations say {said[0]}×{said[1]}"
        f"{turned if said == (height, width) else ''}"
    )
