"""Whatever the bytes are, the only thing that may escape is `PictureError`."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from indexer.errors import PictureError
from indexer.library import REASONS, Decoded
from indexer.library.quiet import quiet

if TYPE_CHECKING:
    from tests.indexer.library.conftest import DecodeBytes, Encode

NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (9, 8, 3), np.uint8))
DEEP = Image.fromarray(np.arange(72, dtype=np.uint16).reshape(9, 8) * 900)


def _written(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.copy().save(buffer, form, **options)  # saving leaves traces in the image
    return buffer.getvalue()


def _two_frames(form: str, **options: object) -> bytes:
    return _written(NOISE, form, save_all=True, append_images=[NOISE.rotate(180)], **options)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif.update({271: "Acme", 274: 6, 306: "2021:06:30 12:34:56"})
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0)})
    return exif


def _samples() -> dict[str, bytes]:
    lab = ImageCms.profileToProfile(
        NOISE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    odd = profile.replace(b"s\0R\0G\0B", b"x\0R\0G\0B")  # not taken for sRGB, hence followed
    return {
        "JPEG": _written(NOISE, "JPEG", exif=_exif()),
        "JPEG, progressive": _written(NOISE, "JPEG", progressive=True, icc_profile=odd),
        "JPEG, CMYK": _written(NOISE.convert("CMYK"), "JPEG"),
        "MPO": _two_frames("MPO"),
        "PNG": _written(NOISE, "PNG", exif=_exif()),
        "PNG, 16 bits": _written(DEEP, "PNG", transparency=900),
        "PNG, palette": _written(NOISE.quantize(4), "PNG", bits=2, transparency=1),
        "PNG, alpha": _written(NOISE.convert("RGBA"), "PNG", icc_profile=odd),
        "APNG": _two_frames("PNG"),
        "GIF": _two_frames("GIF", transparency=3),
        "WEBP": _written(NOISE, "WEBP", exif=_exif()),
        "WEBP, lossless": _two_frames("WEBP", lossless=True),
        "BMP": _written(NOISE, "BMP"),
        "BMP, palette": _written(NOISE.convert("P"), "BMP"),
        "TIFF": _written(NOISE, "TIFF", exif=_exif()),
        "TIFF, pages": _two_frames("TIFF"),
        "TIFF, float": _written(DEEP.convert("I").convert("F"), "TIFF"),
        "TIFF, 16 bits": _written(DEEP, "TIFF"),
        "TIFF, palette": _written(NOISE.convert("P"), "TIFF"),
        "TIFF, LAB": _written(lab, "TIFF"),
        "TIFF, packed": _written(NOISE, "TIFF", compression="packbits"),
        "AVIF": _written(NOISE, "AVIF", exif=_exif(), icc_profile=odd),
    }


SAMPLES = _samples()


def outcome(decode_bytes: DecodeBytes, data: bytes) -> Decoded | PictureError:
    try:
        return decode_bytes(data)
    except PictureError as error:
        return error


def survive(decode_bytes: DecodeBytes, data: bytes) -> None:
    result = outcome(decode_bytes, data)
    if isinstance(result, PictureError):
        assert result.reason in REASONS
    else:
        picture = result.picture
        assert result.pixels.shape == (picture.height, picture.width, 3)


def hostile(examples: int) -> Callable[..., Callable[..., None]]:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@hostile(200)
@given(data=st.binary(max_size=64), magic=st.sampled_from(["", *SAMPLES]))
def test_random_bytes(decode_bytes: DecodeBytes, data: bytes, magic: str) -> None:
    survive(decode_bytes, SAMPLES.get(magic, b"")[:16] + data)


@pytest.mark.parametrize("name", SAMPLES)
@hostile(40)
@given(share=st.floats(0, 1))
def test_truncations(decode_bytes: DecodeBytes, name: str, share: float) -> None:
    data = SAMPLES[name]
    survive(decode_bytes, data[: int(share * len(data))])


@pytest.mark.parametrize("name", SAMPLES)
@hostile(120)
@given(
    patches=st.lists(
        st.tuples(
            st.floats(0, 1) | st.floats(0, 0.15),  # where: anywhere, or in the header
            st.binary(min_size=1, max_size=4)
            | st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\x01"]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_mutations(
    decode_bytes: DecodeBytes, name: str, patches: list[tuple[float, bytes]]
) -> None:
    data = bytearray(SAMPLES[name])
    for where, patch in patches:
        at = int(where * (len(data) - 1))
        data[at : at + len(patch)] = patch
    survive(decode_bytes, bytes(data))


def test_a_bug_is_not_taken_for_a_bad_picture(
    encode: Encode, decode_bytes: DecodeBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Image.Image, __: int) -> Image.Image:
        raise ValueError("a bug of ours")

    data = encode(NOISE, "PNG")
    decode_bytes(data)
    monkeypatch.setattr("indexer.library.colour.to_srgb", broken)
    with pytest.raises(ValueError, match="a bug of ours"):
        decode_bytes(data)


def test_threads_get_the_same_as_one_thread(
    encode: Encode, decode_bytes: DecodeBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # every picture makes Pillow warn
    wordy = encode(NOISE, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    work = [*SAMPLES.values(), wordy] * 5
    alone = [decode_bytes(data) for data in work]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode_bytes, work))
    for one, other in zip(alone, together, strict=True):
        assert one.picture == other.picture
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_quiet_silences_its_own_thread_only() -> None:
    inside, done = threading.Event(), threading.Event()

    def silent() -> None:
        with quiet():
            inside.set()
            done.wait(10)
            warnings.warn("not heard", stacklevel=1)

    thread = threading.Thread(target=silent)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        thread.start()
        assert inside.wait(10)
        warnings.warn("heard", stacklevel=1)
        done.set()
        thread.join()
        with quiet(), quiet():
            warnings.warn("not heard", stacklevel=1)
        warnings.warn("heard again", stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["heard", "heard again"]


def test_quiet_goes_before_filters_that_came_later() -> None:
    with warnings.catch_warnings():
        with quiet():
            pass
        warnings.simplefilter("error")
        with quiet():
            warnings.warn("not heard", stacklevel=1)
        with pytest.raises(UserWarning, match="an error"):
            warnings.warn("an error", stacklevel=1)
