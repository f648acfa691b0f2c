from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import PIL.Image
import pytest

from indexer import Indexer
from indexer.profiles import Profile
from search import Searcher, cli
from tests.pictures import scene, write_scene

_EXIF_IFD, _DATE_TIME_ORIGINAL = 0x8769, 0x9003


def write_dated(path: Path, seed: int, taken_at: datetime) -> None:
    """Write a scene as a JPEG whose EXIF says when it was taken."""
    exif = PIL.Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_DATE_TIME_ORIGINAL] = taken_at.strftime("%Y:%m:%d %H:%M:%S")
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(seed).save(path, exif=exif)


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures; two of them dated, one under two names, one whose name is no text."""
    folder = tmp_path_factory.mktemp("library")
    write_scene(folder / "a.png", 0)
    write_scene(folder / "copy of a.png", 0)
    write_scene(folder / "2024" / "plain.png", 1)
    write_dated(folder / "2024" / "may.jpg", 2, datetime(2024, 5, 1, 23, 30))
    write_dated(folder / "2024-old" / "june.jpg", 3, datetime(2024, 6, 2, 0, 0))
    write_scene(folder / os.fsdecode(b"caf\xe9.png"), 4)
    return folder


@pytest.fixture(scope="session")
def where(
    library_folder: Path, fine_profile: Profile, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """An index of those pictures."""
    where = str(tmp_path_factory.mktemp("indexed") / "index")
    with Indexer(where, fine_profile) as indexer:
        report = indexer.index([library_folder])
    assert (report.images, report.copies, report.failed) == (5, 1, 0)
    return where


@pytest.fixture(scope="session")
def searcher(where: str) -> Iterator[Searcher]:
    with Searcher(where) as searcher:
        yield searcher


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """The `segsearch` command in this process, with these arguments."""

    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr("sys.argv", ["segsearch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        code = ended.value.code
        return Run(code if isinstance(code, int) else 0, written.out, written.err)

    return run
