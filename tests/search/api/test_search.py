from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import PIL.Image
import pytest

from search import Picture, Query, Searcher, Stored, Text
from search.api.schemas import (
    MOST_OFFSET,
    Example,
    FiltersIn,
    ImageFilters,
    SceneIn,
    SearchRequest,
    Thing,
    UploadSearch,
)
from search.client import ApiError, Client
from search.hits import Hit
from search.queries import StoredImage
from search.ranking import UNCUT
from tests.pictures import scene
from tests.serving import Served

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    scene(seed).save(buffer, "PNG")
    return buffer.getvalue()


def ids(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.segment.id if hit.segment else hit.image.id for hit in hits]


def found(client: Client, **asked: object) -> list[str]:
    answer = client.search(SearchRequest.model_validate({"all": True, "nested": True, **asked}))
    return [hit.segment.id if hit.segment else hit.image.id for hit in answer.hits]


def test_a_text_finds_what_the_engine_finds(client: Client, searcher: Searcher) -> None:
    answer = client.search(SearchRequest(text="red star", limit=5, all=True, nested=True))
    hits = searcher.text("red star", limit=5, ranking=UNCUT)
    assert answer.kind == "segments"
    for told, hit in zip(answer.hits, hits, strict=True):
        assert hit.segment is not None
        assert told.segment is not None
        assert told.segment.id == hit.segment.id
        assert told.segment.box == hit.segment.region.box
        assert told.segment.rle.counts == hit.segment.region.rle.counts
        assert (told.score, told.relevance) == pytest.approx((hit.score, hit.relevance), abs=1e-5)


def test_examples_of_every_kind(client: Client, searcher: Searcher) -> None:
    first, second, *_ = searcher.text("a", limit=2, ranking=UNCUT)
    assert first.segment is not None
    assert second.segment is not None
    query = Query(
        (Text("red"), Stored(first.segment.id), StoredImage(second.image.id)), (Text("blue"),)
    )
    positives = [
        {"text": "red"},
        {"segment_id": first.segment.id},
        {"image_id": second.image.id},
    ]
    told = found(client, positives=positives, negatives=[{"text": "blue"}], limit=9)
    assert told == ids(searcher.find(query, limit=9, ranking=UNCUT).hits)
    assert first.segment.id not in told


def test_a_stored_image_finds_others(client: Client, searcher: Searcher) -> None:
    (hit, *_) = searcher.text("red", by="image", limit=1)
    told = found(client, positives=[{"image_id": hit.image.id}], by="image")
    assert len(told) == 4
    assert hit.image.id not in told


def test_an_object_in_an_indexed_picture(client: Client, searcher: Searcher) -> None:
    (hit, *_) = searcher.image(scene(1), by="image", limit=1)
    box = {"image_id": hit.image.id, "box": [5, 5, 40, 40]}
    expected = found(client, positives=[{"upload_id": client.upload(png(1)).id, "box": box["box"]}])
    assert found(client, positives=[box]) == expected
    assert expected != found(client, positives=[{"image_id": hit.image.id, "points": [[50, 60]]}])


def test_an_upload_is_searched_and_kept(client: Client, searcher: Searcher) -> None:
    asked = UploadSearch(by="image", all=True, limit=1)
    answer = client.search_upload(png(1), asked)
    assert answer.hits[0].image.path.endswith("/2024/plain.png")
    assert answer.hits[0].score == pytest.approx(1, abs=1e-4)
    assert answer.upload_id is not None
    boxed = UploadSearch(box=(5, 5, 40, 40), not_points=[(2, 2)], all=True, nested=True, limit=3)
    told = client.search_upload(png(1), boxed).hits
    again = found(
        client,
        positives=[{"upload_id": answer.upload_id, "box": [5, 5, 40, 40], "not_points": [[2, 2]]}],
        limit=3,
    )
    assert [hit.segment.id for hit in told if hit.segment] == again


