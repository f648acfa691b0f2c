"""File names with wildcards: narrowed by what the store can look up, then looked at one by one."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

from indexer.index import Found, FoundImage, Index
from indexer.roots import locate
from indexer.store.base import Filter, Match

AnyFound = Found | FoundImage

_WILD = re.compile(r"[*?\[]")
_TOKENS = re.compile(r"((?<=/)\*\*/|\*\*|\*|\?|\[(?:![^/]|[^!/])[^\]/]*\])")
#: Answers that are looked at before the paths of all pictures are.
_FIRST = 1000
#: Paths that are worth being listed in a filter.
_MOST_LISTED = 2000


@dataclass(frozen=True)
class Glob:
    """A pattern for absolute paths: `*` and `?` stay within a folder's name, `**` does not.

    Attributes:
        pattern: absolute, or relative to the working directory; without a "/", a pattern for the
            file's name alone, wherever it lies; with one at its end, for all that is in a folder.
    """

    pattern: str

    @property
    def prefix(self) -> str | None:
        """What all matching paths begin with, absolute; None where that is not known."""
        if "/" not in self.pattern:
            return None
        absolute = self._absolute()
        wild = _WILD.search(absolute)
        return absolute if wild is None else absolute[: wild.start()]

    def matcher(self) -> Callable[[Path], bool]:
        """Return what tells whether an absolute path matches."""
        if "/" not in self.pattern:
            name = re.compile(fnmatch.translate(self.pattern))
            return lambda path: name.match(path.name) is not None
        absolute = self._absolute()
        folder, rest = _split(absolute)
        # a folder may be named by a link to it, too; `Filters.path` treats it likewise
        real = os.path.realpath(folder).rstrip("/")
        named = {_translated(absolute), re.escape(real) + _translated(rest)}
        whole = re.compile("|".join(sorted(named)), re.DOTALL)
        return lambda path: whole.fullmatch(str(path)) is not None

    def _absolute(self) -> str:
        """Return the pattern from the root on; brackets in the working directory are no classes."""
        pattern = self.pattern + "**" if self.pattern.endswith("/") else self.pattern
        pattern = os.path.expanduser(pattern)  # noqa: PTH111 - a Path drops what is no name
        return os.path.normpath(os.path.join(escape(os.getcwd()), pattern))  # noqa: PTH109, PTH118


@dataclass(frozen=True)
class Narrowed:
    """A filter, and that part of it which is about the paths of pictures."""

    where: Filter
    within: Filter


def matching(
    index: Index,
    glob: Glob,
    narrowed: Narrowed,
    ask: Callable[[Filter, int], list[AnyFound]],
    count: int,
) -> list[AnyFound]:
    """Return the best `count` answers with a path that matches, or all there are.

    Few answers are asked for and looked at first. If that does not give enough of them, the paths
    of all pictures that the filter's prefix leaves are looked at; a few that match are asked for
    by name, and where many do, more answers are looked at.

    Args:
        index: where it is looked.
        glob: the pattern.
        narrowed: what else the answers fulfil.
        ask: returns the given number of best answers under a filter.
        count: answers wanted.
    """
    roots, fits = index.roots(), glob.matcher()

    def kept(found: list[AnyFound]) -> list[AnyFound]:
        return [one for one in found if any(fits(locate(p, roots)) for p in one.image.paths)]

    asked = max(_FIRST, count)
    found = ask(narrowed.where, asked)
    enough = kept(found)
    if len(enough) >= count or len(found) < asked:
        return enough[:count]
    named = _listed(
        index.facet("images", "paths", narrowed.within), lambda p: fits(locate(p, roots))
    )
    if named is not None:
        must = (*narrowed.where.must, Match("paths", named))
        return ask(replace(narrowed.where, must=must), count) if named else []
    while len(enough) < count and len(found) == asked:
        asked *= 2
        found = ask(narrowed.where, asked)
        enough = kept(found)
    return enough[:count]


def _listed(paths: Iterable[str], fits: Callable[[str], bool]) -> tuple[str, ...] | None:
    """Return the paths that fit, or None if they are too many."""
    named: list[str] = []
    for path in paths:
        if fits(path):
            named.append(path)
            if len(named) > _MOST_LISTED:
                return None
    return tuple(named)


def _split(absolute: str) -> tuple[str, str]:
    """Return the folders that a pattern names without wildcards, and what follows with its "/"."""
    wild = _WILD.search(absolute)
    end = absolute.rindex("/", 0, None if wild is None else wild.start())
    return absolute[:end] or "/", absolute[end:]


def _translated(pattern: str) -> str:
    """Return a glob as a regular expression for whole paths, `.` being any character."""
    parts = _TOKENS.split(pattern)
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        meanings.get(part) or (_class(part) if _TOKENS.fullmatch(part) else re.escape(part))
        for part in parts
    )


def _class(part: str) -> str:
    """Return a class of characters such as [a-z] or [!a-z]; no class has the "/"."""
    inner = part[1:-1]
    members = "".join(
        re.escape(one) or (f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
        for low, high, one in re.findall("(.)-(.)|(.)", inner.removeprefix("!"), re.DOTALL)
    )
    if inner.startswith("!"):
        return f"[^/{members}]"
    return f"(?!/)[{members}]" if members else "(?!)"
