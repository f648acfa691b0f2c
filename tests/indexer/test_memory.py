from __future__ import annotations

import pytest
import torch

from indexer import memory
from indexer.errors import OutOfDeviceMemory

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("anything"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.0 GB, max allowed: 18.1 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    ],
    ids=lambda error: str(error)[:12],
)
def test_lack_of_memory(error: RuntimeError) -> None:
    assert memory.is_out_of_memory(error)


@pytest.mark.parametrize("words", ["", "out of range", "CUDA error: an illegal memory access"])
def test_other_errors(words: str) -> None:
    assert not memory.is_out_of_memory(RuntimeError(words))
    with pytest.raises(RuntimeError, match=f"^{words}$"), memory.enough_for("it", CPU):
        raise RuntimeError(words)


def test_the_cpus_allocator_says_it_in_these_words() -> None:
    with pytest.raises(OutOfDeviceMemory, match="an exabyte"), memory.enough_for("an exabyte", CPU):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_batches_shrink_where_it_gets_tight_and_stay_so() -> None:
    done: list[tuple[int, int]] = []

    def work(part: slice) -> int:
        if part.stop > 8 and part.stop - part.start > 3:
            raise torch.OutOfMemoryError
        done.append((part.start, part.stop))
        return int(part.stop) - int(part.start)

    batches = memory.Batches(8, "one", CPU)
    assert list(batches.run(14, work)) == [8, 3, 3]
    assert done == [(0, 8), (8, 11), (11, 14)]
    assert batches.size == 3
    assert list(batches.run(7, work)) == [3, 3, 1]
    assert list(batches.run(0, work)) == []


def test_a_single_thing_that_does_not_fit() -> None:
    sizes: list[int] = []

    def work(part: slice) -> None:
        sizes.append(part.stop - part.start)
        raise torch.OutOfMemoryError

    with pytest.raises(OutOfDeviceMemory, match=r"^one crop does not fit into .* device cpu"):
        list(memory.Batches(6, "one crop", CPU).run(6, work))
    assert sizes == [6, 3, 1]
