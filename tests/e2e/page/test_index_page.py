"""An empty index, filling it, and keys, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from indexer.demo.scenes import draw_scene
from search.api.settings import Settings
from tests.e2e.page.conftest import Opener
from tests.search.api.test_keys import KEYS, READ
from tests.serving import serving


def test_an_empty_index_is_filled_from_the_page(
    opener: Opener, tmp_path: Path, fast_yaml: str
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        (folder / f"<img src=x onerror=alert({seed})>.jpg").write_bytes(draw_scene(seed).jpeg)
    settings = Settings(str(tmp_path / "idx"), folders=(folder,), profile=fast_yaml)
    with serving(settings) as served:
        screen = opener(url=served.url)
        screen.open()
        expect(screen.get("empty-index")).to_be_visible()
        screen.shot("empty")
        screen.get("index-button").first.click()
        expect(screen.get("progress")).to_have_attribute("data-state", "running")
        screen.shot("indexing")
        expect(screen.get("progress")).to_have_attribute("data-state", "done", timeout=60_000)
        expect(screen.get("progress")).to_contain_text("3")
        screen.shot("indexed")
        screen.open()
        expect(screen.get("hit")).to_have_count(3)
        screen.get("hit").first.click()
        expect(screen.get("viewer")).to_contain_text("<img src=x onerror=alert(")


def test_a_run_is_stopped_from_the_page(opener: Opener, tmp_path: Path, fast_yaml: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(30):
        (folder / f"{seed}.jpg").write_bytes(draw_scene(seed).jpeg)
    settings = Settings(str(tmp_path / "idx"), folders=(folder,), profile=fast_yaml)
    with serving(settings) as served:
        screen = opener(url=served.url)
        screen.open("/?page=index")
        screen.get("index-button").first.click()
        expect(screen.get("progress")).to_contain_text(re.compile(r"pictures[1-9]"), timeout=30_000)
        screen.get("cancel-button").click(delay=150)  # while the figures change five times a second
        expect(screen.get("progress")).to_have_attribute("data-state", "stopped", timeout=30_000)
        expect(screen.page.locator("h1")).to_be_focused()
        screen.page.close()  # it would ask on when the server has gone


def test_what_is_indexed_so_far_can_be_found(opener: Opener, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(40):
        (folder / f"{seed}.jpg").write_bytes(draw_scene(seed).jpeg)
    settings = Settings(str(tmp_path / "idx"), folders=(folder,), profile="demo")
    with serving(settings) as served:
        screen = opener(url=served.url)
        screen.open()
        screen.get("index-button").first.click()
        expect(screen.get("progress")).to_have_attribute("data-state", "running")
        screen.page.get_by_role("link", name="All pictures", exact=True).click()
        expect(screen.get("hit").first).to_be_visible(timeout=30_000)  # they come by themselves
        screen.get("search-box").fill("red star")
        with screen.page.expect_response("**/v1/search") as answer:
            screen.get("search-box").press("Enter")
        assert answer.value.ok
        found = screen.page.locator("[data-testid=hit][data-segment-id]")
        nothing = screen.get("nothing-found")  # the first pictures may hold no red star
        expect(found.or_(nothing).first).to_be_visible(timeout=30_000)
        expect(screen.page.locator("#run-bar")).to_be_visible()  # the run still goes on
        screen.shot("first-run")
        screen.page.locator("#run-bar").click()
        screen.get("cancel-button").click(delay=150)
        expect(screen.get("progress")).to_have_attribute("data-state", "stopped", timeout=30_000)
        screen.page.close()


def test_a_page_asks_for_the_key(opener: Opener, page_index: Path) -> None:
    with serving(Settings(str(page_index), keys=KEYS)) as served:
        screen = opener(url=served.url, expected=("401",))
        screen.open("/?q=red+star")
        asked = screen.page.locator("dialog[open] input")
        asked.fill("not the key, though long")
        asked.press("Enter")
        expect(screen.page.locator("dialog[open]")).to_contain_text("key")
        asked.fill(READ)
        asked.press("Enter")
        expect(screen.get("hit").first).to_be_visible()
        screen.page.reload()
        expect(screen.get("hit").first).to_be_visible()
        screen.open("/?page=index")
        screen.settle()
        expect(screen.get("index-button")).to_have_count(0)  # this key may only read
