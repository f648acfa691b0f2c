from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from search import Searcher
from search.api.schemas import FiltersIn
from search.client import ApiError, Client
from tests.serving import Served


def test_stats(client: Client, searcher: Searcher, library_folder: Path) -> None:
    stats, status = client.stats(), searcher.index.status()
    assert stats.exists
    assert (stats.images, stats.files, stats.failed) == (5, 6, 0)
    assert stats.segments == status.segments
    assert stats.roots == [library_folder.name]
    assert (stats.access.role, stats.access.can_index, stats.access.files) == ("admin", True, True)
    assert str(library_folder.parent) not in stats.model_dump_json()


def test_facets(client: Client, library_folder: Path) -> None:
    name = library_folder.name
    by_format, by_year, by_folder = client.facets(["format", "year", "folder"]).facets
    assert {each.value: each.count for each in by_format.values} == {"PNG": 3, "JPEG": 2}
    assert {each.value: each.count for each in by_year.values} == {"2024": 2}
    assert by_year.without == 3
    assert {each.value: each.count for each in by_folder.values} == {
        name: 3, f"{name}/2024": 2, f"{name}/2024-old": 1,
    }  # fmt: skip


def test_facets_of_what_filters_leave(client: Client, library_folder: Path) -> None:
    wanted = FiltersIn(path=f"{library_folder.name}/2024/", min_area=0.5)
    by_format, by_depth = client.facets(["format", "depth"], wanted).facets
    assert {each.value: each.count for each in by_format.values} == {"PNG": 1, "JPEG": 1}
    assert (by_format.of, by_depth.of) == ("images", "segments")
    total = sum(each.count for each in client.facets(["depth"]).facets[0].values)
    assert 0 < sum(each.count for each in by_depth.values) < total
    (few,) = client.facets(["folder"], limit=1).facets
    assert (len(few.values), few.more) == (1, True)


def test_facets_of_a_pattern(client: Client) -> None:
    (by_format,) = client.facets(["format"], FiltersIn(glob="*.jpg")).facets
    assert {each.value: each.count for each in by_format.values} == {"JPEG": 2}


def test_facets_that_are_none(client: Client, served: Served) -> None:
    answer = httpx.get(f"{served.url}/v1/facets", params={"by": "colour"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    with pytest.raises(ApiError, match="no folder of the library"):
        client.facets(["label"], FiltersIn(path="elsewhere/"))
