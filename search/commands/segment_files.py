"""The files that `segsearch segment` writes: masks, cut-outs, overlays, other backgrounds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from indexer.errors import SegsearchError
from search.commands import parsing

if TYPE_CHECKING:
    import PIL.Image

    from indexer.crops import Pixels
    from indexer.records import Region
    from search.pictures import Background

#: Formats by what is to be kept: masks and alpha exactly, pictures as people look at them.
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_EXACT, _SEEN = (".png",), tuple(_FORMATS)
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Files:
    """What to write, each None for nothing.

    Attributes:
        mask: of one object the mask, of many a map of their numbers.
        cutout: the object on nothing.
        trim: cut the cut-out to the object's box.
        overlay: the picture with the objects tinted and outlined.
        background: "#rrggbb", "blur" or the file of a picture, for `composite`.
        composite: the object before the background.
    """

    mask: Path | None = None
    cutout: Path | None = None
    trim: bool = False
    overlay: Path | None = None
    background: str | None = None
    composite: Path | None = None

    def check(self, inputs: Sequence[Path], *, many: bool) -> None:
        """Refuse what cannot be written, before anything is computed.

        Args:
            inputs: must not be overwritten.
            many: whether there may be several objects.

        Raises:
            typer.BadParameter: options that contradict each other, or a file of the wrong kind.
            SegsearchError: a file cannot be written.
        """
        if many and (self.cutout or self.composite):
            raise typer.BadParameter(
                "--cutout and --composite are for one object: give --point, --box or --mask-prompt"
            )
        if self.trim and self.cutout is None:
            raise typer.BadParameter("--trim cuts the cut-out to its object: add --cutout FILE")
        if (self.background is None) != (self.composite is None):
            raise typer.BadParameter(
                "--background and --composite belong together: what is behind, and the file"
            )
        named = list(self._named())
        read = {path.resolve() for path in (*inputs, Path(self.background or "#"))}
        for option, file, suffixes in named:
            if file.suffix.lower() not in suffixes:
                raise typer.BadParameter(f"{option} {file} must end in {' or '.join(suffixes)}")
            if file.resolve() in read:
                raise typer.BadParameter(f"{option} {file} is read as well: give another file")
            _check_writable(file)
        if len({file.resolve() for _, file, _ in named}) < len(named):
            raise typer.BadParameter("two files of the same name: give each its own")

    def behind(self) -> Background | None:
        """Return the background, or None; see `parsing.background`."""
        return None if self.background is None else parsing.background(self.background)

    def write(
        self, pixels: Pixels, regions: Sequence[Region], behind: Background | None, *, many: bool
    ) -> list[Path]:
        """Write the files and return their paths.

        Args:
            pixels: uint8 RGB, shape (H, W, 3).
            regions: with masks of that size; exactly one, unless `many`.
            behind: see `behind`.
            many: whether there may be several objects.

        Raises:
            SegsearchError: a file cannot be written.
        """
        from search import pictures

        written = []
        if self.mask:
            size = (pixels.shape[0], pixels.shape[1])
            drawn = pictures.label_map(regions, size) if many else pictures.mask_picture(regions[0])
            written.append(_save(drawn, self.mask))
        if self.cutout:
            written.append(_save(pictures.cutout(pixels, regions[0], trim=self.trim), self.cutout))
        if self.overlay:
            written.append(_save(pictures.draw(pixels, regions), self.overlay))
        if self.composite and behind is not None:
            composed = pictures.replace_background(pixels, regions[0], behind)
            written.append(_save(composed, self.composite))
        return written

    def _named(self) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
        """Yield the files to be written, each with its option and the suffixes that it may have."""
        options = (
            ("--mask", self.mask, _EXACT),
            ("--cutout", self.cutout, _EXACT),
            ("--overlay", self.overlay, _SEEN),
            ("--composite", self.composite, _SEEN),
        )
        for option, file, suffixes in options:
            if file is not None:
                yield option, file, suffixes


def _check_writable(file: Path) -> None:
    """Raise `SegsearchError` where it is clear beforehand that a file cannot be written."""
    if not file.parent.is_dir():
        raise SegsearchError(f"cannot write {file}: there is no folder {file.parent}", "make it")
    if file.is_dir():
        raise SegsearchError(f"cannot write {file}: it is a folder", "give another file")
    places = {file.parent, file.resolve().parent} | ({file} if file.exists() else set())
    if not all(os.access(place, os.W_OK) for place in places):
        raise SegsearchError(f"cannot write {file}: permission denied", "give another file")


def _save(picture: PIL.Image.Image, file: Path) -> Path:
    from search.export.files import replacing

    target, kind = file.resolve(), _FORMATS[file.suffix.lower()]
    try:
        if target.exists() and not target.is_file():  # a device, or a pipe
            picture.save(target, kind, quality=_JPEG_QUALITY)
        else:
            with replacing(target) as part:
                picture.save(part, kind, quality=_JPEG_QUALITY)
    except OSError as error:
        raise SegsearchError(
            f"cannot write {file}: {error.strerror or error}", "give another file"
        ) from error
    return file
