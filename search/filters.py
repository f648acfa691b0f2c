"""What hits are narrowed to, as the user says it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from indexer.errors import QueryError
from indexer.roots import prefixes
from indexer.store.base import AnyOf, Condition, Filter, Match, Prefix, Range
from indexer.store.points import time_text


@dataclass(frozen=True)
class Filters:
    """Conditions that all hits fulfil; None is no condition.

    Attributes:
        path: a folder (one that exists, or any text that ends in "/") selects the pictures below
            it; anything else those whose path begins so. Relative to the working directory.
        min_area: least share of the picture that the segment covers, 0 to 1.
        max_area: largest share, likewise.
        since: first day on which the picture was taken, in the camera's local time.
        until: last day, likewise.
        label: what a detector called the segment, exactly so; one of several.
        min_label_score: how sure the detector was at least, 0 to 1.
    """

    path: str | Path | None = None
    min_area: float | None = None
    max_area: float | None = None
    since: date | None = None
    until: date | None = None
    label: str | Sequence[str] | None = None
    min_label_score: float | None = None

    def to_store(self, roots: dict[str, Path]) -> Filter:
        """Return the filter in the store's terms.

        Args:
            roots: the library roots of the index, id → absolute path.

        Raises:
            QueryError: the path lies in no root, a range is empty, or a number or a label makes
                no sense.
        """
        must: list[Condition] = []
        if self.path is not None:
            must.append(_below(self.path, roots))
        must += self._of_segments()
        if self.since is not None or self.until is not None:
            _check_order(self.since, self.until, "date")
            first = None if self.since is None else datetime.combine(self.since, time.min)
            last = None if self.until is None else datetime.combine(self.until, time.max)
            must.append(Range("taken_at", gte=time_text(first), lte=time_text(last)))
        return Filter(tuple(must))

    def check_for_images(self) -> None:
        """Refuse what only segments have, where whole pictures are ranked.

        Raises:
            QueryError: there is a condition on the area or on the label.
        """
        if self.min_area is not None or self.max_area is not None:
            raise QueryError("whole pictures have no area to filter by", "leave the area out")
        if self.label is not None or self.min_label_score is not None:
            raise QueryError("whole pictures have no label to filter by", "leave the label out")

    def _of_segments(self) -> list[Condition]:
        """Return the conditions that only segments can fulfil."""
        must: list[Condition] = []
        if self.min_area is not None or self.max_area is not None:
            for share in (self.min_area, self.max_area):
                if share is not None and not 0 <= share <= 1:
                    raise QueryError(f"an area of {share} is none", "give a share from 0 to 1")
            _check_order(self.min_area, self.max_area, "area")
            must.append(Range("area_fraction", gte=self.min_area, lte=self.max_area))
        if self.label is not None:
            labels = (self.label,) if isinstance(self.label, str) else tuple(self.label)
            if not labels:
                raise QueryError("the list of labels is empty", "name at least one")
            must.append(Match("label", labels))
        if self.min_label_score is not None:
            if not 0 <= self.min_label_score <= 1:
                raise QueryError(
                    f"a label's score is never {self.min_label_score}", "give one from 0 to 1"
                )
            must.append(Range("label_score", gte=self.min_label_score))
        return must


def _below(path: str | Path, roots: dict[str, Path]) -> Condition:
    absolute = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - keeps links
    folder = absolute.is_dir() or str(path).endswith("/")
    # a link inside the library is indexed by its own path, one that leads there is not
    named = {*prefixes(absolute, roots, folder=folder)}
    found = named | {*prefixes(absolute.resolve(), roots, folder=folder)}
    if not found:
        known = ", ".join(str(root) for root in roots.values())
        raise QueryError(f"{absolute} lies outside the library", f"its folders are: {known}")
    return AnyOf(tuple(Prefix("paths", prefix) for prefix in sorted(found)))


def _check_order(low: float | date | None, high: float | date | None, what: str) -> None:
    if low is not None and high is not None and low > high:  # type: ignore[operator]
        raise QueryError(f"the {what} range from {low} to {high} is empty", "swap its ends")
