"""Arrays as pictures and as samples: what plugins' results become."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from neurdicom.errors import Invalid, NotAvailable
from neurdicom.pixels.encode.arrays import describe, encode
from neurdicom.pixels.encode.formats import FORMATS, ImageFormat

RAMP = np.linspace(-3.0, 5.0, 48).reshape(6, 8)


def opened(body: bytes | memoryview) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(body)))


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u8", "i2", "u2", "u1", ">u2", ">f8", "?"])
def test_minimum_to_maximum_in_a_png(dtype: str) -> None:
    array = (RAMP * 10 + 30).astype(dtype)
    media_type, body = encode(array, "png")
    assert media_type == "image/png"
    picture = opened(body)
    assert picture.dtype == np.uint8
    assert picture.shape == (6, 8)
    values = array.astype("f8")
    if values.min() < values.max():
        expected = np.floor((values - values.min()) / (values.max() - values.min()) * 255 + 0.5)
        assert np.abs(picture - expected).max() <= 1


def test_colour_of_eight_bits_and_pictures_stay() -> None:
    colour = np.random.default_rng(0).integers(20, 90, (6, 8, 3)).astype("u1")
    assert np.array_equal(opened(encode(colour, "png")[1]), colour)
    grey = colour[..., 0]
    assert np.array_equal(opened(encode(grey, "png", picture=True)[1]), grey)
    assert opened(encode(grey, "png")[1]).max() == 255
    alpha = np.dstack((colour, grey))
    assert np.array_equal(opened(encode(alpha, "png")[1]), alpha)


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp", "lum8"])
def test_every_shape_in_every_format(shape: tuple[int, ...], wanted: str) -> None:
    array = np.random.default_rng(0).random(shape)
    _, body = encode(array, wanted)
    if wanted == "lum8":
        assert len(body) == 48
        assert describe(array, wanted) == {"shape": [6, 8], "dtype": "|u1"}
    else:
        assert Image.open(BytesIO(body)).size == (8, 6)


@pytest.mark.parametrize("wanted", FORMATS, ids=lambda each: each.name)
def test_the_table_of_formats_says_what_is_given(wanted: ImageFormat) -> None:
    media_type, body = encode(RAMP, wanted.name)
    assert media_type == wanted.media_type
    described = describe(RAMP, wanted.name)
    if wanted.samples is not None:
        assert described["dtype"] == wanted.samples
        assert len(body) == RAMP.size * np.dtype(wanted.samples).itemsize


def test_samples_keep_their_values() -> None:
    for wanted, dtype in (("f32", "<f4"), ("f64", "<f8")):
        body = encode(RAMP, wanted)[1]
        assert describe(RAMP, wanted) == {"shape": [6, 8], "dtype": dtype}
        assert np.allclose(np.frombuffer(body, dtype).reshape(6, 8), RAMP)
    big = RAMP.astype(">i2")
    loaded = np.load(BytesIO(encode(big, "npy")[1]))
    assert loaded.dtype.str == "<i2" == describe(big, "npy")["dtype"]
    assert np.array_equal(loaded, big)
    volume = np.zeros((5, 6, 7))
    assert len(encode(volume, "f64")[1]) == 5 * 6 * 7 * 8


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 3), 7.5),
        np.full((3, 3), np.nan),
        np.array([[np.inf, -np.inf], [0, np.nan]]),
        np.array([[-1.7e308, 1.7e308]]),
        np.array([[0, 5e-324]]),
    ],
)
def test_odd_values_make_a_picture_without_a_warning(array: np.ndarray) -> None:
    assert opened(encode(array, "png")[1]).shape == array.shape


def test_infinities_are_black_and_white() -> None:
    assert opened(encode(np.array([[-np.inf, 0.0, 1.0, np.inf, np.nan]]), "png")[1]).tolist() == [[0, 0, 255, 255, 0]]


@pytest.mark.parametrize("shape", [(4,), (0, 5), (5, 6, 7), (2, 3, 4, 3)])
def test_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(NotAvailable, match="shape"):
        encode(np.zeros(shape), "png")


def test_what_is_no_number() -> None:
    with pytest.raises(NotAvailable, match="<U1"):
        encode(np.array([["a"]]), "npy")
    with pytest.raises(Invalid) as caught:
        encode(RAMP, "gif")
    assert caught.value.field == "format"
