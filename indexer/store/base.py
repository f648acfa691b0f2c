"""The contract between segsearch and any vector store, and the records it speaks in.

A store keeps points of four kinds. What the points mean is `schema`'s and `index`'s business;
an engine only stores, filters and ranks. Every engine passes the same contract suite
(`tests/indexer/store/test_contract.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from indexer.store.storage import DEFAULT_STORAGE, Progress, Storage

if TYPE_CHECKING:  # what handles no vectors need not import it
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["images", "segments", "files", "roots"]
KINDS: tuple[Kind, ...] = ("images", "segments", "files", "roots")
VECTOR_KINDS: tuple[Kind, ...] = ("images", "segments")

Payload = dict[str, Any]
Vector: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True, eq=False)
class Point:
    """One stored record.

    Attributes:
        id: a UUID in its 36-character form.
        payload: JSON values only.
        vector: float32, shape (dim,), L2-normalised; None for kinds without vectors
            and wherever vectors were not asked for.
    """

    id: str
    payload: Payload
    vector: Vector | None = None


@dataclass(frozen=True)
class ScoredPoint:
    """One answer to a search.

    Attributes:
        id: a UUID in its 36-character form.
        score: cosine with the query, in [-1, 1].
        payload: JSON values only.
    """

    id: str
    score: float
    payload: Payload


@dataclass(frozen=True, eq=False)
class Ranked:
    """The n points that are nearest to a vector, the nearest first.

    Attributes:
        ids: UUIDs in their 36-character form.
        scores: cosines with the query, in [-1, 1].
        vectors: float32, shape (n, dim), L2-normalised rows.
    """

    ids: tuple[str, ...]
    scores: tuple[float, ...]
    vectors: Vector

    def of(self, rows: Sequence[int]) -> Ranked:
        """Return only these of the points, counted from 0."""
        ids = tuple(self.ids[row] for row in rows)
        return Ranked(ids, tuple(self.scores[row] for row in rows), self.vectors[list(rows)])


@dataclass(frozen=True)
class Page:
    """One page of a scroll; `next` is what to pass as `after` for the page that follows."""

    points: list[Point]
    next: str | None


@dataclass(frozen=True, eq=False)
class Inspected:
    """Records that were looked at closely.

    Attributes:
        sound: those that are what was written, with their vectors.
        broken: id → what is wrong with it.
        unsealed: how many of the sound ones have no checksum, so that little is known of them.
    """

    sound: list[Point]
    broken: dict[str, str]
    unsealed: int = 0

    def __add__(self, other: Inspected) -> Inspected:
        """Return what both are about."""
        return Inspected(
            [*self.sound, *other.sound],
            self.broken | other.broken,
            self.unsealed + other.unsealed,
        )


@dataclass(frozen=True)
class Match:
    """The field holds one of `values`; a list-valued field: any of its elements does."""

    field: str
    values: tuple[str | int | bool, ...]


@dataclass(frozen=True)
class Prefix:
    """The keyword field (or any element of a list) starts with `value`."""

    field: str
    value: str


@dataclass(frozen=True)
class Range:
    """The field lies between the given limits, each inclusive; None is open.

    Numbers for number fields; ISO 8601 strings for datetime fields.
    """

    field: str
    gte: float | str | None = None
    lte: float | str | None = None


@dataclass(frozen=True)
class Near:
    """The geo field lies within `radius_m` metres of a latitude and longitude, degrees."""

    field: str
    latitude: float
    longitude: float
    radius_m: float


@dataclass(frozen=True)
class HasId:
    """The point's id is one of `ids`."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of `conditions` holds."""

    conditions: tuple[Condition, ...]


Condition = Match | Prefix | Range | Near | HasId | AnyOf


@dataclass(frozen=True)
class Filter:
    """All of `must` hold and none of `must_not`; the empty filter lets everything through."""

    must: tuple[Condition, ...] = field(default=())
    must_not: tuple[Condition, ...] = field(default=())


EVERYTHING = Filter()


