"""An index run as a Ray Data job: tasks decode, actors cut and embed, and one driver writes.

``from indexer.distributed import Cluster`` says where; give it to `indexer.Indexer`. Ray itself is
imported in `cluster` only, and only by a run that has something to compute.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from indexer.errors import SegsearchError


@dataclass(frozen=True)
class Cluster:
    """Where an index run computes.

    Attributes:
        address: of a running cluster that this machine belongs to: `auto`, or `host:6379`.
            Without one, Ray is started on this machine for the run, unless this process is
            connected to Ray already.
        num_gpus: how many GPUs to use, one for each actor; without any, CPUs are used.
        work: folder, or ``s3://bucket/prefix``, for what is computed and not written yet. All
            machines of the cluster must see it at the same place. By default, it is in the folder
            of the index, or for an index on a server in the user's cache folder.
    """

    address: str | None = None
    num_gpus: int | None = None
    work: str | None = None

    def require_ray(self) -> None:
        """Refuse to go on without Ray.

        Raises:
            SegsearchError: it is not installed, or asked for in a way that it lacks.
        """
        if (self.address or "").startswith("ray://"):
            raise SegsearchError(
                f"Ray Data cannot be used through a Ray client, as at {self.address}",
                "run this on a machine of the cluster with --address auto, or with: ray job submit",
            )
        if importlib.util.find_spec("ray") is None:
            raise SegsearchError(
                "Ray is not installed, which this engine needs", "pip install 'segsearch[ray]'"
            )
