"""`segsearch segment` in this process: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from indexer.records import Rle
from indexer.segmentation import masks
from indexer.segmentation.segmenter import Prompt, Segmenter
from search import cli
from tests.pictures import SIZE, scene, write_scene

WIDTH, HEIGHT = SIZE
POINT = (48.0, 36.0)


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, object]]:
        """What it printed as JSON."""
        rows: list[dict[str, object]] = json.loads(self.out)
        return rows


@pytest.fixture
def run_loading(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    fast_yaml: str,
) -> Callable[..., Run]:
    """Run the command in a folder with a.png, with the profile of the seeded SAM 2."""
    write_scene(tmp_path / "a.png", 0)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Run:
        words = ["segsearch", "segment", *arguments, "--profile", fast_yaml]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        code = ended.value.code
        return Run(code if isinstance(code, int) else 0, written.out, written.err)

    return run


@pytest.fixture
def run(
    run_loading: Callable[..., Run], segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Run the command likewise, with the same SAM 2, loaded already."""
    monkeypatch.setattr("search.commands.segment._load", lambda *_: segmenter)
    return run_loading


def pixels_of(file: str) -> NDArray[np.uint8]:
    with PIL.Image.open(file) as picture:
        return np.array(picture)


def mask_of(row: dict[str, object]) -> NDArray[np.bool_]:
    rle = row["rle"]
    assert isinstance(rle, dict)
    return masks.decode(Rle((rle["size"][0], rle["size"][1]), rle["counts"]))


def test_a_point_gives_three_candidates_best_first(
    run_loading: Callable[..., Run], segmenter: Segmenter
) -> None:
    done = run_loading("a.png", "--point", "48,36", "--format", "json")
    assert (done.code, done.err) == (0, "")
    pixels = np.asarray(scene(0))
    answers = segmenter.candidates(segmenter.embed(pixels), Prompt((POINT,)))
    assert len(done.rows) == 3
    for number, (row, answer) in enumerate(zip(done.rows, answers, strict=True), start=1):
        np.testing.assert_array_equal(mask_of(row), answer.mask)
        assert row["number"] == number
        assert row["chosen"] is (number == 1)
        assert row["predicted_iou"] == pytest.approx(answer.predicted_iou, abs=1e-5)
        assert row["area_px"] == answer.mask.sum()
        assert row["point"] == [48, 36]


def test_the_table_of_candidates(run: Callable[..., Run]) -> None:
    table = run("a.png", "--point", "48,36").out.splitlines()
    assert table[0].split() == ["candidate", "iou", "area", "box", "chosen"]
    assert [line.endswith("*") for line in table[1:]] == [True, False, False]


