"""The Python API of indexing: pictures in, records out."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from indexer import follow, library, opening
from indexer.candidates import (
    Paths,
    Selection,
    absolute,
    candidates,
    or_own,
    patterns,
    survey,
    with_own,
)
from indexer.checking import Findings
from indexer.errors import IndexNotFound, SegsearchError
from indexer.index import Index
from indexer.loading import Choice, Loader
from indexer.pixels import as_pixels
from indexer.profiles import Profile, load_profile
from indexer.recipe import Recipe
from indexer.repairing import Checkup, Repaired
from indexer.report import Report, Survey, begun
from indexer.store import discard, draft_location, open_store
from indexer.store.base import Store
from indexer.store.room import Floor
from indexer.work import BATCH_SIZE, Models, Work

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.detections import Detections
    from indexer.distributed import Cluster
    from indexer.distributed.run import ClusterRun
    from indexer.pipeline import Run
    from indexer.records import Region, Vector
    from indexer.segmentation.segmenter import Prompt

#: Threads that read and decode, unless told otherwise: more gain nothing beside SAM 2.
_MOST_WORKERS = 4


class Indexer:
    """Puts the pictures of folders into an index, and keeps it in step with them.

    Models are loaded when the first picture needs them. Use it as a context manager, or call
    `close`.

    Example:
        >>> with Indexer("./idx", profile="demo") as indexer:
        ...     report = indexer.index(["./photos"])

    Args:
        index: a folder, or ``http(s)://host:port/name``.
        profile: a packaged profile's name, the path of one, or a `Profile`; without one, that of
            the index, and `balanced` where there is no index yet.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        merge: whether near-identical masks are merged, where the profile does so.
        boxes: a file of a detector's boxes, see `indexer.detections`, for SAM 2 to cut out what is
            in them.
        grid: whether SAM 2 is asked at every point of a grid.
        precision: `auto`, `float32`, `bfloat16` or `float16`.
        workers: threads that read and decode; by default the cores, at most 4.
        batch_size: crops that CLIP takes at once.
        points_per_batch: points that SAM 2 takes at once; by default as the profile says.
        cluster: where pictures are read, cut and embedded; by default, in this process.
    """

    def __init__(
        self,
        index: str | Path,
        profile: str | Profile | None = None,
        device: str = "auto",
        *,
        merge: bool = True,
        boxes: str | Path | None = None,
        grid: bool = True,
        precision: str = "auto",
        workers: int | None = None,
        batch_size: int = BATCH_SIZE,
        points_per_batch: int | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        """Say what to use; nothing is opened yet.

        Raises:
            ProfileError: there is no such profile, or it cannot be used.
            SegsearchError: there is neither a grid nor boxes, or Ray is asked for and missing.
        """
        if cluster is not None:
            cluster.require_ray()
        self._cluster = cluster
        if not grid and boxes is None:
            raise SegsearchError("without the grid there is nothing to cut out", "give boxes")
        given = load_profile(profile) if isinstance(profile, str) else profile
        self._where = str(index)
        self._boxes = None if boxes is None else Path(boxes)
        self._grid = grid
        self._batch_size = batch_size
        self._workers = workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        asked = (boxes is not None, grid, batch_size, points_per_batch)
        self._loader = Loader(Choice(given, device, precision, merge, *asked))

    def index(
        self,
        paths: Paths = (),
        *,
        exclude: str | Sequence[str] = (),
        limit: int | None = None,
        prune: bool = False,
        rebuild: bool = False,
        on_progress: Callable[[Report], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Index the pictures in these files and folders; what has not changed is skipped.

        Args:
            paths: files and folders, or a single one; without any, the index's own folders.
            exclude: shell patterns, or a single one, see `indexer.library.scan`.
            limit: index at most this many new pictures.
            prune: remove from the index what is recorded below the paths and gone.
            rebuild: index everything anew, the index's own folders too, into a new index that
                takes the place of this one when it is complete.
            on_progress: called often, from several threads but one at a time.
            stopped: asked often, from several threads; True ends the run at a clean point.

        Raises:
            SegsearchError: there is nothing to index, or the index, the models or the recipe do
                not allow it. Pictures that cannot be used raise nothing: they are recorded.
        """
        selection = Selection(absolute(paths), patterns(exclude), self._detections())
        size = (self._workers, self._batch_size, limit)
        work = Work(*size, self._grid, selection.detections, stopped, on_progress, time.monotonic())
        if rebuild:
            with self._opened() as (index, store):
                return self._rebuild(index, store, selection, work)
        with self._writing(selection) as index:
            return self._run(index, or_own(selection, index), work, prune=prune)

    def survey(
        self, paths: Paths = (), *, exclude: str | Sequence[str] = (), rebuild: bool = False
    ) -> Survey:
        """Say what `index` would find, reading no picture and writing nothing.

        Raises:
            SegsearchError: a path is missing, or the index cannot be read.
        """
        selection = Selection(absolute(paths), patterns(exclude), self._detections())
        try:
            store = open_store(self._where, create_ok=False)
        except IndexNotFound:
            if rebuild or not selection.paths:
                raise
            return survey(None, selection)
        with contextlib.closing(store):
            index = Index(store, self._where)
            if rebuild:
                return survey(None, with_own(selection, index))
            selection = or_own(selection, index)
            return survey(index, selection, follow.expected_roots(index, selection.paths))

    def check(
        self,
        *,
        repair: bool = False,
        folders: Paths = (),
        on_check: Callable[[int, int], None] = lambda _done, _total: None,
        on_progress: Callable[[Report], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[Findings, Repaired | None]:
        """Read the index closely, see `indexer.checking`, and make anew what is damaged.

        Args:
            repair: whether to do that; what is sound is kept as it is.
            folders: the library's folders, should the index have forgotten where they are.
            on_check: told how many records of how many have been read; then, how many images of
                how many have been kept.
            on_progress: see `index`.
            stopped: see `index`.

        Returns:
            What was found, and what was done about it, if anything was.

        Raises:
            Stopped: `stopped` asked for it before anything was made anew.
            SegsearchError: the index cannot be opened; to repair, also see `index`.
        """
        size = (self._workers, self._batch_size, None)
        found = self._detections()
        work = Work(*size, self._grid, found, stopped, on_progress, time.monotonic())

        def run(made: Index, files: tuple[Path, ...]) -> Report:
            return self._run(made, Selection(files, (), found), work)

        checkup = Checkup(self._where, self._opened, run, on_check, stopped)
        return checkup.repaired(absolute(folders)) if repair else (checkup.look(), None)

    def forget(self, paths: Paths) -> int:
        """Remove from the index what lies in these files and folders; they need not be there.

        Returns:
            The number of files whose records were removed. No file itself is touched.

        Raises:
            SegsearchError: there is no index, or one of the paths is not in its library.
        """
        with self._opened() as (index, _):
            discard(draft_location(self._where))  # a rebuild that was stopped would remember
            return follow.forget(index, absolute(paths))

    def folders(self, paths: Paths = ()) -> tuple[Path, ...]:
        """Return the absolute paths that `index` would look at.

        Raises:
            IndexNotFound: no path is given, and there is no index.
        """
        if given := absolute(paths):
            return given
        with self._reading() as index:
            return tuple(follow.own_paths(index)[0])

    def segments(self, image: PIL.Image.Image | NDArray[np.uint8]) -> list[Region]:
        """Cut one picture into regions, as indexing does.

        Args:
            image: RGB; an array has shape (H, W, 3) and dtype uint8.

        Returns:
            The regions by falling area, parents before their parts.
        """
        return self.models().segmenter.automatic(as_pixels(image))

    def prompted(self, image: PIL.Image.Image | NDArray[np.uint8], prompt: Prompt) -> Region | None:
        """Cut out of one picture what a prompt points at; None if that is nothing."""
        segmenter = self.models().segmenter
        return segmenter.prompt(segmenter.embed(as_pixels(image)), prompt).region(prompt)

    def vectors(
        self, image: PIL.Image.Image | NDArray[np.uint8], regions: Sequence[Region]
    ) -> Vector:
        """Embed regions of one picture; float32, shape (len(regions), dim), rows of length 1."""
        import PIL.Image

        from indexer.segmentation.masks import decode

        embedder = self.models().embedder
        picture = PIL.Image.fromarray(as_pixels(image))
        return embedder.vectors(
            [embedder.crop_segment(picture, decode(region.rle), region.box) for region in regions]
        )

    def models(self) -> Models:
        """Load the models, once: of the profile given, of the index, or of the default one.

        Raises:
            ModelError: they cannot be built, or their weights cannot be had.
        """
        with contextlib.suppress(IndexNotFound), self._reading() as index:
            self._loader.settle(index.recipe)
        return self._loader.models()

    def close(self) -> None:
        """Let go of the models."""
        self._loader.unload()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _detections(self) -> Detections | None:
        if self._boxes is None:
            return None
        from indexer.detections import load_detections

        return load_detections(self._boxes)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Index]:
        with contextlib.closing(open_store(self._where, create_ok=False)) as store:
            yield Index(store, self._where)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Index, Store]]:
        """Open an index that is there for writing."""
        store = open_store(self._where, create_ok=False)
        with contextlib.closing(store), opening.only_writer(self._where):
            index = Index(store, self._where)
            self._loader.settle(index.recipe)
            yield index, store

    @contextlib.contextmanager
    def _writing(self, selection: Selection) -> Iterator[Index]:
        """Open the index for writing, making it if there is none and something to put into it."""
        try:
            store, recipe = open_store(self._where, create_ok=False), None
        except IndexNotFound:
            recipe = self._first_recipe(selection)
            store = open_store(self._where, create_ok=True)
        with contextlib.closing(store), opening.only_writer(self._where):
            if recipe is not None and store.recipe() is None:
                store.create(recipe.to_plain(), recipe.dim, recipe.storage)
            index = Index(store, self._where)
            self._loader.settle(index.recipe)
            yield index

    def _first_recipe(self, selection: Selection) -> Recipe:
        """Return the recipe of an index to be made; nothing is made where nothing can be indexed.

        Raises:
            SegsearchError: there is no picture, or no model.
        """
        if not selection.paths:
            raise IndexNotFound(
                f"there is no index at {self._where}", "name the folders that are to be indexed"
            )
        if next(candidates(None, selection), None) is None:
            names = ", ".join(str(path) for path in selection.paths)
            raise SegsearchError(
                f"there is no picture in {names}",
                f"pictures end in {' '.join(sorted(library.EXTENSIONS))}",
            )
        return self._loader.recipe()

    def _run(
        self, index: Index, selection: Selection, work: Work, *, prune: bool = False
    ) -> Report:
        self._loader.check_profile(index.recipe, self._where)
        for path in selection.paths:
            library.scan(path)  # raises, before anything is written for a misspelt path
        for path in selection.paths:
            opening.claim(index, path)
        found = survey(index, selection)
        report = begun(found)
        if found.pending:
            pending = (each for each in candidates(index, selection) if each.pending)
            report = self._run_over(index, work, report).take_all(pending)
            if report.images:
                index.optimise()
        if report.complete and found.gone:
            gone = follow.count_gone(index, selection.all_paths)
            pruned = follow.prune(index, selection.all_paths) if prune and gone else 0
            report = replace(report, gone=gone, pruned=pruned)
        report = replace(report, seconds=time.monotonic() - work.started)
        work.on_progress(report)
        return report

    def _run_over(self, index: Index, work: Work, found: Report) -> Run | ClusterRun:
        floor = Floor(self._where)
        floor.check()  # before models are loaded
        if self._cluster is not None:
            from indexer.distributed.run import ClusterRun

            self._loader.unload()  # they are loaded where they are needed
            choice, where, cluster = self._loader.choice(), self._where, self._cluster
            return ClusterRun(index, work, found, choice=choice, where=where, cluster=cluster)
        from indexer.pipeline import Run

        models = functools.cache(lambda: self._loader.checked_models(index.recipe, self._where))
        return Run(index, models, work, found, floor)

    def _rebuild(self, index: Index, store: Store, selection: Selection, work: Work) -> Report:
        """Index everything anew into a draft, which replaces the index when it is complete."""
        roots, folders = index.roots(), index.folders()
        for root in roots:
            follow.refuse_missing(index, root)
        everything = with_own(selection, index)
        recipe, place = self._loader.recipe(), draft_location(self._where)
        with contextlib.closing(opening.draft(place, recipe, store.storage())) as kept:
            draft = Index(kept, place)
            for root, path in roots.items():
                draft.move_root(root, path, whole=root in folders)
            report = self._run(draft, everything, work, prune=True)
            if report.complete:
                follow.refuse_unreadable(index, draft)
        if report.complete:
            store.adopt(place)
        return report
