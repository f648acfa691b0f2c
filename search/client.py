"""A client for the API that `search serve` runs: typed questions and answers.

Example:
    >>> with Client("http://127.0.0.1:8000") as client:
    ...     hits = client.search(SearchRequest(text="red mug")).hits
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel

from indexer.errors import SegsearchError
from search.api import schemas
from search.facets import By as FacetBy

#: Seconds until a request is given up: longer than the server takes to say that it is too late.
TIMEOUT_S = 90.0
_FAILED = 400
_M = TypeVar("_M", bound=BaseModel)


class ApiError(SegsearchError):
    """The server refused or failed a request.

    Attributes:
        code: stable, see docs/api.md; "unreachable" where no server answered, "timed-out" where
            none did in time.
        status: the HTTP status; 0 where no server answered.
        request_id: under which the server's log says more.
    """

    def __init__(self, problem: schemas.Problem) -> None:
        """Say what the server said."""
        super().__init__(problem.detail, problem.hint)
        self.args = (problem,)
        self.code = problem.code
        self.status = problem.status
        self.request_id = problem.request_id


class Client:
    """Talks to one server. Safe to use from many threads; use it as a context manager.

    Every method raises `ApiError` where the server says no, or none answers.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Connect with the first request.

        Args:
            url: of the server.
            key: a read or admin key, where the server wants one.
            timeout_s: seconds until a request is given up.
        """
        headers = {} if key is None else {"X-API-Key": key}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s)

    def search(self, request: schemas.SearchRequest) -> schemas.SearchResponse:
        """Find segments, pictures or scenes."""
        return self._post("/v1/search", schemas.SearchResponse, request)

    def search_upload(
        self, picture: bytes | Path, request: schemas.UploadSearch | None = None
    ) -> schemas.SearchResponse:
        """Find what is like a picture, or like an object in it; bytes of a file, or its path."""
        query = "{}" if request is None else request.model_dump_json(exclude_unset=True)
        files = {"file": _content(picture)}
        answer = self._send("POST", "/v1/search/upload", files=files, data={"query": query})
        return schemas.SearchResponse.model_validate_json(answer.content)

    def upload(self, picture: bytes | Path) -> schemas.Upload:
        """Upload a picture, to be named in requests by its id."""
        answer = self._send("POST", "/v1/uploads", files={"file": _content(picture)})
        return schemas.Upload.model_validate_json(answer.content)

    def get_upload(self, upload_id: str) -> schemas.Upload:
        """Return what is known of an uploaded picture."""
        return self._get(f"/v1/uploads/{upload_id}", schemas.Upload)

    def uploaded(self, upload_id: str) -> bytes:
        """Return an uploaded picture as a JPEG."""
        return self._bytes(f"/v1/uploads/{upload_id}/picture.jpg")

    def segment(self, request: schemas.SegmentRequest) -> schemas.SegmentResponse:
        """Cut an object out of an indexed or uploaded picture."""
        return self._post("/v1/segment", schemas.SegmentResponse, request)

    def images(
        self,
        filters: schemas.ImageFilters | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> schemas.ImagePage:
        """Return a page of images."""
        asked: dict[str, Any] = {} if filters is None else _plain(filters)
        asked |= {"limit": limit} if after is None else {"limit": limit, "after": after}
        return self._get("/v1/images", schemas.ImagePage, asked)

    def image(self, image_id: str | UUID) -> schemas.Image:
        """Return an image."""
        return self._get(f"/v1/images/{image_id}", schemas.Image)

    def thumbnail(self, image_id: str | UUID, size: int = 320) -> bytes:
        """Return an image as a JPEG whose longer side has at most `size` pixels."""
        return self._bytes(f"/v1/images/{image_id}/thumbnail", {"size": size})

    def file(self, image_id: str | UUID) -> bytes:
        """Return the original file."""
        return self._bytes(f"/v1/images/{image_id}/file")

    def segments_of(self, image_id: str | UUID) -> schemas.ImageSegments:
        """Return all segments of an image, parents before their parts."""
        return self._get(f"/v1/images/{image_id}/segments", schemas.ImageSegments)

    def get_segment(self, segment_id: str | UUID) -> schemas.SegmentInImage:
        """Return a segment and its image."""
        return self._get(f"/v1/segments/{segment_id}", schemas.SegmentInImage)

    def mask(self, segment_id: str | UUID) -> bytes:
        """Return a segment's mask as a PNG of the whole frame."""
        return self._bytes(f"/v1/segments/{segment_id}/mask.png")

    def cutout(self, segment_id: str | UUID, *, trim: bool = False) -> bytes:
        """Return a segment's pixels on nothing, as a PNG."""
        return self._bytes(f"/v1/segments/{segment_id}/cutout.png", {"trim": trim})

    def overlay(self, segment_id: str | UUID, size: int = 1280) -> bytes:
        """Return a picture with the segment drawn, as a JPEG."""
        return self._bytes(f"/v1/segments/{segment_id}/overlay.jpg", {"size": size})

    def coco(self, segment_id: str | UUID) -> dict[str, Any]:
        """Return a segment as a COCO data set."""
        found: dict[str, Any] = json.loads(self._bytes(f"/v1/segments/{segment_id}/coco.json"))
        return found

    def facets(
        self, by: Sequence[FacetBy], filters: schemas.FiltersIn | None = None, limit: int = 30
    ) -> schemas.Facets:
        """Count the values of properties, of what the filters leave."""
        asked: dict[str, Any] = {} if filters is None else _plain(filters)
        return self._get("/v1/facets", schemas.Facets, {**asked, "by": list(by), "limit": limit})

    def stats(self) -> schemas.Stats:
        """Say what the index holds."""
        return self._get("/v1/stats", schemas.Stats)

    def start_index(self, request: schemas.IndexRequest | None = None) -> schemas.IndexRun:
        """Start an index run; needs an admin key where there are keys."""
        return self._post("/v1/index", schemas.IndexRun, request or schemas.IndexRequest())

    def index_run(self) -> schemas.IndexRun:
        """Return the index run that is going on, or the last one."""
        return self._get("/v1/index", schemas.IndexRun)

    def stop_index(self) -> schemas.IndexRun:
        """Stop the index run at a clean point."""
        return schemas.IndexRun.model_validate_json(self._send("DELETE", "/v1/index").content)

    def follow_index(self) -> Iterator[schemas.IndexRun]:
        """Yield the index run with every change, until it has ended."""
        try:
            with self._http.stream("GET", "/v1/index/events") as answer:
                _check(answer)
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield schemas.IndexRun.model_validate_json(line.removeprefix("data: "))
        except httpx.TransportError as error:
            raise ApiError(_unreachable(str(self._http.base_url), error)) from error

    def is_ready(self) -> bool:
        """Return whether the server answers and its index does."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, path: str, kind: type[_M], asked: dict[str, Any] | None = None) -> _M:
        return kind.model_validate_json(self._bytes(path, asked))

    def _post(self, path: str, kind: type[_M], body: BaseModel) -> _M:
        return kind.model_validate_json(self._send("POST", path, body=_plain(body)).content)

    def _bytes(self, path: str, asked: dict[str, Any] | None = None) -> bytes:
        return self._send("GET", path, asked=asked).content

    def _send(
        self,
        method: str,
        path: str,
        *,
        asked: dict[str, Any] | None = None,
        body: object = None,
        files: dict[str, bytes] | None = None,
        data: dict[str, str] | None = None,
    ) -> httpx.Response:
        params = httpx.QueryParams(asked)
        try:
            answer = self._http.request(
                method, path, params=params, json=body, files=files, data=data
            )
        except httpx.TransportError as error:
            raise ApiError(_unreachable(str(self._http.base_url), error)) from error
        _check(answer)
        return answer


def _check(answer: httpx.Response) -> None:
    if answer.status_code < _FAILED:
        return
    answer.read()
    try:
        problem = schemas.Problem.model_validate_json(answer.content)
    except ValueError:  # something between here and the server has answered
        problem = _problem("not-segsearch", f"{answer.url} answered {answer.status_code}", answer)
    raise ApiError(problem)


def _unreachable(url: str, error: httpx.TransportError) -> schemas.Problem:
    if isinstance(error, httpx.TimeoutException):
        return _problem("timed-out", f"{url} took too long", None, "wait longer: timeout_s")
    detail = f"no server answers at {url}: {error or type(error).__name__}"
    return _problem("unreachable", detail, None)


def _problem(
    code: str,
    detail: str,
    answer: httpx.Response | None,
    hint: str = "start it with: search serve; or check the address",
) -> schemas.Problem:
    return schemas.Problem(
        type="about:blank",
        title=detail,
        status=0 if answer is None else answer.status_code,
        code=code,
        detail=detail,
        hint=hint,
        request_id="",
    )


def _plain(model: BaseModel) -> dict[str, Any]:
    """Return what was set, as JSON values."""
    found: dict[str, Any] = json.loads(model.model_dump_json(exclude_unset=True))
    return found


def _content(picture: bytes | Path) -> bytes:
    return picture.read_bytes() if isinstance(picture, Path) else picture
