"""Slides as wsidicom and dicomweb-client show them: frames in each compression are in the colours of the metadata."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from wsidicom import WsiDicom, WsiDicomWebClient

from neurdicom.dicom.part10 import read_header
from neurdicom.pixels.encode.transcode import transcode
from tests.support.coloured_slides import SLIDE, TILE, rgb_slide
from tests.support.datasets import to_bytes
from tests.support.dicomweb.web import Web

NATIVE, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000 = (f"1.2.840.10008.1.2.4.{number}" for number in (50, 70, 80, 90))
#: Farther than this from the slide is no pixel that was compressed; a wrong colour model is by 60.
NEAR = 8


@pytest.fixture(params=[NATIVE, JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE])
def slide(request: pytest.FixtureRequest, web: Web, tmp_path: Path) -> tuple[str, str, str]:
    """The UIDs of a slide that is stored in a transfer syntax."""
    path = tmp_path / "native.dcm"
    path.write_bytes(to_bytes(rgb_slide()))
    if request.param != NATIVE:
        transcode(path, read_header(path).layout, request.param, tmp_path / "stored.dcm")
        path = tmp_path / "stored.dcm"
    web.store(path)
    ds = dcmread(path, stop_before_pixels=True)
    return str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID)


#: wsidicom reads metadata without their bulk data, of which pydicom warns.
@pytest.mark.filterwarnings("ignore:No bulk data URI handler:UserWarning")
@pytest.mark.parametrize("wanted", [None, JPEG, JPEG_LOSSLESS, JPEG_2000])
def test_in_wsidicom(web: Web, slide: tuple[str, str, str], wanted: str | None) -> None:
    client = WsiDicomWebClient.create_client(web.url)
    with WsiDicom.open_web(client, *slide[:2], requested_transfer_syntax=wanted) as opened:
        shown = opened.read_region((0, 0), 0, (2 * TILE, TILE)).convert("RGB")
    assert np.abs(np.asarray(shown).astype(int) - SLIDE).max() <= NEAR


def test_in_dicomweb_client(web: Web, slide: tuple[str, str, str]) -> None:
    client = DICOMwebClient(web.url)
    (pixels,) = client.retrieve_instance_frames(*slide, [2], media_types=(("application/octet-stream", NATIVE),))
    decoded = np.frombuffer(pixels, "u1").reshape(TILE, TILE, 3)
    (stream,) = client.retrieve_instance_frames(*slide, [2], media_types=(("image/jpeg", JPEG),))
    for shown in (decoded, np.asarray(Image.open(BytesIO(stream)).convert("RGB"))):
        assert np.abs(shown.astype(int) - SLIDE[:, TILE:]).max() <= NEAR
