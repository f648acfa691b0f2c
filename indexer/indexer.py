"""The Python API of indexing: pictures in, records out."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from indexer import library
from indexer.errors import IndexNotFound, SegsearchError, StoreError
from indexer.index import Index
from indexer.pixels import as_pixels
from indexer.profiles import Profile, load_profile, profile_data
from indexer.recipe import Recipe, require_same
from indexer.roots import outermost, owner
from indexer.store import is_server, open_store

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from indexer.pipeline import Models, Report
    from indexer.records import Region, Vector
    from indexer.segmentation.segmenter import Prompt

#: Versions recorded as provenance.
_PACKAGES = ("segsearch", "sam2", "open-clip-torch", "torch")


class Indexer:
    """Puts the pictures of folders into an index.

    Models are loaded when the first picture needs them. Use it as a context manager, or call
    `close`.

    Example:
        >>> with Indexer("./idx", profile="demo") as indexer:
        ...     report = indexer.index(["./photos"])
    """

    def __init__(
        self,
        index: str | Path,
        profile: str | Profile = "balanced",
        device: str = "auto",
        *,
        merge: bool = True,
    ) -> None:
        """Name the index, the profile and the device; nothing is opened yet.

        Args:
            index: a folder, or ``http(s)://host:port/name``.
            profile: a packaged profile's name, the path of one, or a `Profile`.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            merge: whether near-identical masks are merged, where the profile does so.

        Raises:
            ProfileError: there is no such profile, or it cannot be used.
        """
        self._where = str(index)
        self._profile = load_profile(profile) if isinstance(profile, str) else profile
        if not merge:
            masks = dataclasses.replace(self._profile.masks, merge_iou_thresh=None)
            self._profile = dataclasses.replace(self._profile, masks=masks)
        self._device_name = device
        self._models: Models | None = None

    def index(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        exclude: str | Sequence[str] = (),
        limit: int | None = None,
        on_progress: Callable[[Report], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Index the pictures in these files and folders; what has not changed is skipped.

        Args:
            paths: files and folders, or a single one.
            exclude: shell patterns, or a single one, see `indexer.library.scan`.
            limit: index at most this many new pictures.
            on_progress: called after every file with what has been done so far.
            stopped: asked after every file; True ends the run at a clean point.

        Raises:
            SegsearchError: there is nothing to index, or the index, the models or the recipe do
                not allow it. Pictures that cannot be used raise nothing: they are recorded.
        """
        from indexer.pipeline import Run, candidates

        given = [paths] if isinstance(paths, str | Path) else paths
        absolute = outermost(Path(path).expanduser().resolve() for path in given)
        patterns = [exclude] if isinstance(exclude, str) else exclude
        with self._writing(absolute, patterns) as index:
            self._check_profile(index.recipe)
            self._claim(index, absolute)
            models = functools.cache(lambda: self._checked_models(index.recipe))
            run = Run(index, models, on_progress)
            report = run.take_all(candidates(index, absolute, patterns), limit, stopped)
            if report.images:
                index.optimise()
            return report

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
        """Load the models of the profile, once.

        Raises:
            ModelError: they cannot be built, or their weights cannot be had.
        """
        if self._models is None:
            from indexer.embedding import Embedder
            from indexer.models import choose_device
            from indexer.pipeline import Models
            from indexer.segmentation.segmenter import Segmenter

            device = choose_device(self._device_name)
            self._models = Models(
                Segmenter(self._profile.sam2, self._profile.masks, device),
                Embedder(self._profile.clip, device),
            )
        return self._models

    def close(self) -> None:
        """Let go of the models."""
        self._models = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _writing(self, paths: Sequence[Path], exclude: Sequence[str]) -> Iterator[Index]:
        """Open the index for writing, making it if there is none and something to put into it."""
        try:
            store, recipe = open_store(self._where, create_ok=False), None
        except IndexNotFound:
            recipe = self._first_recipe(paths, exclude)
            store = open_store(self._where, create_ok=True)
        with contextlib.closing(store), _only_writer(self._where):
            if recipe is not None and store.recipe() is None:
                store.create(recipe.to_plain(), recipe.dim)
            yield Index(store, self._where)

    def _first_recipe(self, paths: Sequence[Path], exclude: Sequence[str]) -> Recipe:
        """Return the recipe of an index to be made; nothing is made where nothing can be indexed.

        Raises:
            SegsearchError: there is no picture, or no model.
        """
        if not any(next(library.scan(path, exclude), None) for path in paths):
            names = ", ".join(str(path) for path in paths)
            raise SegsearchError(
                f"there is no picture in {names}",
                f"pictures end in {' '.join(sorted(library.EXTENSIONS))}",
            )
        return self._recipe()

    def _claim(self, index: Index, paths: Sequence[Path]) -> None:
        """Give every path a root, and forget the failures that will be tried again."""
        for path in paths:
            base = library.root_folder(path)
            if owner(base, index.roots()) is None:
                index.add_root(base)
            place = owner(path, index.roots())
            assert place is not None  # noqa: S101 - it has just been added
            index.forget_retryable(*place)

    def _check_profile(self, stored: Recipe) -> None:
        """Refuse a profile that differs from the index's, as far as can be told without models."""
        clip = self._profile.clip
        given = {"model": self._profile.sam2.model, **self._profile.masks.deciding()}
        known = {key: stored.segmentation.get(key) for key in given}
        require_same("segmentation", known, given, self._where)
        given = {"crop_margin": clip.crop_margin, "focus_weight": clip.focus_weight}
        known = {key: stored.vector_space.get(key) for key in given}
        require_same("CLIP", known, given, self._where)

    def _checked_models(self, stored: Recipe) -> Models:
        """Return the models, refusing those that the index was not built with."""
        given = self._recipe()
        require_same("CLIP", stored.vector_space, given.vector_space, self._where)
        require_same("segmentation", stored.segmentation, given.segmentation, self._where)
        return self.models()

    def _recipe(self) -> Recipe:
        models = self.models()
        provenance: dict[str, Any] = {
            "profile": profile_data(self._profile),
            "device": self._device_name,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        }
        return Recipe(models.embedder.vector_space(), models.segmenter.recipe(), provenance)


@contextlib.contextmanager
def _only_writer(where: str) -> Iterator[None]:
    """Keep a second index run out of an index folder; a server has no such lock."""
    if is_server(where):
        yield
        return
    with (Path(where).expanduser() / "writer.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another index run is writing to {where}", "wait for it, or stop it"
            ) from None
        yield
