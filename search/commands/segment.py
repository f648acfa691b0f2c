"""`segsearch segment`: cut objects out of one picture, by hand or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console, malloc
from indexer.console import DeviceOption, Format, FormatOption
from search.commands import parsing
from search.commands.options import PromptOptions, with_bags
from search.commands.segment_files import Files
from search.commands.segment_question import CANDIDATES, Found, Question, cut_many, cut_one

if TYPE_CHECKING:
    from indexer.segmentation.segmenter import Segmenter

_ONE_COLUMNS = {
    "candidate": "number",
    "iou": "predicted_iou",
    "area": "area_fraction",
    "box": "box",
    "chosen": "chosen",
}
_MANY_COLUMNS = {
    "object": "number",
    "inside": "parent",
    "iou": "predicted_iou",
    "stability": "stability_score",
    "area": "area_fraction",
    "box": "box",
    "label": "label",
    "label score": "label_score",
}

BoxesOption = Annotated[
    Path | None,
    typer.Option(metavar="JSON", help="COCO JSON of a detector: one object in each of its boxes."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Everything there is, as the profile says.")]
MultimaskOption = Annotated[
    bool | None,
    typer.Option(
        "--multimask/--no-multimask",
        help="Ask for three masks.",
        show_default="three for a single point, one for anything else",
    ),
]
CandidateOption = Annotated[
    int, typer.Option(min=1, max=CANDIDATES, help="Which of three masks to write; 1 is the best.")
]
RefineOption = Annotated[
    int, typer.Option(min=0, max=100, help="Give the answer back to be refined, so many times.")
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PNG", help="Write the mask, 0 and 255; of many objects their numbers, 16 bits."
    ),
]
CutoutOption = Annotated[
    Path | None, typer.Option(metavar="PNG", help="Write the object on a transparent background.")
]
TrimOption = Annotated[
    bool, typer.Option("--trim", help="Cut the cut-out to the object's box, not the whole frame.")
]
OverlayOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the picture with the masks drawn.")
]
BackgroundOption = Annotated[
    str | None,
    typer.Option(metavar="#RRGGBB|blur|PICTURE", help="What is behind it in the --composite."),
]
CompositeOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the object before the --background.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option(help="A packaged profile, or the path of a YAML file.", show_default="balanced"),
]


@with_bags
def segment(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="Any picture.", show_default=False)
    ],
    *,
    where: PromptOptions,
    boxes: BoxesOption = None,
    everything: AllOption = False,
    multimask: MultimaskOption = None,
    candidate: CandidateOption = 1,
    refine: RefineOption = 0,
    mask: MaskOption = None,
    cutout: CutoutOption = None,
    trim: TrimOption = False,
    overlay: OverlayOption = None,
    background: BackgroundOption = None,
    composite: CompositeOption = None,
    profile: ProfileOption = None,
    device: DeviceOption = "auto",
    output: FormatOption = Format.table,
) -> None:
    """Cut objects out of one picture; no index is needed.

    \b
    Examples:
      segsearch segment q.jpg --point 120,200 --overlay o.jpg --mask m.png --profile balanced
      segsearch segment q.jpg --box 100,80,300,260 --cutout cut.png --trim --profile balanced
      segsearch segment q.jpg --mask-prompt m.png --background blur --composite x.jpg --profile demo
      segsearch segment q.jpg --all --overlay all.png --format json --profile demo
    """
    wanted = (where.mask_prompt, boxes, everything, multimask, candidate, refine)
    on, beside, around = where.places()
    question = Question(on, beside, around, *wanted)
    files = Files(mask, cutout, trim, overlay, background, composite)
    found = _answer(picture, question, files, profile, device)
    _show(found, question, output)


def _answer(
    picture: Path, question: Question, files: Files, profile: str | None, device: str
) -> list[Found]:
    """Ask, write the files, and return what was found."""
    pixels = parsing.picture(picture)
    inputs = (picture, question.mask, question.boxes)
    files.check([path for path in inputs if path is not None], many=question.many)
    behind, detections = files.behind(), question.detections(picture)
    if question.many:
        malloc.keep_freed_memory()
        segmenter = _load(profile, device)
        found = cut_many(segmenter, pixels, detections, everything=question.everything)
        console.say(_count(found, len(detections)))
    else:
        prompt = question.prompt((pixels.shape[0], pixels.shape[1]))
        found = cut_one(_load(profile, device), pixels, prompt, question)
    chosen = [one.region for one in found if one.chosen]
    for file in files.write(pixels, chosen, behind, many=question.many):
        console.say(f"wrote {console.readable(file)}")
    return found


def _load(profile: str | None, device: str) -> Segmenter:
    from indexer.loading import DEFAULT_PROFILE
    from indexer.models import choose_device, choose_precision
    from indexer.profiles import load_profile
    from indexer.segmentation.segmenter import Segmenter

    loaded, place = load_profile(profile or DEFAULT_PROFILE), choose_device(device)
    return Segmenter(loaded.sam2, loaded.masks, place, choose_precision("auto", place))


def _count(found: Sequence[Found], boxes: int) -> str:
    objects = f"{len(found)} object{'' if len(found) == 1 else 's'}"
    without = boxes - sum(one.region.point is None for one in found)  # the grid's have a point
    return f"{objects}; no mask for {without} of {boxes} boxes" if without else objects


def _show(found: Sequence[Found], question: Question, output: Format) -> None:
    rows = [_row(one) for one in found]
    if question.many:
        labelled = any(one.region.label is not None for one in found)
        columns = {
            name: key for name, key in _MANY_COLUMNS.items() if labelled or "label" not in key
        }
    else:
        columns = _ONE_COLUMNS
        for row, one in zip(rows, found, strict=True):
            shown = "*" if one.chosen else ""
            row["chosen"] = shown if output is Format.table else one.chosen
    console.write_rows(rows, output, columns)


def _row(one: Found) -> dict[str, Any]:
    """Return a region as plain data, for JSON; see docs/formats.md."""
    region = one.region
    return {
        "number": one.number,
        "box": list(region.box),
        "area_px": region.area_px,
        "area_fraction": region.area_fraction,
        "predicted_iou": region.predicted_iou,
        "stability_score": region.stability_score,
        "point": region.point,
        "parent": None if region.parent is None else region.parent + 1,
        "depth": region.depth,
        "label": region.label,
        "label_score": region.label_score,
        "rle": {"size": list(region.rle.size), "counts": region.rle.counts},
    }
