"""An index run whose pictures a cluster computes, and whose records this process alone writes.

Files are taken in large portions. The cluster says what is in each file; here it is decided, from
the index, which pictures are new; of those the cluster makes shards, and they are written here in
the order of the scan. So the index ends as that of a run in one process, and shards that were
finished when a run was killed are written by the next one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.candidates import Candidate
from indexer.distributed import Cluster
from indexer.distributed.cluster import Connected, connected
from indexer.distributed.shards import Key, Place, Row, Shards
from indexer.distributed.worker import Job, Task
from indexer.errors import Stopped
from indexer.index import Index
from indexer.library import remote
from indexer.loading import Choice
from indexer.report import Report
from indexer.steps import needs_no_cutting
from indexer.store import is_server
from indexer.store.room import Floor
from indexer.tally import Tally
from indexer.work import Work
from indexer.writing import Failed, Known, Ready, Writer

#: Files of a portion: their actors load the models anew, and the driver has them all in memory.
_PORTION = 65_536
#: Pictures that are looked up in the index at once.
_LOOKUP = 512
#: Written shards that wait for the index to be flushed before they are removed.
_MOST_WRITTEN = 64


@dataclass(frozen=True)
class _Wanted:
    """A picture that is to be indexed.

    Attributes:
        candidate: its file.
        image_id: what is in it.
        place: the row that an earlier run has left, or None.
    """

    candidate: Candidate
    image_id: str
    place: Place | None

    @property
    def key(self) -> Key:
        return self.image_id, self.candidate.detections


_Plan = list[Failed | Known | _Wanted]


class ClusterRun:
    """One index run on a cluster."""

    def __init__(
        self,
        index: Index,
        work: Work,
        found: Report,
        *,
        choice: Choice,
        where: str,
        cluster: Cluster,
    ) -> None:
        """Prepare a run.

        Args:
            index: where to write.
            work: how.
            found: what the survey has found.
            choice: the models.
            where: the user's index, which a draft may stand for.
            cluster: where to compute.
        """
        self._index = index
        self._choice = dataclasses.replace(choice, device="cuda" if cluster.num_gpus else "cpu")
        self._where = where
        self._cluster = cluster
        self._work = work
        self._tally = Tally(work, found)
        self._location = _work_location(index, where, cluster)
        self._shards = Shards(self._location)
        self._finished: dict[Key, Place] = {}
        self._unwritten: Counter[str] = Counter()  # shard → rows that are awaited of it
        self._written: list[str] = []
        self._open: tuple[str, list[Row]] = ("", [])
        self._writer = Writer(index, Floor(where))
        self._begun = 0
        self._cut_short = False

    def take_all(self, pending: Iterable[Candidate]) -> Report:
        """Index these files, and return what has been done."""
        self._finished = dict(self._shards.finished())
        with connected(self._cluster, self._tally.stopped) as cluster:
            self._flow(cluster, iter(pending))
            while not self._cut_short and (again := self._writer.take_again()):
                self._flow(cluster, iter(again))
        self._let_go_of_written()
        if not self._cut_short:
            self._let_go_of_rest()
        return self._tally.end(complete=not self._cut_short)

    def _flow(self, cluster: Connected, files: Iterator[Candidate]) -> None:
        at_once = min(_PORTION, self._work.limit or _PORTION)
        while not self._cut_short and (portion := list(itertools.islice(files, at_once))):
            try:
                plan = self._planned(cluster, portion)
                self._write(cluster, plan)
            except Stopped:
                self._cut_short = True
            self._let_go_of_written()

    def _planned(self, cluster: Connected, portion: Sequence[Candidate]) -> _Plan:
        """Find out what is in the files, and what is to be done with them."""
        plan: _Plan = []
        with contextlib.closing(cluster.identify(portion)) as identified:
            while batch := list(itertools.islice(identified, _LOOKUP)):
                ids = [item.image_id for item in batch if isinstance(item, Known)]
                with self._tally.clock.timed("look up"):
                    indexed = {
                        each.id: each for each in self._index.images(list(dict.fromkeys(ids)))
                    }
                for item in batch:
                    if isinstance(item, Failed) or (
                        item.image_id in self._writer.under_way
                        or needs_no_cutting(item.candidate, indexed.get(item.image_id))
                    ):
                        plan.append(item)
                    elif self._begun == self._work.limit:
                        self._cut_short = True
                        return plan
                    else:
                        plan.append(self._begin(item))
        return plan

    def _begin(self, item: Known) -> _Wanted:
        self._begun += 1
        self._writer.under_way.add(item.image_id)
        wanted = _Wanted(item.candidate, item.image_id, None)
        place = self._finished.pop(wanted.key, None)
        if place is None:
            return wanted
        self._unwritten[place.shard] += 1
        return dataclasses.replace(wanted, place=place)

    def _write(self, cluster: Connected, plan: _Plan) -> None:
        """Write what is planned, in order, as the cluster gets ready with it."""
        numbered = [(number, item) for number, item in enumerate(plan) if isinstance(item, _Wanted)]
        tasks = [
            Task(number, item.candidate, self._work.detections_of(item.candidate.path))
            for number, item in numbered
            if item.place is None
        ]
        if tasks:
            self._tally.begin(tasks[0].candidate)
        computed: dict[int, Place] = {}
        with contextlib.closing(self._computed(cluster, tasks)) as shards:
            for number, item in enumerate(plan):
                if self._tally.stopped():
                    raise Stopped("stopped", "run the same command again to go on")
                if not isinstance(item, _Wanted):
                    self._write_one(item)
                    continue
                while (place := item.place or computed.pop(number, None)) is None:
                    computed.update(next(shards))
                resumed = item.place is not None
                self._tally.begin(item.candidate)
                self._write_one(self._row(place).of(item.candidate), resumed=resumed)
                self._count_down(place)

    def _computed(
        self, cluster: Connected, tasks: Sequence[Task]
    ) -> Generator[dict[int, Place], None, None]:
        """Have tasks done; yield where the results are, by the tasks' numbers."""
        if not tasks:
            return
        job = Job(self._choice, self._index.recipe, self._where, self._location, cluster.threads)
        with contextlib.closing(cluster.compute(tasks, job)) as computed:
            for done in computed:
                if done.error is not None:
                    raise done.error
                self._tally.took(done.seconds)
                self._unwritten[done.shard] += len(done.numbers)
                yield {number: Place(done.shard, row) for row, number in enumerate(done.numbers)}

    def _write_one(self, item: Ready, *, resumed: bool = False) -> None:
        with self._tally.clock.timed("write"):
            counts = self._writer.write(item)
        if resumed:
            counts = {**counts, "resumed": counts.get("images", 0)}
        self._tally.written(counts)

    def _row(self, place: Place) -> Row:
        if self._open[0] != place.shard:
            self._open = place.shard, self._shards.read(place.shard)
        return self._open[1][place.row]

    def _count_down(self, place: Place) -> None:
        self._unwritten[place.shard] -= 1
        if self._unwritten[place.shard] == 0:
            del self._unwritten[place.shard]
            self._written.append(place.shard)
            if len(self._written) >= _MOST_WRITTEN:
                self._let_go_of_written()

    def _let_go_of_written(self) -> None:
        """Remove the shards whose rows are in the index, once nothing can take them from there."""
        self._index.flush()
        self._shards.remove(self._written)
        self._written.clear()

    def _let_go_of_rest(self) -> None:
        """Remove the shards that have nothing to give: a kill came after they had been written."""
        left = list(self._finished.items())
        indexed = {each.id for each in self._index.images(list({key[0] for key, _ in left}))}
        needed = {place.shard for (image_id, _), place in left if image_id not in indexed}
        self._shards.remove(sorted(set(self._shards.names()) - needed))


def _work_location(index: Index, where: str, cluster: Cluster) -> str:
    """Return where the shards of an index and a recipe are: no others may be taken for them."""
    recipe = index.recipe
    place = where if is_server(where) else str(Path(where).expanduser().resolve())
    parts = [place, recipe.vector_space, recipe.segmentation]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    if cluster.work is not None and remote.is_uri(cluster.work):
        return f"{cluster.work.rstrip('/')}/work-{digest[:16]}"
    if cluster.work is not None:
        above = Path(cluster.work).expanduser().resolve()
    elif is_server(where):
        import platformdirs

        above = platformdirs.user_cache_path("segsearch")
    else:
        above = Path(place)
    return str(above / f"work-{digest[:16]}")
