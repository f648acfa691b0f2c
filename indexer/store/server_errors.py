"""What qdrant-client raises, as our errors; over REST and over gRPC, with and without TLS."""

from __future__ import annotations

import grpc
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from indexer.errors import IndexNotFound, StoreError, StoreFull, StoreUnavailable

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500
_Code = grpc.StatusCode
#: What gRPC says where REST answers 500 and more, or nothing.
_PASSING = (
    _Code.UNAVAILABLE,
    _Code.DEADLINE_EXCEEDED,
    _Code.INTERNAL,
    _Code.UNKNOWN,
    _Code.ABORTED,
    _Code.CANCELLED,
    _Code.DATA_LOSS,
)
_STATUS = {
    _Code.UNAUTHENTICATED: _UNAUTHORIZED,
    _Code.PERMISSION_DENIED: _FORBIDDEN,
    _Code.NOT_FOUND: _NOT_FOUND,
}

#: What OpenSSL says, in capitals or not, in Python and in gRPC → what that means, what to do.
_TLS = (
    ("hostname mismatch", "has a certificate for another name", "use the name it is for"),
    ("ip address mismatch", "has a certificate for another name", "use the name it is for"),
    ("is not in peer certificate", "has a certificate for another name", "use the name it is for"),
    (
        "certificate_verify_failed",
        "has a certificate that nobody trusted has signed",
        "set QDRANT_CA_CERT to the PEM file of the authority that signed it",
    ),
    (
        "certificate_required",
        "wants a certificate of its clients",
        "set QDRANT_CLIENT_CERT and QDRANT_CLIENT_KEY",
    ),
    ("wrong_version_number", "does not speak TLS on this port", "write http://, or correct it"),
    ("record_layer_failure", "does not speak TLS on this port", "write http://, or correct it"),
    # h11's word for an answer that begins with bytes that are no text: an alert of TLS, mostly
    ("illegal request line", "does not answer in HTTP", "write https://, or correct the port"),
)


def failure_of(error: Exception, place: str) -> StoreError:
    """Return what an exception of qdrant-client means for the index at `place`.

    `StoreUnavailable` is what may pass.
    """
    match error:
        case ResourceExhaustedResponse():
            return _overloaded(place, str(error))
        case UnexpectedResponse(status_code=int(status)) if _is_final(status):
            return _refusal(place, status, _said(error))
        case UnexpectedResponse(status_code=status):
            said = f"{status}: {_said(error)}"
        case ResponseHandlingException(source=ValueError() as source):
            return StoreError(
                f"what answers at {place} is not a Qdrant server: {source}",
                "check host and port",
            )
        case ResponseHandlingException(source=source):
            said = f"{type(source).__name__}: {source}"
        case grpc.RpcError():
            return _over_grpc(error, place)
        case _:  # what the in-memory engine raises where a server answers 400
            return StoreError(f"{place}: {error}")
    return _no_answer(place, said)


def _over_grpc(error: grpc.RpcError, place: str) -> StoreError:
    code, details = error.code(), error.details() or ""
    if code == _Code.RESOURCE_EXHAUSTED:
        if "larger than max" in details:  # a message, which stays as large as it is
            return StoreError(f"{place}: {details}")
        return _overloaded(place, details)
    if code == _Code.UNIMPLEMENTED:
        return StoreError(
            f"what answers at {place} over gRPC is not a Qdrant server: {details}",
            "check QDRANT_GRPC_PORT",
        )
    if code in _PASSING:
        return _no_answer(place, f"{code.name}: {details}", grpc_hint=", and QDRANT_GRPC_PORT")
    return _refusal(place, _STATUS.get(code, 400), details)


def _no_answer(place: str, said: str, *, grpc_hint: str = "") -> StoreError:
    for sign, problem, hint in _TLS:
        if sign in said.lower():
            return StoreError(f"the server of {place} {problem}: {said}", hint)
    if "no space left" in said.lower():
        return StoreFull(f"the disk of the server of {place} is full: {said}", "make room on it")
    hint = f"see that the server runs: docker compose up -d qdrant{grpc_hint}"
    # how a server hangs up that waits for a handshake
    hung_up = "RemoteProtocolError" in said or "Socket closed" in said
    if place.startswith("http://") and hung_up:
        hint = f"{hint}; if it wants TLS, write https://"
    return StoreUnavailable(f"no answer from {place} ({said})", hint)


def _overloaded(place: str, said: str) -> StoreError:
    return StoreUnavailable(f"{place} is overloaded: {said}", "try again later")


def _refusal(place: str, status: int, said: str) -> StoreError:
    message = f"{place}: {said}"
    if status in (_UNAUTHORIZED, _FORBIDDEN):
        return StoreError(message, "set QDRANT_API_KEY to the server's API key")
    if status == _NOT_FOUND:
        return IndexNotFound(message, "check the name of the index")
    return StoreError(message)


def _is_final(status: int) -> bool:
    return status < _SERVER_ERROR and status != _TOO_MANY


def _said(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return error.content.decode("utf-8", "replace") or error.reason_phrase
