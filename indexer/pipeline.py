"""The flow of an index run: read and decode → segment → embed → write, which overlap.

Files are read by a few threads, each of which has a process decode its pictures; the models have a
thread of their own (several on a GPU, which does one picture's masks while the CPU finishes
another's), and so has the writing. The queues between them are short, so that memory does not
depend on the library's size. Everything stays in the order of the scan. Whatever is interrupted is
done again by the next run; whatever is finished is skipped by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator

from indexer import library, steps
from indexer.candidates import Candidate
from indexer.index import Index
from indexer.report import Report
from indexer.stages import background, ordered
from indexer.steps import DEPTH, Decoded, Read, Steps, needs_no_cutting
from indexer.store.room import Floor
from indexer.tally import Tally
from indexer.work import Models, Work
from indexer.writing import Known, Writer


class Run:
    """One index run."""

    def __init__(
        self,
        index: Index,
        models: Callable[[], Models],
        work: Work,
        found: Report,
        floor: Floor,
    ) -> None:
        """Prepare a run.

        Args:
            index: where to write.
            models: called in a thread of the run when the first new picture needs them, often.
            work: how.
            found: what the survey has found.
            floor: what has to stay free on the index's disk.
        """
        self._index = index
        self._work = work
        self._tally = Tally(work, found)
        self._steps = Steps(
            models,
            grid=work.grid,
            batch_size=work.batch_size,
            clock=self._tally.clock,
            stopped=self._tally.stopped,
            begin=self._tally.begin,
        )
        self._writer = Writer(index, floor)
        self._decoders = library.Decoders(work.workers)
        self._begun = 0
        self._ended_early = False

    def take_all(self, pending: Iterable[Candidate]) -> Report:
        """Index these files, and return what has been done."""
        with self._decoders:
            self._flow(iter(pending))
            while not self._cut_short and (again := self._writer.take_again()):
                self._flow(iter(again))
        self._index.flush()
        return self._tally.end(complete=not self._cut_short)

    @property
    def _cut_short(self) -> bool:
        return self._ended_early or self._steps.interrupted

    def _flow(self, files: Iterator[Candidate]) -> None:
        read = background(self._read(files), DEPTH)
        embedded = self._steps.all_of(self._wanted(read))
        with contextlib.closing(background(embedded, DEPTH)) as ready:
            for item in ready:
                with self._tally.clock.timed("write"):
                    counts = self._writer.write(item)
                self._tally.written(counts)

    def _read(self, files: Iterator[Candidate]) -> Generator[Read, None, None]:
        wanted, workers = self._until_stopped(files), self._work.workers
        yield from ordered(wanted, self._read_one, workers, workers)

    def _until_stopped(self, files: Iterator[Candidate]) -> Iterator[Candidate]:
        for candidate in files:
            if self._tally.stopped():
                self._ended_early = True
                return
            yield candidate

    def _read_one(self, candidate: Candidate) -> Read:
        detections = self._work.detections_of(candidate.path)
        decode = self._decoders.decode
        return steps.read(candidate, detections, self._tally.clock, self._is_done, decode)

    def _wanted(self, items: Generator[Read, None, None]) -> Generator[Read, None, None]:
        """Find the pictures that are to be cut; what comes of the others is known."""
        with contextlib.closing(items):
            for item in items:
                if not isinstance(item, Decoded):
                    yield item
                elif item.image_id in self._writer.under_way or self._is_done(
                    item.candidate, item.image_id
                ):
                    yield Known(item.candidate, item.image_id)
                elif self._tally.stopped() or self._begun == self._work.limit:
                    self._ended_early = True
                    return
                else:
                    self._begun += 1
                    self._writer.under_way.add(item.image_id)
                    yield item

    def _is_done(self, candidate: Candidate, image_id: str) -> bool:
        with self._tally.clock.timed("look up"):
            present = self._index.images([image_id])
        return needs_no_cutting(candidate, present[0] if present else None)
