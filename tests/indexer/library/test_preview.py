"""Pictures scaled down to look at."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import PIL.Image
import pytest

from indexer import library
from indexer.errors import PictureError


def content_of(buffer: io.BytesIO) -> library.Content:
    data = buffer.getvalue()
    return library.Content(data, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((900, 600), 300, (200, 300)), ((90, 60), 300, (60, 90)), ((600, 900), 100, (100, 67))],
)
def test_previews_are_scaled_down_and_never_up(
    size: tuple[int, int], side: int, expected: tuple[int, int]
) -> None:
    for name in ("JPEG", "PNG"):
        buffer = io.BytesIO()
        PIL.Image.new("RGB", size, (200, 30, 60)).save(buffer, name)
        small = library.preview(content_of(buffer), side)
        assert small.shape == (*expected, 3)
        np.testing.assert_allclose(small[5, 5], (200, 30, 60), atol=3)


def test_previews_are_the_way_up_that_exif_says() -> None:
    """A picture with a red left half, to be turned by a quarter clockwise: red is on top."""
    picture = PIL.Image.new("RGB", (400, 200), "blue")
    picture.paste("red", (0, 0, 200, 200))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    small = library.preview(content_of(buffer), 100)
    assert small.shape == (100, 50, 3)
    assert small[10, 25, 0] > 200
    assert small[90, 25, 2] > 200


def test_previews_have_the_limits_of_pictures() -> None:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (90, 60)).save(buffer, "PNG")
    with pytest.raises(PictureError, match="scale it down"):
        library.preview(content_of(buffer), 30, max_pixels=5000)
    with pytest.raises(PictureError, match="not a picture"):
        library.preview(content_of(io.BytesIO(b"nothing")), 30)