def test_the_files_show_the_candidate_that_is_wanted(run: Callable[..., Run]) -> None:
    files = ("--mask", "m.png", "--cutout", "c.png", "--overlay", "o.jpg")
    behind = ("--background", "#f80", "--composite", "b.png")
    asked = ("a.png", "--point", "48,36", "--candidate", "2", "--format", "jsonl")
    done = run(*asked, *files, *behind)
    assert done.err == "wrote m.png\nwrote c.png\nwrote o.jpg\nwrote b.png\n"
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["chosen"] for row in rows] == [False, True, False]
    mask, pixels = mask_of(rows[1]), np.asarray(scene(0))
    np.testing.assert_array_equal(pixels_of("m.png"), mask * np.uint8(255))
    cutout = pixels_of("c.png")
    np.testing.assert_array_equal(cutout[..., 3], mask * np.uint8(255))
    np.testing.assert_array_equal(cutout[mask][:, :3], pixels[mask])
    np.testing.assert_array_equal(
        pixels_of("b.png"), np.where(mask[..., None], pixels, (255, 136, 0))
    )
    assert Path("o.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (np.abs(pixels_of("o.jpg")[mask] - pixels[mask].astype(int)) > 10).any()


def test_a_trimmed_cutout_before_other_pictures(run: Callable[..., Run]) -> None:
    write_scene(Path("other.png"), 1)
    files = ("--cutout", "c.png", "--trim", "--background", "other.png", "--composite", "b.png")
    (row,) = run("a.png", "--box", "20,10,70,60", *files, "--format", "json").rows
    x0, y0, x1, y1 = masks.tight_box(masks.encode(mask_of(row)))
    assert row["box"] == [x0, y0, x1, y1]
    assert pixels_of("c.png").shape == (y1 - y0, x1 - x0, 4)
    beside = ~mask_of(row)
    np.testing.assert_array_equal(pixels_of("b.png")[beside], np.asarray(scene(1))[beside])
    run("a.png", "--box", "20,10,70,60", "--background", "blur", "--composite", "b.png")
    assert (pixels_of("b.png")[beside] != np.asarray(scene(0))[beside]).any()


def test_what_leaves_no_doubt_gives_one_mask_unless_more_are_wanted(
    run: Callable[..., Run], segmenter: Segmenter
) -> None:
    embedded = segmenter.embed(np.asarray(scene(0)))
    prompt = Prompt((POINT,), ((5.0, 5.0),), (20, 10, 70, 60))
    asked = ("a.png", "--point", "48,36", "--not-point", "5,5", "--box", "20,10,70,60")
    (row,) = run(*asked, "--format", "json").rows
    np.testing.assert_array_equal(mask_of(row), segmenter.prompt(embedded, prompt).mask)
    rows = run(*asked, "--multimask", "--candidate", "3", "--format", "json").rows
    assert [row["chosen"] for row in rows] == [False, False, True]
    (row,) = run("a.png", "--point", "48,36", "--no-multimask", "--format", "json").rows
    assert row["chosen"] is True


def test_an_empty_candidate_is_left_out(run: Callable[..., Run], segmenter: Segmenter) -> None:
    edge = Prompt(((0.0, 28.0),))
    answers = segmenter.candidates(segmenter.embed(np.asarray(scene(0))), edge)
    assert [answer.mask.any() for answer in answers] == [True, False, True]
    rows = run("a.png", "--point", "0,28", "--format", "json").rows
    assert [row["number"] for row in rows] == [1, 3]
    done = run("a.png", "--point", "0,28", "--candidate", "2", "--mask", "m.png")
    assert (done.code, done.out) == (1, "")
    assert "SAM 2 found no object there" in done.err
    assert not Path("m.png").exists()


def test_refining_gives_the_answer_back(run: Callable[..., Run], segmenter: Segmenter) -> None:
    embedded, prompt = segmenter.embed(np.asarray(scene(0))), Prompt((POINT,))
    answer = segmenter.candidates(embedded, prompt)[1]
    for _ in range(2):
        answer = segmenter.refine(embedded, prompt, answer)
    asked = ("a.png", "--point", "48,36", "--candidate", "2", "--refine", "2")
    (row,) = run(*asked, "--format", "json").rows
    np.testing.assert_array_equal(mask_of(row), answer.mask)
    assert row["chosen"] is True


@pytest.mark.parametrize("kind", ["L", "ones", "RGBA", "opaque"])
def test_a_rough_mask(run: Callable[..., Run], segmenter: Segmenter, kind: str) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[20:50, 30:70] = True
    grey = mask.astype(np.uint8) * (1 if kind == "ones" else 255)
    picture = PIL.Image.fromarray(grey)
    if kind == "RGBA":  # a cut-out of something dark
        picture = PIL.Image.merge("RGBA", [PIL.Image.new("L", SIZE, 9)] * 3 + [picture])
    if kind == "opaque":
        picture = picture.convert("RGBA")
    picture.save("rough.png")
    expected = segmenter.prompt(segmenter.embed(np.asarray(scene(0))), Prompt(mask=mask))
    (row,) = run("a.png", "--mask-prompt", "rough.png", "--format", "json").rows
    np.testing.assert_array_equal(mask_of(row), expected.mask)


def test_everything(run: Callable[..., Run], segmenter: Segmenter) -> None:
    files = ("--mask", "m.png", "--overlay", "o.png")
    done = run("a.png", "--all", *files, "--format", "json")
    regions = segmenter.automatic(np.asarray(scene(0)))
    assert done.err == f"{len(regions)} objects\nwrote m.png\nwrote o.png\n"
    rows = done.rows
    assert len(rows) == len(regions) > 5
    assert [row["area_px"] for row in rows] == [region.area_px for region in regions]
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    parents = [None if r.parent is None else r.parent + 1 for r in regions]
    assert [row["parent"] for row in rows] == parents
    assert "chosen" not in rows[0]
    labels = pixels_of("m.png")
    assert labels.shape == (HEIGHT, WIDTH)
    smallest = rows[-1]
    assert (labels[mask_of(smallest)] == smallest["number"]).all()
    colours = {tuple(colour) for colour in pixels_of("o.png").reshape(-1, 3).tolist()}
    assert (255, 45, 120) in colours


def test_a_detectors_boxes(run: Callable[..., Run], tmp_path: Path) -> None:
    boxes: list[dict[str, object]] = [
        {"file_name": "a.png", "bbox": [10, 10, 40, 30], "category_name": "mug", "score": 0.9},
        {"file_name": "a.png", "bbox": [500, 10, 40, 30], "category_name": "far away"},
        {"file_name": "b.png", "bbox": [10, 10, 40, 30], "category_name": "of another"},
    ]
    Path("found.json").write_text(json.dumps(boxes), encoding="utf-8")
    done = run(str(tmp_path / "a.png"), "--boxes", "found.json", "--mask", "m.png")
    assert done.err == "1 object; no mask for 1 of 2 boxes\nwrote m.png\n"
    heading, line = done.out.splitlines()
    assert heading.split()[-3:] == ["label", "label", "score"]
    assert line.split()[-2:] == ["mug", "0.900"]
    assert np.unique(pixels_of("m.png")).tolist() == [0, 1]
    for one in boxes:
        one.pop("category_name")
    Path("unnamed.json").write_text(json.dumps(boxes), encoding="utf-8")
    heading = run("a.png", "--boxes", "unnamed.json").out.splitlines()[0]
    assert heading.split() == ["object", "inside", "iou", "stability", "area", "box"]
    both = run("a.png", "--boxes", "found.json", "--all", "--format", "json").rows
    assert len(both) > 5
    assert [row["label_score"] for row in both if row["label"] == "mug"] == [0.9]


def test_the_picture_is_turned_as_exif_says(run: Callable[..., Run]) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    scene(0).save("turned.jpg", exif=exif)
    run("turned.jpg", "--point", "36,90", "--mask", "m.png")
    assert pixels_of("m.png").shape == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("a.png", 2, "say what to cut out: --point, --box, --mask-prompt, --boxes or --all"),
        ("a.png --not-point 3,4", 2, "--not-point alone does not say what to cut out"),
        ("a.png --point 3", 2, "'3' is not of the form x,y, in pixels"),
        ("a.png --box 1,2,3", 2, "'1,2,3' is not of the form x0,y0,x1,y1, in pixels"),
        ("a.png --all --point 3,4", 2, "--all and --boxes look for many objects"),
        ("a.png --boxes f.json --not-point 3,4", 2, "--all and --boxes look for many objects"),
        ("a.png --all --candidate 2", 2, "--candidate and --refine are for one object"),
        ("a.png --all --no-multimask", 2, "--candidate and --refine are for one object"),
        ("a.png --all --cutout c.png", 2, "--cutout and --composite are for one object"),
        ("a.png --box 1,2,30,40 --candidate 2", 2, "there is no candidate 2"),
        ("a.png --point 3,4 --no-multimask --candidate 2", 2, "there is no candidate 2"),
        ("a.png --point 3,4 --candidate 4", 2, "--candidate"),
        ("a.png --point 3,4 --trim", 2, "add --cutout FILE"),
        ("a.png --point 3,4 --background blur", 2, "--background and --composite belong together"),
        ("a.png --point 3,4 --composite b.png", 2, "--background and --composite belong together"),
        ("a.png --point 3,4 --background red --composite b.png", 2, "neither #rrggbb nor blur"),
        ("a.png --point 3,4 --background #ff --composite b.png", 2, "'#ff' is not of the form"),
        ("a.png --point 3,4 --mask m.jpg", 2, "--mask m.jpg must end in .png"),
        ("a.png --point 3,4 --cutout c", 2, "--cutout c must end in .png"),
        ("a.png --point 3,4 --overlay o.gif", 2, "o.gif must end in .png or .jpg or .jpeg"),
        ("a.png --point 3,4 --mask a.png", 2, "--mask a.png is read as well"),
        ("a.png --point 3,4 --mask m.png --cutout ./m.png", 2, "two files of the same name"),
        ("a.png --point 3,4 --mask no/m.png", 1, "cannot write no/m.png: there is no folder no"),
        ("a.png --point 3,4 --mask folder.png", 1, "cannot write folder.png: it is a folder"),
        ("absent.png --all", 1, "there is no picture absent.png"),
        ("a.png --point 96,4", 1, "the point 96,4 lies outside the picture of 96×72 pixels"),
        ("a.png --mask-prompt absent.png", 1, "there is no picture absent.png"),
        ("a.png --mask-prompt small.png", 1, "the mask of the prompt has 5×4 pixels"),
        ("a.png --mask-prompt black.png", 1, "the mask of the prompt is empty"),
        ("a.png --boxes found.json", 1, "found.json has no boxes for a.png"),
    ],
)
def test_mistakes(
    run: Callable[..., Run],
    *,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    code: int,
    message: str,
) -> None:
    def unexpected(*_: object) -> Segmenter:
        raise AssertionError("mistakes are found before the model is loaded")

    monkeypatch.setattr("search.commands.segment._load", unexpected)
    PIL.Image.new("L", (5, 4), 255).save("small.png")
    PIL.Image.new("L", SIZE, 0).save("black.png")
    Path("folder.png").mkdir()
    Path("found.json").write_text("[]", encoding="utf-8")
    before = Path("a.png").read_bytes()
    done = run(*arguments.split())
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert Path("a.png").read_bytes() == before


def test_a_full_disk_is_an_error_in_words(run: Callable[..., Run]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    Path("m.png").symlink_to("/dev/full")
    done = run("a.png", "--point", "48,36", "--mask", "m.png")
    assert done.code == 1
    assert "error: cannot write m.png: No space left on device" in done.err
    assert not Path("/dev/full").is_file()


def test_a_link_is_written_through(run: Callable[..., Run]) -> None:
    Path("real.png").touch()
    Path("m.png").symlink_to("real.png")
    assert run("a.png", "--point", "48,36", "--mask", "m.png").code == 0
    assert Path("m.png").is_symlink()
    assert Path("real.png").stat().st_size > 0


def test_a_file_that_cannot_be_written_whole_is_not_there(run: Callable[..., Run]) -> None:
    Path("m.png").write_text("as it was")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))  # no file may be longer
    try:
        done = run("a.png", "--point", "48,36", "--mask", "m.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.code == 1
    assert "error: cannot write m.png: File too large" in done.err
    assert Path("m.png").read_text() == "as it was"
    assert [path.name for path in Path().iterdir() if path.name.endswith(".part")] == []
