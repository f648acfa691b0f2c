"""Paths as the API tells them: without where on this machine the library lies.

A library root has a name, its folder's; a picture's path is that name and the path below it, as in
"photos/2024/a.jpg". Roots whose folders have the same name are "photos" and "photos (2)".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from glob import escape
from pathlib import Path

from indexer.errors import QueryError
from indexer.library.paths import original, split_path, storable

_WILD = re.compile(r"[*?\[]")


class Places:
    """The names of the library's roots."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        """Name the roots, id → absolute path."""
        self.roots = dict(roots)
        self._names: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        for id_, path in sorted(roots.items()):
            folder = storable(path.name) or "root"
            name, number = folder, 1
            while name in self._ids:
                number += 1
                name = f"{folder} ({number})"
            self._names[id_], self._ids[name] = name, id_

    @property
    def names(self) -> list[str]:
        """The names, in the order of the alphabet."""
        return sorted(self._ids)

    def shown(self, stored: str) -> str:
        """Return the path that a stored "<root id>/<relative path>" is shown as."""
        root, relative = split_path(stored)
        return f"{self._names.get(root, 'elsewhere')}/{relative}"

    def folder(self, absolute: str) -> str:
        """Return what an absolute path in a root is shown as; elsewhere, it is "elsewhere"."""
        path = Path(absolute)
        for id_, root in sorted(self.roots.items(), key=lambda pair: -len(pair[1].parts)):
            if path.is_relative_to(root):
                relative = path.relative_to(root)
                below = "" if relative == Path() else f"/{storable(str(relative))}"
                return self._names[id_] + below
        return "elsewhere"

    def prefix(self, shown: str) -> str:
        """Return the absolute path whose beginning a shown path stands for; "/" at the end stays.

        Raises:
            QueryError: it does not begin with a root's name, or would leave it.
        """
        name, slash, below = shown.partition("/")
        return f"{self._root(name, below)}{slash or '/'}{original(below)}"

    def glob(self, shown: str) -> str:
        """Return the pattern for absolute paths that one for shown paths stands for.

        Raises:
            QueryError: see `prefix`.
        """
        name, slash, below = shown.partition("/")
        if not slash:
            return shown  # for the file's name alone
        if name == "**" and len(self.roots) == 1:
            name, below = self.names[0], shown
        elif _WILD.search(name) and name not in self._ids:
            raise QueryError(
                f"the pattern {shown!r} leaves open which folder of the library is meant",
                f"begin with one of: {', '.join(self.names)}",
            )
        return f"{escape(str(self._root(name, below)))}/{original(below)}"

    def _root(self, name: str, below: str) -> Path:
        id_ = self._ids.get(name)
        if id_ is None or ".." in below.split("/"):
            raise QueryError(
                f"{name!r} is no folder of the library" if id_ is None else "'..' is no folder",
                f"paths begin with one of: {', '.join(self.names)}",
            )
        return self.roots[id_]
