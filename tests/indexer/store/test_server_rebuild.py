"""Aliases and collections of indexes on a server that are replaced, also when that breaks off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from indexer.errors import StoreError
from indexer.store import discard
from indexer.store.base import KINDS
from indexer.store.server import ServerStore, connect
from tests.indexer.store.facade import Facade, Fault
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, segment, vec

X = vec(1, 0, 0)
NEW_RECIPE = {"new": 1}


@pytest.fixture
def store(facade: Facade) -> Iterator[ServerStore]:
    """An index `photos` with a draft."""
    with closing(connect(f"{facade.url}/photos")) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
        build_draft(facade)
        yield store


def build_draft(facade: Facade) -> None:
    with closing(connect(f"{facade.url}/photos.rebuild")) as draft:
        draft.create(NEW_RECIPE, DIM)
        draft.upsert("segments", [segment(7, X)])


def collections(facade: Facade) -> list[str]:
    """Return the names of all collections without their last 9 characters."""
    _, answer = facade.answer("GET", "/collections", {})
    names = [each["name"] for each in answer["result"]["collections"]]
    assert len(set(names)) == len(names)
    return sorted(name[:-9] for name in names)


def aliases(facade: Facade) -> dict[str, str]:
    _, answer = facade.answer("GET", "/aliases", {})
    return {each["alias_name"]: each["collection_name"] for each in answer["result"]["aliases"]}


def named(*names: str) -> list[str]:
    return sorted(f"{name}_{kind}" for name in names for kind in KINDS)


def test_all_four_aliases_change_in_one_request(facade: Facade, store: ServerStore) -> None:
    fresh = {aliases(facade)[alias] for alias in named("photos.rebuild")}
    facade.seen.clear()
    store.adopt(f"{facade.url}/photos.rebuild")
    changes = [request for request, _ in facade.seen if request.startswith("POST")]
    assert changes == ["POST /collections/aliases"]
    assert sorted(aliases(facade)) == named("photos")
    assert set(aliases(facade).values()) == fresh
    assert collections(facade) == named("photos.rebuild")


def test_a_switch_whose_answer_is_lost_is_repeated(facade: Facade, store: ServerStore) -> None:
    facade.faults.append(Fault("lost", on="POST /collections/aliases"))
    store.adopt(f"{facade.url}/photos.rebuild")
    assert (store.recipe(), store.count("segments")) == (NEW_RECIPE, 1)


def test_a_switch_that_is_refused_changes_nothing(facade: Facade, store: ServerStore) -> None:
    facade.faults.append(Fault("status", 400, on="POST /collections/aliases"))
    with pytest.raises(StoreError, match="injected 400"):
        store.adopt(f"{facade.url}/photos.rebuild")
    assert (store.recipe(), store.count("segments")) == (RECIPE, 5)
    store.adopt(f"{facade.url}/photos.rebuild")
    assert (store.recipe(), store.count("segments")) == (NEW_RECIPE, 1)


def test_what_an_adoption_left_is_removed_by_the_next(facade: Facade, store: ServerStore) -> None:
    facade.faults.append(Fault("status", 400, on="DELETE"))
    with pytest.raises(StoreError, match="injected 400"):
        store.adopt(f"{facade.url}/photos.rebuild")
    assert (store.recipe(), store.count("segments")) == (NEW_RECIPE, 1)
    assert collections(facade) == named("photos", "photos.rebuild")
    build_draft(facade)
    store.adopt(f"{facade.url}/photos.rebuild")
    assert collections(facade) == named("photos.rebuild")


def test_discarding_ends_the_index_before_its_collections(
    facade: Facade, store: ServerStore
) -> None:
    facade.faults.append(Fault("status", 400, on="DELETE"))
    with pytest.raises(StoreError, match="injected 400"):
        discard(f"{facade.url}/photos")
    assert store.recipe() is None
    discard(f"{facade.url}/photos")
    assert collections(facade) == named("photos.rebuild")


def test_other_indexes_with_similar_names_are_left_alone(
    facade: Facade, store: ServerStore
) -> None:
    facade.answer("PUT", "/collections/photos_images_holidays", {"vectors": {}})
    facade.answer("PUT", "/collections/my_photos_images_01234567", {"vectors": {}})
    store.adopt(f"{facade.url}/photos.rebuild")
    discard(f"{facade.url}/photos")
    assert collections(facade) == ["my_photos_images", "photos_images"]


def test_a_draft_elsewhere_is_refused(facade: Facade, store: ServerStore) -> None:
    with pytest.raises(StoreError, match="not on the server"):
        store.adopt("http://elsewhere:6333/photos.rebuild")
    with pytest.raises(StoreError, match="not the address"):
        store.adopt("photos.rebuild")


def test_a_collection_in_the_way_is_explained(facade: Facade) -> None:
    facade.answer("PUT", "/collections/other_images", {"vectors": {}})
    with (
        closing(connect(f"{facade.url}/other")) as other,
        pytest.raises(StoreError, match=r"a collection other_images.* another name"),
    ):
        other.create(RECIPE, DIM)
