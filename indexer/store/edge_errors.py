"""What goes wrong in Qdrant Edge, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.errors import SegsearchError, StoreDamaged, StoreError, StoreFull, StoreUnavailable
from indexer.store import settings


@contextmanager
def translated(folder: Path, *, otherwise: type[StoreError] = StoreError) -> Iterator[None]:
    """Turn what goes wrong inside into errors of ours, `otherwise` where nothing is more apt."""
    try:
        yield
    except SegsearchError:
        raise
    except Exception as error:
        raise _error(folder, str(error), otherwise) from error
    except BaseException as error:
        # What Edge raises when it panics; the class is not exported, so it is known by its name.
        if type(error).__name__ != "PanicException":
            raise
        raise StoreDamaged(
            f"the index {folder} cannot be read: {error}", settings.REPAIR
        ) from error


def _error(folder: Path, message: str, otherwise: type[StoreError]) -> StoreError:
    what = f"the index {folder}: {message}"
    if "WouldBlock" in message:
        return StoreUnavailable(
            f"another process has the index {folder} open", "end that process, or wait for it"
        )
    if "No space left" in message:
        return StoreFull(f"the disk is full under {what}", "free some space and go on")
    if "ermission denied" in message:
        return StoreError(what, "make the folder readable and writable")
    return otherwise(what, settings.REPAIR if otherwise is StoreDamaged else "")
