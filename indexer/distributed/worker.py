"""What the machines of a cluster do with a few files: identify, decode, then cut and embed.

These take and return tables whose rows are pickled records of ours, as Ray Data hands them from
task to task. Nothing here knows Ray.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from indexer import library, steps
from indexer.candidates import Candidate
from indexer.errors import SegsearchError
from indexer.loading import Choice, Loader
from indexer.stages import Clock
from indexer.writing import Known

if TYPE_CHECKING:
    from indexer.detections import Detection
    from indexer.distributed.shards import Shards
    from indexer.recipe import Recipe
    from indexer.steps import Read
    from indexer.work import Models


@dataclass(frozen=True)
class Task:
    """A file to work on.

    Attributes:
        number: given by the driver, which gets it back.
        candidate: the file.
        detections: what a detector found in it.
    """

    number: int
    candidate: Candidate
    detections: Sequence[Detection] = ()


@dataclass(frozen=True)
class Done:
    """A shard that has been written, or why it could not be.

    Attributes:
        shard: its name; empty where there is an error.
        numbers: of the tasks whose results are its rows.
        seconds: stage → how long it was busy.
        error: what ends the run, or None.
    """

    shard: str
    numbers: tuple[int, ...]
    seconds: Mapping[str, float]
    error: SegsearchError | None = None


@dataclass(frozen=True)
class Job:
    """What every actor has to know.

    Attributes:
        choice: the models.
        recipe: what the index was built with.
        where: the index, for messages.
        work: location of the shards.
        threads: of torch; None leaves it alone.
    """

    choice: Choice
    recipe: Recipe
    where: str
    work: str
    threads: int | None


def packed(records: Iterable[object]) -> pa.Table:
    """Return a table of records."""
    rows = [pickle.dumps(record, pickle.HIGHEST_PROTOCOL) for record in records]
    return pa.table({"record": pa.array(rows, pa.large_binary())})


def unpacked(table: pa.Table) -> Iterator[Any]:
    """Return the records of a table that `packed` has made."""
    for row in table.column("record"):
        yield pickle.loads(row.as_buffer())  # noqa: S301 - of our own tasks


def identify(table: pa.Table) -> pa.Table:
    """Turn candidates into `Known`, with the id of what is in the file, or `Failed`."""
    clock = Clock()
    return packed(
        steps.read(candidate, (), clock, lambda *_: True, library.decode)  # which nothing needs
        for candidate in unpacked(table)
    )


def decode(table: pa.Table) -> Iterator[pa.Table]:
    """Turn `Task`s into (number, `Decoded` or `Failed`, seconds), one row at a time."""
    with library.Decoders(1) as decoders:
        for task in unpacked(table):
            clock = Clock()
            result = steps.read(
                task.candidate, task.detections, clock, lambda *_: False, decoders.decode
            )
            yield packed([(task.number, result, clock.seconds())])


class Worker:
    """Cuts and embeds what was decoded, with models that are loaded once, and writes shards."""

    def __init__(self, job: Job) -> None:
        """Load nothing yet: what goes wrong then should end the run with its own words."""
        self._job = job
        self._loader = Loader(job.choice)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn what `decode` returns into a single `Done`."""
        numbers, items, clock = list[int](), list["Read"](), Clock()
        busy: dict[str, float] = {}
        for number, item, seconds in unpacked(table):
            numbers.append(number)
            items.append(item)
            for stage, more in seconds.items():
                busy[stage] = busy.get(stage, 0.0) + more
        try:
            name = self._write(items, clock)
        except SegsearchError as error:
            return packed([Done("", tuple(numbers), {}, error)])
        return packed([Done(name, tuple(numbers), busy | clock.seconds())])

    def _write(self, items: list[Read], clock: Clock) -> str:
        flow = steps.Steps(
            self._models,
            grid=self._job.choice.grid,
            batch_size=self._job.choice.batch_size,
            clock=clock,
            stopped=lambda: False,
            begin=lambda _: None,
        )
        results = [
            item for item in flow.all_of(_each(items)) if not isinstance(item, Known)
        ]  # nothing is known here
        with clock.timed("shard"):
            return self._shards.write(results)

    @functools.cached_property
    def _shards(self) -> Shards:
        from indexer.distributed.shards import Shards

        return Shards(self._job.work)

    def _models(self) -> Models:
        return self._checked

    @functools.cached_property
    def _checked(self) -> Models:
        import torch

        if self._job.threads is not None:
            torch.set_num_threads(self._job.threads)
        return self._loader.checked_models(self._job.recipe, self._job.where)


def _each(items: Iterable[Read]) -> Generator[Read, None, None]:
    yield from items
