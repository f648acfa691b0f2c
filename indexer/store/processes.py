"""What the system tells about other processes; where it has no `/proc`, nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: Computing, or waiting for a disk.
_AT_WORK = frozenset("RD")


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process; None where there is no such process, or no /proc."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = _fields(Path(f"/proc/{pid}/stat"))
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def is_at_work(pid: int) -> bool:
    """Return whether a thread of a process computes, or waits for a disk, at this very moment."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError, IndexError):  # it has just ended
                if _fields(thread / "stat")[0] in _AT_WORK:
                    return True
    return False


def _fields(stat: Path) -> list[str]:
    """Return what follows the name, which may hold anything."""
    return stat.read_text("ascii", "replace").rpartition(")")[2].split()
