"""`search eval` in this process: what it prints, writes and refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from indexer import console
from indexer.demo.scenes import write_library
from search import cli

#: The corners of a square of 20 pixels, in pictures of 96 × 72.
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["search", "eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.search_main()
        code, written = ended.value.code, capsys.readouterr()
        return (code if isinstance(code, int) else 0), written.out, written.err

    return run


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_library(folder, 2)
    return folder


def write_truth(folder: Path, *names: str, **annotation: Any) -> Path:  # noqa: ANN401
    """Write the truth about plain pictures of 96 × 72 pixels, with a square in each."""
    images = [
        {"id": number, "file_name": name, "width": 96, "height": 72}
        for number, name in enumerate(names)
    ]
    square = {"category_id": 1, "segmentation": [SQUARE], **annotation}
    annotations = [{"image_id": image["id"], **square} for image in images]
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "mug"}]}
    path = folder / "instances.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_json_and_what_is_saved(
    run: Callable[..., tuple[int, str, str]], scenes: Path, fast_yaml: str, tmp_path: Path
) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"annotations": [{"image_id": 2, "caption": "a star"}]}))
    truth, out = scenes / "annotations.json", tmp_path / "out" / "here"
    code, printed, said = run(
        *(scenes, "--coco", truth, "--captions", captions, "--profile", fast_yaml),
        *("--attribute", "colour", "--format", "json", "--save", out),
    )
    assert code == 0, said
    rows = json.loads(printed)
    about = [rows[0][key] for key in ("part", "pictures", "sam2", "clip", "precision")]
    assert about == ["data", 2, "sam2_seeded.yaml", "clip_tiny.json", "float32"]
    assert {row["part"] for row in rows} == {"data", "masks", "text", "segment", "caption"}
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8")) == rows
    assert {path.name for path in out.glob("*.png")} == {"masks.png", "search.png", "captions.png"}
    assert "left out, for they are no things: background" in said
    assert str(out / "search.png") in said


def test_a_table_for_each_part(
    run: Callable[..., tuple[int, str, str]], scenes: Path, fast_yaml: str
) -> None:
    code, printed, said = run(
        *(scenes, "--coco", scenes / "annotations.json", "--profile", fast_yaml),
        *("--limit", "1", "--recipes"),
    )
    assert code == 0, said
    lines = printed.splitlines()
    assert lines[0] == "Evaluated"
    for title, rows in (("Objects that", 4), ("text →", 12), ("Recipes on", 36)):
        (at,) = [number for number, line in enumerate(lines) if line.startswith(title)]
        assert len(list(filter(None, lines[at + 2 : at + 2 + rows]))) == rows
    assert "recipe" in lines[-1] or "profile" in lines[-1]
    (whole,) = [line for line in lines if line.startswith("1.200") and line.endswith("profile")]
    assert whole.split()[1:3] == ["kept", "0.700"]


def test_pictures_that_are_left_out_are_named(
    run: Callable[..., tuple[int, str, str]], fast_yaml: str, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path, "a.png", "other.png", *(f"gone {n}.png" for n in range(12)))
    PIL.Image.new("RGB", (96, 72), "grey").save(tmp_path / "a.png")
    PIL.Image.new("RGB", (72, 96), "grey").save(tmp_path / "other.png")
    code, printed, said = run(
        tmp_path, "--coco", truth, "--profile", fast_yaml, "--format", "jsonl"
    )
    assert code == console.EXIT_SOME_FAILED
    assert json.loads(printed.splitlines()[0])["skipped"] == 13
    assert "left out: other.png: it has 72×96 pixels, the annotations say 96×72: they are" in said
    assert "left out: gone 8.png: it is not in the folder" in said
    assert "gone 9.png" not in said
    assert "left out: 3 more pictures" in said


def test_no_picture_can_be_used(
    run: Callable[..., tuple[int, str, str]], fast_yaml: str, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path, "a.png")
    (tmp_path / "a.png").write_bytes(b"no picture")
    code, printed, said = run(tmp_path, "--coco", truth, "--profile", fast_yaml)
    assert (code, printed) == (1, "")
    assert "left out: a.png" in said
    assert "error: no picture with objects could be evaluated" in said


def test_ctrl_c_ends_it_with_a_word(
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    fast_yaml: str,
    tmp_path: Path,
) -> None:
    truth = write_truth(tmp_path, "a.png")
    PIL.Image.new("RGB", (96, 72), "grey").save(tmp_path / "a.png")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("search.evaluation.evaluate.Evaluation.see", interrupted)
    code, printed, said = run(tmp_path, "--coco", truth, "--profile", fast_yaml)
    assert (code, printed) == (console.EXIT_INTERRUPTED, "")
    assert "stopped: there are no figures" in said


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none", "--coco", "instances.json"], 1, "there is no folder none"),
        ([".", "--coco", "none.json"], 1, "none.json cannot be read"),
        ([".", "--coco", "instances.json", "--attribute", "hue"], 1, "leave --attribute out"),
        (
            [".", "--coco", "instances.json", "--captions", "other.json"],
            1,
            "no caption of a picture",
        ),
        ([".", "--coco", "instances.json", "--profile", "dmeo"], 1, "there is no profile 'dmeo'"),
        ([".", "--coco", "instances.json", "--limit", "0"], 2, "--limit"),
        (["."], 2, "--coco"),
    ],
)
def test_mistakes(
    run: Callable[..., tuple[int, str, str]],
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_truth(tmp_path, "a.png")
    PIL.Image.new("RGB", (96, 72)).save(tmp_path / "a.png")
    other = {"annotations": [{"image_id": 99, "caption": "a mug"}]}
    (tmp_path / "other.json").write_text(json.dumps(other), encoding="utf-8")
    ended, printed, said = run(*arguments)
    assert ended == code
    assert message in said
    assert "Traceback" not in said
    assert printed == ""


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    run: Callable[..., tuple[int, str, str]], scenes: Path, tmp_path: Path
) -> None:
    shutil.copy(scenes / "annotations.json", tmp_path / "file")
    code, printed, said = run(
        *(scenes, "--coco", scenes / "annotations.json", "--save", tmp_path / "file" / "out"),
        *("--profile", "such a profile is never looked for"),
    )
    assert (code, printed) == (1, "")
    assert "out cannot be written: Not a directory" in said
