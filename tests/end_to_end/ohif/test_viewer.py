"""OHIF, in a real browser and from another origin, lists studies and shows their pixels."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from pydicom.data import get_testdata_file

from tests.support.files import ROOT, dicom_file
from tests.support.ohif import Ohif
from tests.support.server import Server

#: Patient to file: little endian, JPEG 2000, JPEG-LS or RLE, colour, and an ultrasound of several frames.
FILES = {
    "CT": "CT_small.dcm",
    "J2K": "J2K_pixelrep_mismatch.dcm",
    "RLE": "MR_small_RLE.dcm",
    "COLOUR": "SC_rgb_small_odd_jpeg.dcm",
    "FRAMES": "examples_ybr_color.dcm",
}


@pytest.fixture(scope="module")
def pacs(ohif: Ohif, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes the viewer's origin, with some studies in it."""
    with Server(tmp_path_factory.mktemp("pacs"), "--cors-origins", ohif.url) as server:
        ohif.show(server.url)
        rows, columns = np.mgrid[0:64, 0:64]
        for number in range(1, 13):
            pixels = (rows * columns // 16 + number * 5).astype("u1").tobytes()
            elements = {
                "Rows": 64, "Columns": 64, "PixelData": pixels, "Modality": "CT", "PatientName": "Series^Long",
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "ImagePositionPatient": [0, 0, number],
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [1, 1], "StudyDate": "20240102",
                "FrameOfReferenceUID": f"{ROOT}.7", "SeriesNumber": 1, "StudyDescription": "Twelve slices",
                "RescaleSlope": 1, "RescaleIntercept": 0, "WindowCenter": 128, "WindowWidth": 256,
            }  # fmt: skip
            upload(server, dicom_file(number, study=77, patient="SERIES", **elements))
        upload(server, dicom_file(study=78, PatientName="Bare", Modality=None, InstanceNumber=None))
        yield server


@pytest.fixture(scope="module")
def studies(pacs: Server) -> dict[str, str]:
    """Study Instance UIDs by the name of their file in `FILES`, and that of the series."""
    found = {key: upload(pacs, Path(get_testdata_file(name)).read_bytes()) for key, name in FILES.items()}
    return found | {"SERIES": f"{ROOT}.77"}


def upload(server: Server, content: bytes) -> str:
    answer = server.client.post("/api/instances", content=content, headers={"Content-Type": "application/dicom"})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["results"][0]["study"])


@pytest.fixture
def page(browser: Browser, ohif: Ohif, pacs: Server, studies: dict[str, str]) -> Iterator[Page]:
    """A window; requests to the server that it can't answer fail the test."""
    context = browser.new_context(base_url=ohif.url, viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    yield page
    context.close()
    assert [url for url in refused if url.startswith(pacs.url)] == []


def test_the_study_list(page: Page) -> None:
    page.goto("/")
    row = page.get_by_role("row").filter(has_text="Twelve slices")
    expect(row).to_contain_text("Series, Long")
    expect(row).to_contain_text("02-Jan-2024")
    expect(row).to_contain_text("12")
    expect(page.get_by_role("row").filter(has_text="CompressedSamples, CT1")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="Bare")).to_be_visible()


def test_the_study_list_is_filtered(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_text("CompressedSamples, MR1")).to_be_visible()
    page.get_by_role("textbox").first.fill("series")
    expect(page.get_by_text("CompressedSamples, MR1")).to_be_hidden()
    expect(page.get_by_text("Series, Long")).to_be_visible()


def test_files_are_uploaded(page: Page, pacs: Server, tmp_path: Path) -> None:
    files = [tmp_path / "one.dcm", tmp_path / "two.dcm"]
    for number, file in enumerate(files, 1):
        file.write_bytes(dicom_file(number, study=79))
    page.goto("/")
    page.get_by_role("button", name="Upload").click()
    page.locator("input[type=file]").first.set_input_files(files)
    expect(page.get_by_text("Completed!")).to_be_visible()
    (study,) = pacs.client.get(f"/dicom-web/studies?StudyInstanceUID={ROOT}.79").json()
    assert study["00201208"]["Value"] == [2]


@pytest.mark.parametrize("study", [*FILES, "SERIES"])
def test_pixels_are_shown(page: Page, pacs: Server, studies: dict[str, str], study: str) -> None:
    page.goto(f"/viewer?StudyInstanceUIDs={studies[study]}")
    page.get_by_text("Skip all").click()
    canvas = page.locator("canvas.cornerstone-canvas").first
    expect(canvas).to_be_visible()
    for _ in range(60):
        picture = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"))
        if len(np.unique(picture[..., 0])) > 30:
            break
        page.wait_for_timeout(500)
    else:
        pytest.fail(f"the viewer shows {len(np.unique(picture[..., 0]))} shades")
    is_coloured = bool((picture.max(axis=2).astype(int) - picture.min(axis=2) > 60).mean() > 0.1)
    assert is_coloured is (study == "COLOUR")
