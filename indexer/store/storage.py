"""How an index keeps its vectors, and finds its way among them.

It decides how much memory a search takes, how long, and how much of the exact answer it finds;
never what is in the index. So it is no part of a recipe, and can be changed (`Store.optimise`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from indexer.errors import ProfileError

Quantization = Literal["none", "int8", "turbo4"]
Memory = Literal["ram", "mmap"]
Stage = Literal["waiting", "copying", "building", "catching up"]


@dataclass(frozen=True)
class Storage:
    """How an index keeps its vectors.

    Attributes:
        quantization: what a search goes through first, before it compares the nearest by their
            full vectors, which are on the disk: `int8`, a byte for each number; `turbo4`, half a
            byte (Qdrant's TurboQuant); `none`, the full vectors themselves.
        memory: whether what a search goes through first is read into `ram` when the index is
            opened, or mapped from the disk (`mmap`) and read when it is first needed.
        oversampling: how many times as many as are asked for are compared in full; at least 1.
        hnsw_m: links of each vector to its neighbours in the HNSW graph.
        hnsw_ef_construct: candidates that are looked at to choose these.
        hnsw_ef: candidates that a search keeps; more find more of the exact answer.
        shards: parts that a server's collection is divided into, for the nodes of a cluster.
        replicas: nodes of a cluster that have each part.
    """

    quantization: str = "int8"
    memory: str = "ram"
    oversampling: float = 2.0
    hnsw_m: int = 16
    hnsw_ef_construct: int = 100
    hnsw_ef: int = 320
    shards: int = 1
    replicas: int = 1

    def __post_init__(self) -> None:
        """Refuse what makes no sense. Raises `ProfileError`."""
        for name, kinds in (("quantization", Quantization), ("memory", Memory)):
            if getattr(self, name) not in get_args(kinds):
                raise ProfileError(f"{name} must be one of {', '.join(get_args(kinds))}")
        for name in ("oversampling", "hnsw_ef_construct", "hnsw_ef", "shards", "replicas"):
            if getattr(self, name) < 1:
                raise ProfileError(f"{name} must be at least 1")
        if self.hnsw_m < 2:  # noqa: PLR2004 - a graph of single links is none
            raise ProfileError("hnsw_m must be at least 2")

    def to_plain(self) -> dict[str, Any]:
        """Return what is kept with an index."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Read back what `to_plain` gave. Raises `ProfileError`, `TypeError`."""
        return cls(**plain)


DEFAULT_STORAGE = Storage()


@dataclass(frozen=True)
class Progress:
    """How far `Store.optimise` has come.

    Attributes:
        stage: what it is at.
        done: how much of the stage is done, 0 to 1; None where that cannot be told.
    """

    stage: Stage
    done: float | None
