"""What each resource gives for an Accept header, or for the query parameter in its place."""

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, generate_uid

from tests.support.dicomweb.web import Web
from tests.support.files import dicom_file

RESOURCES = {
    "metadata": "/metadata",
    "instances": "",
    "frames": "/frames/1",
    "pixels": "/bulk/7FE00010",
    "bulk": "/bulk/00091001",
    "rendered": "/rendered",
    "thumbnail": "/thumbnail",
}
RELATED = "multipart/related"
OCTETS, JSON, XML, DICOM = (
    "application/octet-stream",
    "application/dicom+json",
    "application/dicom+xml",
    "application/dicom",
)
#: What is in a response, of multipart ones the type of the parts, where a client takes everything.
DEFAULT = {
    "metadata": JSON,
    "instances": f"{RELATED} {DICOM}",
    "frames": f"{RELATED} {OCTETS}",
    "pixels": f"{RELATED} {OCTETS}",
    "bulk": OCTETS,
    "rendered": "image/jpeg",
    "thumbnail": "image/jpeg",
}
#: Type of the parts where a client takes any multipart response.
PARTS = {
    "metadata": XML,
    "instances": DICOM,
    "frames": OCTETS,
    "pixels": OCTETS,
    "bulk": OCTETS,
    "rendered": "image/jpeg",
    "thumbnail": "image/jpeg",
}


@pytest.fixture(scope="module")
def path(dicomweb_server: object) -> str:
    """An instance with compressed pixels and a long private value."""
    import imagecodecs

    pixels = np.arange(32 * 24, dtype="u1").reshape(32, 24)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    own: dict[str, Any] = {name: generate_uid() for name in names}
    ds = pydicom.dcmread(io.BytesIO(dicom_file(**own, PatientID=own["StudyInstanceUID"], Rows=32, Columns=24)))
    ds.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(pixels))])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.private_block(0x0009, "TEST", create=True).add_new(0x01, "OB", bytes(4000))
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return Web(dicomweb_server).store(stream.getvalue())  # type: ignore[arg-type]


def given(web: Web, path: str, resource: str, accept: str | None, by_query: bool) -> str | int:
    """The type of a response, or its status where there is none."""
    headers = {"Accept": "text/nothing" if by_query else accept} if accept is not None else {}
    query = {"accept": accept} if by_query and accept is not None else {}
    target = f"{path}{RESOURCES[resource]}" if resource != "bulk" else f"{path}/bulk/00091001"
    answer = web.client.get(f"/dicom-web{target}", params=query, headers=headers)
    if answer.status_code != 200:
        assert answer.headers["Content-Type"] == "application/problem+json"
        return answer.status_code
    kind, _, more = answer.headers["Content-Type"].partition("; ")
    return f"{RELATED} {more.split('type=')[1].split(';')[0].strip(chr(34))}" if kind == RELATED else kind


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("by_query", [False, True])
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "default"),
        ("*/*", "default"),
        ("*", "default"),
        ("*/*;q=0.1", "default"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "default"),
        ('multipart/related; type="nope", */*;q=0.1', "default"),
        ("text/nothing;q=1, */*;q=0.001", "default"),
        ("multipart/related", "parts"),
        ("multipart/*", "parts"),
        ("Multipart/Related", "parts"),
        ('multipart/related; type="*/*"', "parts"),
        ('multipart/related; type=""', "parts"),
        ('multipart/related; type="text/nothing", multipart/related;q=0.5', "parts"),
        ('multipart/related; type="{own}"', "parts"),
        ("multipart/related;type={own}", "parts"),
        ('multipart/related; type="{own}"; q=0.3, text/nothing', "parts"),
        ('multipart/related; TYPE="{own}"; boundary=x', "parts"),
        ('multipart/related; type="nope"', 406),
        ("multipart/related; type=nope", 406),
        ('multipart/related; type="nope"; transfer-syntax=*', 406),
        ('multipart/related; type="text/nothing"', 406),
        ('multipart/related; type="video/mp4"', 406),
        ("text/nothing", 406),
        ("nope", 406),
        ("*/*;q=0", 406),
        ("*/*;q=nope", 406),
        ("multipart/related;q=0", 406),
        ("multipart/mixed", 406),
        (";;,,", 406),
    ],
)
def test_table(web: Web, path: str, resource: str, accept: str | None, expected: str | int, by_query: bool) -> None:
    if accept is not None:
        accept = accept.replace("{own}", PARTS[resource])
    wanted = {"default": DEFAULT[resource], "parts": f"{RELATED} {PARTS[resource]}"}.get(str(expected), expected)
    assert given(web, path, resource, accept, by_query) == wanted


@pytest.mark.parametrize(
    ("resource", "accept", "expected"),
    [
        ("metadata", "application/json, application/dicom+json;q=0.5", "application/json"),
        ("metadata", "application/json;q=0.5, application/dicom+json", JSON),
        ("metadata", "application/dicom+xml", 406),
        ("metadata", 'multipart/related; type="application/dicom+xml", application/dicom+json', f"{RELATED} {XML}"),
        ("metadata", 'multipart/related; type="application/dicom"', 406),
        ("instances", "application/dicom", DICOM),
        ("instances", 'application/dicom;q=0.9, multipart/related; type="application/dicom";q=0.1', DICOM),
        ("instances", "application/dicom; transfer-syntax=1.2.3", 406),
        ("instances", "application/dicom; transfer-syntax=nope", 406),
        ("instances", "application/*", DICOM),
        ("frames", "image/*", "image/jls"),
        ("frames", "image/jls", "image/jls"),
        ("frames", 'multipart/related; type="image/jls"', f"{RELATED} image/jls"),
        ("frames", 'multipart/related; type="application/octet-stream"; transfer-syntax=*', f"{RELATED} image/jls"),
        ("frames", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80", "image/jls"),
        ("frames", "image/jls; transfer-syntax=1.2.3", 406),
        ("frames", 'image/jls; transfer-syntax="1.2.840.10008.1.2.4.80"; q=0.5, image/jp2;q=0.9', "image/jp2"),
        ("frames", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90", 406),
        ("pixels", "image/jls", "image/jls"),
        ("pixels", OCTETS, OCTETS),
        ("bulk", 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1', "parts"),
        ("bulk", "application/octet-stream; transfer-syntax=1.2.3", 406),
        ("bulk", "image/*", 406),
        ("rendered", "image/*", "image/jpeg"),
        ("rendered", "image/png", "image/png"),
        ("rendered", "image/jpeg;q=0.1, image/png;q=0.2", "image/png"),
        ("rendered", 'multipart/related; type="image/png"', f"{RELATED} image/png"),
        ("rendered", "image/tiff", 406),
        ("thumbnail", "image/webp, image/png;q=0.5", "image/webp"),
        ("thumbnail", 'multipart/related; type="application/dicom"', 406),
    ],
)
def test_choices(web: Web, path: str, resource: str, accept: str, expected: str | int) -> None:
    wanted = f"{RELATED} {PARTS[resource]}" if expected == "parts" else expected
    for by_query in (False, True):
        assert given(web, path, resource, accept, by_query) == wanted
