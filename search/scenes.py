"""Pictures that show several things at once, and lying to each other as asked.

Each thing is searched for by itself, with its own cut by relevance, and the segments found are
joined picture by picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from indexer.errors import QueryError
from search.hits import Hit
from search.queries import Example, Query, Text
from search.relations import Count, Relation, are_one, is_count, singular
from search.relevance import SPAN

if TYPE_CHECKING:
    from indexer.records import Region
    from search.asking import Look
    from search.engine import Searcher

#: Segments that are looked at for each thing, and for each thing in one picture.
_HITS, _HITS_PER_IMAGE = 2000, 6
#: Ways of choosing the things that are looked at in one picture.
_CHOICES = 5000
#: By how much less relevant a thing may be than the best of its kind must be. Half of what a search
#: for one thing allows: a scene is wrong as soon as one of its things is.
_SPAN = SPAN / 2


@dataclass(frozen=True)
class Scene:
    """What pictures have to show.

    Attributes:
        things: name → what it is, and how many there have to be at least.
        relations: how things lie to each other, by their names.
    """

    things: Mapping[str, tuple[Example, int]]
    relations: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        if not self.things:
            raise QueryError("a scene without things is nothing to look for", "name at least one")
        for name, (_, number) in self.things.items():
            if number < 1:
                raise QueryError(f"{number} times {name!r} is nothing to look for", "ask for 1")
        for relation in self.relations:
            for name in (relation.thing, relation.other):
                if name not in self.things:
                    raise QueryError(
                        f"{name!r} is in a relation, but not in the scene", "name it as a part too"
                    )

    @classmethod
    def parse(cls, parts: Iterable[str], relations: Iterable[str] = ()) -> Scene:
        """Read a scene as the command line has it.

        Args:
            parts: "dog", "at least 3 mugs".
            relations: "dog left-of frisbee", "at least 3 mugs". Things that are named only here
                are parts too.

        Raises:
            QueryError: a relation makes no sense.
        """
        counts = [Count.parse(part) for part in parts]
        given = [
            Count.parse(text) if is_count(text) else Relation.parse(text) for text in relations
        ]
        counts += [one for one in given if isinstance(one, Count)]
        numbers: dict[str, int] = {}
        names: dict[str, str] = {}
        for count in counts:
            name = names.setdefault(count.thing.casefold(), count.thing)
            numbers[name] = max(count.number, numbers.get(name, 1))

        def named(thing: str) -> str:
            """Return a thing as the parts call it; it is a part if it was none."""
            known = names.get(thing.casefold()) or names.get(singular(thing).casefold())
            name = known or names.setdefault(thing.casefold(), thing)
            numbers.setdefault(name, 1)
            return name

        placed = tuple(
            Relation(named(one.thing), one.how, named(one.other))
            for one in given
            if isinstance(one, Relation)
        )
        return cls({name: (Text(name), number) for name, number in numbers.items()}, placed)


@dataclass(frozen=True, eq=False)
class SceneHit:
    """One picture that shows a scene.

    Attributes:
        relevance: that of the least relevant thing; a score where relevance cannot be told.
        things: name → the segments that are it, best first.
    """

    relevance: float
    things: Mapping[str, tuple[Hit, ...]]

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All segments, thing by thing."""
        return tuple(hit for hits in self.things.values() for hit in hits)

    def to_plain(self) -> dict[str, Any]:
        """Return the scene as plain data, for JSON; see docs/formats.md."""
        picture = self.hits[0].to_plain()
        of_image = ("image_id", "path", "paths", "width", "height", "format", "taken_at", "camera")
        return {
            **{key: picture[key] for key in of_image},
            "relevance": self.relevance,
            "things": {
                name: [hit.to_plain() for hit in hits] for name, hits in self.things.items()
            },
        }


