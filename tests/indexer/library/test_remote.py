"""Pictures in an object store, through the real client against a server on a socket."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from indexer import Indexer, library
from indexer.errors import PictureError, SegsearchError
from indexer.follow import is_gone
from indexer.library import Found, Problem, S3Path
from indexer.profiles import Profile
from search import Searcher
from search.filters import Filters
from search.ranking import UNCUT
from search.reading import read_picture
from tests.pictures import scene
from tests.s3 import Service, serving


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with serving(monkeypatch) as service:
        yield service


def png(seed: int) -> bytes:
    file = BytesIO()
    scene(seed).save(file, "PNG")
    return file.getvalue()


def found(path: str, *exclude: str) -> list[str]:
    return [item.path for item in library.scan(library.as_path(path), exclude)]


def test_a_uri_is_a_path() -> None:
    path = library.as_path("s3://bucket/photos/trip/ä b.png")
    assert str(path) == "s3://bucket/photos/trip/ä b.png"
    assert isinstance(path.parent, S3Path)
    assert path.is_relative_to(library.as_path("s3://bucket/photos/"))
    assert str(path.relative_to(library.as_path("s3://bucket/photos"))) == "trip/ä b.png"
    assert str(path.parents[1] / "x") == "s3://bucket/photos/x"
    assert pickle.loads(pickle.dumps(path)) == path  # noqa: S301 - made here
    assert type(pickle.loads(pickle.dumps(path))) is S3Path  # noqa: S301
    assert (path.resolve(), path.expanduser(), path.absolute()) == (path, path, path)
    assert library.as_path(Path("a")) == Path("a")
    assert not isinstance(library.as_path("a"), S3Path)


def test_scan_finds_pictures_like_on_a_disk(s3: Service) -> None:
    names = ["b.PNG", "a.jpg", "note.txt", ".hidden.png", "trip/c.png", "trip/ä.png", "Z/d.webp"]
    for name in [
        *names,
        "trip/.git/e.png",
        "out/f.png",
        "e/f/g.tif",
        "e/h.tif",
        "noext",
        "x.png/y",
    ]:
        s3.put(f"bucket/photos/{name}", b"1")
    s3.put("bucket/photos/", b"")  # as consoles mark a folder
    s3.put("bucket/photos-old/a.png", b"1")
    everything = ["Z/d.webp", "a.jpg", "b.PNG", "e/f/g.tif", "e/h.tif", "out/f.png"]
    everything += ["trip/c.png", "trip/ä.png"]
    assert found("s3://bucket/photos") == everything
    assert found("s3://bucket/photos/", "out", "*.tif") == [
        path for path in everything if not path.startswith(("out", "e/"))
    ]
    (one,) = library.scan(library.as_path("s3://bucket/photos/trip/c.png"))
    assert isinstance(one, Found)
    assert (one.path, one.size, str(one.location)) == ("c.png", 1, "s3://bucket/photos/trip/c.png")
    assert one.mtime_ns == one.location.stat().st_mtime_ns > 1e18


def test_what_is_not_there(s3: Service) -> None:
    for uri, message in {
        "s3://bucket/none": "no file or folder s3://bucket/none",
        "s3://nowhere/photos": "no bucket nowhere",
    }.items():
        with pytest.raises(SegsearchError, match=message):
            library.scan(library.as_path(uri))
    s3.put("bucket/a.png", b"1")
    assert is_gone(library.as_path("s3://bucket/photos/b.png"))
    assert not is_gone(library.as_path("s3://bucket/a.png"))
    assert not is_gone(library.as_path("s3://nowhere/a.png"))  # another service may have it
    s3.broken = True
    assert not is_gone(library.as_path("s3://bucket/photos/b.png"))
    with pytest.raises(SegsearchError, match="s3://bucket/photos"):
        library.scan(library.as_path("s3://bucket/photos"))


def test_a_folder_that_cannot_be_listed_is_a_problem(s3: Service) -> None:
    s3.put("bucket/photos/a.png", b"1")
    s3.put("bucket/photos/trip/b.png", b"1")
    items = library.scan(library.as_path("s3://bucket/photos"))
    next(items)
    s3.broken = True
    (problem,) = items
    assert isinstance(problem, Problem)
    assert (problem.path, problem.reason) == ("trip", "unreadable")


def test_reading(s3: Service) -> None:
    s3.put("bucket/a.png", png(1))
    s3.put("bucket/empty.png", b"")
    place = library.as_path("s3://bucket/a.png")
    content = library.read(place)
    assert content.data == png(1)
    assert library.decode(content).picture.format == "PNG"
    for name, limit, reason in [
        ("a.png", 100, "too_large"),
        ("empty.png", 100, "empty"),
        ("none.png", 100, "vanished"),
    ]:
        with pytest.raises(PictureError) as error:
            library.read(place.with_name(name), limit)
        assert (error.value.reason, error.value.retryable) == (reason, reason == "vanished")
    s3.broken = True
    with pytest.raises(PictureError) as error:
        library.read(place)
    assert (error.value.reason, error.value.retryable) == ("unreadable", True)


def test_a_bucket_is_indexed_followed_and_searched(
    s3: Service, tmp_path: Path, fast_profile: Profile
) -> None:
    for seed, name in enumerate(("a.png", "trip/b.png", "trip/c.png")):
        s3.put(f"bucket/photos/{name}", png(seed))
    s3.put("bucket/photos/bad.png", b"\x89PNG\r\n\x1a\nnothing")
    where = tmp_path / "index"
    with Indexer(where, fast_profile) as indexer:
        report = indexer.index("s3://bucket/photos")
        assert (report.images, report.failed, report.complete) == (3, 1, True)
        before = len(s3.requests)
        assert indexer.index().unchanged == 3
        assert not [each for each in s3.requests[before:] if "photos/trip/b.png" in each]
        s3.put("bucket/photos/new.png", s3.objects.pop("bucket/photos/a.png"))
        del s3.objects["bucket/photos/trip/c.png"]
        report = indexer.index("s3://bucket/photos/", prune=True)
        assert (report.images, report.renamed, report.pruned) == (0, 1, 1)
    with Searcher(where) as searcher:
        hits = list(searcher.text("star", limit=100, ranking=UNCUT))
        assert {str(hit.path) for hit in hits} == {
            "s3://bucket/photos/new.png",
            "s3://bucket/photos/trip/b.png",
        }
        assert read_picture(hits[0]).shape == (72, 96, 3)
        trip = Filters(path="s3://bucket/photos/trip")
        below = list(searcher.text("star", limit=100, filters=trip, ranking=UNCUT))
        assert {str(hit.path) for hit in below} == {"s3://bucket/photos/trip/b.png"}
    s3.broken = True
    with pytest.raises(PictureError):
        read_picture(hits[0])
    with Indexer(where) as indexer:
        assert indexer.forget("s3://bucket/photos") == 3
