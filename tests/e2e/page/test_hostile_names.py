"""A library of strangers' pictures: whatever they are called, and say of themselves, is text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import PIL.Image
import pytest
from playwright.sync_api import expect

from indexer import Indexer
from indexer.index import Index
from indexer.profiles import Profile
from indexer.store import open_store
from search.api.settings import Settings
from search.client import Client
from tests.e2e.page.conftest import Opener, Screen
from tests.pictures import scene
from tests.serving import Served, serving

RUN = "window.__run=1"
#: What would run if it were taken for HTML, an address, a style or the end of a text in a script.
HOSTILE = (
    f"<img src=x onerror={RUN}>",
    f'"><script>{RUN}</script>',
    f"'-({RUN})-'",
    f"javascript:{RUN}",
    f"<svg onload={RUN}>",
    f"</title><iframe srcdoc='<script>parent.{RUN}</script>'>",
    "${" + RUN + "}{{" + RUN + "}}",
    "</style><style>body{display:none}",
    "\u202egpj.\u2066exe\u2069\u200b",
    "\x1b[31m\x07\x9b2J",
    "&lt;b&gt;&#60;i&#62;",
)
_MAKE, _MODEL = 0x010F, 0x0110
#: Notes what the page must never do.
WATCH = """
window.__broken = [];
for (const name of ["alert", "confirm", "prompt", "open", "print"])
  window[name] = () => window.__broken.push(name);
document.addEventListener("securitypolicyviolation",
  (event) => window.__broken.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
#: Elements that only HTML in a name could have made, and attributes that run something.
STRANGE = """() => [...document.querySelectorAll("*")].filter((each) =>
  ["SCRIPT", "IFRAME", "OBJECT", "EMBED", "BASE", "FORM", "STYLE"].includes(each.tagName) &&
    !["search-form", "key-form"].includes(each.id) && !each.src?.startsWith(location.origin) ||
  [...each.attributes].some(({ name, value }) => name.startsWith("on") ||
    /^\\s*javascript:/i.test(value) && ["href", "src", "action", "formaction"].includes(name)))
  .map((each) => each.outerHTML)"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, fast_profile: Profile) -> Iterator[Served]:
    """Pictures whose names, folders, cameras and labels are hostile."""
    folder = tmp_path_factory.mktemp("page") / f"lib {HOSTILE[0]}"
    for seed, text in enumerate(HOSTILE):
        exif = PIL.Image.Exif()
        exif[_MAKE], exif[_MODEL] = text, text
        name = text.replace("/", "\u2215")
        (folder / name).mkdir(parents=True)
        scene(seed).save(folder / name / f"{name}.jpg", exif=exif)
    where = str(folder.parent / "idx")
    with Indexer(where, fast_profile) as indexer:
        assert indexer.index(folder).images == len(HOSTILE)
    with closing(Index(open_store(where, create_ok=False), where)) as index:
        firsts = {i.id: index.segments_of(i.id)[0].id for i in index.all_images()}
        labels = zip(firsts.values(), HOSTILE, strict=True)
        index.label({segment: (text, 0.9) for segment, text in labels}, "vocabulary")
    with serving(Settings(where, folders=(Path(folder),))) as served:
        yield served


def look_round(screen: Screen) -> None:
    """Open what can be opened: facets, and the first hits with their texts and objects."""
    screen.settle()
    for each in screen.page.locator("summary").all():
        each.click()
    hits = screen.get("hit")
    for i in range(min(2, hits.count())):
        hits.nth(i).click()
        expect(screen.get("viewer")).to_be_visible()
        screen.settle()
        screen.page.keyboard.press("Escape")


def assert_harmless(screen: Screen) -> None:
    page = screen.page
    assert page.evaluate("[window.__run ?? null, window.__broken]") == [None, []]
    assert page.evaluate(STRANGE) == []
    expect(screen.get("search-box")).to_be_visible()


def test_whatever_a_library_says_is_shown_as_it_is(opener: Opener, hostile: Served) -> None:
    screen = opener(url=hostile.url)
    screen.page.add_init_script(WATCH)
    screen.open("/")
    look_round(screen)
    assert_harmless(screen)
    panel = screen.get("filter-panel").inner_text()
    assert sum(text in panel for text in HOSTILE) >= 5  # it shows so many of each facet
    with Client(hostile.url) as client:
        images = client.images().images
    for image in images:
        screen.open(f"/?open={image.id}")
        expect(screen.get("viewer")).to_contain_text(image.path.rpartition("/")[2].strip())
        assert_harmless(screen)
    strange = "document.body.insertAdjacentHTML('beforeend', '<a href=\"javascript:1\">x</a>')"
    screen.page.evaluate(strange)
    assert len(screen.page.evaluate(STRANGE)) == 1  # it would have been seen


def test_whatever_is_asked_for_is_shown_as_it_is(opener: Opener, hostile: Served) -> None:
    """In the address, in the box, as a filter; found, or refused with an error that repeats it."""
    screen = opener(url=hostile.url, expected=("422", "404", "does not conform"))
    screen.page.add_init_script(WATCH)
    filters = ("label", "camera", "path", "glob", "near", "since", "min_area", "format", "like")
    for text in HOSTILE[::3]:
        asked = quote(text, safe="")
        screen.open(f"/?q={asked}&all=1&nested=1&label={asked}&camera={asked}&format={asked}")
        screen.settle()
        expect(screen.get("search-box")).to_have_value(text.strip())
        assert_harmless(screen)
        for rest in ("&".join(f"{name}={asked}" for name in filters), f"open={asked}"):
            screen.open(f"/?q=red&{rest}")
            screen.settle()
            assert_harmless(screen)
    screen.open(f"/?q=red&path={quote(HOSTILE[2])}")
    screen.settle()
    assert HOSTILE[2] in screen.page.inner_text("body")
    screen.search(f"{HOSTILE[0]} left-of {HOSTILE[1]} NOT {HOSTILE[4]}")
    assert_harmless(screen)
