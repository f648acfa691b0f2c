"""The command `segsearch optimize`: how an index keeps its vectors, and its search structures."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console
from indexer.console import Format, FormatOption, IndexOption
from indexer.progress import amount, duration

if TYPE_CHECKING:
    from indexer.store.base import Store
    from indexer.store.storage import Storage

_POLL_S = 0.2


class Quantization(StrEnum):
    """See `Storage.quantization`."""

    none = "none"
    int8 = "int8"
    turbo4 = "turbo4"


class Memory(StrEnum):
    """See `Storage.memory`."""

    ram = "ram"
    mmap = "mmap"


_AS_BEFORE = "as it is"
QuantizationOption = Annotated[
    Quantization | None,
    typer.Option(help="What a search goes through first.", show_default=_AS_BEFORE),
]
MemoryOption = Annotated[
    Memory | None,
    typer.Option(help="Where that is: in RAM, or mapped from the disk.", show_default=_AS_BEFORE),
]
OversamplingOption = Annotated[
    float | None,
    typer.Option(min=1, help="Times as many are compared in full.", show_default=_AS_BEFORE),
]
LinksOption = Annotated[
    int | None, typer.Option("--hnsw-m", min=2, help="Links a vector.", show_default=_AS_BEFORE)
]
ConstructOption = Annotated[
    int | None,
    typer.Option(
        "--hnsw-ef-construct", min=1, help="Candidates for these links.", show_default=_AS_BEFORE
    ),
]
EffortOption = Annotated[
    int | None,
    typer.Option("--hnsw-ef", min=1, help="Candidates of a search.", show_default=_AS_BEFORE),
]


def optimize(
    *,
    index_: IndexOption,
    quantization: QuantizationOption = None,
    memory: MemoryOption = None,
    oversampling: OversamplingOption = None,
    hnsw_m: LinksOption = None,
    hnsw_ef_construct: ConstructOption = None,
    hnsw_ef: EffortOption = None,
    output: FormatOption = Format.table,
) -> None:
    """Build what makes searches fast, and choose how vectors are kept.

    Searches and index runs go on meanwhile. `index` does this too, when enough is new.

    \b
    Examples:
      segsearch optimize
      segsearch optimize --index ./idx --quantization turbo4 --memory mmap
      segsearch optimize --hnsw-ef 256 --format json
    """
    given: dict[str, Any] = {
        "quantization": quantization and quantization.value,
        "memory": memory and memory.value,
        "oversampling": oversampling,
        "hnsw_m": hnsw_m,
        "hnsw_ef_construct": hnsw_ef_construct,
        "hnsw_ef": hnsw_ef,
    }
    from indexer.store import open_store

    with contextlib.closing(open_store(index_, create_ok=False)) as store:
        storage = replace(store.storage(), **{k: v for k, v in given.items() if v is not None})
        started = time.monotonic()
        _work(store, storage, quiet=output is not Format.table)
        _tell(store, storage, time.monotonic() - started, output)


def _work(store: Store, storage: Storage, *, quiet: bool) -> None:
    """Optimise in a thread, and say how far that has come."""
    from indexer.stopping import stop_at_signal

    failed: list[BaseException] = []

    def work() -> None:
        try:
            store.optimise(storage)
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=work, name="optimise", daemon=True)
    line, started = console.StatusLine(), time.monotonic()
    with stop_at_signal(quiet=True) as stopped:
        worker.start()
        while worker.is_alive() and not stopped.is_set():
            progress = store.optimising()
            if progress is not None and not quiet:
                told = (progress.stage, progress.done, time.monotonic() - started)
                line.show(partial(_line, *told))
            worker.join(_POLL_S)
    line.end()
    if worker.is_alive():
        console.say("it goes on in the background; the same command shows how far it is")
        raise typer.Exit(console.EXIT_INTERRUPTED)
    if failed:
        raise failed[0]


def _line(stage: str, done: float | None, seconds: float) -> str:
    share = "" if done is None else f" · {done:.0%}"
    return f"{stage}{share} · {duration(seconds)} so far"


def _tell(store: Store, storage: Storage, seconds: float, output: Format) -> None:
    size = store.size_bytes()
    if output is not Format.table:
        figures = {**storage.to_plain(), "seconds": seconds, "size_bytes": size}
        console.write(json.dumps(figures, indent=2 if output is Format.json else None))
        return
    disk = "" if size is None else f", {amount(size)} on the disk"
    console.say(
        f"optimized in {duration(seconds)}: {storage.quantization} in {storage.memory}{disk}"
    )
