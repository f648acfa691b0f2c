"""From the API's requests to queries, scenes, filters and prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from indexer.crops import Pixels
from indexer.errors import QueryError
from indexer.segmentation.segmenter import Prompt
from search.api import schemas
from search.api.library import Library, Opened
from search.api.pictures import Pictures
from search.api.places import Places
from search.api.uploads import Uploads
from search.asking import Look
from search.examples import pointed_at
from search.filters import Filters, Place
from search.queries import Cut, Example, Picture, Query, Stored, StoredImage, Text
from search.ranking import Ranking
from search.relations import Count, Relation
from search.scenes import Scene


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads requests, looking up what they name. Safe to use from many threads."""

    library: Library
    pictures: Pictures
    uploads: Uploads

    def query(self, request: schemas.SearchRequest) -> Query:
        """Return the query of a request that is not about a scene.

        Raises:
            Refused: something that it names is not there.
            QueryError: a prompt lies outside its picture, or finds nothing.
        """
        texts = () if request.text is None else (Text(request.text),)
        wanted = (*texts, *map(self.example, request.positives))
        return Query(wanted, tuple(map(self.example, request.negatives)))

    def scene(self, given: schemas.SceneIn) -> Scene:
        """Return the scene of a request.

        Raises:
            Refused, QueryError: see `query`; or a relation makes no sense.
        """
        texts = [each for each in given.things if isinstance(each, str)]
        named = [each for each in given.things if not isinstance(each, str)]
        if not named:
            return Scene.parse(texts, given.relations)
        things: dict[str, tuple[Example, int]] = {}
        for count in map(Count.parse, texts):
            things[count.thing] = Text(count.thing), count.number
        for each in named:
            if each.name in things:
                raise QueryError(f"two things are called {each.name!r}", "give them other names")
            things[each.name] = self.example(each.example), each.count
        return Scene(things, tuple(map(Relation.parse, given.relations)))

    def example(self, given: schemas.Example) -> Example:
        """Return one example; see `query`."""
        if given.text is not None:
            return Text(given.text)
        if given.segment_id is not None:
            return Stored(str(given.segment_id))
        if given.image_id is not None and given.is_empty:
            return StoredImage(str(given.image_id))
        name, pixels = self.picture(given.image_id, given.upload_id)
        if given.is_empty:
            return Picture(pixels())
        asked = prompt(given)
        (answer,) = self.pictures.prompted(name, pixels, asked, candidates=False)
        return Cut(pixels(), pointed_at(answer, asked))

    def picture(
        self, image_id: UUID | None, upload_id: str | None
    ) -> tuple[str, Callable[[], Pixels]]:
        """Return the id of a picture, of the index or uploaded, and what gives its pixels.

        Raises:
            Refused: it is not there.
        """
        if image_id is not None:
            hit = self.library.image(image_id)
            return hit.image.id, lambda: self.pictures.pixels(hit)
        uploaded = self.uploads.get(upload_id or "")
        return uploaded.id, lambda: uploaded.pixels


def prompt(given: schemas.PromptIn) -> Prompt:
    """Return a prompt as SAM 2 takes it."""
    return Prompt(tuple(given.points), tuple(given.not_points), given.box)


def look(given: schemas.LookIn, opened: Opened) -> Look:
    """Return what is looked at, one hit more than the page has: it tells whether there are more."""
    ranking = Ranking(
        _least(given),
        given.nested,
        per_image=given.per_image,
        diversity=given.diversity,
    )
    where = filters(given.filters, opened.places)
    return Look(given.limit + 1, given.offset, where, given.by, ranking)


def filters(given: schemas.ImageFilters, places: Places) -> Filters:
    """Return filters as the engine takes them.

    Raises:
        QueryError: a path lies outside the library.
    """
    found = Filters(
        path=None if given.path is None else places.prefix(given.path),
        glob=None if given.glob is None else places.glob(given.glob),
        since=given.since,
        until=given.until,
        near=None if given.near is None else Place(*map(float, given.near.split(","))),
        format=_several(given.format),
        camera=_several(given.camera),
        min_size=given.min_size,
        max_size=given.max_size,
    )
    if not isinstance(given, schemas.FiltersIn):
        return found
    return replace(
        found,
        min_area=given.min_area,
        max_area=given.max_area,
        min_depth=given.min_depth,
        max_depth=given.max_depth,
        label=_several(given.label),
        min_label_score=given.min_label_score,
    )


def _several(words: Sequence[str]) -> Sequence[str] | None:
    return tuple(words) or None


def _least(given: schemas.LookIn) -> float | Literal["auto"] | None:
    if given.all:
        return None
    return "auto" if given.min_relevance is None else given.min_relevance
