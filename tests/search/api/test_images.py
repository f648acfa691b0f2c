from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import httpx
import numpy as np
import PIL.Image
import pytest

from indexer import Indexer
from indexer.profiles import Profile
from indexer.segmentation import masks
from search import Searcher
from search.api.schemas import ImageFilters
from search.api.settings import Settings
from search.client import ApiError, Client
from search.hits import Hit
from search.ranking import UNCUT
from search.reading import read_picture
from tests.pictures import write_scene
from tests.serving import Served, serving


@pytest.fixture
def hit(searcher: Searcher) -> Hit:
    return searcher.text("a", limit=1, ranking=UNCUT)[0]


def picture(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


def test_all_images_are_listed_once(client: Client, library_folder: Path) -> None:
    every: list[str] = []
    after = None
    while True:
        page = client.images(limit=2, after=after)
        every += [image.id for image in page.images]
        after = page.next
        if after is None:
            break
    assert every == sorted(set(every))
    assert len(every) == 5
    name = library_folder.name
    dated = client.images(ImageFilters(path=f"{name}/2024/", format=["jpg"])).images
    assert [image.path for image in dated] == [f"{name}/2024/may.jpg"]
    assert dated[0].taken_at == "2024-05-01T23:30:00Z"


def test_an_image_and_its_segments(client: Client, hit: Hit) -> None:
    image = client.image(hit.image.id)
    assert (image.width, image.height) == (96, 72)
    told = client.segments_of(hit.image.id)
    assert told.image == image
    assert len(told.segments) == image.n_segments
    places = {segment.id: place for place, segment in enumerate(told.segments)}
    for segment in told.segments:
        assert (segment.parent_id is None) == (segment.depth == 0)
        if segment.parent_id is not None:
            assert places[segment.parent_id] < places[segment.id]


def test_a_copy_has_two_paths_and_none_says_where_the_library_is(
    client: Client, library_folder: Path
) -> None:
    (copied,) = [image for image in client.images().images if len(image.paths) == 2]
    name = library_folder.name
    assert copied.paths == [f"{name}/a.png", f"{name}/copy of a.png"]
    assert str(library_folder.parent) not in copied.model_dump_json()


@pytest.mark.parametrize(("size", "expected"), [(320, (96, 72)), (160, (96, 72))])
def test_thumbnails_are_never_larger_than_the_picture(
    client: Client, hit: Hit, size: int, expected: tuple[int, int]
) -> None:
    assert picture(client.thumbnail(hit.image.id, size)).size == expected


def test_files_come_as_they_were_indexed(client: Client, hit: Hit) -> None:
    assert hashlib.sha256(client.file(hit.image.id)).hexdigest() == hit.image.picture.sha256


def test_segments_as_pictures(client: Client, hit: Hit) -> None:
    assert hit.segment is not None
    region = hit.segment.region
    mask = masks.decode(region.rle)
    np.testing.assert_array_equal(np.asarray(picture(client.mask(hit.segment.id))) > 0, mask)
    cut = np.asarray(picture(client.cutout(hit.segment.id)))
    np.testing.assert_array_equal(cut[..., 3], mask * 255)
    np.testing.assert_array_equal(cut[mask][:, :3], read_picture(hit)[mask])
    x0, y0, x1, y1 = region.box
    assert picture(client.cutout(hit.segment.id, trim=True)).size == (x1 - x0, y1 - y0)
    assert picture(client.overlay(hit.segment.id)).size == (96, 72)
    coco = client.coco(hit.segment.id)
    (annotation,) = coco["annotations"]
    assert annotation["segmentation"]["counts"] == region.rle.counts
    assert annotation["segsearch_id"] == hit.segment.id


def test_browsers_may_keep_pictures(served: Served, hit: Hit) -> None:
    address = f"{served.url}/v1/images/{hit.image.id}/thumbnail?size=160"
    first = httpx.get(address)
    assert "immutable" in first.headers["cache-control"]
    for known in (f'"x", {first.headers["etag"]}', f"W/{first.headers['etag']}", "*"):
        again = httpx.get(address, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
    head = httpx.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == first.headers["etag"]
    other = httpx.get(address.replace("160", "320"))
    assert other.headers["etag"] != first.headers["etag"]


def test_files_can_be_kept_back(where: str, hit: Hit) -> None:
    with serving(Settings(where, files=False)) as served, Client(served.url) as client:
        assert not client.stats().access.files
        assert client.thumbnail(hit.image.id)
        with pytest.raises(ApiError) as refused:
            client.file(hit.image.id)
    assert (refused.value.status, refused.value.code) == (403, "files-off")


def test_nothing_but_what_was_indexed_is_ever_read(tmp_path: Path, fast_profile: Profile) -> None:
    """Not by a link that has taken the file's place, nor by a changed file."""
    one = write_scene(tmp_path / "photos" / "1.png", 1)
    secret = write_scene(tmp_path / "elsewhere.png", 2)
    with Indexer(tmp_path / "idx", fast_profile) as indexer:
        indexer.index(one.parent)
    original = shutil.copy(one, tmp_path / "kept.png")
    with serving(Settings(str(tmp_path / "idx"))) as served, Client(served.url) as client:
        (image,) = client.images().images
        (segment, *_) = client.segments_of(image.id).segments
        one.unlink()
        one.symlink_to(secret)
        for ask in (client.file, client.thumbnail):
            with pytest.raises(ApiError, match="only a link leads to its file") as refused:
                ask(image.id)
            assert (refused.value.status, refused.value.code) == (404, "picture-gone")
        one.unlink()
        shutil.copy(secret, one)
        with pytest.raises(ApiError, match="changed since"):
            client.overlay(segment.id)
        assert client.mask(segment.id)  # the index has it
        one.unlink()
        shutil.copy(original, one)
        assert client.file(image.id) == Path(original).read_bytes()


def test_masks_are_asked_about_before_they_are_used_again(served: Served, hit: Hit) -> None:
    """Another detector's boxes may give the same id another mask."""
    assert hit.segment is not None
    for name in ("mask.png", "cutout.png", "overlay.jpg"):
        address = f"{served.url}/v1/segments/{hit.segment.id}/{name}"
        answer = httpx.get(address)
        assert answer.headers["cache-control"] == "private, no-cache"
        known = {"if-none-match": answer.headers["etag"]}
        assert httpx.get(address, headers=known).status_code == 304


def test_links_are_followed_if_told(tmp_path: Path, fast_profile: Profile) -> None:
    outside = write_scene(tmp_path / "outside" / "1.png", 1)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "linked").symlink_to(outside.parent)
    with Indexer(tmp_path / "idx", fast_profile) as indexer:
        assert indexer.index(tmp_path / "photos").images == 1
    for links in (False, True):
        settings = Settings(str(tmp_path / "idx"), links=links)
        with serving(settings) as served, Client(served.url) as client:
            (image,) = client.images().images
            answer = httpx.get(f"{served.url}/v1/images/{image.id}/file")
            assert answer.status_code == (200 if links else 404)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/..%2f..%2fetc%2fpasswd",
        "/v1/images/%2e%2e/%2e%2e/etc/passwd",
        "/static/../app.py",
        "/static/..%2f..%2fengine.py",
        "/static/%2e%2e/%2e%2e/engine.py",
        "/static//etc/passwd",
        "/swagger/../__init__.py",
        "/v1/uploads/../../etc/passwd/picture.jpg",
        "/v1/segments/x/mask.png",
    ],
)
def test_paths_lead_nowhere(served: Served, path: str) -> None:
    with httpx.Client(base_url=served.url) as http:
        answer = http.send(http.build_request("GET", served.url + path))
        # httpx tidies paths; as bytes they go out as they are
        request = http.build_request("GET", served.url)
        request.url = request.url.copy_with(raw_path=path.encode())
        raw = http.send(request)
    for each in (answer, raw):
        assert each.status_code in (404, 422)
        assert each.headers["content-type"] == "application/problem+json"
