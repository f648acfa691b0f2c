"""Scenes, joined from hits made by hand, and found in an index of hand-made vectors."""

from __future__ import annotations

import time
from itertools import product

import pytest

from indexer.errors import QueryError
from indexer.records import Box, Segment
from search import Relation, Searcher
from search.hits import Hit
from search.queries import Stored, Text
from search.ranking import UNCUT, Ranking
from search.scenes import Scene, SceneHit, _joined
from tests.search.handmade_hits import hit, ids

#: In a picture of 40 × 40: three places from left to right, and one below the first.
ONE, TWO, THREE, UNDER = (0, 0, 8, 8), (12, 0, 20, 8), (24, 0, 32, 8), (0, 20, 8, 28)
DOG, CAT = Text("dog"), Text("cat")


def scene(*relations: str, **numbers: int) -> Scene:
    things = {name: (Text(name), number) for name, number in numbers.items()}
    return Scene(things, tuple(map(Relation.parse, relations)))


def at(*places: tuple[Box, float]) -> list[Hit]:
    """Segments of one picture with their relevance."""
    return [hit(f"{box[0]},{box[1]}", box, relevance=value) for box, value in places]


def chosen(found: SceneHit | None) -> dict[str, list[str]]:
    assert found is not None
    return {name: ids(hits) for name, hits in found.things.items()}


def test_the_best_segment_of_each_thing() -> None:
    candidates = {"dog": at((ONE, 5), (TWO, 4)), "cat": at((THREE, 3), (UNDER, 2))}
    found = _joined(scene(dog=1, cat=1), candidates)
    assert chosen(found) == {"dog": ["0,0"], "cat": ["24,0"]}
    assert found is not None
    assert found.relevance == 3


def test_the_best_segments_for_which_the_relation_holds() -> None:
    candidates = {"dog": at((THREE, 5), (ONE, 4)), "cat": at((TWO, 6), (UNDER, 3))}
    assert chosen(_joined(scene("dog left-of cat", dog=1, cat=1), candidates)) == {
        "dog": ["0,0"],
        "cat": ["12,0"],
    }
    assert chosen(_joined(scene("dog above cat", dog=1, cat=1), candidates)) == {
        "dog": ["24,0"],
        "cat": ["0,20"],
    }
    assert _joined(scene("dog inside cat", dog=1, cat=1), candidates) is None


def test_all_relations_hold_at_once() -> None:
    candidates = {name: at((ONE, 5), (TWO, 5), (THREE, 5)) for name in ("a", "b", "c")}
    found = _joined(scene("a left-of b", "b left-of c", a=1, b=1, c=1), candidates)
    assert chosen(found) == {"a": ["0,0"], "b": ["12,0"], "c": ["24,0"]}
    circle = scene("a left-of b", "b left-of c", "c left-of a", a=1, b=1, c=1)
    assert _joined(circle, candidates) is None


def test_a_segment_is_only_one_of_the_things() -> None:
    same = {"dog": at((ONE, 5)), "animal": at((ONE, 4))}
    assert _joined(scene(dog=1, animal=1), same) is None
    nearly = {"dog": at((ONE, 5)), "animal": at(((0, 0, 8, 6), 4), (TWO, 3))}
    assert chosen(_joined(scene(dog=1, animal=1), nearly)) == {"dog": ["0,0"], "animal": ["12,0"]}


def test_as_many_as_are_asked_for() -> None:
    mugs = at((ONE, 5), (TWO, 4), (THREE, 2))
    candidates = {"mug": mugs, "table": at((UNDER, 3))}
    found = _joined(scene(mug=3, table=1), candidates)
    assert chosen(found) == {"mug": ["0,0", "12,0", "24,0"], "table": ["0,20"]}
    assert found is not None
    assert (found.relevance, ids(found.hits)) == (2, ["0,0", "12,0", "24,0", "0,20"])
    assert chosen(_joined(scene(mug=2, table=1), candidates))["mug"] == ["0,0", "12,0"]
    assert _joined(scene(mug=4, table=1), candidates) is None
    twice = {"mug": at((ONE, 5), ((0, 0, 8, 7), 4))}
    assert _joined(scene(mug=2), twice) is None


def test_without_relevance_scores_count() -> None:
    candidates = {"dog": [hit("a", ONE, score=0.4)], "cat": [hit("b", TWO, score=0.3)]}
    found = _joined(scene(dog=1, cat=1), candidates)
    assert found is not None
    assert found.relevance == 0.3


def test_many_things_with_many_candidates_take_no_time() -> None:
    boxes = [(x, y, x + 6, y + 6) for x in range(0, 33, 8) for y in range(0, 33, 8)][:12]
    places = at(*((box, 5 - i / 10) for i, box in enumerate(boxes)))
    names = ("a", "b", "c", "d", "e", "f")
    started = time.perf_counter()
    found = _joined(scene(**dict.fromkeys(names, 1)), dict.fromkeys(names, places))
    assert time.perf_counter() - started < 5
    assert found is not None
    assert len(set(ids(found.hits))) == 6
    assert found.relevance == 4.5


