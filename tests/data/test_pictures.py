"""One picture file that nobody vouches for: what is read, alike in every reader, and what is refused with a reason."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from salmu.data import pictures
from salmu.data.errors import UserError
from salmu.data.gallery.thumbnails import thumbnail
from salmu.data.pictures import PictureError, decode, decode_files
from salmu.model_training.pictures import random_crop, square
from salmu.tasks.candidates import images as candidates

SIDE = 128
RAMP = np.linspace(0, 2**16 - 1, SIDE * SIDE).reshape(SIDE, SIDE)


def saved(values, kind: str = "PNG", **options) -> bytes:
    sink = io.BytesIO()
    picture = values if isinstance(values, Image.Image) else Image.fromarray(values)
    picture.save(sink, kind, **options)
    return sink.getvalue()


DEEP = {
    "16 bits, PNG": saved(RAMP.round().astype(np.uint16)),
    "16 bits, TIFF": saved(RAMP.round().astype(np.uint16), "TIFF"),
    "16 bits in 32": saved(RAMP.round().astype(np.int32), "TIFF"),
    "32 bits": saved((RAMP * 2**15).astype(np.int32), "TIFF"),
    "float up to 1": saved((RAMP / RAMP.max()).astype(np.float32), "TIFF"),
    "float a little above 1": saved((RAMP / RAMP.max() * 1.004).astype(np.float32), "TIFF"),
    "float up to 255": saved((RAMP / 257).astype(np.float32), "TIFF"),
    "float around 0": saved((RAMP - 1000).astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("case", DEEP)
def test_deep_pictures_are_scaled_not_clipped_and_alike_in_every_reader(case):
    found = np.asarray(decode(DEEP[case]))
    assert found.shape == (SIDE, SIDE, 3)
    assert np.abs(found[..., 0] - RAMP / 257).max() <= 1
    readers = {
        "training": square(DEEP[case], SIDE),
        "training, cropped": random_crop(DEEP[case], SIDE, 1.0, np.random.default_rng(0)),
        "candidates": candidates.decode(DEEP[case], SIDE, 90).image,
        "evaluation": np.asarray(next(decode_files([("a.png", DEEP[case])]))),
        "gallery": np.asarray(thumbnail(DEEP[case], SIDE)),
    }
    for reader in readers.keys() - {"training, cropped"}:
        assert np.array_equal(readers[reader], found), reader
    assert readers["training, cropped"].max() > 250 and readers["training, cropped"].std() > 60


NOISE = np.random.default_rng(0).integers(0, 255, (100, 100, 3)).astype(np.uint8)
REFUSED = {
    "null": (None, "not an image: no bytes"),
    "empty": (b"", "not an image: no bytes"),
    "text": (b"no picture", "not an image: no JPEG, PNG, WebP, GIF, BMP or TIFF file"),
    "EPS, which Pillow gives to another program": (saved(NOISE, "EPS"), "not an image: no JPEG"),
    "DDS": (saved(NOISE, "DDS"), "not an image: no JPEG"),
    "AVIF": (b"\0\0\0 ftypavif" + bytes(800), "not an image: no JPEG"),
    "cut": (saved(NOISE)[:5000], "damaged image: .*truncated"),
    "a strip": (saved(Image.new("L", (10, 6000))), "too narrow: 10 x 6000 pixels"),
    "too many pixels": (saved(Image.new("1", (8000, 7000))), "too large: 8000 x 7000 pixels"),
    "far too many pixels": (saved(Image.new("1", (20000, 10000))), "too large: 200,000,000 pixels"),
    "not a number": (saved(np.full((90, 90), np.nan, np.float32), "TIFF"), "damaged image: a value is not finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_with_a_reason(case):
    content, message = REFUSED[case]
    with pytest.raises(PictureError, match=f"^{message}") as caught:
        decode(content)
    assert str(caught.value) == f"{caught.value.reason}: {caught.value.detail}"
    assert thumbnail(content, 80) is None
    with pytest.raises(UserError, match=f"^faces/1.jpg: {message}.*; replace it"):
        list(decode_files([("faces/1.jpg", content)]))


@pytest.mark.parametrize("error", [RuntimeError("broken"), NotImplementedError("later"), KeyError(7), AssertionError()])
def test_whatever_a_decoder_raises_is_a_damaged_image(error, monkeypatch):
    def load(picture):
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(PictureError, match="^damaged image: .") as caught:
        decode(saved(NOISE))
    assert caught.value.reason == "damaged image"


def test_a_file_of_too_many_bytes_is_not_opened(monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST_FILE", 10_000)
    with pytest.raises(PictureError, match=r"too large: [0-9]+ bytes"):
        decode(saved(NOISE))


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 77])
def test_upright_pictures_are_turned_as_their_exif_says(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(NOISE[:60], exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(np.asarray(decode(content, upright=True)), np.asarray(expected))
    assert np.array_equal(np.asarray(decode(content)), NOISE[:60])


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02A\0\0\0", b"Exif\0\0MM\0", b"odd"]
)
def test_an_odd_exif_costs_no_picture(exif):
    content = saved(NOISE, "JPEG", exif=exif)
    assert np.array_equal(np.asarray(decode(content, upright=True)), np.asarray(decode(content)))
