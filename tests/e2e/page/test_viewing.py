"""An open picture: hovering, clicking, boxes, points, scenes, in a real browser."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from indexer.records import Rle
from indexer.segmentation import masks
from search.api.schemas import Image, SearchRequest, Segment
from search.client import Client
from tests.e2e.page.conftest import Opener, Screen

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


def expect_hovered(screen: Screen, segment: Segment) -> None:
    expect(screen.get("viewer-canvas")).to_have_attribute("data-hovered", segment.id)


def with_parts(api: Client) -> tuple[Image, list[Segment], Segment]:
    """Return a picture with its segments, one of which is seen to be a part of another."""
    for image in api.images(limit=40).images:
        segments = api.segments_of(image.id).segments
        for part in segments:
            if part.depth and containing(segments, *inner_pixel(part))[1:]:
                return image, segments, part
    pytest.fail("no picture has parts")


def parameters(screen: Screen) -> dict[str, list[str]]:
    return parse_qs(urlsplit(screen.page.url).query)


def test_hovering_outlines_the_smallest_segment(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    for segment in segments:
        x, y = inner_pixel(segment)
        screen.page.mouse.move(*on_screen(screen, image, x, y))
        expect_hovered(screen, containing(segments, x, y)[0])
    screen.shot("viewer")


def test_the_wheel_walks_from_part_to_whole(screen: Screen, api: Client) -> None:
    image, segments, part = with_parts(api)
    screen.open(f"/?open={image.id}")
    screen.settle()
    x, y = inner_pixel(part)
    chain = containing(segments, x, y)
    screen.page.mouse.move(*on_screen(screen, image, x, y))
    expect_hovered(screen, chain[0])
    screen.page.mouse.wheel(0, -120)
    expect_hovered(screen, chain[1])
    screen.page.mouse.wheel(0, 120)
    expect_hovered(screen, chain[0])


def test_a_tap_selects_and_the_button_finds_similar(opener: Opener, api: Client) -> None:
    image, segments, part = with_parts(api)
    screen = opener(390, 800, touch=True)
    screen.open(f"/?open={image.id}")
    screen.settle()
    x, y = inner_pixel(part)
    chain = containing(segments, x, y)
    for wanted in chain[:2]:  # a second tap means the whole
        screen.page.touchscreen.tap(*on_screen(screen, image, x, y))
        expect(screen.page).to_have_url(re.compile(f"segment={wanted.id}"))
        expect(screen.get("viewer")).to_be_visible()
    screen.settle()
    screen.shot("tapped")
    screen.get("similar-button").tap()
    expect(screen.get("viewer")).to_be_hidden()
    expect(screen.page).to_have_url(re.compile(f"like={chain[1].id}"))
    expect(screen.get("hit").first).to_be_visible()


def test_a_click_finds_similar_objects_everywhere(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    x, y = inner_pixel(segments[-1])
    chosen = containing(segments, x, y)[0]
    screen.page.mouse.click(*on_screen(screen, image, x, y))
    expect(screen.get("viewer")).to_be_hidden()
    expect(screen.page).to_have_url(re.compile(f"like={chosen.id}"))
    asked = SearchRequest.model_validate({"positives": [{"segment_id": chosen.id}]})
    expected = [hit.segment.id for hit in api.search(asked).hits if hit.segment]
    screen.expect_hits(expected)
    expect(screen.get("chip").first).to_be_visible()
    screen.shot("similar")


def test_a_shift_click_is_a_negative(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    x, y = inner_pixel(segments[-1])
    screen.page.keyboard.down("Shift")
    screen.page.mouse.click(*on_screen(screen, image, x, y))
    screen.page.keyboard.up("Shift")
    expect(screen.page).to_have_url(re.compile(f"not={containing(segments, x, y)[0].id}"))
    assert parameters(screen)["q"] == ["red star"]
    expect(screen.page.locator('[data-testid=chip][data-kind="not"]')).to_have_count(1)


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
    expect(screen.get("viewer")).to_be_hidden()
    screen.settle()
    expect(screen.get("hit").first).to_be_visible()
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
    expect(screen.get("viewer")).to_be_hidden()
    (like,) = parameters(screen)["like"]
    assert "~at:" in like
    assert "~off:" in like


def test_points_are_taken_back_in_turn(screen: Screen, api: Client) -> None:
    image, segments = opened(screen, api)
    x, y = inner_pixel(segments[0])
    screen.get("point-mode").click()
    said = screen.page.locator(".object [role=status]")
    undo = screen.page.get_by_role("button", name="Undo")
    screen.page.mouse.click(*on_screen(screen, image, 3, 3), button="right")
    expect(said).to_have_text("Now a point on the object.")
    with screen.page.expect_response("**/v1/segment"):
        screen.page.mouse.click(*on_screen(screen, image, x, y))
    expect(said).to_contain_text(re.compile("quality|finds no object"))
    undo.click()  # the point on the object, which came last
    expect(said).to_have_text("Now a point on the object.")
    undo.click()
    expect(undo).to_be_hidden()


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
        x, y = inner_pixel(segment)
        screen.page.mouse.move(*on_screen(screen, image, x, y), steps=4)
        expect_hovered(screen, containing(segments, x, y)[0])
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
