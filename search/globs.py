"""File names with wildcards: narrowed by what the store can look up, then looked at one by one."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from glob import escape

from indexer.errors import QueryError
from indexer.index import MOST_VALUES, Index
from indexer.library import original, split_path
from indexer.store.base import Filter
from search.automaton import Automaton

_WILD = re.compile(r"[*?\[]")
_TOKENS = re.compile(r"((?<=/)\*\*/|\*\*|\*|\?|\[(?:![^/]|[^!/])[^\]/]*\])")
#: Wildcards of any length, and how many of them a regular expression is given.
_ANY_LENGTH = ("**/", "**", "*")
_MOST_TRIED = 2
#: As many as a path may have.
_MOST_CHARACTERS = 4096
#: Paths that are worth being listed in a filter.
MOST_LISTED = 2000


@dataclass(frozen=True)
class Glob:
    """A pattern for absolute paths: `*` and `?` stay within a folder's name, `**` does not.

    Attributes:
        pattern: absolute, or relative to the working directory; without a "/", a pattern for the
            file's name alone, wherever it lies; with one at its end, for all that is in a folder.
    """

    pattern: str

    def __post_init__(self) -> None:
        if len(self.pattern) > _MOST_CHARACTERS:
            raise QueryError(
                f"a pattern of {len(self.pattern)} characters is longer than any path", "shorten it"
            )
        check_path(self.pattern)

    @property
    def prefix(self) -> str | None:
        """What all matching paths begin with, absolute; None where that is not known."""
        if "/" not in self.pattern:
            return None
        absolute = self._absolute()
        wild = _WILD.search(absolute)
        return absolute if wild is None else absolute[: wild.start()]

    def matcher(self) -> Callable[[str], bool]:
        """Return what tells whether an absolute path matches."""
        if "/" not in self.pattern:
            name = re.compile(fnmatch.translate(self.pattern))
            return lambda path: name.match(path.rpartition("/")[2]) is not None
        absolute = self._absolute()
        folder, rest = _split(absolute)
        # a folder may be named by a link to it, too; `Filters.path` treats it likewise
        real = os.path.realpath(folder).rstrip("/")
        named = {absolute, escape(real) + rest}
        matchers = [_matcher(pattern) for pattern in sorted(named)]
        return lambda path: any(matches(path) for matches in matchers)

    def _absolute(self) -> str:
        """Return the pattern from the root on; brackets in the working directory are no classes."""
        pattern = self.pattern + "**" if self.pattern.endswith("/") else self.pattern
        pattern = os.path.expanduser(pattern)  # noqa: PTH111 - a Path drops what is no name
        whole = os.path.normpath(os.path.join(escape(os.getcwd()), pattern))  # noqa: PTH109, PTH118
        return whole.replace("//", "/", 1)  # normpath keeps two at the beginning


def check_path(text: str) -> None:
    """Refuse what no path can have in it.

    Raises:
        QueryError: it has NUL characters, or halves of characters that stand for no byte.
    """
    try:
        is_path = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_path = False
    if not is_path:
        raise QueryError(f"{text!a} can be no path", "leave out what is no character")


def listed(index: Index, glob: Glob, within: Filter) -> tuple[str, ...] | None:
    """Return the stored paths of the pictures that match, or None if they are too many.

    Args:
        index: where it is looked.
        glob: the pattern.
        within: leaves the pictures whose path begins as all that match begin, or fewer.
    """
    fits = glob.matcher()
    paths = index.facet("images", "paths", within)
    if len(paths) >= MOST_VALUES:
        return None  # there are more than that
    begins = {id_: str(root).rstrip("/") for id_, root in index.roots().items()}
    named: list[str] = []
    for path in paths:
        root, relative = split_path(path)
        if fits(f"{begins[root]}/{original(relative)}"):
            named.append(path)
            if len(named) > MOST_LISTED:
                return None
    return tuple(named)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a pattern matches a whole path, in time linear in its length.

    A regular expression is the quickest, but tries all ways to share a path out among wildcards of
    any length: with many of them it would never end.
    """
    parts = _parts(pattern)
    if sum(part in _ANY_LENGTH for part in parts) > _MOST_TRIED:
        return Automaton(parts, _translated).matches
    whole = re.compile("".join(map(_translated, parts)), re.DOTALL)
    return lambda path: whole.fullmatch(path) is not None


def _split(absolute: str) -> tuple[str, str]:
    """Return the folders that a pattern names without wildcards, and what follows with its "/"."""
    wild = _WILD.search(absolute)
    end = absolute.rindex("/", 0, None if wild is None else wild.start())
    return absolute[:end] or "/", absolute[end:]


def _parts(pattern: str) -> list[str]:
    """Return wildcards, classes and the text between them; a row of wildcards is its widest."""
    parts: list[str] = []
    for part in filter(None, _TOKENS.split(pattern)):
        if parts and part in ("*", "**") and parts[-1] in ("*", "**"):
            parts[-1] = max(part, parts[-1])
        elif not (parts and part == "**/" and parts[-1] == "**/"):
            parts.append(part)
    return parts


def _translated(part: str) -> str:
    """Return a part of a glob as a regular expression, `.` being any character."""
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return meanings.get(part) or (_class(part) if _TOKENS.fullmatch(part) else re.escape(part))


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
