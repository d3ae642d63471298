"""Colours over HTTP: what is rendered, given as frames, and converted, by a client that goes by the metadata."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.dicomweb.web import Web, dataset_of
from tests.support.pixel_colours import COLUMNS, FORMS, PICTURE, ROWS, ColourForm, to_rgb

EXPLICIT = "1.2.840.10008.1.2.1"
NEAR = 14
#: One of each kind; tests/pixels/decode/test_colours.py has all, without a server.
NAMES = (
    "JPEG 420 as RGB", "JPEG 420 as YBR_FULL", "JPEG 422 as RGB", "JPEG with Adobe 0 as YBR_FULL",
    "JPEG with JFIF as RGB", "JPEG 2000 with a transform as YBR_RCT", "JPEG-LS, whole as YBR_FULL",
    "RLE, whole as RGB", "native, whole as YBR_FULL", "u1 entries as PALETTE COLOR",
)  # fmt: skip


@pytest.fixture(params=NAMES)
def form(request: pytest.FixtureRequest) -> ColourForm:
    return next(form for form in FORMS if form.name == request.param)


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(float)


def test_every_door_agrees(web: Web, form: ColourForm, tmp_path: Path) -> None:
    path = web.store(form.write(tmp_path / "stored.dcm")[0])
    instance = path.rsplit("/", 1)[1]
    (metadata,) = web.get(path + "/metadata").json()
    said = metadata["00280004"]["Value"][0]
    shown = {
        "rendered": picture(web.get(path + "/rendered?quality=100", "image/png").content),
        "thumbnail": picture(web.get(path + "/thumbnail", "image/png").content),
        "image": picture(web.client.get(f"/api/instances/{instance}/image?format=png").content),
        "wado": picture(web.client.get(f"/wado?requestType=WADO&objectUID={instance}&contentType=image/png").content),
    }
    if said != "PALETTE COLOR":
        octets = web.get(path + "/frames/1", f"application/octet-stream; transfer-syntax={EXPLICIT}").content
        samples = np.frombuffer(octets, "u1").reshape(ROWS, COLUMNS, 3)
        shown["frame"] = to_rgb(samples) if said == "YBR_FULL" else samples.astype(float)
        shown["jpeg"] = picture(
            web.get(path + "/frames/1", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50").content
        )
        raw = web.client.get(f"/api/instances/{instance}/raw")
        assert raw.headers["X-Photometric-Interpretation"] == "RGB"
        shown["raw"] = np.frombuffer(raw.content, "u1").reshape(ROWS, COLUMNS, 3).astype(float)
        ds = dataset_of(web.client.get(f"/api/instances/{instance}/file?transfer_syntax={EXPLICIT}").content)
        samples = np.frombuffer(ds.PixelData, "u1").reshape(ROWS, COLUMNS, 3)
        shown["file"] = to_rgb(samples) if ds.PhotometricInterpretation == "YBR_FULL" else samples.astype(float)
    wrong = {door: np.abs(pixels - PICTURE).max() for door, pixels in shown.items()}
    assert {door: by for door, by in wrong.items() if by > NEAR} == {}
