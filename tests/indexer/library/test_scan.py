from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from indexer.errors import SegsearchError
from indexer.library import REASONS, Found, Problem, original, root_folder, scan


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")


def paths(results: Iterable[Found | Problem]) -> list[str]:
    results = list(results)
    assert all(isinstance(result, Found) for result in results), results
    return [result.path for result in results]


def watch_listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    listed: list[str] = []
    real = os.scandir

    def watched(folder: str) -> object:
        listed.append(folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", watched)
    return listed


def test_what_is_found(tmp_path: Path) -> None:
    put(tmp_path, "a/b/deep.jpg")
    os.utime(tmp_path / "a/b/deep.jpg", ns=(1, 1_600_000_000_123_456_789))
    mtime_ns = (tmp_path / "a/b/deep.jpg").stat().st_mtime_ns
    assert list(scan(tmp_path)) == [
        Found("a/b/deep.jpg", tmp_path / "a" / "b" / "deep.jpg", 5, mtime_ns)
    ]


def test_candidates_are_told_by_their_extension(tmp_path: Path) -> None:
    names = "a.jpg b.JPEG c.jpe d.png e.webp f.gif g.bmp h.tif i.TIFF j.avif k.heic l.HeIf"
    put(tmp_path, *names.split(), "notes.txt", "jpg", "clip.mp4", "raw.jpg.bak")
    assert paths(scan(tmp_path)) == names.split()


def test_the_order_is_by_name_bytes_folders_in_their_place(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "a/z.jpg", "a/B.jpg", "c/x.jpg", "B.jpg", "ä.jpg")
    expected = ["B.jpg", "a/B.jpg", "a/z.jpg", "b.jpg", "c/x.jpg", "ä.jpg"]
    assert paths(scan(tmp_path)) == expected
    assert paths(scan(tmp_path)) == expected


def test_hidden_names_are_skipped(tmp_path: Path) -> None:
    put(tmp_path, ".hidden.jpg", "._mac.jpg", ".trash/a.jpg", "seen.jpg")
    assert paths(scan(tmp_path)) == ["seen.jpg"]


def test_a_hidden_root_is_what_was_asked_for(tmp_path: Path) -> None:
    put(tmp_path, ".photos/a.jpg")
    assert paths(scan(tmp_path / ".photos")) == ["a.jpg"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/f\xff"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    Path(os.fsdecode(folder + b"/caf\xe9.jpg")).write_bytes(b"12")
    [found] = scan(tmp_path)
    assert isinstance(found, Found)
    assert found.path == "f\uf7ff/caf\uf7e9.jpg"
    assert found.location.read_bytes() == b"12"
    assert tmp_path / original(found.path) == found.location


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.png", ["a/1.jpg", "a/sub/2.jpg", "b/3.jpg"]),
        ("sub", ["a/1.jpg", "b/3.jpg", "b/4.png"]),  # any single name
        ("sub/", ["a/1.jpg", "b/3.jpg", "b/4.png"]),
        ("a", ["b/3.jpg", "b/4.png"]),
        ("a/sub", ["a/1.jpg", "b/3.jpg", "b/4.png"]),  # the path of a folder above
        ("a/*", ["b/3.jpg", "b/4.png"]),  # * matches "/" too
        ("[ab]/[13].jpg", ["a/sub/2.jpg", "b/4.png"]),
        ("A", ["a/1.jpg", "a/sub/2.jpg", "b/3.jpg", "b/4.png"]),  # the case counts
        ("1", ["a/1.jpg", "a/sub/2.jpg", "b/3.jpg", "b/4.png"]),  # the whole name
    ],
)
def test_exclude(tmp_path: Path, pattern: str, left: list[str]) -> None:
    put(tmp_path, "a/1.jpg", "a/sub/2.jpg", "b/3.jpg", "b/4.png")
    assert paths(scan(tmp_path, exclude=[pattern])) == left


def test_an_excluded_folder_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/1.jpg", "big/2.jpg")
    listed = watch_listings(monkeypatch)
    assert paths(scan(tmp_path, exclude=["big"])) == ["a/1.jpg"]
    assert listed == [str(tmp_path), str(tmp_path / "a")]


def test_exclude_patterns_may_hold_names_that_are_not_utf8(tmp_path: Path) -> None:
    put(tmp_path, os.fsdecode(b"f\xff/1.jpg"), "2.jpg")
    assert paths(scan(tmp_path, exclude=[os.fsdecode(b"f\xff")])) == ["2.jpg"]


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    put(tmp_path, "outside/real.jpg", "root/a.jpg")
    (tmp_path / "root/link.jpg").symlink_to(tmp_path / "outside/real.jpg")
    assert paths(scan(tmp_path / "root")) == ["a.jpg", "link.jpg"]


