from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt, Segmenter
from search import Searcher
from search.api.schemas import Region, SearchRequest, SegmentRequest
from search.api.settings import Limits, Settings
from search.client import ApiError, Client
from search.ranking import UNCUT
from search.reading import read_picture
from tests.search.api.test_search import png
from tests.serving import serving


def area(region: Region) -> int:
    from indexer.records import Rle

    return int(masks.decode(Rle(region.rle.size, region.rle.counts)).sum())


def test_an_indexed_picture_is_cut(client: Client, searcher: Searcher) -> None:
    (hit, *_) = searcher.text("red", by="image", limit=1)
    asked = SegmentRequest.model_validate({"image_id": hit.image.id, "box": (5, 5, 40, 40)})
    answer = client.segment(asked)
    segmenter = searcher.segmenter()
    expected = segmenter.prompt(segmenter.embed(read_picture(hit)), Prompt(box=(5, 5, 40, 40)))
    (region,) = answer.regions
    assert (answer.width, answer.height) == (96, 72)
    assert area(region) == region.area_px == int(expected.mask.sum())
    assert region.predicted_iou == pytest.approx(expected.predicted_iou, abs=1e-5)


def test_a_point_may_mean_several_things(client: Client) -> None:
    upload = client.upload(png(3))
    asked: dict[str, Any] = {"upload_id": upload.id, "points": [(48, 36)]}
    (best,) = client.segment(SegmentRequest.model_validate(asked)).regions
    every = client.segment(SegmentRequest.model_validate({**asked, "candidates": True})).regions
    assert len(every) == 3
    assert every[0] == best
    assert best.point == (48, 36)
    refined = SegmentRequest.model_validate({**asked, "not_points": [(2, 2)]})
    assert client.segment(refined).regions[0].point is None


def test_a_picture_is_embedded_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded: list[tuple[int, ...]] = []
    really = Segmenter.embed

    def counted(self: Segmenter, pixels: np.ndarray[Any, Any]) -> Any:  # noqa: ANN401
        embedded.append(pixels.shape)
        return really(self, pixels)

    monkeypatch.setattr(Segmenter, "embed", counted)
    upload = client.upload(png(5))
    for x in range(10, 60, 10):
        asked = {"upload_id": upload.id, "points": [(x, 30)]}
        client.segment(SegmentRequest.model_validate(asked))
    assert embedded == [(72, 96, 3)]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"upload_id": "A" * 22, "points": [(1, 1)]}, 404),
        ({"points": [(96, 1)]}, 422),
        ({"box": (0, 0, 97, 5)}, 422),
        ({"box": (5, 5, 5, 9)}, 422),
    ],
)
def test_prompts_that_fit_nothing(
    client: Client, asked: dict[str, Sequence[object]], status: int
) -> None:
    upload = client.upload(png(5))
    with pytest.raises(ApiError) as refused:
        client.segment(SegmentRequest.model_validate({"upload_id": upload.id, **asked}))
    assert refused.value.status == status


def test_a_stored_segments_own_box_gives_it_again(client: Client, searcher: Searcher) -> None:
    """The page relies on live answers and stored segments being in one frame."""
    (hit, *_) = searcher.text("a", limit=1, ranking=UNCUT)
    assert hit.segment is not None
    told = client.get_segment(hit.segment.id)
    assert told.segment.box == hit.segment.region.box
    assert told.image.id == hit.image.id
    assert (told.image.width, told.image.height) == hit.segment.region.rle.size[::-1]


def test_many_that_read_pictures_do_not_wait_for_each_other(where: str) -> None:
    """Searches and prompts on pictures that nobody has read yet, all at once."""
    with (
        serving(Settings(where, limits=Limits(seconds=30))) as served,
        Client(served.url) as client,
    ):
        boxed = [{"image_id": image.id, "box": (5, 5, 40, 40)} for image in client.images().images]
        searches = [SearchRequest.model_validate({"positives": [one]}) for one in boxed]
        prompts = [SegmentRequest.model_validate(one) for one in boxed]
        with ThreadPoolExecutor(10) as pool:
            found = [pool.submit(client.search, one) for one in searches]
            cut = [pool.submit(client.segment, one) for one in prompts]
            assert all(each.result().kind == "segments" for each in found)
            assert all(len(each.result().regions) == 1 for each in cut)
