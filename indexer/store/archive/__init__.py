"""Archives: a whole index as a folder of Parquet files, for keeping and for other programs.

::

    segsearch.json                  the manifest, written last: no manifest, no archive
    images/part-00000.parquet …     the records by rising id, see `columns`
    segments/ files/ roots/         likewise

`reading` and `writing` need pyarrow, this module and `manifest` do not.
"""

from __future__ import annotations

import json
from pathlib import Path

from indexer.store import is_server, layout

#: What the name of a new archive ends with.
SUFFIX = ".parquet"
#: In the manifest, where an index has the number of its layout.
FORMAT = "archive"

_PART = "part-{:05d}" + SUFFIX


def is_archive(location: str) -> bool:
    """Return whether a location is that of an archive, not of an index.

    A folder with a `segsearch.json` is what that says; any other is an archive if its name ends
    with ``.parquet``.
    """
    if is_server(location):
        return False
    folder = Path(location).expanduser()
    try:
        return bool(json.loads((folder / layout.SETTINGS_FILE).read_bytes())["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name.lower().endswith(SUFFIX)


def part_name(number: int) -> str:
    """Return the name of the part with this number, from 0."""
    return _PART.format(number)


def draft_folder(archive: Path) -> Path:
    """Return where the archive is written before it takes its place."""
    return archive.with_name(f"{archive.name}.{layout.DRAFT_FOLDER}")
