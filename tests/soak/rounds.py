"""The faults of a soak, each followed by what a user would do next."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from indexer.errors import PictureError
from indexer.library import REASONS, Content
from indexer.library.decoders import Decoders
from tests.damage import WAYS, copy_index, damage, files_of
from tests.e2e.commands import images_in, photos, records, run, start, write_profile
from tests.profiles import fast
from tests.soak.tally import Tally

_PICTURES = 16
_KILLS = 3
#: Longest time into a run at which it is killed, seconds.
_LATEST_S = 8.0
_FUZZED = 200


class Soak:
    """One library, an index of it that was made in peace, and copies that are maltreated."""

    def __init__(self, place: Path, rng: random.Random) -> None:
        """Draw the pictures and index them."""
        self.tally = Tally()
        self._rng = rng
        self._place = place
        self._number = 0
        self._profile = write_profile(place / "fast.yaml", fast())
        self._photos = photos(place, _PICTURES)
        self._whole = place / "whole"
        self._index(self._whole)
        self._records = records(self._whole)

    def kill_index(self) -> None:
        """Kill index runs into a new index."""
        at = self._new()
        self._kill_often(at, "index", self._photos, "--index", at, "--profile", self._profile)
        self._index(at)
        self._compare("killed index runs", at)

    def kill_host(self) -> None:
        """Kill the host process under an index run."""
        at = self._new()
        going = start("index", self._photos, "--index", at, "--profile", self._profile)
        host = at / "host.json"
        while going.poll() is None and images_in(at) < 2:
            time.sleep(0.05)
        time.sleep(self._rng.uniform(0, 0.5))
        if going.poll() is None and host.exists():
            os.kill(json.loads(host.read_text("utf-8"))["pid"], signal.SIGKILL)
            self.tally.faults["host kills"] += 1
        going.communicate()
        self._index(at)
        self._compare("a killed host", at)

    def kill_rebuild(self) -> None:
        """Kill rebuilds."""
        at = self._copy()
        self._kill_often(at, "index", "--rebuild", "--index", at)
        self._index(at, "--rebuild")
        self._compare("killed rebuilds", at)

    def kill_prune(self) -> None:
        """Kill runs that remove pictures which are gone; index them again once they are back."""
        at, away = self._copy(), self._place / f"away-{self._number}"
        gone = self._rng.sample(sorted(self._photos.iterdir()), _PICTURES // 2)
        away.mkdir()
        for path in gone:
            shutil.move(path, away / path.name)
        try:
            self._kill_often(at, "index", self._photos, "--index", at, "--prune")
            self._index(at, "--prune")
            if images_in(at) != _PICTURES - len(gone):
                self.tally.fail(f"{images_in(at)} images are left after pruning {len(gone)}")
        finally:
            for path in gone:
                shutil.move(away / path.name, path)
        self._index(at)
        self._compare("killed prunes", at)

    def kill_optimise(self) -> None:
        """Kill the building of search structures, and the host with it."""
        at = self._copy()
        command = ("segsearch", "optimize", "--index", at, "--quantization", "int8")
        self._kill_often(at, *command, latest_s=4.0, with_host=True)
        self._run(*command)
        self._compare("killed optimisations", at)

    def kill_transfer(self) -> None:
        """Kill transfers into an archive, and from there into a folder."""
        archive, at = self._new(".parquet"), self._new()
        for source, target in ((self._whole, archive), (archive, at)):
            command = ("segsearch", "transfer", source, target)
            self._kill_often(None, *command, latest_s=2.0)
            self._run(*command)
        self._compare("killed transfers", at)

    def damage(self) -> None:
        """Damage a file of an index, and have it repaired."""
        at = self._copy()
        broken, way = self._rng.choice(files_of(at)), self._rng.choice(WAYS)
        damage(at / broken, way, self._rng)
        self.tally.faults["damaged files"] += 1
        what = f"{way} {broken}"
        repaired = run("segsearch", "check", "--repair", "--index", at, check=False)
        if repaired.returncode != 0 or "Traceback" in repaired.stderr:
            self.tally.fail(f"{what}: check ended with {repaired.returncode}: {repaired.stderr}")
            return
        self._compare(f"repaired: {what}", at)

    def bad_pictures(self) -> None:
        """Decode maltreated pictures: each gives pixels, or one of the reasons."""
        sound = [path.read_bytes() for path in sorted(self._photos.iterdir())[:4]]
        with Decoders(2) as decoders:
            for _ in range(_FUZZED):
                data = bytearray(self._rng.choice(sound))
                for at in self._rng.choices(range(len(data)), k=self._rng.randint(1, 20)):
                    data[at] = self._rng.randrange(256)
                self.tally.faults["bad pictures"] += 1
                self._decode(decoders, bytes(data[: self._rng.randint(8, len(data))]))

    def _decode(self, decoders: Decoders, data: bytes) -> None:
        try:
            decoders.decode(Content(data, "0" * 64))
        except PictureError as error:
            if error.reason not in REASONS:
                self.tally.fail(f"a picture failed for the unknown reason {error.reason}")

    def _kill_often(
        self,
        at: Path | None,
        *command: str | Path,
        latest_s: float = _LATEST_S,
        with_host: bool = False,
    ) -> None:
        """Start a command and kill it at random moments; nothing half made may be seen then."""
        for _ in range(_KILLS):
            killed = start(*command)
            time.sleep(self._rng.uniform(0, latest_s))
            killed.kill()
            killed.communicate()
            self.tally.faults["kills"] += 1
            if with_host and at is not None and (at / "host.json").exists():
                os.kill(json.loads((at / "host.json").read_text("utf-8"))["pid"], signal.SIGKILL)
                self.tally.faults["host kills"] += 1
            if at is not None and (at / "segsearch.json").exists():
                self._check(at)

    def _check(self, at: Path) -> None:
        """Have an index read closely: an image that is there has all that it should have."""
        checked = run("segsearch", "check", "--index", at, "--format", "json", check=False)
        if checked.returncode != 0:
            self.tally.fail(f"after a kill, check ended with {checked.returncode}: {checked}")

    def _index(self, at: Path, *options: str) -> None:
        paths = () if "--rebuild" in options else (self._photos,)
        self._run("index", *paths, "--index", at, *options, *self._chosen(at))

    def _run(self, *command: str | Path) -> None:
        """Run to the end what was killed before; it must succeed."""
        done = run(*command, check=False)
        if done.returncode != 0:
            what = " ".join(map(str, command))
            self.tally.fail(f"{what} ended with {done.returncode}: {done.stderr}")

    def _chosen(self, at: Path) -> tuple[str | Path, ...]:
        return () if (at / "segsearch.json").exists() else ("--profile", self._profile)

    def _compare(self, what: str, at: Path) -> None:
        self.tally.compare(what, records(at), self._records)
        self._remove(at)

    def _remove(self, at: Path) -> None:
        _patiently(lambda: shutil.rmtree(at))

    def _copy(self) -> Path:
        return copy_index(self._whole, self._new())

    def _new(self, suffix: str = "") -> Path:
        self._number += 1
        return self._place / f"index-{self._number}{suffix}"


def _patiently(action: Callable[[], Any]) -> None:
    """Do it once the host process, which ends soon, does not write there any more."""
    for _ in range(100):
        try:
            action()
        except OSError:
            time.sleep(0.1)
        else:
            return
    action()
