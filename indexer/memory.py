"""What is done when a device runs out of memory: smaller batches, or an error that says so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from indexer.errors import OutOfDeviceMemory

T = TypeVar("T")

#: How devices without an exception type of their own say it: Apple's, the CPU's allocator, CUDA's
#: asynchronous calls, and its matrix library.
_WORDS = (
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised this because the device's memory is used up."""
    return isinstance(error, torch.OutOfMemoryError) or any(w in str(error) for w in _WORDS)


@contextlib.contextmanager
def enough_for(what: str, device: torch.device) -> Iterator[None]:
    """Turn running out of memory into an error that names what did not fit.

    Raises:
        OutOfDeviceMemory: the device ran out of memory.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise _does_not_fit(what, device) from error


class Batches:
    """Does work in batches, which shrink when the device runs out of memory and stay so.

    Attributes:
        size: most items at once.
    """

    def __init__(self, size: int, what: str, device: torch.device) -> None:
        """Begin with `size` items at once; `what` names one of them in the error."""
        self.size = size
        self._what = what
        self._device = device

    def run(self, count: int, work: Callable[[slice], T]) -> Iterator[T]:
        """Yield the result of `work` for consecutive slices of `range(count)`.

        Work that ran out of memory is done again in halves; nothing done before is repeated.

        Raises:
            OutOfDeviceMemory: a single item does not fit.
        """
        start = 0
        while start < count:
            part = slice(start, min(start + self.size, count))
            try:
                result = work(part)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if part.stop - start == 1:
                    raise _does_not_fit(self._what, self._device) from error
            else:
                yield result
                start = part.stop
                continue
            # not in the handler: there the error still holds what the failed work allocated
            self.size = (part.stop - start) // 2
            _free_cache(self._device)


def _does_not_fit(what: str, device: torch.device) -> OutOfDeviceMemory:
    return OutOfDeviceMemory(
        f"{what} does not fit into the memory of the device {device}",
        "close what else uses it, or use a smaller model (--profile fast) or --device cpu",
    )


def _free_cache(device: torch.device) -> None:
    """Give back what torch keeps for later allocations: in pieces, it may not fit the next one."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
