from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image

from indexer.library import Content, Decoded, decode

Encode = Callable[..., bytes]
DecodeBytes = Callable[..., Decoded]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Return a function that writes an image in a format, with Pillow's options."""

    def write(image: Image.Image, form: str, **options: object) -> bytes:
        buffer = BytesIO()
        image.copy().save(buffer, form, **options)  # saving leaves traces in the image
        return buffer.getvalue()

    return write


@pytest.fixture(scope="session")
def decode_bytes() -> DecodeBytes:
    """Return a function that decodes bytes as if they had been read from a file."""

    def call(data: bytes, **options: int) -> Decoded:
        return decode(Content(data, hashlib.sha256(data).hexdigest()), **options)

    return call
