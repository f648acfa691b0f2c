"""`segsearch export` in this process: what it writes, prints and refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pyarrow.parquet as pq
import pytest

from search import Searcher, cli
from search.export import Kind
from search.export.export import export
from search.hits import Hit


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> Callable[..., Run]:
    def run(*arguments: str | Path) -> Run:
        words = ["segsearch", "export", *map(str, arguments), "--index", where]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        code = ended.value.code
        return Run(code if isinstance(code, int) else 0, written.out, written.err)

    return run


def test_the_whole_index(run: Callable[..., Run], searcher: Searcher, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kinds = ("--as", "overlay", "--as", "coco", "--as", "parquet")
    done = run(out, *kinds, "--format", "json")
    assert done.code == 0
    count = sum(1 for _ in searcher.everything())
    said = f"{count} segments: 5 overlays, coco.json, segments.parquet written to {out}\n"
    assert done.err == said
    rows = json.loads(done.out)
    assert [row["kind"] for row in rows] == [*["overlay"] * 5, "coco", "parquet"]
    assert sorted(Path(row["file"]) for row in rows) == sorted(out.iterdir())
    assert sum(row["segments"] for row in rows[:5]) == rows[5]["segments"] == count
    data = json.loads((out / "coco.json").read_bytes())
    names = [image["file_name"] for image in data["images"]]
    assert len(names) == 5
    assert names == sorted(names)
    table = pq.read_table(out / "segments.parquet")
    assert table["vector"].null_count == 0
    recipe = json.loads(table.schema.metadata[b"segsearch"])
    assert recipe == searcher.index.recipe.to_plain()


def test_a_query(run: Callable[..., Run], tmp_path: Path, library_folder: Path) -> None:
    query = ("--text", "red star", "--all", "-k", "3")
    done = run(tmp_path / "out", *query, "--as", "crop", "--size", "40", "--format", "jsonl")
    assert done.err == f"3 segments: 3 crops written to {tmp_path / 'out'}\n"
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [Path(row["file"]).name[:4] for row in rows] == ["001-", "002-", "003-"]
    for row in rows:
        assert row["segment_id"].startswith(Path(row["file"]).stem.split("-")[-2])
        with PIL.Image.open(row["file"]) as crop:
            assert crop.size == (40, 40)
    like = ("--segment", rows[0]["segment_id"], "--all", "-k", "2")
    done = run(tmp_path / "like", *like, "--as", "sheet")
    assert done.out.split() == ["kind", "file", "segments", "sheet", done.out.split()[4], "2"]
    assert (tmp_path / "like" / "index.html").exists()
    picture = ("--image", library_folder / "a.png", "--all", "-k", "1")
    assert run(tmp_path / "picture", *picture, "--as", "mask").code == 0
    assert len(list((tmp_path / "picture").glob("001-*-mask.png"))) == 1


def test_filters_narrow_it(run: Callable[..., Run], tmp_path: Path, library_folder: Path) -> None:
    done = run(tmp_path, "--as", "coco", "--path", library_folder / "2024", "--min-area", "0.01")
    assert done.code == 0
    data = json.loads((tmp_path / "coco.json").read_bytes())
    assert {image["file_name"] for image in data["images"]} == {"2024/may.jpg", "2024/plain.png"}
    assert all(one["area"] >= 0.01 * 96 * 72 for one in data["annotations"])
    assert run(tmp_path, "--as", "coco", "-k", "4", "--offset", "1").code == 0
    assert len(json.loads((tmp_path / "coco.json").read_bytes())["annotations"]) == 4


def test_cutouts_and_backgrounds(run: Callable[..., Run], tmp_path: Path) -> None:
    kinds = ("--as", "cutout", "--trim", "--as", "background", "--background", "#00f")
    assert run(tmp_path, *kinds, "-k", "1").code == 0
    (cut,) = tmp_path.glob("*-cutout.png")
    (composed,) = tmp_path.glob("*-background.jpg")
    with PIL.Image.open(cut) as picture:
        assert picture.getchannel("A").getbbox() == (0, 0, *picture.size)
    with PIL.Image.open(composed) as picture:
        assert picture.size == (96, 72)


def test_a_picture_that_is_gone(
    run: Callable[..., Run], tmp_path: Path, library_folder: Path
) -> None:
    gone = library_folder / "2024" / "plain.png"
    kept = shutil.move(gone, tmp_path / "kept.png")
    try:
        done = run(tmp_path / "out", "--as", "overlay", "--as", "mask")
    finally:
        shutil.move(kept, gone)
    assert done.code == 3
    first, last = done.err.splitlines()
    assert first == f"not drawn: {gone}: the file is gone: run again"
    assert "4 overlays" in last


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--as"),
        (["--as", "video"], 2, "--as"),
        (["--as", "mask", "--trim"], 2, "--trim is for --as cutout"),
        (["--as", "mask", "--margin", "2"], 2, "--margin is for --as crop"),
        (["--as", "mask", "--size", "9"], 2, "--size is for --as crop"),
        (["--as", "mask", "--background", "blur"], 2, "--background is for --as background"),
        (["--as", "background", "--background", "#zz"], 2, "is not of the form #rrggbb"),
        (["--as", "background", "--background", "absent.png"], 2, "neither #rrggbb nor blur"),
        (["--as", "mask", "--text", "x", "--segment", "y"], 2, "give one of --text"),
        (["--as", "mask", "--nested"], 2, "is decided for a query"),
        (["--as", "mask", "--text", " "], 1, "the text is empty"),
        (["--as", "mask", "--segment", "y"], 1, "there is no segment y"),
        (["--as", "mask", "--image", "absent.png"], 1, "there is no picture absent.png"),
    ],
)
def test_mistakes(
    run: Callable[..., Run], tmp_path: Path, *, arguments: list[str], code: int, message: str
) -> None:
    done = run(tmp_path / "out", *arguments)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_file_in_the_way(run: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file", "--as", "coco")
    assert (done.code, done.out) == (1, "")
    assert f"cannot write to {tmp_path / 'file'}: File exists" in done.err


def test_writing_into_the_library(
    run: Callable[..., Run], tmp_path: Path, library_folder: Path
) -> None:
    out = library_folder / "exported"
    try:
        warned = run(out, "--as", "mask", "-k", "1")
        quiet = run(out, "--as", "coco", "-k", "1")
    finally:
        shutil.rmtree(out)
    assert f"warning: {out} lies in the library" in warned.err
    assert "warning" not in quiet.err


def test_stopping_it(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the second file: what is there stays, half files do not."""

    def interrupted(
        hits: Iterator[Hit], folder: Path, title: str, **how: object
    ) -> Iterator[object]:
        for count, one in enumerate(export(hits, folder, title, **how), start=1):  # type: ignore[arg-type]
            yield one
            if count == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("search.export.export.export", interrupted)
    kinds = ("--as", Kind.mask, "--as", Kind.coco, "--as", Kind.sheet)
    done = run(tmp_path / "out", *kinds)
    assert done.code == 130
    assert "stopped, without index.html, coco.json: " in done.err
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left
    assert all(name.endswith("-mask.png") for name in left)


def test_long_ones_say_how_far_they_are(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.console._LOG_PAUSE_S", 0.0)
    done = run(tmp_path, "--as", "mask", "-k", "3")
    said = [line.partition(" · ")[0] for line in done.err.splitlines()]
    assert said[:3] == ["0 segments read", "1 segments read", "2 segments read"]
    assert "3 segments written" in said
    assert said[-1] == f"3 segments: 3 masks written to {tmp_path}"
