"""`search eval`: how good masks and search are on one's own pictures."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console, malloc
from indexer.console import DeviceOption, Format, FormatOption
from indexer.errors import SegsearchError
from indexer.progress import duration
from indexer.work import BATCH_SIZE

if TYPE_CHECKING:
    from search.evaluation.coco import Id
    from search.evaluation.evaluate import Evaluation, Skipped
    from search.evaluation.truth import Truth

Row = dict[str, Any]

#: Pictures that are named at most, of those left out.
_NAMED = 10

_SEARCH_COLUMNS = {
    "searched": "searched",
    "size": "size",
    "queries": "queries",
    "mAP": "map",
    "95 % from": "map_low",
    "to": "map_high",
    "R@1": "r1",
    "R@5": "r5",
    "R@10": "r10",
}
#: Part of the rows → its title and the columns of its table.
_TABLES = {
    "data": (
        "Evaluated",
        {
            "SAM 2": "sam2",
            "CLIP": "clip",
            "pictures": "pictures",
            "skipped": "skipped",
            "objects": "objects",
            "kinds": "kinds",
            "segments a picture": "segments_per_picture",
            "seconds a picture": "segmenting_seconds",
        },
    ),
    "masks": (
        "Objects that automatic masks find, by the object's share of the picture",
        {
            "size": "size",
            "objects": "objects",
            "IoU ≥ 0.5": "recall_50",
            "IoU ≥ 0.75": "recall_75",
            "mean IoU": "mean_iou",
        },
    ),
    "text": ("text → segment, by the size of the answers", _SEARCH_COLUMNS),
    "segment": ("segment → segment, by the size of the object asked with", _SEARCH_COLUMNS),
    "caption": (
        "caption → picture",
        {heading: key for heading, key in _SEARCH_COLUMNS.items() if heading != "size"},
    ),
    "recipe": (
        "Recipes on true masks, mAP, best first",
        {
            "crop_margin": "crop_margin",
            "surroundings": "surroundings",
            "focus_weight": "focus_weight",
            "text": "text_map",
            "segment": "segment_map",
            "mean": "mean_map",
            "": "mark",
        },
    ),
}

CocoOption = Annotated[
    Path, typer.Option(metavar="FILE", help="COCO JSON of the pictures' objects, with masks.")
]
CaptionsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="COCO JSON of captions, with the same ids.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option(help="A packaged profile, or the path of a YAML file.", show_default="balanced"),
]
AttributeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Ask for objects by this attribute, too: red star; repeatable."
    ),
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only the first so many pictures.")]
RecipesOption = Annotated[
    bool, typer.Option("--recipes", help="Also compare margins, surroundings and focus weights.")
]
SaveOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write evaluation.json and charts there.")
]


def eval(  # noqa: A001 - the command's name
    folder: Annotated[Path, typer.Argument(help="The pictures.")],
    *,
    coco: CocoOption,
    captions: CaptionsOption = None,
    profile: ProfileOption = None,
    attribute: AttributeOption = None,
    limit: LimitOption = None,
    recipes: RecipesOption = False,
    save: SaveOption = None,
    device: DeviceOption = "auto",
    output: FormatOption = Format.table,
) -> None:
    """Measure masks and search on your own pictures; no index is needed.

    Masks: how many objects have an automatic mask of IoU ≥ 0.5 and 0.75. Search: mAP with its
    95 % interval, and the share of queries with a right answer among the first k. Objects are
    small below 1 % of their picture, medium below 5 %, large from there.

    \b
    Examples:
      search eval ./photos --coco instances.json --profile demo
      search eval ./photos --coco instances.json --captions captions.json --profile demo
      search eval ./photos --coco instances.json --profile demo --recipes --save ./eval
      search eval ./photos --coco instances.json --profile demo --attribute colour --limit 50
    """
    malloc.keep_freed_memory()
    if save is not None:
        with _writing(save):
            save.mkdir(parents=True, exist_ok=True)
    truth, known = _read(folder, coco, captions, attribute or [], limit)
    rows, skipped = _measured(truth, known, profile, device, recipes=recipes)
    _say_skipped(skipped)
    _write(rows, output)
    if save is not None:
        _save(rows, save)
    if skipped:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _read(
    folder: Path, coco: Path, captions: Path | None, attributes: list[str], limit: int | None
) -> tuple[Truth, Mapping[Id, Sequence[str]] | None]:
    """Read the truth and the captions, and say what of it is not used."""
    from search.evaluation.coco import read_captions, read_instances
    from search.evaluation.truth import read_truth

    known = None if captions is None else read_captions(captions)
    truth = read_truth(read_instances(coco), folder, attributes, limit)
    if known is not None and not any(picture.id in known for picture in truth.pictures):
        raise SegsearchError(
            f"{captions} has no caption of a picture of {coco}", "both must use the same image ids"
        )
    if truth.backgrounds:
        console.say(f"left out, for they are no things: {', '.join(truth.backgrounds)}")
    if truth.without_mask:
        console.say(f"left out: {truth.without_mask} annotations without a pixel of a mask")
    return truth, known


def _measured(
    truth: Truth,
    captions: Mapping[Id, Sequence[str]] | None,
    profile: str | None,
    device: str,
    *,
    recipes: bool,
) -> tuple[list[Row], list[Skipped]]:
    """Load the models, look at every picture, and return the figures and what was left out."""
    try:
        evaluation = _seen(truth, profile, device, recipes=recipes)
        rows = evaluation.rows(captions, lambda stage: console.say(f"searching: {stage}"))
    except KeyboardInterrupt:
        console.say("\nstopped: there are no figures; --limit takes fewer pictures")
        raise typer.Exit(console.EXIT_INTERRUPTED) from None
    return rows, evaluation.skipped


def _seen(truth: Truth, profile: str | None, device: str, *, recipes: bool) -> Evaluation:
    """Return the evaluation that has seen all pictures."""
    from indexer.loading import DEFAULT_PROFILE, Choice, Loader
    from indexer.profiles import load_profile

    given = load_profile(profile or DEFAULT_PROFILE)
    choice = Choice(
        profile=given,
        device=device,
        precision="auto",
        merge=True,
        boxes=False,
        grid=True,
        batch_size=BATCH_SIZE,
        points_per_batch=None,
    )
    models = Loader(choice).models()
    from search.evaluation.evaluate import Evaluation

    evaluation = Evaluation(models, given.clip, recipes=recipes)
    status, began = console.StatusLine(), time.monotonic()
    for done, picture in enumerate(truth.pictures):
        status.show(partial(_line, done, len(truth.pictures), began))
        evaluation.see(picture)
    status.end()
    if not any(picture.objects for picture in evaluation.pictures):
        _say_skipped(evaluation.skipped)
        raise SegsearchError(
            "no picture with objects could be evaluated", "see above what is wrong with them"
        )
    return evaluation


def _line(done: int, total: int, began: float) -> str:
    left = (time.monotonic() - began) / max(done, 1) * (total - done)
    return f"{done} of {total} pictures, {duration(left)} to go"


def _say_skipped(skipped: Sequence[Skipped]) -> None:
    for one in skipped[:_NAMED]:
        console.say(f"left out: {console.one_line(one.name)}: {one.reason}")
    if len(skipped) > _NAMED:
        console.say(f"left out: {len(skipped) - _NAMED} more pictures")


def _write(rows: Sequence[Row], output: Format) -> None:
    if output is not Format.table:
        console.write_rows(rows, output, {})
        return
    for number, (part, (title, columns)) in enumerate(_TABLES.items()):
        chosen = [row for row in rows if row["part"] == part]
        if not chosen:
            continue
        console.write(("\n" if number else "") + title)
        if shown := [row for row in chosen if row.get("queries") != 0]:
            console.write_rows(shown, output, columns)
        else:
            console.write("nothing to ask: no kind of object is in two pictures")
    for row in rows:
        if row["part"] == "advice":
            console.write(row["words"])


def _save(rows: Sequence[Row], folder: Path) -> None:
    from search.evaluation.charts import save_charts

    with _writing(folder):
        text = json.dumps(rows, indent=2, ensure_ascii=False)
        (folder / "evaluation.json").write_text(text + "\n", encoding="utf-8")
        charts = save_charts(rows, folder)
    for path in (folder / "evaluation.json", *charts):
        console.say(f"wrote {console.short_path(path)}")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what the system says against writing there into an error that names the folder."""
    try:
        yield
    except OSError as error:
        raise SegsearchError(
            f"{folder} cannot be written: {error.strerror}", "name another folder for --save"
        ) from error