def test_an_upload_with_a_text_is_one_query(client: Client, searcher: Searcher) -> None:
    hits = searcher.find(Query((Picture(scene(2)), Text("red"))), limit=5, ranking=UNCUT).hits
    asked = UploadSearch(text="red", all=True, nested=True, limit=5)
    told = client.search_upload(png(2), asked).hits
    assert {hit.segment.id for hit in told if hit.segment} == set(ids(hits))


def test_pages_join(client: Client) -> None:
    everything = found(client, text="red", limit=200)
    pages: list[str] = []
    offset: int | None = 0
    while offset is not None:
        asked = SearchRequest(text="red", limit=7, offset=offset, all=True, nested=True)
        answer = client.search(asked)
        pages += [hit.segment.id for hit in answer.hits if hit.segment]
        offset = answer.next_offset
    assert pages == everything
    assert len(everything) > 14


def test_one_hit_an_image(client: Client) -> None:
    answer = client.search(SearchRequest(text="red", per_image=1, all=True))
    images = [hit.image.id for hit in answer.hits]
    assert len(images) == len(set(images)) == 5


def test_nothing_relevant_names_the_nearest(client: Client) -> None:
    answer = client.search(SearchRequest(text="red", min_relevance=90))
    assert (answer.hits, answer.least) == ([], 90)
    assert answer.nearest is not None


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("{root}/2024/", {"plain.png", "may.jpg"}),
        ("{root}/2024", {"plain.png", "may.jpg"}),  # a folder that is there
        ("{root}/202", {"plain.png", "may.jpg", "june.jpg"}),
        ("{root}", {"a.png", "plain.png", "may.jpg", "june.jpg", "caf\uf7e9.png"}),
        ("{root}/caf\uf7e9", {"caf\uf7e9.png"}),
    ],
)
def test_paths_begin_with_the_librarys_name(
    client: Client, library_folder: Path, path: str, names: set[str]
) -> None:
    wanted = FiltersIn(path=path.format(root=library_folder.name))
    answer = client.search(SearchRequest(text="red", filters=wanted, by="image"))
    assert {hit.image.path.rpartition("/")[2] for hit in answer.hits} == names
    assert {hit.image.path.partition("/")[0] for hit in answer.hits} == {library_folder.name}


def test_patterns(client: Client, library_folder: Path) -> None:
    def names(pattern: str) -> set[str]:
        wanted = FiltersIn(glob=pattern)
        answer = client.search(SearchRequest(text="red", filters=wanted, by="image"))
        return {hit.image.path.rpartition("/")[2] for hit in answer.hits}

    assert names("*.jpg") == {"may.jpg", "june.jpg"}
    assert names(f"{library_folder.name}/2024*/*") == {"plain.png", "may.jpg", "june.jpg"}
    assert names("**/may.*") == {"may.jpg"}