@pytest.mark.parametrize(
    ("parts", "relations", "numbers", "placed"),
    [
        (["dog"], [], {"dog": 1}, []),
        (["at least 3 mugs", "table"], [], {"mug": 3, "table": 1}, []),
        (["dog", "cat"], ["dog left-of cat"], {"dog": 1, "cat": 1}, ["dog left-of cat"]),
        (["dog"], ["dog near tree"], {"dog": 1, "tree": 1}, ["dog near tree"]),
        (["table"], ["at least 2 mugs"], {"table": 1, "mug": 2}, []),
        (["mug"], ["at least 2 mugs", "mug above tray"], {"mug": 2, "tray": 1}, ["mug above tray"]),
    ],
)
def test_a_scene_as_it_is_written(
    parts: list[str], relations: list[str], numbers: dict[str, int], placed: list[str]
) -> None:
    expected = {name: (Text(name), number) for name, number in numbers.items()}
    assert Scene.parse(parts, relations) == Scene(expected, tuple(map(Relation.parse, placed)))


def test_scenes_that_make_no_sense() -> None:
    for parts, relations, message in (
        ([], [], "name at least one"),
        (["dog", " "], [], "the text is empty"),
        (["dog"], ["dog beside cat"], "is no relation"),
        (["dog"], ["dog near dog"], "cannot lie near itself"),
        (["at least 0 dogs"], [], "ask for 1 to 100"),
    ):
        with pytest.raises(QueryError, match=message):
            Scene.parse(parts, relations)
    with pytest.raises(QueryError, match="'cat' is in a relation, but not in the scene"):
        Scene({"dog": (DOG, 1)}, (Relation("dog", "near", "cat"),))
    with pytest.raises(QueryError, match="0 times 'dog' is nothing to look for"):
        Scene({"dog": (DOG, 0)})


def test_a_scene_as_plain_data() -> None:
    found = _joined(scene(mug=2), {"mug": at((ONE, 5), (TWO, 4))})
    assert found is not None
    plain = found.to_plain()
    assert plain.keys() == {
        "image_id", "path", "paths", "width", "height", "format", "taken_at", "camera",
        "relevance", "things",
    }  # fmt: skip
    assert (plain["path"], plain["width"], plain["relevance"]) == ("/r/image.png", 40, 4)
    assert [one["box"] for one in plain["things"]["mug"]] == [list(ONE), list(TWO)]


def _segment(found: Hit) -> Segment:
    assert found.segment is not None
    return found.segment


def test_in_an_index(searcher: Searcher) -> None:
    """Pictures with two segments side by side, each like one of a pair that lies so."""
    relation = Relation("one", "left-of", "other")
    hits = list(searcher.everything())
    pair = next(
        {"one": (Stored(left), 1), "other": (Stored(right), 1)}
        for one, other in product(hits, hits)
        if one.image is other.image
        and (left := _segment(one).id) != (right := _segment(other).id)
        and relation.holds(_segment(one).region, _segment(other).region)
    )
    found = searcher.scene(Scene(pair, (relation,)), limit=100, ranking=UNCUT)
    assert found.absent == ()
    assert len(found.hits) > 1
    for one in found.hits:
        (first,), (second,) = one.things["one"], one.things["other"]
        assert first.image.id == second.image.id
        assert relation.holds(_segment(first).region, _segment(second).region)
    assert (list(found), len(found)) == (list(found.hits), len(found.hits))
    order = [one.relevance for one in found.hits]
    assert order == sorted(order, reverse=True)
    pages = [
        searcher.scene(Scene(pair, (relation,)), limit=1, offset=i, ranking=UNCUT)
        for i in range(len(order) + 1)
    ]
    assert [one.to_plain() for page in pages for one in page.hits] == [
        one.to_plain() for one in found.hits
    ]


def test_what_is_nowhere_is_named(searcher: Searcher) -> None:
    first = next(searcher.everything())
    like = Stored(_segment(first).id)
    things = {"this": (like, 1), "that": (like, 1)}
    found = searcher.scene(Scene(things), ranking=Ranking(1e6))
    assert (found.hits, found.absent) == ((), ("this", "that"))


@pytest.mark.parametrize("ranking", [Ranking(per_image=1), Ranking(diversity=0.5)])
def test_rankings_that_mean_nothing_for_a_scene(searcher: Searcher, ranking: Ranking) -> None:
    with pytest.raises(QueryError, match="a scene is found once in a picture"):
        searcher.scene(Scene({"dog": (DOG, 1)}), ranking=ranking)


def test_relations_name_parts_in_any_case_and_number() -> None:
    scene = Scene.parse(["at least 2 Mugs"], ["mugs near star", "at least 1 hat"])
    assert {name: number for name, (_, number) in scene.things.items()} == {
        "Mug": 2,
        "hat": 1,
        "star": 1,
    }
    assert scene.relations == (Relation("Mug", "near", "star"),)
