"""An open picture: hovering, clicking, boxes, points, scenes, in a real browser."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from indexer.records import Rle
from indexer.segmentation import masks
from search.api.schemas import Image, SearchRequest, Segment
from search.client import Client
from tests.e2e.page.conftest import Screen

#: What the page may take, milliseconds.
HOVER_MS, CLICK_MS = 100, 500


def opened(screen: Screen, api: Client, words: str = "red star") -> tuple[Image, list[Segment]]:
    """Open the best hit of a query; return its image and segments."""
    screen.open()
    screen.search(words)
    screen.get("hit").first.click()
    expect(screen.get("viewer-canvas")).to_be_visible()
    screen.settle()
    image = screen.get("hit").first.get_attribute("data-image-id")
    assert image is not None
    found = api.segments_of(image)
    return found.image, found.segments


def on_screen(screen: Screen, image: Image, x: float, y: float) -> tuple[float, float]:
    """Return where a pixel of the picture is on the screen."""
    box = screen.get("viewer-canvas").bounding_box()
    assert box is not None
    scale = box["width"] / image.width
    return box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale


def containing(segments: list[Segment], x: int, y: int) -> list[Segment]:
    """Return the segments that a pixel is in, the smallest first."""
    inside = [each for each in segments if masks.decode(Rle(each.rle.size, each.rle.counts))[y, x]]
    return sorted(inside, key=lambda each: each.area_px)


def inner_pixel(segment: Segment) -> tuple[int, int]:
    from indexer.segmentation.rough_masks import innermost

    x, y = innermost(masks.decode(Rle(segment.rle.size, segment.rle.counts)))
    return int(x), int(y)


def hovered(screen: Screen) -> str | None:
    return screen.get("viewer-canvas").get_attribute("data-hovered")


def parameters(screen: Screen) -> dict[str, list[str]]:
    return parse_qs(urlsplit(screen.page.url).query)


def test_hovering_outlines_the_smallest_segment(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    for segment in segments:
        x, y = inner_pixel(segment)
        screen.page.mouse.move(*on_screen(screen, image, x, y))
        screen.page.wait_for_timeout(30)
        assert hovered(screen) == containing(segments, x, y)[0].id
    screen.shot("viewer")


def test_the_wheel_walks_from_part_to_whole(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    parts = [(inner_pixel(each), each) for each in segments if each.depth]
    if not parts:
        pytest.skip("this picture has no parts")
    (x, y), _ = parts[0]
    chain = containing(segments, x, y)
    screen.page.mouse.move(*on_screen(screen, image, x, y))
    screen.page.mouse.wheel(0, -120)
    screen.page.wait_for_timeout(400)
    assert hovered(screen) == chain[min(1, len(chain) - 1)].id
    screen.page.mouse.wheel(0, 120)
    screen.page.wait_for_timeout(400)
    assert hovered(screen) == chain[0].id


def test_a_click_finds_similar_objects_everywhere(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    x, y = inner_pixel(segments[-1])
    chosen = containing(segments, x, y)[0]
    screen.page.mouse.click(*on_screen(screen, image, x, y))
    expect(screen.get("viewer")).to_be_hidden()
    screen.settle()
    assert parameters(screen)["like"] == [chosen.id]
    asked = SearchRequest.model_validate({"positives": [{"segment_id": chosen.id}]})
    expected = [hit.segment.id for hit in api.search(asked).hits if hit.segment]
    told = screen.get("hit").evaluate_all("hits => hits.map(hit => hit.dataset.segmentId)")
    assert told == expected
    expect(screen.get("chip").first).to_be_visible()
    screen.shot("similar")


def test_a_shift_click_is_a_negative(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    x, y = inner_pixel(segments[-1])
    screen.page.keyboard.down("Shift")
    screen.page.mouse.click(*on_screen(screen, image, x, y))
    screen.page.keyboard.up("Shift")
    screen.settle()
    asked = parameters(screen)
    assert asked["q"] == ["red star"]
    assert asked["not"] == [containing(segments, x, y)[0].id]
    kinds = screen.get("chip").evaluate_all("chips => chips.map(chip => chip.dataset.kind)")
    assert "not" in kinds


def test_a_dragged_box_is_cut_out_and_searched(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    x0, y0, x1, y1 = max(segments, key=lambda each: each.depth or each.predicted_iou).box
    screen.get("box-mode").click()
    screen.page.mouse.move(*on_screen(screen, image, x0, y0))
    screen.page.mouse.down()
    screen.page.mouse.move(*on_screen(screen, image, (x0 + x1) / 2, (y0 + y1) / 2))
    with screen.page.expect_response("**/v1/segment") as answer:
        screen.page.mouse.move(*on_screen(screen, image, x1, y1))
        screen.page.mouse.up()
    assert answer.value.ok
    screen.settle()
    screen.shot("box")
    screen.get("similar-button").click()
    expect(screen.get("hit").first).to_be_visible()
    screen.settle()
    (like,) = parameters(screen)["like"]
    assert like.startswith(f"image:{image.id}~box:")


def test_points_refine_each_other(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    x, y = inner_pixel(segments[0])
    screen.get("point-mode").click()
    with screen.page.expect_response("**/v1/segment") as first:
        screen.page.mouse.click(*on_screen(screen, image, x, y))
    assert json.loads(first.value.request.post_data or "")["points"]
    screen.settle()
    with screen.page.expect_response("**/v1/segment") as second:
        screen.page.keyboard.down("Shift")
        screen.page.mouse.click(*on_screen(screen, image, 3, 3))
        screen.page.keyboard.up("Shift")
    asked = json.loads(second.value.request.post_data or "")
    assert (len(asked["points"]), len(asked["not_points"])) == (1, 1)
    screen.settle()
    screen.shot("points")
    screen.get("similar-button").click()
    screen.settle()
    (like,) = parameters(screen)["like"]
    assert "~at:" in like
    assert "~off:" in like


def test_several_picked_objects_are_a_scene(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    apart = [each for each in segments if each.depth == 0][:2]
    for segment in apart:
        screen.page.keyboard.down("Alt")
        screen.page.mouse.click(*on_screen(screen, image, *inner_pixel(segment)))
        screen.page.keyboard.up("Alt")
    screen.shot("picked")
    with screen.page.expect_response("**/v1/search") as answer:
        screen.get("scene-button").click()
    asked = json.loads(answer.value.request.post_data or "")
    assert len(asked["scene"]["things"]) >= 2
    assert answer.value.ok
    screen.settle()


def test_objects_are_downloaded(screen: Screen, api: Client) -> None:
    opened(screen, api)
    for name, suffix in (("cutout", ".png"), ("mask", ".png"), ("coco", ".json")):
        with screen.page.expect_download() as download:
            screen.get(f"download-{name}").click()
        assert download.value.suggested_filename.endswith(suffix)
        assert download.value.path().stat().st_size > 0


def test_masks_are_read_as_pycocotools_writes_them(screen: Screen, api: Client) -> None:
    screen.open()
    _, segments = opened(screen, api)
    read = """async ({ size, counts, points }) => {
        const { decode, contains } = await import("/static/js/rle.js");
        const mask = decode({ size, counts });
        return points.map(([x, y]) => contains(mask, x, y));
    }"""
    for segment in segments:
        mask = masks.decode(Rle(segment.rle.size, segment.rle.counts))
        points = [(x, y) for x in range(0, mask.shape[1], 9) for y in range(0, mask.shape[0], 7)]
        given = {"size": segment.rle.size, "counts": segment.rle.counts, "points": points}
        assert screen.page.evaluate(read, given) == [bool(mask[y, x]) for x, y in points]


@pytest.mark.timed
def test_the_page_keeps_up_with_the_hand(screen: Screen, api: Client) -> None:
    """As a person notices it: from the pointer's event to the drawn outline, and to new hits."""
    image, segments = opened(screen, api)
    for segment in segments:
        screen.page.mouse.move(*on_screen(screen, image, *inner_pixel(segment)), steps=4)
        screen.page.wait_for_timeout(50)
    measured = "name => performance.getEntriesByName(name).map(entry => entry.duration)"
    hovers = screen.page.evaluate(measured, "hover-to-outline")
    assert len(hovers) >= 3
    assert max(hovers) <= HOVER_MS
    screen.page.mouse.click(*on_screen(screen, image, *inner_pixel(segments[-1])))
    expect(screen.get("hit").first).to_be_visible()
    screen.settle()
    clicks = screen.page.evaluate(measured, "click-to-results")
    assert clicks
    assert max(clicks) <= CLICK_MS
