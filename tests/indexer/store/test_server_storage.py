"""How a server is told to keep vectors, to search them and to change that; what it says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from indexer.errors import StoreDamaged, StoreError, StoreFull
from indexer.store import server_optimising
from indexer.store.base import KINDS, VECTOR_KINDS, Filter, HasId, Kind, Point
from indexer.store.server import ServerStore, connect
from indexer.store.storage import DEFAULT_STORAGE, Progress, Storage
from tests.indexer.store.facade import Facade, Fault, Json
from tests.indexer.store.grpc_facade import GrpcFacade
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS, uid, vec

X = vec(1, 0, 0)
SMALL = Storage("turbo4", "mmap", 4.0, hnsw_m=32, hnsw_ef_construct=256, hnsw_ef=64)
CLUSTER = Storage(shards=6, replicas=2)


@pytest.fixture
def store(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerStore]:
    monkeypatch.setattr(server_optimising, "_POLL_S", 0.001)
    with closing(connect(f"{facade.url}/photos", timeout_s=1)) as store:
        yield store


def sent(facade: Facade, start: str) -> list[tuple[str, Json]]:
    """Return path and body of the requests so far that start like this."""
    return [each for each in facade.bodies if each[0].startswith(start)]


def created(facade: Facade, kind: Kind) -> Json:
    """Return what the one collection of this kind was asked for with, without what is None."""
    ((_, body),) = [
        each
        for each in sent(facade, f"PUT /collections/photos_{kind}_")
        if "/" not in each[0].removeprefix("PUT /collections/")
    ]
    return compact(body)


def compact(body: Json) -> Json:
    return {
        name: compact(value) if isinstance(value, dict) else value
        for name, value in body.items()
        if value is not None
    }


def info(facade: Facade, kind: Kind, status: str, **changes: Any) -> Fault:  # noqa: ANN401
    """Return the server's next word about the collection of this kind."""
    _, answer = facade.answer("GET", f"/collections/photos_{kind}", {})
    says = {**answer["result"], "status": status, **changes}
    return Fault("says", on=f"GET /collections/photos_{kind}", says=says)


def report(running: list[tuple[int, Json]], queued: int) -> Fault:
    """Return what the server says it is at: points and progress, and points that wait."""
    tasks = [
        {
            "uuid": uid(number),
            "optimizer": "indexing",
            "status": "optimizing",
            "segments": [{"uuid": uid(number), "points_count": points}],
            "progress": progress,
        }
        for number, (points, progress) in enumerate(running)
    ]
    summary = {
        "queued_optimizations": 1,
        "queued_segments": 1,
        "queued_points": queued,
        "idle_segments": 1,
    }
    says = {"summary": summary, "running": tasks}
    return Fault("says", on="GET /collections/photos_segments_", says=says)


# Creation


def test_vectors_are_quantized_in_memory_and_kept_on_the_disk(
    facade: Facade, store: ServerStore
) -> None:
    store.create(RECIPE, DIM)
    for kind in VECTOR_KINDS:
        assert created(facade, kind)["vectors"] == {
            "size": DIM,
            "distance": "Cosine",
            "memory": "cold",
            "hnsw_config": {"m": 16, "ef_construct": 100, "memory": "pinned"},
            "quantization_config": {
                "scalar": {"type": "int8", "quantile": 0.99, "memory": "pinned"}
            },
        }


def test_all_of_it_can_be_left_on_the_disk(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM, SMALL)
    assert created(facade, "segments")["vectors"] == {
        "size": DIM,
        "distance": "Cosine",
        "memory": "cold",
        "hnsw_config": {"m": 32, "ef_construct": 256, "memory": "cold"},
        "quantization_config": {"turbo": {"bits": "bits4", "memory": "cold"}},
    }


@pytest.mark.parametrize(("memory", "full"), [("ram", "cached"), ("mmap", "cold")])
def test_without_quantization_the_full_vectors_are_searched(
    facade: Facade, store: ServerStore, memory: str, full: str
) -> None:
    store.create(RECIPE, DIM, Storage("none", memory))
    vectors = created(facade, "segments")["vectors"]
    assert vectors["memory"] == full
    assert "quantization_config" not in vectors


@pytest.mark.parametrize(("replicas", "majority"), [(1, 1), (2, 2), (3, 2), (5, 3)])
def test_every_kind_is_spread_over_the_nodes(
    facade: Facade, store: ServerStore, replicas: int, majority: int
) -> None:
    store.create(RECIPE, DIM, Storage(shards=6, replicas=replicas))
    for kind in KINDS:
        asked = created(facade, kind)
        assert asked["shard_number"] == 6
        assert asked["replication_factor"] == replicas
        assert asked["write_consistency_factor"] == majority
        assert asked["payload"] == {"memory": "cold"}


# Reading and writing


