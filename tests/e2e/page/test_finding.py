"""Searching, paging and coming back, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from search.api.schemas import SearchRequest
from search.client import Client
from tests.e2e.page.conftest import Opener, Screen


def test_a_text_finds_objects_and_outlines_them(screen: Screen, api: Client) -> None:
    screen.open()
    expect(screen.get("hit")).to_have_count(12)  # all pictures, before anything is asked
    screen.search("red star")
    answer = api.search(SearchRequest(text="red star"))
    assert answer.hits
    hits = screen.get("hit")
    expect(hits).to_have_count(len(answer.hits))
    told = [hits.nth(i).get_attribute("data-segment-id") for i in range(len(answer.hits))]
    assert told == [hit.segment.id for hit in answer.hits if hit.segment]
    score = hits.first.get_attribute("data-score")
    assert score is not None
    assert float(score) == pytest.approx(answer.hits[0].score, abs=1e-4)
    expect(hits.first).to_contain_text(f"{answer.hits[0].relevance:.1f}")
    drawn = hits.first.locator("canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.some(value => value > 0)"
    )
    assert drawn
    expect(screen.get("result-count")).to_contain_text(str(len(answer.hits)))
    screen.shot("search")


def test_nothing_relevant_is_said_and_the_nearest_can_be_seen(screen: Screen) -> None:
    screen.open()
    screen.search("entirely unheard of nonsense")
    if screen.get("hit").count():  # the tiny model may take it for something
        screen.open("/?q=red&min_relevance=50")
    expect(screen.get("nothing-found")).to_be_visible()
    screen.shot("nothing")
    screen.get("show-anyway").click()
    expect(screen.get("hit").first).to_be_visible()
    assert "all=1" in screen.page.url


def test_more_come_while_scrolling(screen: Screen) -> None:
    screen.open("/?q=red&all=1&nested=1")
    screen.settle()
    before = screen.get("hit").count()
    screen.page.mouse.move(700, 500)
    for _ in range(6):
        screen.page.mouse.wheel(0, 3000)
        screen.page.wait_for_timeout(150)
    screen.settle()
    after = screen.get("hit").count()
    assert after > before
    ids = screen.get("hit").evaluate_all("hits => hits.map(hit => hit.dataset.segmentId)")
    assert len(ids) == len(set(ids))


def test_every_search_has_an_address(screen: Screen, opener: Opener) -> None:
    screen.open()
    screen.search("red star")
    first = screen.page.url
    assert "q=red+star" in first
    found = screen.get("hit").evaluate_all("hits => hits.map(hit => hit.dataset.segmentId)")
    screen.search("blue circle")
    screen.page.go_back()
    expect(screen.get("search-box")).to_have_value("red star")
    screen.settle()
    again = screen.get("hit").evaluate_all("hits => hits.map(hit => hit.dataset.segmentId)")
    assert again == found
    screen.page.reload()
    screen.settle()
    assert screen.get("hit").count() == len(found)
    other = opener()
    other.page.goto(first)
    expect(other.get("hit")).to_have_count(len(found))


def test_filters_and_facets_narrow(screen: Screen, labelled: None) -> None:
    screen.open("/?q=mug&all=1&nested=1")
    screen.settle()
    facet = screen.page.locator('[data-testid=facet][data-by="label"][data-value="mug"]')
    expect(facet).to_contain_text("2")
    facet.click()
    expect(screen.get("hit")).to_have_count(2)
    assert "label=mug" in screen.page.url
    screen.shot("filtered")
    facet.click()
    expect(screen.get("hit").nth(2)).to_be_visible()


def test_a_scene_is_typed(screen: Screen, api: Client) -> None:
    screen.open("/?all=1")
    screen.search("red AND blue")
    kinds = screen.get("chip").evaluate_all("chips => chips.map(chip => chip.dataset.kind)")
    assert kinds.count("thing") == 2
    expect(screen.get("hit").first).to_be_visible()
    screen.shot("scene")


def test_a_picture_is_dropped(screen: Screen, page_index: Path) -> None:
    screen.open()
    screen.settle()
    data = (page_index.parent / "pictures" / "scene-03.jpg").read_bytes()
    transfer = screen.page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            const file = new File([new Uint8Array(bytes)], "q.jpg", { type: "image/jpeg" });
            transfer.items.add(file);
            return transfer;
        }""",
        list(data),
    )
    screen.page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    screen.page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(screen.get("viewer")).to_be_visible()
    expect(screen.get("viewer-canvas")).to_be_visible()
    screen.settle()
    screen.shot("dropped")
    screen.get("whole-button").click()
    expect(screen.get("viewer")).to_be_hidden()
    expect(screen.get("hit").first).to_be_visible()
    assert re.search(r"like=upload(:|%3A)", screen.page.url)
    screen.page.reload()
    expect(screen.get("hit").first).to_be_visible()


def test_keys(screen: Screen) -> None:
    screen.open()
    screen.settle()
    screen.page.keyboard.press("/")
    expect(screen.get("search-box")).to_be_focused()
    screen.page.keyboard.type("red")
    screen.page.keyboard.press("Enter")
    screen.settle()
    screen.get("hit").first.focus()
    screen.page.keyboard.press("ArrowRight")
    expect(screen.get("hit").nth(1)).to_be_focused()
    screen.page.keyboard.press("Enter")
    expect(screen.get("viewer")).to_be_visible()
    screen.page.keyboard.press("Escape")
    expect(screen.get("viewer")).to_be_hidden()
    expect(screen.get("hit").nth(1)).to_be_focused()
    screen.page.keyboard.press("?")
    expect(screen.page.locator("dialog[open]")).to_be_visible()


def test_dark_and_light(screen: Screen, opener: Opener) -> None:
    def background(of: Screen) -> int:
        colour = of.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    screen.open()
    assert background(screen) > 600
    screen.get("theme-toggle").click()
    assert background(screen) < 200
    screen.page.reload()
    assert background(screen) < 200  # remembered
    dark = opener(scheme="dark")
    dark.open("/?q=red+star")
    assert background(dark) < 200
    dark.settle()
    dark.shot("dark")


@pytest.mark.parametrize(("width", "height"), [(375, 800), (820, 1100), (1440, 900)])
def test_nothing_is_wider_than_the_screen(opener: Opener, width: int, height: int) -> None:
    screen = opener(width, height)
    for name, address in (("home", "/"), ("hits", "/?q=red+star"), ("index", "/?page=index")):
        screen.open(address)
        screen.settle()
        over = screen.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over <= 0
        screen.shot(f"{name}-{width}")


def test_hostile_labels_are_only_text(screen: Screen, labelled: None) -> None:
    screen.page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    screen.open("/?q=anything&all=1&nested=1&label=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
    expect(screen.get("hit")).to_have_count(1)
    screen.get("hit").first.click()
    expect(screen.get("viewer")).to_contain_text("<img src=x onerror=alert(1)>")


def test_the_documentation_of_the_api(screen: Screen) -> None:
    screen.open("/docs")
    expect(screen.page.get_by_text("/v1/search/upload")).to_be_visible()
    screen.shot("docs")
