"""Ray: the one place that knows it."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.candidates import Candidate
from indexer.distributed import Cluster, worker
from indexer.distributed.worker import Done, Job, Task
from indexer.errors import SegsearchError, Stopped
from indexer.writing import Failed, Known

#: Files that are identified by one task, and pictures that make a shard: what a kill costs.
_IDENTIFIED_AT_ONCE, _SHARD = 64, 8
#: CPUs that an actor without a GPU has, where its machine has so many; decoding has its part.
_CPUS_EACH, _CPUS_WITH_GPU, _CPUS_TO_DECODE = 4, 2, 0.5
#: Seconds after which nobody is at an address.
_CONNECT_S = 10
#: How often a run that waits for the cluster looks whether it should stop, seconds.
_POLL_S = 0.2


@dataclass(frozen=True)
class Actors:
    """How many actors there are, and what each of them has.

    Attributes:
        count: how many.
        cpus: of each.
        gpus: of each: 1 or 0.
    """

    count: int
    cpus: float
    gpus: int


class Connected:
    """A cluster that jobs can be given to."""

    def __init__(self, ray: Any, actors: Actors, stopped: Callable[[], bool]) -> None:  # noqa: ANN401
        """Use Ray, which is connected.

        Args:
            ray: the module.
            actors: how many of them to have.
            stopped: asked while there is nothing else to do; True ends what is being computed.
        """
        self._ray = ray
        self._actors = actors
        self._stopped = stopped

    @property
    def threads(self) -> int | None:
        """Threads that torch should have in an actor; None where that is not for us to say."""
        if self._actors.gpus or "OMP_NUM_THREADS" in os.environ:
            return None
        return round(self._actors.cpus + _CPUS_TO_DECODE)

    def identify(self, files: Sequence[Candidate]) -> Generator[Failed | Known, None, None]:
        """Read files on the cluster and say which pictures they are, in the same order.

        Raises:
            Stopped: the run was stopped.
        """
        dataset = self._dataset(files, _IDENTIFIED_AT_ONCE).map_batches(
            worker.identify, batch_size=None, batch_format="pyarrow", num_cpus=_CPUS_TO_DECODE
        )
        yield from self._results(dataset)

    def compute(self, tasks: Sequence[Task], job: Job) -> Generator[Done, None, None]:
        """Decode, cut and embed pictures on the cluster; the shards come about in the same order.

        Raises:
            Stopped: the run was stopped.
        """
        data, actors = self._ray.data, self._actors
        decoded = self._dataset(tasks, _SHARD).map_batches(
            worker.decode, batch_size=None, batch_format="pyarrow", num_cpus=_CPUS_TO_DECODE
        )
        dataset = decoded.map_batches(
            worker.Worker,
            fn_constructor_args=(job,),
            batch_size=_SHARD,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=actors.count),
            num_cpus=actors.cpus,
            num_gpus=actors.gpus or None,
        )
        yield from self._results(dataset)

    def _dataset(self, records: Sequence[object], at_once: int) -> Any:  # noqa: ANN401
        blocks = [
            worker.packed(records[start : start + at_once])
            for start in range(0, len(records), at_once)
        ]
        dataset = self._ray.data.from_arrow(blocks)
        context = dataset.context
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.raise_original_map_exception = True  # a bug is shown as what it is
        context.execution_options.preserve_order = True
        return dataset

    def _results(self, dataset: Any) -> Generator[Any, None, None]:  # noqa: ANN401
        batches = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for table in _polled(iter(batches), self._stopped):
            yield from worker.unpacked(table)


@contextlib.contextmanager
def connected(cluster: Cluster, stopped: Callable[[], bool]) -> Iterator[Connected]:
    """Connect to a cluster, or start one on this machine, and leave it as it was.

    Args:
        cluster: which.
        stopped: see `Connected`.

    Raises:
        SegsearchError: Ray is not installed, there is no such cluster, or it lacks what was asked
            for.
    """
    cluster.require_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # or its C++ part writes to stderr
    import ray
    import ray.data

    ours = not ray.is_initialized()
    if not ours and cluster.address is not None:
        raise SegsearchError(
            "this process is connected to Ray already", "leave the address out, or disconnect"
        )
    log = logging.getLogger("ray.data")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        if ours:
            _connect(ray, cluster.address)
        nodes = _machines(ray)
        _require_shared(cluster, len(nodes))
        yield Connected(ray, _actors(nodes, cluster.num_gpus), stopped)
    finally:
        if ours:
            ray.shutdown()
        log.setLevel(level)


def _connect(ray: Any, address: str | None) -> None:  # noqa: ANN401
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # "local": not one that happens to run here, or did
        options |= {"address": "local", "include_dashboard": False}
        options |= {"_node_ip_address": "127.0.0.1"}
        failed, hint = "Ray could not be started on this machine", "see its logs in /tmp/ray"
    else:
        options |= {"address": address}
        failed = f"there is no Ray cluster at {address}"
        hint = "start one with: ray start --head; or leave --address out"
    try:
        if address is not None:
            _require_answer(address)
        ray.init(**options)
    except (OSError, RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SegsearchError(f"{failed}: {reason}", hint) from error


def _require_answer(address: str) -> None:
    """Raise `OSError` if nobody listens at an address: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


