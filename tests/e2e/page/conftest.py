"""A real browser on a real server, and what every test of the page asserts besides."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from indexer import Indexer
from indexer.demo.scenes import draw_scene
from indexer.index import Index
from search.api.settings import Settings
from search.client import Client
from tests.serving import Served, serving

#: Where screenshots are kept: below the folder that git ignores, or as told.
SHOTS = Path(os.environ.get("SEGSEARCH_SHOTS", Path(__file__).parents[3] / "out" / "page"))
_SCENES = 12
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Opener = Callable[..., "Screen"]
#: A page is settled once it has asked for nothing for so long, seconds.
_QUIET_S, _PATIENCE_S = 0.15, 20.0
#: What is asked for as long as an index run goes on.
_ENDLESS = "/v1/index/events"


def find_browser(playwright: Playwright) -> str | None:
    """Return the path of a Chromium, the system's or Playwright's own; None where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    own = Path(playwright.chromium.executable_path)
    return found or (str(own) if own.exists() else None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = find_browser(playwright)
        if path is None:
            pytest.skip("NO BROWSER: the page was NOT tested. Install Chromium: make browser")
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of a few drawn scenes, with the demo profile; every second scene has labels."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "pictures").mkdir()
    for seed in range(_SCENES):
        (folder / "pictures" / f"scene-{seed:02d}.jpg").write_bytes(draw_scene(seed).jpeg)
    with Indexer(folder / "idx", "demo") as indexer:
        assert indexer.index(folder / "pictures").images == _SCENES
    return folder / "idx"


@pytest.fixture(scope="session")
def page_served(page_index: Path) -> Iterator[Served]:
    with serving(Settings(str(page_index))) as served:
        yield served


@pytest.fixture(scope="session")
def api(page_served: Served) -> Iterator[Client]:
    with Client(page_served.url) as client:
        yield client


class Traffic:
    """The requests of a page that are not answered yet."""

    def __init__(self, page: Page) -> None:
        self._open: set[Request] = set()
        self._changed = time.monotonic()
        page.on("request", self._begin)
        page.on("requestfinished", self._end)
        page.on("requestfailed", self._end)

    def _begin(self, request: Request) -> None:
        if urlsplit(request.url).path != _ENDLESS:
            self._open.add(request)
            self._changed = time.monotonic()

    def _end(self, request: Request) -> None:
        if request in self._open:
            self._open.remove(request)
            self._changed = time.monotonic()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was on its way for a while."""
        return not self._open and time.monotonic() - self._changed >= _QUIET_S

    @property
    def pending(self) -> list[str]:
        """The addresses that are not answered yet."""
        return [request.url for request in self._open]


@dataclass(frozen=True)
class Screen:
    """An open page.

    Attributes:
        page: Playwright's.
        url: of the server.
        traffic: what the page asks for.
    """

    page: Page
    url: str
    traffic: Traffic

    def get(self, testid: str) -> Locator:
        """Return the elements with a `data-testid`."""
        return self.page.get_by_test_id(testid)

    def open(self, address: str = "/") -> None:
        """Go to an address of the server."""
        self.page.goto(self.url + address)

    def search(self, words: str) -> None:
        """Type a query, and wait for the answer."""
        self.get("search-box").fill(words)
        with self.page.expect_response("**/v1/search"):
            self.get("search-box").press("Enter")
        self.settle()

    def settle(self) -> None:
        """Wait until the page asks for nothing any more."""
        deadline = time.monotonic() + _PATIENCE_S
        self.page.wait_for_timeout(1000 * _QUIET_S)  # what was just done may ask a little later
        while not self.traffic.is_quiet:
            assert time.monotonic() < deadline, f"not answered: {self.traffic.pending}"
            self.page.wait_for_timeout(30)

    def expect_hits(self, ids: list[str]) -> None:
        """Wait until these segments are shown, in this order."""
        expect(self.get("hit")).to_have_count(len(ids))
        for i, each in enumerate(ids):
            expect(self.get("hit").nth(i)).to_have_attribute("data-segment-id", each)

    def hit_ids(self) -> list[str]:
        """Return the ids of the segments that are shown."""
        ids: list[str] = self.get("hit").evaluate_all(
            "hits => hits.map(hit => hit.dataset.segmentId)"
        )
        return ids

    def shot(self, name: str) -> None:
        """Keep a picture of what is seen."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture
def opener(browser: Browser, page_served: Served) -> Iterator[Opener]:
    """Open pages; at the end nothing may have gone wrong, and nothing have left this machine."""
    wrong: list[str] = []
    contexts: list[BrowserContext] = []

    def opened(
        width: int = 1440,
        height: int = 900,
        *,
        scheme: Literal["light", "dark"] = "light",
        url: str = page_served.url,
        expected: tuple[str, ...] = (),
        touch: bool = False,
    ) -> Screen:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            has_touch=touch,
            is_mobile=touch,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)

        def note(message: ConsoleMessage) -> None:
            is_expected = any(each in message.text for each in expected)
            if message.type in ("error", "warning") and not is_expected:
                wrong.append(f"{message.type}: {message.text}")

        def check(request: Request) -> None:
            if not _is_local(request.url):
                wrong.append(f"left this machine: {request.url}")

        page.on("console", note)
        page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
        page.on("request", check)
        return Screen(page, url, Traffic(page))

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("blob", "data") or parts.hostname == "127.0.0.1"


@pytest.fixture
def screen(opener: Opener) -> Screen:
    """A page on a desktop's screen."""
    return opener()


@pytest.fixture(scope="session")
def labelled(page_index: Path) -> None:
    """Give the first segments labels, one of them hostile."""
    from contextlib import closing

    from indexer.store import open_store

    with closing(Index(open_store(str(page_index), create_ok=False), str(page_index))) as index:
        first, second, third, *_ = index.all_segments()
        hostile = "<img src=x onerror=alert(1)>"
        index.label(
            {first[0].id: ("mug", 0.9), second[0].id: ("mug", 0.8), third[0].id: (hostile, 0.9)},
            "vocabulary",
        )