class Store(Protocol):
    """What segsearch asks of a vector store.

    Writes are visible to the next read of any client when the call returns. Ranked answers come
    by falling score, equal scores by id. All methods raise `StoreError` or one of its kinds.
    """

    def create(
        self, recipe: Mapping[str, Any], dim: int, storage: Storage = DEFAULT_STORAGE
    ) -> None:
        """Make the four collections with their payload indexes and keep `recipe` with them.

        `storage` says how the vectors are kept.

        Raises `StoreError` if the index is already there.
        """

    def recipe(self) -> dict[str, Any] | None:
        """Return the recipe given to `create`, or None if there is no index yet.

        Always as it is now, though another client may have replaced the index since it was opened.
        """

    def storage(self) -> Storage:
        """Return how the vectors are kept. Raises `IndexNotFound`."""

    def adopt(self, draft: str) -> None:
        """Take the index at the location `draft`, which is gone afterwards, in place of this one.

        Replaces all records, the recipe and the dimension, or makes the index if there was none.
        One step for every reader: each call sees all of the old index or all of the new one. If
        the process is killed meanwhile, the one or the other is there, whole. Close the draft
        first; a draft folder must be on the same file system, a draft index on the same server.

        Raises `IndexNotFound` if there is no index at `draft`, `StoreUnavailable` if it stays in
        use.
        """

    def upsert(self, kind: Kind, points: Sequence[Point]) -> None:
        """Insert the points, replacing those with the same id, all in one operation."""

    def delete(self, kind: Kind, where: Filter) -> None:
        """Delete every point that the filter lets through; `StoreError` on the empty filter."""

    def set_payload(self, kind: Kind, payload: Payload, where: Filter) -> None:
        """Overwrite the given payload fields of every point that the filter lets through."""

    def update_payloads(self, kind: Kind, payloads: Mapping[str, Payload]) -> None:
        """Overwrite the given payload fields of each of these points, id → fields; None removes.

        Points that are absent are left so. Killed half way, some are changed and some not.
        """

    def get(self, kind: Kind, ids: Sequence[str], *, vectors: bool = False) -> list[Point]:
        """Return the points with these ids, in the order asked; absent ones are left out."""

    def get_in_images(
        self, ids: Sequence[str], *, vectors: bool = False
    ) -> list[tuple[Point, Point]]:
        """Return the segments with these ids, as `get` does, each with the image it lies in.

        Segments whose image is absent are left out. Images come without their vectors, and an
        image of several of the segments is one object. They are looked up after the segments.
        """

    def search(
        self,
        kind: Kind,
        vector: Vector,
        *,
        where: Filter = EVERYTHING,
        limit: int = 20,
        offset: int = 0,
    ) -> list[ScoredPoint]:
        """Rank the points by cosine with `vector` (float32, shape (dim,))."""

    def nearest(
        self, kind: Kind, vector: Vector, *, where: Filter = EVERYTHING, limit: int = 20
    ) -> Ranked:
        """Rank as `search` does, without the payloads, which take most of its time."""

    def scroll(
        self,
        kind: Kind,
        *,
        where: Filter = EVERYTHING,
        limit: int = 256,
        after: str | None = None,
        vectors: bool = False,
    ) -> Page:
        """Return points by rising id, `limit` at a time; `after` is the last page's `next`."""

    def count(self, kind: Kind, where: Filter = EVERYTHING) -> int:
        """Return the exact number of points that the filter lets through."""

    def facet(
        self, kind: Kind, key: str, *, where: Filter = EVERYTHING, limit: int = 100
    ) -> dict[str, int]:
        """Return the values of an indexed keyword or integer field with their exact counts.

        Most first, equal counts by value; integers come as their decimal text.
        """

    def optimise(self, storage: Storage | None = None) -> None:
        """Build or refresh search structures; may take long, while searches and writes go on.

        Args:
            storage: how to keep the vectors of segments from now on; None is as before.

        Raises:
            StoreFull: there is no room for what is built beside what is there.
        """

    def optimising(self) -> Progress | None:
        """Return how far the `optimise` in progress has come, of any client; None if none is."""

    def flush(self) -> None:
        """Return when everything written so far would survive a power cut."""

    def ids(
        self, kind: Kind, *, limit: int = 1024, after: str | None = None
    ) -> tuple[list[str], str | None]:
        """Return ids as `scroll` does, and what to pass as `after` next, reading no record."""

    def inspect(self, kind: Kind, ids: Sequence[str]) -> Inspected:
        """Read these records closely: whether they are there, can be read, and are as written.

        Raises:
            StoreDamaged: no record of this kind can be read.
            StoreUnavailable: also where reading them ended the host process.
        """

    def check(self) -> None:
        """Raise `StoreDamaged` when counts, recipe and stored vectors do not fit together."""

    def size_bytes(self) -> int | None:
        """Return the disk space in use, or None where the engine cannot tell."""

    def close(self) -> None:
        """Let go of the store; later calls raise `StoreError`."""
