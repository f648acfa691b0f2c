"""What is in an index, and how many of each: the values of a property, counted by the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, datetime
from pathlib import PurePosixPath
from typing import Literal, get_args

from indexer.errors import QueryError
from indexer.index import Index
from indexer.library.paths import split_path
from indexer.roots import locate
from indexer.store.base import EVERYTHING, Filter, Kind, Range
from indexer.store.points import time_text

#: What can be counted.
By = Literal["label", "source", "depth", "format", "camera", "year", "folder"]
#: Of what each is a property, and the stored field that holds it.
_FIELDS: dict[By, tuple[Kind, str]] = {
    "label": ("segments", "label"),
    "source": ("segments", "label_source"),
    "depth": ("segments", "depth"),
    "format": ("images", "format"),
    "camera": ("images", "camera"),
    "year": ("images", "taken_at"),
    "folder": ("images", "paths"),
}


@dataclass(frozen=True)
class Facet:
    """How many there are of each value of a property.

    Attributes:
        by: the property.
        of: what is counted: "segments", "images", or "files" of indexed images.
        counts: value → how many have it, most first, equal counts by value.
        without: how many have none.
    """

    by: By
    of: str
    counts: dict[str, int]
    without: int

    def to_plain(self) -> list[dict[str, str | int | None]]:
        """Return a row for each value, and one with the value None for those without."""
        rows: list[tuple[str | None, int]] = [*self.counts.items()]
        if self.without:
            rows.append((None, self.without))
        return [{"by": self.by, "value": value, "of": self.of, "count": n} for value, n in rows]


def kind_of(by: str) -> Kind:
    """Return whether this is a property of segments or of images; filters have to fit.

    Raises:
        QueryError: nothing can be counted by it.
    """
    for each, (kind, _) in _FIELDS.items():
        if each == by:
            return kind
    raise QueryError(f"nothing can be counted by {by!r}", f"one of: {', '.join(get_args(By))}")


def facet(index: Index, by: By, where: Filter = EVERYTHING) -> Facet:
    """Count the values of a property; the store counts, no record is read.

    Args:
        index: to be asked.
        by: the property. "label" is any label, of a detector or of a vocabulary; "source" says
            who gave it. "year" is that of the camera's local time. "folder" is the folder that
            a file lies in itself, as an absolute path.
        where: only what this filter lets through; see `kind_of`.

    Raises:
        QueryError: nothing can be counted by it.
    """
    kind = kind_of(by)
    if by == "folder":
        return Facet(by, "files", _folders(index, where), without=0)
    total = index.count(kind, where)
    if by == "year":
        counts = Counter(dict(_years(index, where, MINYEAR, MAXYEAR)))
        found = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    else:
        found = index.facet(kind, _FIELDS[by][1], where)
    return Facet(by, kind, found, without=total - sum(found.values()))


def _years(index: Index, where: Filter, first: int, last: int) -> Iterator[tuple[str, int]]:
    """Count by halving the time: about 14 counts for each year that there is, whatever the size."""
    begin, end = datetime(first, 1, 1), datetime(last, 12, 31, 23, 59, 59, 999_999)
    within = Range("taken_at", gte=time_text(begin), lte=time_text(end))
    number = index.count("images", replace(where, must=(*where.must, within)))
    if number == 0:
        return
    if first == last:
        yield f"{first:04d}", number
        return
    middle = (first + last) // 2
    yield from _years(index, where, first, middle)
    yield from _years(index, where, middle + 1, last)


def _folders(index: Index, where: Filter) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for path, number in index.facet("images", "paths", where).items():
        root, relative = split_path(path)
        counts[f"{root}/{PurePosixPath(relative).parent}"] += number
    roots = index.roots()
    named = [(str(locate(folder, roots)), number) for folder, number in counts.items()]
    return dict(sorted(named, key=lambda pair: (-pair[1], pair[0])))