def test_searches_compare_the_nearest_in_full(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM, SMALL)
    store.search("segments", X)
    store.nearest("images", X)
    asked = [compact(body)["params"] for _, body in sent(facade, "POST") if "query" in body]
    rescored = {"rescore": True, "oversampling": 4.0}
    assert asked == [{"hnsw_ef": 64, "quantization": rescored}] * 2


@pytest.mark.parametrize(("storage", "ordering"), [(DEFAULT_STORAGE, None), (CLUSTER, "medium")])
def test_replicas_see_writes_in_one_order(
    facade: Facade, store: ServerStore, storage: Storage, ordering: str | None
) -> None:
    store.create(RECIPE, DIM, storage)
    facade.bodies.clear()
    store.upsert("segments", SEGMENTS)
    store.set_payload("segments", {"depth": 1}, Filter(must=(HasId((uid(1),)),)))
    store.update_payloads("segments", {uid(1): {"depth": 2}})
    store.delete("segments", Filter(must=(HasId((uid(1),)),)))
    writes = [path for path, _ in facade.bodies if not path.startswith("GET ")]
    asked = [path.partition("?")[2].split("&") for path in writes]
    assert len(asked) == 4
    assert all("wait=true" in parameters for parameters in asked)
    assert all((f"ordering={ordering}" in each) == (ordering is not None) for each in asked)


def test_what_is_too_large_for_one_request_goes_in_several(
    facade: Facade, store: ServerStore
) -> None:
    store.create(RECIPE, DIM)
    facade.bodies.clear()
    points = [Point(uid(n), {"mask": "x" * 12 * 2**20, "n": n}, X) for n in range(5)]
    store.upsert("segments", points)
    upserts = [[p["payload"]["n"] for p in body["points"]] for _, body in sent(facade, "PUT")]
    assert upserts == [[0, 1], [2, 3], [4]]
    assert all(len(json.dumps(body)) < 32 * 2**20 for _, body in sent(facade, "PUT"))
    store.update_payloads("segments", {p.id: {"mask": "y" * 12 * 2**20} for p in points})
    changes = [len(body["operations"]) for path, body in facade.bodies if "/batch" in path]
    assert changes == [2, 2, 1]


def test_the_segments_of_a_picture_are_one_write(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, 1152)
    facade.bodies.clear()
    vector = vec(1, *[0] * 1151)
    store.upsert("segments", [Point(uid(n), {"mask": "x" * 900}, vector) for n in range(1000)])
    assert len(sent(facade, "PUT")) == 1


# What is kept of it


def test_the_storage_is_kept_with_the_index(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM, SMALL)
    assert store.storage() == SMALL
    with closing(connect(f"{facade.url}/photos")) as other:
        assert (other.storage(), other.recipe()) == (SMALL, RECIPE)


def test_an_index_of_before_there_was_a_choice(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM, SMALL)
    change_settings(facade, lambda kept: kept.pop("storage"))
    assert store.storage() == DEFAULT_STORAGE
    assert store.recipe() == RECIPE


@pytest.mark.parametrize("storage", ["int8", {"memory": "tape"}, {"colour": 1}, {"shards": "two"}])
def test_a_storage_that_makes_no_sense_is_damage(
    facade: Facade, store: ServerStore, storage: object
) -> None:
    store.create(RECIPE, DIM)
    change_settings(facade, lambda kept: kept.update(storage=storage))
    with pytest.raises(StoreDamaged, match="holds no settings"):
        store.storage()


def change_settings(facade: Facade, change: Any) -> None:  # noqa: ANN401
    _, answer = facade.answer("GET", "/collections/photos_roots", {})
    kept = json.loads(answer["result"]["config"]["metadata"]["segsearch"])
    change(kept)
    metadata = {"segsearch": json.dumps(kept)}
    facade.answer("PATCH", "/collections/photos_roots", {"metadata": metadata})


# Changing it


def test_the_storage_can_be_changed(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM)
    store.upsert("segments", SEGMENTS)
    before = store.search("segments", X)
    store.optimise(SMALL)
    for kind in VECTOR_KINDS:
        ((path, body),) = sent(facade, f"PATCH /collections/photos_{kind}_")
        assert "timeout=600" in path
        assert compact(body)["vectors"] == {
            "": {
                "memory": "cold",
                "hnsw_config": {"m": 32, "ef_construct": 256, "memory": "cold"},
                "quantization_config": {"turbo": {"bits": "bits4", "memory": "cold"}},
            }
        }
    assert (store.storage(), store.recipe()) == (SMALL, RECIPE)
    facade.bodies.clear()
    assert store.search("segments", X) == before
    assert compact(facade.bodies[-1][1])["params"]["hnsw_ef"] == 64


def test_quantization_can_be_given_up(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM)
    store.optimise(Storage("none"))
    _, body = sent(facade, "PATCH /collections/photos_segments_")[0]
    assert compact(body)["vectors"][""]["quantization_config"] == "Disabled"


def test_the_same_storage_changes_nothing(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM, SMALL)
    facade.bodies.clear()
    store.optimise(SMALL)
    store.optimise()
    assert sent(facade, "PATCH") == []