def test_links_to_folders_are_followed_last(tmp_path: Path) -> None:
    put(tmp_path, "outside/o.jpg", "root/z/1.jpg")
    (tmp_path / "root/a").symlink_to(tmp_path / "outside")
    assert paths(scan(tmp_path / "root")) == ["z/1.jpg", "a/o.jpg"]


def test_a_folder_reachable_twice_is_scanned_once_under_its_own_path(tmp_path: Path) -> None:
    put(tmp_path, "z/1.jpg")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "b").symlink_to("a")
    assert paths(scan(tmp_path)) == ["z/1.jpg"]


def test_link_loops_end(tmp_path: Path) -> None:
    put(tmp_path, "outer/root/a/1.jpg", "outer/2.jpg")
    (tmp_path / "outer/root/a/self").symlink_to(".")
    (tmp_path / "outer/root/a/top").symlink_to(tmp_path / "outer/root")
    (tmp_path / "outer/root/up").symlink_to(tmp_path / "outer")
    assert paths(scan(tmp_path / "outer/root")) == ["a/1.jpg", "up/2.jpg"]


def test_links_that_lead_nowhere_are_problems(tmp_path: Path) -> None:
    put(tmp_path, "good.jpg")
    (tmp_path / "album").symlink_to("unmounted")
    (tmp_path / "lost.jpg").symlink_to("gone.jpg")
    (tmp_path / "round.jpg").symlink_to("round.jpg")
    album, good, lost, loop = scan(tmp_path)
    assert isinstance(good, Found)
    for problem, path in (album, "album"), (lost, "lost.jpg"), (loop, "round.jpg"):
        assert isinstance(problem, Problem)
        assert (problem.path, problem.reason) == (path, "unreadable")
        assert "leads nowhere" in problem.message


def test_an_unreadable_folder_is_a_problem_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a/1.jpg", "locked/2.jpg", "z/3.jpg")
    real = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("locked"):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    first, locked, last = scan(tmp_path)
    assert isinstance(locked, Problem)
    assert (locked.path, locked.reason) == ("locked", "unreadable")
    assert "Permission denied" in locked.message
    assert paths([first, last]) == ["a/1.jpg", "z/3.jpg"]


def test_a_pipe_is_a_problem_and_a_folder_like_a_picture_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "folder.jpg/1.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    found, pipe = scan(tmp_path)
    assert isinstance(pipe, Problem)
    assert (pipe.path, pipe.reason) == ("pipe.jpg", "unreadable")
    assert paths([found]) == ["folder.jpg/1.png"]


def test_what_vanishes_during_the_scan_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b/1.jpg", "c.jpg", "d.jpg")
    results = scan(tmp_path)
    assert paths([next(results)]) == ["a.jpg"]
    (tmp_path / "b/1.jpg").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "c.jpg").unlink()
    folder, file, last = results
    for problem, path in (folder, "b"), (file, "c.jpg"):
        assert isinstance(problem, Problem)
        assert (problem.path, problem.reason) == (path, "vanished")
    assert paths([last]) == ["d.jpg"]
    assert "vanished" in REASONS


def test_folders_deeper_than_python_can_call(tmp_path: Path) -> None:
    bottom = tmp_path.joinpath(*["d"] * 1500)
    for depth in range(1500):
        tmp_path.joinpath(*["d"] * (depth + 1)).mkdir()
    put(bottom, "bottom.jpg")
    found = paths(scan(tmp_path))
    # pytest's own clean-up would recurse
    (bottom / "bottom.jpg").unlink()
    for depth in range(1500, 0, -1):
        tmp_path.joinpath(*["d"] * depth).rmdir()
    assert found == ["d/" * 1500 + "bottom.jpg"]


def test_the_scan_is_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/1.jpg", "b/2.jpg")
    listed = watch_listings(monkeypatch)
    assert paths([next(scan(tmp_path))]) == ["a/1.jpg"]
    assert listed == [str(tmp_path), str(tmp_path / "a")]


def test_a_single_file_is_a_root(tmp_path: Path) -> None:
    put(tmp_path, "one.dat", "other.jpg")
    assert paths(scan(tmp_path / "one.dat")) == ["one.dat"]
    assert root_folder(tmp_path / "one.dat") == tmp_path
    assert root_folder(tmp_path) == tmp_path


def test_relative_roots_give_absolute_locations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "photos/a.jpg")
    monkeypatch.chdir(tmp_path / "photos")
    for root in Path(), Path("../photos"), Path("a.jpg"):
        [found] = scan(root)
        assert isinstance(found, Found)
        assert found.path == "a.jpg"
        assert found.location == tmp_path / "photos/a.jpg"


def test_a_missing_root_is_an_error_with_a_hint_at_once(tmp_path: Path) -> None:
    with pytest.raises(SegsearchError, match="no file or folder") as caught:
        scan(tmp_path / "missing")
    assert caught.value.hint


def test_a_root_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: str) -> object:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SegsearchError, match="Permission denied") as caught:
        scan(tmp_path)
    assert caught.value.hint
