"""What is asked of folders, be they on the file system or in an object store."""

from __future__ import annotations

import os
from pathlib import Path

from indexer.library.remote import S3Path


def is_folder(path: Path) -> bool:
    """Say whether a folder is certainly there; never raises."""
    return path.is_dir() if isinstance(path, S3Path) else os.path.isdir(path)  # noqa: PTH112


def has_entries(path: Path) -> bool:
    """Say whether a folder is certainly there and something in it; never raises."""
    try:
        if isinstance(path, S3Path):
            return bool(path.entries())
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
