"""The same for gRPC: the calls that `ServerStore` makes, on a real socket, with real protobuf.

It shares its engine with a `Facade`, as the two protocols of a server do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import collections_service_pb2_grpc as collections_service
from qdrant_client.grpc import points_service_pb2_grpc as points_service

from tests.indexer.store.facade import Facade

#: A request of whatever kind, and its answer; their types are generated.
Message = Any
Call = Callable[[QdrantClient, Message], Message]
_R = TypeVar("_R")

_DONE = messages.UpdateResult(operation_id=0, status=messages.UpdateStatus.Completed)


@dataclass(frozen=True)
class GrpcFault:
    """What happens to one call instead of an answer.

    Attributes:
        code: what it fails with.
        details: what the server says.
        done: whether it does its work before.
        on: name of the call that it waits for.
    """

    code: grpc.StatusCode
    details: str = "injected"
    done: bool = False
    on: str = ""


@dataclass
class GrpcFacade:
    """The server; a context manager.

    Attributes:
        facade: the REST side.
        identity: private key and certificate chain, PEM, if it speaks TLS.
        faults: served to the next calls, one each, in this order.
        seen: (name of the call, metadata, request) of every call so far.
        port: where it listens.
    """

    facade: Facade
    identity: tuple[bytes, bytes] | None = None
    faults: deque[GrpcFault] = field(default_factory=deque)
    seen: list[tuple[str, dict[str, str], Message]] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Self:
        self._server = grpc.server(
            ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)]
        )
        points = _servicer(self, points_service.PointsServicer, _POINTS)
        points_service.add_PointsServicer_to_server(points, self._server)  # type: ignore[no-untyped-call]
        collections = _servicer(self, collections_service.CollectionsServicer, _COLLECTIONS)
        collections_service.add_CollectionsServicer_to_server(  # type: ignore[no-untyped-call]
            collections, self._server
        )
        if self.identity is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials([self.identity])
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()

    def connecting(self, call: Callable[[str], _R]) -> Callable[[str], _R]:
        """Return the function with the environment that leads what it connects here."""

        def connected(location: str) -> _R:
            with pytest.MonkeyPatch.context() as environment:
                environment.setenv("QDRANT_GRPC_PORT", str(self.port))
                return call(location)

        return connected

    def calls(self, name: str) -> list[Message]:
        """Return the requests so far of the call of this name."""
        return [request for call, _, request in self.seen if call == name]

    def serve(self, name: str, call: Call, request: Message, context: Message) -> Message:
        """Answer a call, as `faults` has it."""
        self.seen.append((name, dict(context.invocation_metadata()), request))
        due = self.faults and self.faults[0].on in ("", name)
        fault = self.faults.popleft() if due else None
        if fault is not None and not fault.done:
            context.abort(fault.code, fault.details)
        try:
            with self.facade.lock:
                answer = call(self.facade.engine, request)
        except ValueError as error:
            known = "not found" not in str(error)
            code = grpc.StatusCode.INVALID_ARGUMENT if known else grpc.StatusCode.NOT_FOUND
            context.abort(code, str(error))
        if fault is not None:
            context.abort(fault.code, fault.details)
        return answer


def _servicer(facade: GrpcFacade, base: type, calls: dict[str, Call]) -> object:
    def method(name: str, call: Call) -> Callable[[object, Message, Message], Message]:
        return lambda _, request, context: facade.serve(name, call, request, context)

    return type(
        base.__name__, (base,), {name: method(name, call) for name, call in calls.items()}
    )()


def _filter(request: Message, name: str = "filter") -> models.Filter | None:
    there = request.HasField(name)
    return GrpcToRest.convert_filter(getattr(request, name)) if there else None


def _with_vectors(request: Message) -> bool:
    return bool(GrpcToRest.convert_with_vectors_selector(request.with_vectors))


def _get(engine: QdrantClient, request: Message) -> Message:
    info = engine.get_collection(request.collection_name)
    return messages.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))


def _list(engine: QdrantClient, _: Message) -> Message:
    names = [each.name for each in engine.get_collections().collections]
    return messages.ListCollectionsResponse(
        collections=[messages.CollectionDescription(name=name) for name in names]
    )


def _exists(engine: QdrantClient, request: Message) -> Message:
    exists = engine.collection_exists(request.collection_name)
    return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=exists))


def _create(engine: QdrantClient, request: Message) -> Message:
    vectors = GrpcToRest.convert_vectors_config(request.vectors_config)
    done = engine.create_collection(request.collection_name, vectors_config=vectors)
    return messages.CollectionOperationResponse(result=done)


def _update(engine: QdrantClient, request: Message) -> Message:
    vectors = None
    if request.HasField("vectors_config"):
        vectors = GrpcToRest.convert_vectors_config_diff(request.vectors_config)
    done = engine.update_collection(
        request.collection_name,
        vectors_config=vectors,
        metadata=GrpcToRest.convert_payload(request.metadata),
    )
    return messages.CollectionOperationResponse(result=done)


def _remove(engine: QdrantClient, request: Message) -> Message:
    done = engine.delete_collection(request.collection_name)
    return messages.CollectionOperationResponse(result=done)


def _change_aliases(engine: QdrantClient, request: Message) -> Message:
    changes = [GrpcToRest.convert_alias_operations(each) for each in request.actions]
    return messages.CollectionOperationResponse(result=engine.update_collection_aliases(changes))


def _aliases(engine: QdrantClient, _: Message) -> Message:
    there = engine.get_aliases().aliases
    return messages.ListAliasesResponse(
        aliases=[RestToGrpc.convert_alias_description(each) for each in there]
    )


def _upsert(engine: QdrantClient, request: Message) -> Message:
    points = [GrpcToRest.convert_point_struct(each) for each in request.points]
    engine.upsert(request.collection_name, points)
    return messages.PointsOperationResponse(result=_DONE)


def _delete(engine: QdrantClient, request: Message) -> Message:
    engine.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points))
    return messages.PointsOperationResponse(result=_DONE)


def _set_payload(engine: QdrantClient, request: Message) -> Message:
    selected = GrpcToRest.convert_points_selector(request.points_selector)
    payload = GrpcToRest.convert_payload(request.payload)
    engine.set_payload(request.collection_name, payload, selected)
    return messages.PointsOperationResponse(result=_DONE)


def _batch(engine: QdrantClient, request: Message) -> Message:
    operations = [GrpcToRest.convert_points_update_operation(each) for each in request.operations]
    engine.batch_update_points(request.collection_name, operations)
    return messages.UpdateBatchResponse(result=[_DONE] * len(operations))


def _retrieve(engine: QdrantClient, request: Message) -> Message:
    ids = [GrpcToRest.convert_point_id(each) for each in request.ids]
    found = engine.retrieve(request.collection_name, ids, with_vectors=_with_vectors(request))
    return messages.GetResponse(result=[RestToGrpc.convert_record(each) for each in found])


def _query(engine: QdrantClient, request: Message) -> Message:
    query = GrpcToRest.convert_query(request.query)
    assert isinstance(query, models.NearestQuery)
    found = engine.query_points(
        request.collection_name,
        query=query.nearest,
        query_filter=_filter(request),
        limit=request.limit,
        with_payload=request.with_payload.enable,
        with_vectors=_with_vectors(request),
    )
    return messages.QueryResponse(result=[RestToGrpc.convert_scored_point(p) for p in found.points])


def _scroll(engine: QdrantClient, request: Message) -> Message:
    points, following = engine.scroll(
        request.collection_name,
        scroll_filter=_filter(request),
        limit=request.limit,
        offset=GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
        with_vectors=_with_vectors(request),
    )
    after = None if following is None else RestToGrpc.convert_extended_point_id(following)
    return messages.ScrollResponse(
        result=[RestToGrpc.convert_record(each) for each in points], next_page_offset=after
    )


def _count(engine: QdrantClient, request: Message) -> Message:
    number = engine.count(request.collection_name, _filter(request)).count
    return messages.CountResponse(result=messages.CountResult(count=number))


def _facet(engine: QdrantClient, request: Message) -> Message:
    found = engine.facet(
        request.collection_name, request.key, facet_filter=_filter(request), limit=request.limit
    )
    return messages.FacetResponse(
        hits=[RestToGrpc.convert_facet_value_hit(each) for each in found.hits]
    )


_COLLECTIONS: dict[str, Call] = {
    "Get": _get,
    "List": _list,
    "Create": _create,
    "Update": _update,
    "Delete": _remove,
    "UpdateAliases": _change_aliases,
    "ListAliases": _aliases,
    "CollectionExists": _exists,
}
_POINTS: dict[str, Call] = {
    "Upsert": _upsert,
    "Delete": _delete,
    "Get": _retrieve,
    "SetPayload": _set_payload,
    "UpdateBatch": _batch,
    "CreateFieldIndex": lambda _, __: messages.PointsOperationResponse(result=_DONE),
    "Query": _query,
    "Scroll": _scroll,
    "Count": _count,
    "Facet": _facet,
}
