from __future__ import annotations

import time
from pathlib import Path

import pytest

from indexer import Indexer
from indexer.profiles import Profile
from search.api.schemas import IndexRequest, SearchRequest
from search.api.settings import Settings
from search.client import ApiError, Client
from tests.pictures import write_scene
from tests.serving import serving


def test_an_empty_index_is_filled(tmp_path: Path, fast_yaml: str) -> None:
    folder = write_scene(tmp_path / "photos" / "1.png", 1).parent
    settings = Settings(str(tmp_path / "idx"), folders=(folder,), profile=fast_yaml)
    with serving(settings) as served, Client(served.url) as client:
        assert not client.stats().exists
        assert client.is_ready()
        with pytest.raises(ApiError) as refused:
            client.search(SearchRequest(text="red"))
        assert (refused.value.status, refused.value.code) == (409, "no-index")
        assert client.index_run().state == "never"
        assert client.start_index().state == "running"
        with pytest.raises(ApiError) as refused:
            client.start_index()
        assert refused.value.code == "already-running"
        runs = list(client.follow_index())
        assert (runs[0].state, runs[-1].state) == ("running", "done")
        assert runs[-1].progress.images == 1
        assert runs[-1].ended_at is not None
        assert client.stats().images == 1
        assert client.search(SearchRequest(text="red", all=True)).hits


def test_a_run_is_stopped_and_gone_on_with(tmp_path: Path, fast_yaml: str) -> None:
    folder = tmp_path / "photos"
    for seed in range(12):
        write_scene(folder / f"{seed}.png", seed)
    settings = Settings(str(tmp_path / "idx"), folders=(folder,), profile=fast_yaml)
    with serving(settings) as served, Client(served.url) as client:
        client.start_index()
        for run in client.follow_index():
            if run.progress.images and run.state == "running":
                assert client.stop_index().state == "stopping"
        assert client.index_run().state == "stopped"
        done = client.stats().images
        assert 1 <= done < 12
        (folder / "0.png").unlink()
        client.start_index(IndexRequest(prune=True))
        *_, last = client.follow_index()
        assert last.state == "done"
        assert client.stats().images == 11


def test_what_goes_wrong_is_told_to_admins(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    settings = Settings(str(tmp_path / "idx"), folders=(tmp_path / "nothing",), profile="demo")
    with serving(settings) as served, Client(served.url) as client:
        client.start_index()
        *_, last = client.follow_index()
    assert last.state == "failed"
    assert last.message is not None
    assert "there is no picture in" in last.message


def test_a_run_ends_with_the_server(tmp_path: Path, fast_yaml: str) -> None:
    folder = tmp_path / "photos"
    for seed in range(40):
        write_scene(folder / f"{seed}.png", seed)
    settings = Settings(str(tmp_path / "idx"), folders=(folder,), profile=fast_yaml)
    with serving(settings) as served, Client(served.url) as client:
        client.start_index()
        while not client.index_run().progress.images:
            time.sleep(0.05)
        process = served.app.state.segsearch.runs._process
    assert process.poll() is not None


def test_a_replaced_index_is_opened_anew(
    tmp_path: Path, fast_profile: Profile, fine_profile: Profile
) -> None:
    """A rebuild in another process, with other masks."""
    folder, where = write_scene(tmp_path / "photos" / "1.png", 1).parent, tmp_path / "idx"
    with Indexer(where, fast_profile) as indexer:
        indexer.index([folder])
    with serving(Settings(str(where))) as served, Client(served.url) as client:
        asked = SearchRequest(text="red", all=True)
        before = {hit.segment.id for hit in client.search(asked).hits if hit.segment}
        with Indexer(where, fine_profile) as indexer:
            indexer.index(rebuild=True)
        time.sleep(2.1)
        after = client.search(asked).hits
        assert after
        assert before.isdisjoint(hit.segment.id for hit in after if hit.segment)
