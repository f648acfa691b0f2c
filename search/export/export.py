"""Hits to files: a query's, or a whole index's as a stream."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from indexer.errors import PictureError
from indexer.recipe import Recipe
from search.export.files import make_folder, name_of, writing_to
from search.export.kinds import FILES, PICTURES, How, Kind, Missing, Written
from search.export.pictures_out import recent, write_picture, write_pictures
from search.export.sheet import Sheet, sheet_file
from search.export.shots import Shot, segment_of, shots
from search.hits import Hit
from search.pictures import draw
from search.reading import read_picture

#: What a query's hits become where nobody says.
SAVED = (Kind.overlay, Kind.sheet)
DEFAULTS = How()


def save(
    hits: Sequence[Hit],
    folder: Path,
    title: str,
    kinds: Sequence[Kind] = SAVED,
    how: How = DEFAULTS,
    *,
    recipe: Recipe | None = None,
) -> list[Written | Missing]:
    """Write a query's hits, numbered from the best; see `export`."""
    return list(export(hits, folder, title, kinds=kinds, how=how, recipe=recipe, ranked=True))


def export(
    hits: Iterable[Hit],
    folder: Path,
    title: str,
    *,
    kinds: Sequence[Kind],
    ranked: bool,
    how: How = DEFAULTS,
    recipe: Recipe | None = None,
) -> Generator[Written | Missing, None, None]:
    """Write hits as files, as they come: neither they nor their pictures are kept in memory.

    Files are whole or not there, see the package. Yields each when it is written, those of many
    pictures at the end, and once each hit of which there should be pictures and are none.

    Args:
        hits: a query's, best first; or any, those of a picture in a row.
        folder: made if it is not there.
        title: of the sheet and of the COCO file.
        kinds: what to write.
        ranked: the hits are a query's: files are numbered, and overlays and cards of the sheet
            show one each. Otherwise, they show all hits of a picture.
        how: see `How`.
        recipe: of the index; without it a Parquet file has no vectors. Hits should have theirs.

    Raises:
        SegsearchError: the folder cannot be written to.
        QueryError: a hit is a whole picture, and a kind needs its segment.
    """
    make_folder(folder)
    with writing_to(folder), ExitStack() as stack:
        files = _Files(stack, folder, kinds)
        files.open(title, recipe, ranked=ranked)
        pictures = _Pictures(folder, kinds, how, files.sheet)
        for shot in shots(hits, ranked=ranked):
            pictures.check(shot)
            files.add(shot)
            yield from pictures.write(shot)
    yield from files.written()


class _Files:
    """The files of many pictures that are being written."""

    def __init__(self, stack: ExitStack, folder: Path, kinds: Sequence[Kind]) -> None:
        self.sheet: Sheet | None = None
        self._stack = stack
        self._files = {kind: folder / name for kind, name in FILES.items() if kind in kinds}
        self._adders: list[Callable[[Hit], None]] = []
        self._count = 0

    def open(self, title: str, recipe: Recipe | None, *, ranked: bool) -> None:
        if sheet := self._files.get(Kind.sheet):
            self.sheet = self._stack.enter_context(sheet_file(sheet, title, ranked=ranked))
        if coco := self._files.get(Kind.coco):
            from search.export.coco import coco_file

            self._adders.append(self._stack.enter_context(coco_file(coco, title, ranked=ranked)))
        if parquet := self._files.get(Kind.parquet):
            from search.export.parquet import parquet_file

            opened = parquet_file(parquet, recipe, ranked=ranked)
            self._adders.append(self._stack.enter_context(opened))

    def add(self, shot: Shot) -> None:
        self._count += len(shot.hits)
        for add in self._adders:
            for hit in shot.hits:
                add(hit)

    def written(self) -> Iterator[Written]:
        for kind, file in self._files.items():
            yield Written(kind, file, self._count)


class _Pictures:
    """Writes what needs the pictures' pixels."""

    def __init__(self, folder: Path, kinds: Sequence[Kind], how: How, sheet: Sheet | None) -> None:
        self._folder = folder
        self._kinds = tuple(kind for kind in PICTURES if kind in kinds)
        self._how = how
        self._sheet = sheet
        self._recent = recent()
        self._for_segments = not set(kinds) <= set(SAVED)

    def check(self, shot: Shot) -> None:
        """Refuse whole pictures where their segments are needed."""
        if self._for_segments:
            for hit in shot.hits:
                segment_of(hit)

    def write(self, shot: Shot) -> Iterator[Written | Missing]:
        if not self._kinds and self._sheet is None:
            return
        try:
            pixels = self._recent.get(shot.first.image.id, lambda: read_picture(shot.first))
        except PictureError as error:
            if self._sheet is not None:
                self._sheet.add_missing(shot, error.message)
            yield from (Missing(hit, error.message) for hit in shot.hits)
            return
        overlay = None
        if Kind.overlay in self._kinds or self._sheet is not None:
            drawn = draw(pixels, [hit.segment.region for hit in shot.hits if hit.segment])
            if Kind.overlay in self._kinds:
                overlay = self._folder / name_of(shot.first, shot.rank, Kind.overlay)
                write_picture(drawn, overlay)
                yield Written(Kind.overlay, overlay, len(shot.hits), shot.first)
            if self._sheet is not None:
                self._sheet.add(shot, drawn, pixels, overlay)
        yield from write_pictures(shot, pixels, self._folder, self._kinds, self._how)
