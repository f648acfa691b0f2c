from __future__ import annotations

from pathlib import Path

import pytest

from indexer.errors import QueryError
from search.api.places import Places

PLACES = Places({"r1": Path("/data/photos"), "r2": Path("/mnt/photos"), "r3": Path("/data/a[b]")})


def test_names() -> None:
    assert PLACES.names == ["a[b]", "photos", "photos (2)"]
    assert PLACES.shown("r1/2024/a.jpg") == "photos/2024/a.jpg"
    assert PLACES.shown("r2/a.jpg") == "photos (2)/a.jpg"
    assert PLACES.shown("gone/a.jpg") == "elsewhere/a.jpg"


@pytest.mark.parametrize(
    ("shown", "absolute"),
    [
        ("photos", "/data/photos/"),
        ("photos/", "/data/photos/"),
        ("photos/20", "/data/photos/20"),
        ("photos (2)/x/", "/mnt/photos/x/"),
    ],
)
def test_prefixes(shown: str, absolute: str) -> None:
    assert PLACES.prefix(shown) == absolute


@pytest.mark.parametrize(
    ("shown", "absolute"),
    [
        ("*.jpg", "*.jpg"),
        ("photos/**/a?.jpg", "/data/photos/**/a?.jpg"),
        ("a[b]/*", "/data/a[[]b]/*"),
    ],
)
def test_patterns(shown: str, absolute: str) -> None:
    assert PLACES.glob(shown) == absolute


@pytest.mark.parametrize("shown", ["", "/", "/etc/", "..", "photos/../x", "photos/x/..", "etc/x"])
def test_nothing_leads_out_of_the_library(shown: str) -> None:
    with pytest.raises(QueryError):
        PLACES.prefix(shown)
    if "/" in shown:
        with pytest.raises(QueryError):
            PLACES.glob(shown)


def test_folders_are_shown_by_the_deepest_root() -> None:
    places = Places({"r1": Path("/data"), "r2": Path("/data/photos")})
    assert places.folder("/data/photos/2024") == "photos/2024"
    assert places.folder("/data/other") == "data/other"
    assert places.folder("/data") == "data"
    assert places.folder("/etc") == "elsewhere"


def test_a_lone_root_needs_no_name_in_deep_patterns() -> None:
    alone = Places({"r1": Path("/data/photos")})
    assert alone.glob("**/a.jpg") == "/data/photos/**/a.jpg"
    with pytest.raises(QueryError, match="leaves open"):
        PLACES.glob("**/a.jpg")
