from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from indexer import console
from indexer.progress import Progress, amount, duration, free_bytes, preview, summary
from indexer.report import Report, Survey

AT_WORK = Report(files=100, pending=100, seconds=10.0, current=Path("/photos/first.jpg"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (125, "2 min 5 s"),
        (3600, "1 h 0 min"),
        (12_060, "3 h 21 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1.25e9, "1.2 GB"), (5e13, "50.0 TB")],
)
def test_amounts(size: float, text: str) -> None:
    assert amount(size) == text


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every report become a line."""
    monkeypatch.setattr(console, "_LOG_PAUSE_S", 0.0)


@pytest.mark.usefixtures("often")
def test_a_line_has_paces_and_the_time_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    show = Progress(quiet=False)
    show(AT_WORK)
    show(
        replace(
            AT_WORK,
            pending=96,
            images=2,
            segments=30,
            copies=1,
            failed=1,
            seconds=14.0,
            current=Path("/photos/fifth.jpg"),
        )
    )
    first, second = capsys.readouterr().err.splitlines()
    assert first == "0 of 100 files · 0 failed · first.jpg"
    # two pictures in the four seconds since the first one was begun
    assert second == (
        "4 of 100 files · 0.50 images/s · 7.5 segments/s · 1 failed · 3 min 12 s to go · fifth.jpg"
    )


def test_lines_come_not_too_often(capsys: pytest.CaptureFixture[str]) -> None:
    show = Progress(quiet=False)
    for _ in range(100):
        show(AT_WORK)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("often")
def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    show = Progress(quiet=True)
    show(AT_WORK)
    show.end()
    assert capsys.readouterr().err == ""


def test_a_long_run_is_estimated_once_from_its_first_pictures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = Progress(quiet=False, free_bytes=lambda: 1_000_000)
    show(AT_WORK)
    later = replace(AT_WORK, pending=95, images=4, stored_bytes=80_000, seconds=21.0)
    show(later)
    assert capsys.readouterr().err == ""  # too few yet
    for seconds in (22.0, 23.0):
        show(replace(later, images=6, stored_bytes=120_000, seconds=seconds))
    assert capsys.readouterr().err.splitlines() == [
        "about 3 min 10 s and 1.9 MB of disk for the 95 files to go "
        "(2.0 s and 20.0 kB for each so far)",
        "warning: only 1.0 MB of disk are free where the index is",
    ]


def test_a_short_run_is_not_estimated(capsys: pytest.CaptureFixture[str]) -> None:
    show = Progress(quiet=False)
    show(AT_WORK)
    show(replace(AT_WORK, pending=5, images=10, stored_bytes=1000, seconds=22.0))
    assert capsys.readouterr().err == ""


def test_the_summary_ends_with_one_line() -> None:
    report = Report(
        files=10,
        unchanged=3,
        images=4,
        segments=50,
        renamed=1,
        failed=2,
        known_failures=1,
        gone=3,
        pruned=1,
        seconds=62.0,
        stages={"segment": 50.0, "write": 1.25},
        peak_memory_bytes=1_500_000_000,
        complete=True,
    )
    assert summary(report, "./idx") == [
        "busy: segment 50.0 s, write 1.2 s; memory: 1.5 GB at most",
        "3 not usable, see: segsearch status --index ./idx --failed",
        "2 gone, remove them from the index with --prune",
        "files: 10 (3 unchanged, 1 renamed, 1 pruned, 2 failed); indexed 4 with 50 segments "
        "in 1 min 2 s",
    ]
    assert summary(Report(files=2, unchanged=2, complete=True), "./idx") == [
        "files: 2 (2 unchanged, 0 failed); indexed 0 with 0 segments in 0.0 s"
    ]


def test_a_preview() -> None:
    found = Survey(files=6, new=1, changed=2, unchanged=3, gone=4, pending_bytes=2_500_000)
    assert preview(found) == (
        "files: 6 (1 new, 2 changed, 0 to be tried again, 3 unchanged, 0 known to fail, 4 gone); "
        "2.5 MB to read"
    )


def test_free_space_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    here = free_bytes(str(tmp_path))
    assert here is not None
    assert here > 0
    assert free_bytes(str(tmp_path / "not" / "yet")) == pytest.approx(here, rel=0.1)
    assert free_bytes("http://127.0.0.1:6333/photos") is None
