"""Every error that segsearch raises on purpose.

::

    SegsearchError              message + hint (what to do next)
    ├── ProfileError            a profile that is missing, misspelt or out of range
    ├── PictureError            one picture that cannot be used; the run goes on
    ├── Stopped                 the caller asked to stop
    ├── ModelError              a model that cannot be built or fed
    │   ├── WeightsUnavailable  weights that are neither local nor to be had
    │   └── OutOfDeviceMemory   even one prompt or crop at a time does not fit
    ├── RecipeMismatch          the index was built with something else
    ├── QueryError              a query that makes no sense
    │   └── UnknownId           an id that is not in the index
    └── StoreError              the store said no
        ├── IndexNotFound       nothing there to open
        ├── StoreUnavailable    no answer, or the host process died
        ├── StoreFull           the disk is full
        └── StoreDamaged        files that cannot be read any more

Domain code raises these; only the command-line and API edges turn them into
exit codes and messages. Anything else that escapes is a bug, and shown as one.
"""

from __future__ import annotations


class SegsearchError(Exception):
    """Base of all errors of this project.

    Attributes:
        message: what happened, and to what.
        hint: what to do next; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message and the hint apart, so that each edge can show them its way."""
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, followed by the hint when there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ProfileError(SegsearchError):
    """A profile that is missing, misspelt or out of range."""


class PictureError(SegsearchError):
    """One picture that cannot be used.

    Attributes:
        reason: a short stable code, see `indexer.library.REASONS`.
        retryable: whether the same bytes may work another time (a permission, a missing extra).
    """

    def __init__(self, reason: str, message: str, *, retryable: bool = False) -> None:
        """Keep the stable reason beside the words."""
        super().__init__(message)
        self.args = (reason, message, retryable)
        self.reason = reason
        self.retryable = retryable


class Stopped(SegsearchError):
    """The caller asked to stop; what was at hand is left for the next run."""


class ModelError(SegsearchError):
    """A model that cannot be built or fed."""


class WeightsUnavailable(ModelError):
    """Weights that are neither on this machine nor to be had from the hub."""


class OutOfDeviceMemory(ModelError):
    """Even one prompt or crop at a time does not fit into the device's memory."""


class RecipeMismatch(SegsearchError):
    """The index was built with another model or other settings."""


class QueryError(SegsearchError):
    """A query that makes no sense: an unknown id, a point outside the picture."""


class UnknownId(QueryError):
    """An id that is not in the index.

    Attributes:
        kind: of what: "segment" or "image".
    """

    def __init__(self, kind: str, id_: str) -> None:
        """Name what is not there."""
        super().__init__(
            f"there is no {kind} {id_} in the index",
            f"{kind} ids are in the results of other searches",
        )
        self.args = (kind, id_)
        self.kind = kind


class StoreError(SegsearchError):
    """The store refused or failed an operation."""


class IndexNotFound(StoreError):
    """There is no index at the given place."""


class StoreUnavailable(StoreError):
    """The store does not answer, or its host process died."""


class StoreFull(StoreError):
    """The disk under the index is full."""


class StoreDamaged(StoreError):
    """Files of the index cannot be read any more."""