def test_a_scene_of_words_and_of_examples(client: Client, searcher: Searcher) -> None:
    words = SearchRequest(scene=SceneIn(things=["red", "blue"]), all=True, nested=True, limit=2)
    answer = client.search(words)
    assert answer.kind == "scenes"
    assert [set(one.things) for one in answer.scenes] == [{"red", "blue"}] * 2
    (hit, *_) = searcher.text("a", limit=1, ranking=UNCUT)
    assert hit.segment is not None
    like = Example.model_validate({"segment_id": hit.segment.id})
    things: list[str | Thing] = [Thing(name="like this", example=like), "red"]
    asked = SceneIn(things=things, relations=["red near like this"])
    answer = client.search(SearchRequest(scene=asked, all=True))
    assert all(set(one.things) == {"like this", "red"} for one in answer.scenes)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({}, "give a text or positives, or a scene"),
        ({"text": "x", "scene": {"things": ["y"]}}, "give a text or positives, or a scene"),
        ({"text": " "}, "the text is empty"),
        ({"text": "x\u0000"}, "control characters"),
        ({"text": "x", "limit": 0}, "greater than or equal to 1"),
        ({"text": "x", "colour": "red"}, "colour"),
        ({"text": "x", "min_relevance": 1e999}, "min_relevance"),
        ({"positives": [{"text": "x", "segment_id": UNKNOWN}]}, "give exactly one of"),
        ({"positives": [{"text": "x", "box": [0, 0, 1, 1]}]}, "belong to an image"),
        ({"positives": [{"upload_id": "A" * 22}] * 9}, "at most 8 examples can be pictures"),
        ({"text": "x", "y" * 5000: 1}, "yyyy"),
        ({"positives": [{"segment_id": "../../etc/passwd"}]}, "segment_id"),
        ({"scene": {"things": ["a"], "relations": ["a is odd"]}}, "is no relation"),
        ({"scene": {"things": ["a"]}, "per_image": 2}, "leave out how many"),
        ({"text": "x", "filters": {"path": "/etc/"}}, "is no folder of the library"),
        ({"text": "x", "filters": {"path": "library0/../../etc/"}}, "no folder"),
        ({"text": "x", "filters": {"glob": "*/passwd"}}, "leaves open which folder"),
        ({"text": "x", "filters": {"near": "91,0,1"}}, "no place"),
        ({"text": "x", "filters": {"min_area": 0.5, "max_area": 0.1}}, "swap"),
        ({"text": "x", "by": "image", "filters": {"label": ["y"]}}, "no label"),
    ],
)
def test_what_makes_no_sense_is_told(served: Served, asked: object, what: str) -> None:
    answer = httpx.post(
        f"{served.url}/v1/search",
        content=json.dumps(asked),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "invalid-request"
    assert what in f"{problem['detail']} {problem['hint']}"
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("example", "code"),
    [
        ({"segment_id": UNKNOWN}, "no-such-segment"),
        ({"image_id": UNKNOWN}, "no-such-image"),
        ({"image_id": UNKNOWN, "points": [[1, 1]]}, "no-such-image"),
        ({"upload_id": "A" * 22}, "upload-gone"),
    ],
)
def test_what_is_not_there_is_told(client: Client, example: dict[str, object], code: str) -> None:
    with pytest.raises(ApiError) as refused:
        found(client, positives=[example])
    assert (refused.value.status, refused.value.code) == (404, code)


def test_an_upload_can_be_looked_at_again(client: Client) -> None:
    upload = client.upload(png(4))
    assert (upload.width, upload.height) == (96, 72)
    assert client.get_upload(upload.id) == upload
    with PIL.Image.open(io.BytesIO(client.uploaded(upload.id))) as shown:
        assert shown.size == (96, 72)


def test_uploads_that_are_no_pictures(client: Client) -> None:
    with pytest.raises(ApiError) as refused:
        client.search_upload(b"GIF89a, or so it says")
    assert (refused.value.status, refused.value.code) == (415, "no-picture")
    with pytest.raises(ApiError) as refused:
        client.search_upload(png(1), UploadSearch(box=(5, 5, 4000, 40)))
    assert refused.value.status == 422


def test_paths_that_no_file_can_have(client: Client, library_folder: Path) -> None:
    """Nobody can tell from the answer what there is on the machine."""
    (library_folder / "round").symlink_to("round")
    try:
        for path in ("a" * 300, "round", "round/", "x/" * 400):
            wanted = FiltersIn(path=f"{library_folder.name}/{path}")
            assert client.search(SearchRequest(text="red", filters=wanted, all=True)).hits == []
            wanted = FiltersIn(glob=f"{library_folder.name}/{path}/*")
            assert client.search(SearchRequest(text="red", filters=wanted, all=True)).hits == []
    finally:
        (library_folder / "round").unlink()


def test_patterns_that_match_too_much_do_not_tell_where_the_library_is(
    client: Client, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.globs.MOST_LISTED", 1)
    with pytest.raises(ApiError, match="pictures match the pattern") as refused:
        client.images(ImageFilters(glob=f"{library_folder.name}/**"))
    assert str(library_folder.parent) not in str(refused.value)


def test_pages_end_where_no_page_can_be_asked_for(client: Client) -> None:
    answer = client.search(SearchRequest(text="red", limit=3, offset=MOST_OFFSET, all=True))
    assert answer.next_offset is None
