"""Freed memory is kept where a command asks for it, and only there."""

from __future__ import annotations

import subprocess
import sys

import pytest

# twenty times: take 64 MB, touch every page, free it; count the page faults of the later rounds
_FAULTS = """
import resource, sys
from indexer import malloc
if sys.argv[1] == "kept":
    malloc.keep_freed_memory()
def use():
    block = bytearray(64 << 20)
    block[::4096] = bytes(len(block[::4096]))
for _ in range(3):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_freed_memory_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _page_faults("kept") * 10 < _page_faults("returned")
    monkeypatch.setenv("SEGSEARCH_MALLOC", "default")
    assert _page_faults("kept") > 1000


def _page_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)
