"""Searching, paging and coming back, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import JSHandle, Route, expect

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
    screen.expect_hits([hit.segment.id for hit in answer.hits if hit.segment])
    score = hits.first.get_attribute("data-score")
    assert score is not None
    assert float(score) == pytest.approx(answer.hits[0].score, abs=1e-4)
    expect(hits.first).to_contain_text(f"{answer.hits[0].relevance:.1f}")
    screen.page.wait_for_function(
        """canvas => canvas.width > 0 && canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.some(value => value > 0)""",
        arg=hits.first.locator("canvas").element_handle(),
    )
    expect(screen.get("result-count")).to_contain_text(str(len(answer.hits)))
    screen.shot("search")


def test_what_is_typed_early_stays(screen: Screen) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    screen.page.route("**/v1/stats", hold)
    screen.open()
    screen.get("search-box").fill("red star")
    expect(screen.get("hit")).to_have_count(0)
    held[0].continue_()
    screen.page.unroute("**/v1/stats")
    expect(screen.get("hit")).to_have_count(12)
    expect(screen.get("search-box")).to_have_value("red star")


def test_nothing_relevant_is_said_and_the_nearest_can_be_seen(screen: Screen) -> None:
    screen.open("/?min_relevance=50")  # nothing is so relevant, whatever the tiny model thinks
    screen.search("entirely unheard of nonsense")
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
    screen.page.mouse.wheel(0, 100_000)
    expect(screen.get("hit").nth(before)).to_be_attached()
    screen.settle()
    ids = screen.hit_ids()
    assert len(ids) == len(set(ids))


def test_all_pictures_come_page_by_page(screen: Screen, api: Client) -> None:
    asked: list[str] = []

    def shorten(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_(url=route.request.url.replace("limit=40", "limit=5"))

    screen.page.route("**/v1/images?*", shorten)
    screen.open()
    expect(screen.get("hit")).to_have_count(12)
    screen.settle()
    ids = screen.get("hit").evaluate_all("hits => hits.map(hit => hit.dataset.imageId)")
    assert ids == [image.id for image in api.images(limit=40).images]
    assert len(asked) == 3
    assert "after=" in asked[-1]


def test_the_page_goes_on_when_the_server_is_back(opener: Opener) -> None:
    screen = opener(height=500, expected=("Failed to load resource",))
    screen.open("/?q=red&all=1&nested=1")
    screen.settle()
    before = screen.get("hit").count()
    screen.page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
    screen.page.mouse.move(700, 300)
    screen.page.mouse.wheel(0, 100_000)
    banner, alert = screen.page.locator("#offline"), screen.get("error")
    expect(banner).to_be_visible()
    expect(alert).to_be_visible()
    screen.page.evaluate("scrollTo(0, 0)")
    screen.shot("gone")
    expect(screen.get("hit")).to_have_count(before)
    screen.page.unroute("**/v1/**")
    expect(banner).to_be_hidden()  # it asks every three seconds
    expect(alert).to_be_hidden()
    screen.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(screen.get("hit").nth(before)).to_be_attached()
    expect(screen.page.locator("[data-seen] .broken")).to_have_count(0)
    screen.search("blue circle")
    expect(screen.get("hit").first).to_be_visible()


def test_every_search_has_an_address(screen: Screen, opener: Opener) -> None:
    screen.open()
    screen.search("red star")
    first = screen.page.url
    assert "q=red+star" in first
    found = screen.hit_ids()
    assert found
    screen.search("blue circle")
    screen.page.go_back()
    expect(screen.get("search-box")).to_have_value("red star")
    screen.expect_hits(found)
    screen.page.reload()
    screen.expect_hits(found)
    other = opener()
    other.page.goto(first)
    other.expect_hits(found)


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
    expect(screen.page.locator('[data-testid=chip][data-kind="thing"]')).to_have_count(2)
    expect(screen.get("hit").first).to_be_visible()
    screen.shot("scene")


def transfer_of(screen: Screen, page_index: Path, text: str = "") -> JSHandle:
    """Return a picture, and perhaps a text, as the browser hands over what is dropped or pasted."""
    data = (page_index.parent / "pictures" / "scene-03.jpg").read_bytes()
    return screen.page.evaluate_handle(
        """({ bytes, text }) => {
            const transfer = new DataTransfer();
            const file = new File([new Uint8Array(bytes)], "q.jpg", { type: "image/jpeg" });
            transfer.items.add(file);
            if (text) transfer.setData("text/plain", text);
            return transfer;
        }""",
        {"bytes": list(data), "text": text},
    )


def test_a_picture_is_pasted(screen: Screen, page_index: Path) -> None:
    screen.open()
    screen.settle()
    paste = """(box, clipboardData) =>
        box.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }))"""
    uploads: list[str] = []
    screen.page.on("request", lambda request: uploads.append(request.method + request.url))
    box = screen.get("search-box")
    box.evaluate(paste, transfer_of(screen, page_index, "the cells of a table"))
    screen.settle()
    assert not any(each.startswith("POST") for each in uploads)
    box.evaluate(paste, transfer_of(screen, page_index))
    expect(screen.get("viewer")).to_be_visible()
    expect(screen.get("whole-button")).to_be_visible()
    assert any(each.startswith("POST") for each in uploads)


def test_a_picture_is_dropped(screen: Screen, page_index: Path) -> None:
    screen.open()
    screen.settle()
    transfer = transfer_of(screen, page_index)
    screen.page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    screen.page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(screen.get("viewer")).to_be_visible()
    expect(screen.get("viewer-canvas")).to_be_visible()
    screen.settle()
    screen.shot("dropped")
    screen.get("whole-button").click()
    expect(screen.get("viewer")).to_be_hidden()
    expect(screen.get("hit").first).to_be_visible()
    expect(screen.page).to_have_url(re.compile(r"like=upload(:|%3A)"))
    screen.page.reload()
    expect(screen.get("hit").first).to_be_visible()


def test_keys(screen: Screen) -> None:
    screen.open()
    screen.settle()
    screen.page.keyboard.press("/")
    expect(screen.get("search-box")).to_be_focused()
    screen.page.keyboard.type("red")
    screen.page.keyboard.press("Enter")
    expect(screen.get("hit").first).to_have_attribute("data-segment-id", re.compile("."))
    screen.settle()
    screen.get("hit").first.focus()
    screen.page.keyboard.press("ArrowRight")
    expect(screen.get("hit").nth(1)).to_be_focused()
    screen.page.keyboard.press("Enter")
    expect(screen.get("viewer")).to_be_visible()
    screen.page.keyboard.press("Escape")
    expect(screen.get("viewer")).to_be_hidden()
    expect(screen.get("hit").nth(1)).to_be_focused()
    liked = screen.get("hit").nth(1).get_attribute("data-segment-id")
    screen.page.keyboard.press("s")
    expect(screen.page).to_have_url(re.compile(f"like={liked}"))
    expect(screen.page.locator("#results")).to_be_focused()  # what had the focus is gone
    screen.page.keyboard.press("?")
    expect(screen.page.locator("dialog[open]")).to_be_visible()


def test_keys_are_for_the_dialog_on_top(screen: Screen) -> None:
    screen.open("/?q=red&all=1")
    screen.get("hit").first.click()
    expect(screen.get("viewer")).to_be_visible()
    screen.settle()
    address, tag = screen.page.url, screen.page.locator(".tag")
    told = tag.inner_text()
    screen.page.keyboard.press("?")
    expect(screen.page.locator("#help-dialog")).to_be_visible()
    for key in ("ArrowRight", "s", "."):
        screen.page.keyboard.press(key)
    screen.settle()
    assert screen.page.url == address
    screen.page.keyboard.press("Escape")
    expect(screen.page.locator("#help-dialog")).to_be_hidden()
    expect(screen.get("viewer")).to_be_visible()
    screen.page.keyboard.press(".")
    expect(tag).not_to_have_text(told)
    expect(tag).to_have_text(re.compile("%"))
    expect(tag).to_have_role("status")


def test_dark_and_light(screen: Screen, opener: Opener) -> None:
    def expect_ground(of: Screen, colour: str) -> None:
        expect(of.page.locator("body")).to_have_css("background-color", colour)

    light_ground, dark_ground = "rgb(247, 247, 245)", "rgb(19, 21, 25)"
    screen.open()
    expect_ground(screen, light_ground)
    screen.get("theme-toggle").click()
    expect_ground(screen, dark_ground)
    screen.page.reload()
    expect_ground(screen, dark_ground)  # remembered
    forgetful = opener()
    forgetful.page.add_init_script(
        "Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error(); }"
    )
    forgetful.open()
    forgetful.get("theme-toggle").click()
    expect_ground(forgetful, dark_ground)
    forgetful.get("theme-toggle").click()
    expect_ground(forgetful, light_ground)
    dark = opener(scheme="dark")
    dark.open("/?q=red+star")
    expect_ground(dark, dark_ground)
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