@pytest.mark.parametrize("other", [Storage(shards=2), Storage(replicas=3)])
def test_shards_and_replicas_stay(facade: Facade, store: ServerStore, other: Storage) -> None:
    store.create(RECIPE, DIM)
    facade.bodies.clear()
    with pytest.raises(StoreError, match=r"stay as they are.*--rebuild"):
        store.optimise(other)
    assert sent(facade, "PATCH") == []


def test_a_change_that_broke_off_is_not_taken_for_done(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM)
    facade.faults.append(Fault("status", 400, on="PATCH /collections/photos_segments_"))
    with pytest.raises(StoreError, match="injected 400"):
        store.optimise(SMALL)
    assert store.storage() == DEFAULT_STORAGE
    store.optimise(SMALL)
    assert store.storage() == SMALL
    assert len(sent(facade, "PATCH /collections/photos_images_")) == 2


# What the server says of it


def test_optimise_waits_until_the_server_is_done(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM)
    facade.bodies.clear()
    facade.faults.extend([info(facade, "segments", "yellow")] * 3)
    store.optimise()
    assert len(sent(facade, "GET /collections/photos_segments_")) == 4


def test_a_change_that_has_not_begun_is_waited_for(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM)
    words = ["green", "green", "yellow", "green", "yellow"]
    facade.faults.extend([info(facade, "segments", word) for word in words])
    facade.bodies.clear()
    store.optimise(SMALL)
    assert not facade.faults
    assert len(sent(facade, "GET /collections/photos_segments_")) == len(words) + 3


def test_a_server_that_was_restarted_is_reminded(facade: Facade, store: ServerStore) -> None:
    store.create(RECIPE, DIM)
    facade.faults.extend([info(facade, "segments", "grey")] * 2)
    facade.bodies.clear()
    store.optimise()
    assert len(sent(facade, "PATCH /collections/photos_segments_")) == 2
    facade.faults.extend([info(facade, "segments", "grey")] * 99)
    store.optimise()
    assert facade.faults
    facade.faults.clear()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Not enough space available for optimization, needed: 2, available: 1", StoreFull),
        ("panicked", StoreError),
    ],
)
def test_what_the_server_cannot_do_is_reported(
    facade: Facade, store: ServerStore, said: str, kind: type[StoreError]
) -> None:
    store.create(RECIPE, DIM)
    facade.faults.append(info(facade, "images", "red", optimizer_status={"error": said}))
    with pytest.raises(StoreError, match=said) as caught:
        store.optimise()
    assert type(caught.value) is kind


def test_there_is_no_progress_without_work(store: ServerStore) -> None:
    store.create(RECIPE, DIM)
    assert store.optimising() is None


def test_progress_counts_points_that_are_where_they_are_to_be(
    facade: Facade, store: ServerStore
) -> None:
    store.create(RECIPE, DIM)
    tree = {
        "name": "Segment Indexing",
        "children": [
            {"name": "quantization", "done": 100, "total": 100},
            {"name": "vector_index", "children": [{"name": "", "done": 20, "total": 100}]},
        ],
    }
    facade.faults.extend(
        [
            info(facade, "images", "green", points_count=50),
            info(facade, "segments", "yellow", points_count=950),
            report([(200, tree), (100, {"name": "Segment Indexing"})], 300),
        ]
    )
    # left: 300 queued, 100 just begun, 80 of 200
    found = store.optimising()
    assert found is not None
    assert found.stage == "building"
    assert found.done == pytest.approx(0.52)
    facade.faults.extend(
        [
            info(facade, "images", "green", points_count=50),
            info(facade, "segments", "grey", points_count=950),
            report([], 1000),
        ]
    )
    assert store.optimising() == Progress("waiting", 0.0)


def test_the_storage_goes_over_grpc_too(facade: Facade) -> None:
    with (
        GrpcFacade(facade) as server,
        closing(server.connecting(connect)(f"{facade.url}/photos")) as store,
    ):
        store.create(RECIPE, DIM, replace(CLUSTER, quantization="turbo4"))
        request = server.calls("Create")[1]
        assert "photos_segments_" in request.collection_name
        params = request.vectors_config.params
        assert params.HasField("memory")
        assert params.quantization_config.HasField("turboquant")
        assert (request.shard_number, request.replication_factor) == (6, 2)
        assert request.write_consistency_factor == 2
        store.upsert("segments", SEGMENTS)
        assert server.calls("Upsert")[0].HasField("ordering")
        store.search("segments", X)
        assert server.calls("Query")[0].params.quantization.rescore
        store.optimise(replace(CLUSTER, quantization="none"))
        change = server.calls("Update")[-2]
        assert "photos_segments_" in change.collection_name
        assert change.vectors_config.params.quantization_config.HasField("disabled")
        assert store.storage() == replace(CLUSTER, quantization="none")
        assert facade.seen == []
