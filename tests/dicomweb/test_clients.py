"""dicomweb-client, as its users call it, and the description of the services."""

from xml.etree import ElementTree as ET

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import generate_uid

from neurdicom.app.server import ROUTES
from tests.support.dicomweb.web import Web

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def client(web: Web) -> DICOMwebClient:
    return DICOMwebClient(web.url)


@pytest.fixture
def uids(web: Web) -> tuple[str, str, str]:
    """A series of three instances of two frames; the first of them."""
    study, series = generate_uid(), generate_uid()
    paths = [
        web.make(
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            InstanceNumber=number,
            NumberOfFrames=2,
            PixelData=bytes([number] * 16 + [10 + number] * 16),
        )
        for number in range(3)
    ]
    return study, series, paths[0].rsplit("/", 1)[1]


def test_retrieval_at_every_level(client: DICOMwebClient, uids: tuple[str, str, str]) -> None:
    study, series, instance = uids
    assert len(client.retrieve_study(study)) == 3
    found = client.retrieve_series(study, series)
    assert [ds.InstanceNumber for ds in found] == [0, 1, 2]
    for media_types in (None, (("application/dicom", "*"),), (("application/dicom", EXPLICIT),)):
        assert client.retrieve_instance(study, series, instance, media_types=media_types).SOPInstanceUID == instance
    streamed = list(client.iter_series(study, series))
    assert [ds.PixelData for ds in streamed] == [ds.PixelData for ds in found]


def test_metadata_and_bulk_data(client: DICOMwebClient, uids: tuple[str, str, str]) -> None:
    study, series, instance = uids
    for datasets in (client.retrieve_study_metadata(study), client.retrieve_series_metadata(study, series)):
        assert len(datasets) == 3
    metadata = client.retrieve_instance_metadata(study, series, instance)
    pixels = bytes([0] * 16 + [10] * 16)
    loaded = pydicom.Dataset.from_json(
        metadata, bulk_data_uri_handler=lambda uri: b"".join(client.retrieve_bulkdata(uri))
    )
    assert loaded.PixelData == pixels
    uri = metadata["7FE00010"]["BulkDataURI"]
    for media_types in (None, ("application/octet-stream",), (("application/octet-stream", EXPLICIT),)):
        assert client.retrieve_bulkdata(uri, media_types=media_types) == [pixels]
    assert client.retrieve_bulkdata(uri, byte_range=(15, 16)) == [pixels[15:17]]


@pytest.mark.parametrize(
    "media_types", [None, ("application/octet-stream",), (("application/octet-stream", "*"),), ("image/*",)]
)
def test_frames(
    client: DICOMwebClient, uids: tuple[str, str, str], media_types: tuple[str | tuple[str, str], ...] | None
) -> None:
    frames = client.retrieve_instance_frames(*uids, frame_numbers=[2, 1], media_types=media_types)
    if media_types != ("image/*",):
        assert frames == [bytes([10] * 16), bytes([0] * 16)]
    else:
        assert len(frames) == 2 and all(frame.startswith(b"\xff\xd8") for frame in frames)


def test_pictures(client: DICOMwebClient, uids: tuple[str, str, str]) -> None:
    study, series, instance = uids
    signatures = {"image/jpeg": b"\xff\xd8", "image/png": b"\x89PNG"}
    for media_type, signature in signatures.items():
        parameters = {"viewport": "32,32", "window": "5,10,linear", "quality": "80"}
        found = client.retrieve_instance_rendered(study, series, instance, media_types=(media_type,), params=parameters)
        assert found.startswith(signature)
        rendered = client.retrieve_instance_frames_rendered(
            study, series, instance, frame_numbers=[2], media_types=(media_type,)
        )
        assert rendered.startswith(signature)


def test_what_is_described_is_what_is_there(web: Web) -> None:
    paths = {route.path for route in ROUTES if route.path.startswith(("/dicom-web", "/wado"))}
    for method in ("GET", "OPTIONS"):
        for base in ("/dicom-web", "/dicom-web/"):
            answer = web.client.request(method, base)
            assert answer.headers["Content-Type"] == "application/vnd.sun.wadl+xml"
            root = ET.fromstring(answer.content)
            found = {f"/{each.attrib['path']}" for each in root.iter() if each.tag.endswith("}resource")}
            assert found == paths
    described = web.get("", "application/json").json()
    assert described["paths"].keys() == paths
    assert "get" in described["paths"]["/dicom-web/studies"]
