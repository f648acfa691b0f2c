"""An index into another place, or into an archive and back, with all it holds and no model.

The records are copied by rising id into a draft: roots, files, segments, and images last. The copy
is compared with its source, and only then takes the target's place, in one step; until then nothing
of it can be searched. A transfer that was killed goes on behind the records that its draft has, if
they are still the first ones of the source; if not, it begins anew.

Segments that an unfinished index run left without their image are copied too: they are as
invisible in the copy, and the next run completes or removes them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from indexer.errors import Stopped, StoreDamaged, StoreError, StoreFull
from indexer.opening import only_writer
from indexer.stages import background
from indexer.store.archive import is_archive
from indexer.store.archive.manifest import Head
from indexer.store.base import VECTOR_KINDS, Kind, Point
from indexer.store.room import Floor
from indexer.store.transfer_checks import (
    Checked,
    Differs,
    common_beginning,
    same_counts,
    same_records,
    same_sample,
)
from indexer.store.transfer_ends import (
    Draft,
    Origin,
    is_there,
    open_draft,
    open_origin,
)
from indexer.store.transfer_places import check_places, check_room, reserved

#: Records that are read and written at a time.
BATCH = 1000
#: In the order in which they are copied: no image without its segments.
ORDER: tuple[Kind, ...] = ("roots", "files", "segments", "images")

Stage = Literal["comparing", "copying", "verifying", "building"]
_Stopped = Callable[[], bool]
#: Source and target.
_Places = tuple[str, str]


@dataclass(frozen=True)
class TransferProgress:
    """How far a transfer is.

    Attributes:
        stage: `comparing` what is there already with the source, `copying`, `verifying` the copy,
            `building` its search structures.
        done: records, of this stage; of `building`, the percentage.
        total: records that there will be; of `building`, 100.
        found: of those done, how many an earlier run had copied.
        seconds: since the stage began.
        kind: what is copied.
    """

    stage: Stage
    done: int
    total: int
    found: int = 0
    seconds: float = 0.0
    kind: Kind | None = None


@dataclass(frozen=True)
class TransferReport:
    """What a transfer did.

    Attributes:
        source: location, as given.
        target: likewise.
        images: records of this kind in the target, and so on.
        segments: likewise.
        files: likewise.
        roots: likewise.
        copied: records that this run wrote; the others an earlier run had.
        seconds: the run took.
        bytes: the disk space that the target takes; None where a server does not tell.
        verified: records that were compared with the source.
        least_cosine: of their vectors with those of the source; None without any.
    """

    source: str
    target: str
    images: int
    segments: int
    files: int
    roots: int
    copied: int
    seconds: float
    bytes: int | None
    verified: int
    least_cosine: float | None


def transfer(
    source: str,
    target: str,
    *,
    replace: bool = False,
    float16: bool = False,
    batch: int = BATCH,
    on_progress: Callable[[TransferProgress], None] = lambda _: None,
    stopped: _Stopped = lambda: False,
) -> TransferReport:
    """Copy an index or archive, whole, to another place. Nothing is embedded anew.

    Where the target has the same records already, nothing is done.

    Args:
        source: a folder, ``http(s)://host:port/name``, or an archive (see `archive.is_archive`).
        target: likewise; a new archive's name ends with ``.parquet``.
        replace: whether another index at the target may be replaced.
        float16: keep the vectors of an archive in half the space.
        batch: records that are read and written at a time.
        on_progress: called after each of them, and now and then otherwise.
        stopped: asked as often; once it returns True, the transfer ends.

    Raises:
        Stopped: as `stopped` asked for; the same call goes on.
        StoreFull: the disk is full, or certainly will be.
        StoreError: the source changed meanwhile, the copy is not like it, another index is at the
            target, or one of both cannot be used; see its kinds.
    """
    check_places(source, target, float16=float16)
    with ExitStack() as stack:
        origin = stack.enter_context(closing(open_origin(source)))
        if not is_archive(source):
            stack.enter_context(only_writer(source))
        wanted = dataclasses.replace(origin.head, dtype="float16" if float16 else "float32")
        teller = _Teller(sum(origin.counts().values()), on_progress, stopped)
        run = _Run((source, target), origin, wanted, batch, teller)
        if is_there(target) and not replace:
            return run.found_there()
        stack.enter_context(reserved(target))
        return run.copy()


class _Changed(Exception):
    """What the draft has is not how the source begins."""


class _Teller:
    """Tells how far a transfer is, and notices that it is to stop."""

    def __init__(
        self, total: int, on_progress: Callable[[TransferProgress], None], stopped: _Stopped
    ) -> None:
        self._total = total
        self._on_progress = on_progress
        self._stopped = stopped
        self._stage: Stage = "comparing"
        self._began = time.monotonic()

    def tell(self, stage: Stage, done: int, *, found: int = 0, kind: Kind | None = None) -> None:
        """Tell it. Raises `Stopped`."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began = stage, now
        total = 100 if stage == "building" else self._total
        self._on_progress(TransferProgress(stage, done, total, found, now - self._began, kind))
        if self._stopped():
            raise Stopped("the transfer was stopped", "run the same command again to go on")


