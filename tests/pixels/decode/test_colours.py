"""Every way to the pixels agrees on the colours, in whatever form they are stored and whatever the header says."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from neurdicom.dicom.header import Layout
from neurdicom.pixels.decode.codecs import decode
from neurdicom.pixels.decode.colour import LUMINANCE
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.decode.pydicom_decoder import register_codecs
from neurdicom.pixels.encode.transcode import frame_bytes, transcode
from neurdicom.pixels.grayscale.picture import render
from neurdicom.pixels.pipeline import load_stored, to_double
from tests.support.pixel_colours import COLUMNS, DEFLATED_FRAME, FORMS, PICTURE, ROWS, ColourForm, to_rgb
from tests.support.pixel_files import layout_of

EXPLICIT, JPEG_BASELINE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS, JPEG_LS, JPEG_2000 = (f"1.2.840.10008.1.2.4.{number}" for number in (70, 80, 90))
TARGETS = (EXPLICIT, JPEG_BASELINE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000)
#: Farther than this from the picture nothing is that was subsampled and quantized; a wrong colour model is by 60.
NEAR = 14

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> ColourForm:
    return request.param


@pytest.fixture
def found(form: ColourForm, tmp_path: Path) -> tuple[Path, Layout]:
    return form.write(tmp_path / "stored.dcm")


def is_picture(pixels: np.ndarray) -> bool:
    return pixels.shape == PICTURE.shape and bool(np.abs(pixels.astype(float) - PICTURE).max() <= NEAR)


def test_what_is_rendered(found: tuple[Path, Layout]) -> None:
    assert is_picture(render(load_stored(*found)))


def test_what_plugins_get(form: ColourForm, found: tuple[Path, Layout]) -> None:
    doubles = to_double(load_stored(*found))
    assert np.abs(doubles - PICTURE @ np.array(LUMINANCE)).max() <= NEAR
    if form.syntax is None or form.syntax == DEFLATED_FRAME or not form.photometric:
        return  # pydicom reads it by itself, or not at all
    register_codecs()
    assert is_picture(pydicom.dcmread(found[0]).pixel_array)


@pytest.mark.parametrize("target", TARGETS)
def test_conversions(form: ColourForm, found: tuple[Path, Layout], target: str, tmp_path: Path) -> None:
    if form.photometric == "PALETTE COLOR" and target == JPEG_BASELINE:
        return  # refused: indices are no colours
    output = tmp_path / "converted.dcm"
    transcode(*found, target, output)
    converted = layout_of(output, tmp_path)
    assert is_picture(render(load_stored(*converted)))
    ds = pydicom.dcmread(output)
    if target == found[1].transfer_syntax:
        return
    if target == EXPLICIT and form.photometric != "PALETTE COLOR":
        samples = np.frombuffer(ds.PixelData, "u1").reshape(ROWS, COLUMNS, 3)
        assert is_picture(samples if ds.PhotometricInterpretation == "RGB" else to_rgb(samples))
    if target == JPEG_BASELINE:
        assert ds.PhotometricInterpretation == "YBR_FULL_422"


@pytest.mark.parametrize("target", TARGETS)
def test_frames_are_what_the_header_says(form: ColourForm, found: tuple[Path, Layout], target: str) -> None:
    """As viewers read them: they have the header of the stored file, and three samples are not YBR_FULL_422."""
    path, layout = found
    if form.photometric == "PALETTE COLOR" or target == layout.transfer_syntax:
        return
    data = frame_bytes(path, layout, 1, target)
    if target == JPEG_BASELINE:
        assert is_picture(np.asarray(Image.open(BytesIO(data)).convert("RGB")))
        if form.photometric == "RGB":
            raw = Image.open(BytesIO(data))
            assert raw.info["adobe_transform"] == 0
        return
    if target == EXPLICIT:
        samples = np.frombuffer(data, "u1").reshape(ROWS, COLUMNS, 3)
    else:
        plain = Layout.from_document(layout.to_document() | {"photometric_interpretation": "RGB"})
        samples = decode(data, ImagePixel.of(plain), target)
    assert is_picture(to_rgb(samples) if form.photometric == "YBR_FULL" else samples)
