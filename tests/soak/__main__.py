"""Kills, faults and fuzz, for as long as asked: `make soak`, or ``python -m tests.soak``.

Every index is compared, record by record, with one that was made in peace.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.soak.rounds import Soak
from tests.soak.tally import Tally


def main() -> None:
    """Run it; the exit code is 1 if anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="when to begin nothing new")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    asked = parser.parse_args()
    os.environ |= {"SEGSEARCH_PRECISION": "float32", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="segsearch-soak-") as place:
        tally = run(Path(place), random.Random(asked.seed), started + asked.seconds)  # noqa: S311
    figures = tally.figures(time.monotonic() - started)
    for line in tally.said:
        sys.stderr.write(line + "\n")
    if asked.format == "json":
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    else:
        width = max(map(len, figures))
        for name, value in figures.items():
            sys.stdout.write(f"{name.replace('_', ' '):{width}}  {value:>8}\n")
    sys.exit(0 if tally.is_clean else 1)


def run(place: Path, rng: random.Random, until: float) -> Tally:
    """Inject one fault after another, each kind in every round, until that monotonic time."""
    soak = Soak(place, rng)
    steps: list[Callable[[], None]] = [
        soak.kill_index,
        soak.kill_host,
        soak.kill_rebuild,
        soak.kill_prune,
        soak.kill_optimise,
        soak.kill_transfer,
        soak.damage,
        soak.bad_pictures,
    ]
    while True:
        for step in steps:
            if time.monotonic() >= until:
                return soak.tally
            began = time.monotonic()
            step()
            name, took = step.__name__.replace("_", " "), time.monotonic() - began
            faults = soak.tally.faults.total()
            sys.stderr.write(f"{name}: {took:.0f} s; {faults} faults so far\n")


if __name__ == "__main__":
    main()