class _Run:
    """One transfer, between ends that nobody else writes to, as far as that can be helped."""

    def __init__(
        self, places: _Places, origin: Origin, head: Head, batch: int, teller: _Teller
    ) -> None:
        self._source, self._target = places
        self._floor = Floor(self._target)
        self._origin = origin
        self._head = head
        self._batch = batch
        self._tell = teller.tell
        self._began = time.monotonic()
        self._counts = origin.counts()

    def found_there(self) -> TransferReport:
        """Report the target that is there, if it is the same. Raises `StoreError` if not."""
        with closing(open_origin(self._target)) as there:
            try:
                _same_heads(self._head, there.head)
                same_counts(self._counts, there.counts())
                checked = self._checked(same_records(self._origin, there))
            except Differs as error:
                raise StoreError(
                    f"{self._target} is there already, and is not {self._source}: {error}",
                    "choose another place, or replace it with --replace",
                ) from None
        return self._report(checked, copied=0)

    def copy(self) -> TransferReport:
        """Copy what is not yet in the draft, verify it, and let it take the target's place."""
        self._floor.check()
        draft = self._open_draft()
        try:
            try:
                lasts = self._lasts(draft)
            except (_Changed, StoreDamaged):
                draft.discard()
                draft, lasts = self._open_draft(), {}
            there = draft.counts()
            left = sum(self._counts[kind] - there[kind] for kind in VECTOR_KINDS)
            check_room(self._target, left, self._head)
            found = sum(there.values())
            self._fill(draft, lasts, found)
            checked = self._verify(draft)
            self._tell("building", 0)
            draft.finish(lambda share: self._tell("building", round(100 * (share or 0))))
        finally:
            draft.close()
        return self._report(checked, copied=sum(self._counts.values()) - found)

    def _open_draft(self) -> Draft:
        return open_draft(self._target, self._head, self._source)

    def _lasts(self, draft: Draft) -> dict[Kind, str]:
        """Return the last id of each kind that the draft has. Raises `_Changed`."""
        lasts: dict[Kind, str] = {}
        number = 0
        for kind in ORDER:
            try:
                for id_ in common_beginning(kind, self._origin, draft):
                    lasts[kind] = id_
                    number += 1
                    if number % self._batch == 0:
                        self._tell("comparing", number)
            except Differs as error:
                raise _Changed from error
        return lasts

    def _fill(self, draft: Draft, lasts: dict[Kind, str], found: int) -> None:
        done = found
        for kind in ORDER:
            with closing(background(self._pages(kind, lasts.get(kind)), depth=2)) as pages:
                for page in pages:
                    try:
                        self._floor.check()
                        self._tell("copying", done, found=found, kind=kind)
                    except (Stopped, StoreFull):
                        draft.settle()
                        raise
                    draft.append(kind, page)
                    done += len(page)
        draft.settle()
        self._tell("copying", done, found=found)
        if self._origin.counts() != self._counts:
            raise StoreError(
                f"{self._source} changed while it was transferred",
                "run the command again when nothing writes to it",
            )

    def _pages(self, kind: Kind, last: str | None) -> Generator[list[Point], None, None]:
        after = None if last is None else _following(last)
        if last is not None and after is None:
            return
        for page in self._origin.pages(kind, after=after, limit=self._batch, vectors=True):
            if page:
                yield page

    def _verify(self, draft: Draft) -> Checked:
        """Compare draft and source; a draft that is not like its source is removed."""
        try:
            same_counts(self._counts, draft.counts())
            return self._checked(same_sample(self._origin, draft), "verifying")
        except (Differs, StoreDamaged) as error:
            draft.discard()
            raise StoreError(
                f"the copy of {self._source} is not like it: {error}; it was removed, and what is "
                f"at {self._target} is as it was",
                "run the command again; if the disk is in doubt, check it first",
            ) from error

    def _checked(self, parts: Iterator[Checked], stage: Stage = "comparing") -> Checked:
        checked = Checked()
        for part in parts:
            checked += part
            self._tell(stage, checked.records)
        return checked

    def _report(self, checked: Checked, copied: int) -> TransferReport:
        with closing(open_origin(self._target)) as there:
            size = there.size_bytes()
        return TransferReport(
            self._source,
            self._target,
            **self._counts,
            copied=copied,
            seconds=time.monotonic() - self._began,
            bytes=size,
            verified=checked.records,
            least_cosine=checked.least_cosine,
        )


def _same_heads(ours: Head, theirs: Head) -> None:
    """Raise `Differs` unless both were built with the same; how vectors are kept is no matter."""
    if ours.recipe != theirs.recipe:
        raise Differs("it was built with another recipe")
    if ours.dtype != theirs.dtype:
        raise Differs(f"its vectors are {theirs.dtype}, not {ours.dtype}")


def _following(id_: str) -> str | None:
    """Return the least id that is greater; None after the greatest."""
    number = UUID(id_).int + 1
    return str(UUID(int=number)) if number < 2**128 else None