def _machines(ray: Any) -> list[dict[str, float]]:  # noqa: ANN401
    """Return the resources of each machine that is there."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _require_shared(cluster: Cluster, nodes: int) -> None:
    """Refuse several machines that were given no place to leave their results."""
    if nodes > 1 and cluster.work is None:
        raise SegsearchError(
            "the machines of the cluster need a place that all of them see",
            "name a shared folder, or s3://bucket/prefix, with --work",
        )


def _actors(nodes: Sequence[dict[str, float]], num_gpus: int | None) -> Actors:
    """Decide on the actors, given the resources of each machine.

    Raises:
        SegsearchError: there are fewer GPUs than asked for, or no CPUs.
    """
    if num_gpus:
        there = sum(int(node.get("GPU", 0)) for node in nodes)
        if there < num_gpus:
            raise SegsearchError(
                f"the cluster has {there} GPUs, not {num_gpus}", "ask for fewer with --num-gpus"
            )
        fewest = min(int(node.get("CPU", 0)) for node in nodes if node.get("GPU"))
        return Actors(num_gpus, _CPUS_WITH_GPU if fewest > _CPUS_WITH_GPU else 0.5, 1)
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cpus:
        raise SegsearchError("the cluster has no CPUs", "start its machines with --num-cpus")
    each = min(_CPUS_EACH, *cpus)
    return Actors(sum(count // each for count in cpus), each - _CPUS_TO_DECODE, 0)


def _polled(items: Iterator[Any], stopped: Callable[[], bool]) -> Generator[Any, None, None]:
    """Yield the items, and meanwhile ask again and again whether to stop.

    Ray cannot be told to hand out nothing more, and must not be left while it is asked to: so the
    end of this, too, comes with the next item. The commands do not wait so long.

    Raises:
        Stopped: the run was stopped.
    """
    handed: queue.Queue[tuple[bool, Any]] = queue.Queue()
    wanted = threading.Semaphore(0)
    closed = threading.Event()

    def run() -> None:
        try:
            while wanted.acquire() and not closed.is_set():
                handed.put((True, next(items)))
        except StopIteration:
            handed.put((False, None))
        except BaseException as error:
            handed.put((False, error))

    thread = threading.Thread(target=run, name="cluster", daemon=True)
    thread.start()
    try:
        while True:
            wanted.release()
            there, item = _awaited(handed, stopped)
            if there:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        closed.set()
        wanted.release()
        thread.join()


def _awaited(
    handed: queue.Queue[tuple[bool, Any]], stopped: Callable[[], bool]
) -> tuple[bool, Any]:
    while True:
        try:
            return handed.get(timeout=_POLL_S)
        except queue.Empty:
            if stopped():
                raise Stopped("stopped", "run the same command again to go on") from None
