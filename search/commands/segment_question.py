"""What `segsearch segment` asks SAM 2 about one picture, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from indexer import console
from indexer.errors import QueryError
from search.commands import parsing

if TYPE_CHECKING:
    from indexer.crops import Pixels
    from indexer.detections import Detection
    from indexer.records import Box, Region
    from indexer.segmentation.segmenter import Prompt, Segmenter

#: SAM 2 gives as many masks for one prompt.
CANDIDATES = 3


@dataclass(frozen=True)
class Found:
    """A region that was found.

    Attributes:
        number: its rank among the candidates for a prompt, or its place among all regions; from 1.
        region: the region.
        chosen: whether the files show it.
    """

    number: int
    region: Region
    chosen: bool


@dataclass(frozen=True)
class Question:
    """What to cut out of a picture.

    Attributes:
        points: (x, y) pixels on the object.
        not_points: (x, y) pixels beside it.
        box: half-open pixel box around it.
        mask: the file of a rough mask of it.
        boxes: the file of a detector's boxes: one object in each.
        everything: all there is, instead of one object or beside the boxes.
        multimask: whether three masks are asked for; None: for a single point.
        candidate: which of them is wanted, by rank; 1 is the best.
        refine: how often the answer is given back to be refined.
    """

    points: tuple[parsing.XY, ...] = ()
    not_points: tuple[parsing.XY, ...] = ()
    box: Box | None = None
    mask: Path | None = None
    boxes: Path | None = None
    everything: bool = False
    multimask: bool | None = None
    candidate: int = 1
    refine: int = 0

    def __post_init__(self) -> None:
        on_it = bool(self.points) or self.box is not None or self.mask is not None
        if self.many and (on_it or self.not_points):
            raise typer.BadParameter(
                "--all and --boxes look for many objects, --point, --not-point, --box and "
                "--mask-prompt for one: give the one or the other"
            )
        if self.many and (self.multimask is not None or self.candidate > 1 or self.refine):
            raise typer.BadParameter(
                "--multimask, --candidate and --refine are for one object: leave them out with "
                "--all and --boxes"
            )
        if not self.many and not on_it:
            if self.not_points:
                raise typer.BadParameter(
                    "--not-point alone does not say what to cut out: add --point, --box or "
                    "--mask-prompt"
                )
            raise typer.BadParameter(
                "say what to cut out: --point, --box, --mask-prompt, --boxes or --all"
            )

    @property
    def many(self) -> bool:
        """Whether it may have several answers that all count."""
        return self.everything or self.boxes is not None

    def detections(self, picture: Path) -> tuple[Detection, ...]:
        """Read the detector's boxes in a picture.

        Raises:
            SegsearchError: the file cannot be read, or says nothing about the picture.
        """
        if self.boxes is None:
            return ()
        from indexer import library
        from indexer.detections import load_detections

        found = load_detections(self.boxes).of(library.storable(str(picture.absolute())))
        if not found:
            raise QueryError(
                f"{self.boxes} has no boxes for {console.readable(picture)}",
                "its file_name must be the picture's path, or the end of it",
            )
        return found

    def prompt(self, size: tuple[int, int]) -> Prompt:
        """Return the prompt for one object; reads the rough mask.

        Args:
            size: (height, width) of the picture.

        Raises:
            typer.BadParameter: there will not be as many candidates.
            QueryError: the mask cannot be used, or the prompt does not fit the picture.
        """
        from indexer.segmentation.segmenter import Prompt

        mask = None if self.mask is None else parsing.mask(self.mask)
        prompt = Prompt(self.points, self.not_points, self.box, mask=mask)
        prompt.check(size)
        if self.candidate > 1 and not self.wants_three(prompt):
            raise typer.BadParameter(
                f"there is no candidate {self.candidate}: only a single point gives three masks; "
                "for others, add --multimask"
            )
        return prompt

    def wants_three(self, prompt: Prompt) -> bool:
        """Whether SAM 2 is asked for three masks."""
        return prompt.is_ambiguous if self.multimask is None else self.multimask


def cut_one(
    segmenter: Segmenter, pixels: Pixels, prompt: Prompt, question: Question
) -> list[Found]:
    """Cut out the object that the prompt points at.

    Returns:
        The candidates, best first, without empty ones; a single one after refining.

    Raises:
        QueryError: SAM 2 finds nothing.
    """
    embedded, chosen = segmenter.embed(pixels), question.candidate
    if question.wants_three(prompt):
        answers = segmenter.candidates(embedded, prompt)
    else:
        answers = [segmenter.prompt(embedded, prompt)]
    for _ in range(question.refine):
        answers, chosen = [segmenter.refine(embedded, prompt, answers[chosen - 1])], 1
    regions = [answer.region(prompt) for answer in answers]
    if regions[chosen - 1] is None:
        raise QueryError(
            "SAM 2 found no object there", "try another point, more points, a box or a mask"
        )
    return [
        Found(number, region, number == chosen)
        for number, region in enumerate(regions, start=1)
        if region is not None
    ]


def cut_many(
    segmenter: Segmenter, pixels: Pixels, detections: tuple[Detection, ...], *, everything: bool
) -> list[Found]:
    """Cut out what is in a detector's boxes, or everything, or both: larger objects first."""
    regions = segmenter.automatic(pixels, detections, grid=everything)
    return [Found(number, region, True) for number, region in enumerate(regions, start=1)]