@dataclass(frozen=True, eq=False)
class SceneAnswer:
    """The pictures found, best first, and the things of which there are none anywhere."""

    hits: tuple[SceneHit, ...]
    absent: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[SceneHit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


def find_scene(searcher: Searcher, scene: Scene, look: Look) -> SceneAnswer:
    """Find pictures that show a scene; see `Searcher.scene`."""
    if look.ranking.per_image is not None or look.ranking.diversity:
        raise QueryError(
            "a scene is found once in a picture, and the most relevant come first",
            "leave out how many hits a picture may have, and how diverse they should be",
        )
    by_thing: dict[str, dict[str, list[Hit]]] = {}
    for name, (example, number) in scene.things.items():
        ranking = replace(look.ranking, per_image=_HITS_PER_IMAGE + number)
        found = searcher.find(Query((example,)), limit=_HITS, filters=look.filters, ranking=ranking)
        grouped: dict[str, list[Hit]] = {}
        for hit in found:
            if _is_relevant(hit, found.least):
                grouped.setdefault(hit.image.id, []).append(hit)
        by_thing[name] = grouped
    absent = tuple(name for name, grouped in by_thing.items() if not grouped)
    images = set.intersection(*(set(grouped) for grouped in by_thing.values()))
    hits = [
        one
        for image in images
        if (one := _joined(scene, {name: g[image] for name, g in by_thing.items()})) is not None
    ]
    hits.sort(key=lambda one: (-one.relevance, one.hits[0].image.id))
    return SceneAnswer(tuple(hits[look.offset : look.offset + look.limit]), absent)


def _is_relevant(hit: Hit, least: float | None) -> bool:
    return least is None or hit.relevance is None or hit.relevance >= least - _SPAN


def _joined(scene: Scene, candidates: Mapping[str, Sequence[Hit]]) -> SceneHit | None:
    """Return the best way in which a picture shows the scene, or None if it does not.

    One segment of each thing is chosen so that the relations hold and no segment is two things;
    then come the others that a number asks for.
    """
    if any(
        len(_different(candidates[name], number)) < number
        for name, (_, number) in scene.things.items()
    ):
        return None
    best: SceneHit | None = None

    def is_better(hit: Hit) -> bool:
        return best is None or _value(hit) > best.relevance

    for chosen in islice(_choices(scene, is_better, candidates, {}), _CHOICES):
        things = _counted(scene, chosen, candidates)
        if things is None:
            continue
        value = min(_value(hit) for hits in things.values() for hit in hits)
        if best is None or value > best.relevance:
            best = SceneHit(value, things)
    return best


def _different(hits: Sequence[Hit], number: int) -> list[Hit]:
    """Return up to `number` hits, the best first, no two of which show the same thing."""
    found: list[Hit] = []
    for hit in hits:
        if len(found) == number:
            break
        if not any(are_one(_region(hit), _region(other)) for other in found):
            found.append(hit)
    return found


def _choices(
    scene: Scene,
    is_better: Callable[[Hit], bool],
    candidates: Mapping[str, Sequence[Hit]],
    chosen: dict[str, Hit],
) -> Iterator[dict[str, Hit]]:
    """Iterate over all ways to choose the things that are left of hits that are still better."""
    name = next((name for name in scene.things if name not in chosen), None)
    if name is None:
        yield dict(chosen)
        return
    for hit in candidates[name]:
        if not is_better(hit):
            continue
        chosen[name] = hit
        apart = not any(
            are_one(_region(hit), _region(other))
            for others_name, other in chosen.items()
            if others_name != name
        )
        if apart and all(_may_hold(relation, chosen) for relation in scene.relations):
            yield from _choices(scene, is_better, candidates, chosen)
        del chosen[name]


def _may_hold(relation: Relation, chosen: Mapping[str, Hit]) -> bool:
    """Return whether a relation holds, or one of its things is not chosen yet."""
    thing, other = chosen.get(relation.thing), chosen.get(relation.other)
    return thing is None or other is None or relation.holds(_region(thing), _region(other))


def _counted(
    scene: Scene, chosen: Mapping[str, Hit], candidates: Mapping[str, Sequence[Hit]]
) -> dict[str, tuple[Hit, ...]] | None:
    """Add further segments of the things of which several are asked for; None if there are not."""
    taken = list(chosen.values())
    things: dict[str, tuple[Hit, ...]] = {}
    for name, (_, number) in scene.things.items():
        hits = [chosen[name]]
        for hit in candidates[name]:
            if len(hits) == number:
                break
            if not any(are_one(_region(hit), _region(other)) for other in taken):
                hits.append(hit)
                taken.append(hit)
        if len(hits) < number:
            return None
        things[name] = tuple(hits)
    return things


def _value(hit: Hit) -> float:
    return hit.score if hit.relevance is None else hit.relevance


def _region(hit: Hit) -> Region:
    assert hit.segment is not None  # noqa: S101 - segments are what was searched
    return hit.segment.region
