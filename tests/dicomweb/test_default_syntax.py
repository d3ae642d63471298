"""Files and frames that are requested without a transfer syntax (PS3.18 8.7.3.4): Explicit VR Little Endian."""

import io
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, generate_uid

from tests.support.dicomweb.web import Web, dataset_of, parts_of
from tests.support.files import dicom_file
from tests.support.server import Server

DICOM, OCTETS = "application/dicom", "application/octet-stream"
EXPLICIT, DEFLATED, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG, JPEG_LOSSLESS, JPEG_LS, J2K, HTJ2K, MPEG4 = (
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 70, 80, 90, 201, 102)
)
LOSSLESS = (JPEG_LOSSLESS, JPEG_LS, J2K, HTJ2K, RLE)
PIXELS = np.arange(32 * 24, dtype="u1").reshape(32, 24)
ANY = "transfer-syntax=*"


@pytest.fixture(scope="module")
def stored_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server that gives as stored what is requested without a transfer syntax."""
    with Server(tmp_path_factory.mktemp("stored"), "--dicomweb-transfer-syntax", "stored") as running:
        yield Web(running)


def image(**elements: Any) -> Dataset:
    own = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid()}
    native = {"Rows": 32, "Columns": 24, "PixelData": PIXELS.tobytes()}
    return pydicom.dcmread(
        io.BytesIO(dicom_file(**{**own, "PatientID": own["StudyInstanceUID"], **native, **elements}))
    )


def saved(ds: Dataset, syntax: str) -> bytes:
    """Write a native image in a transfer syntax."""
    stream = io.BytesIO()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    if syntax == DEFLATED:
        ds.file_meta.TransferSyntaxUID = UID(EXPLICIT)
        ds.save_as(stream, enforce_file_format=True)
        file = stream.getvalue()
        start = file.index(b"\x08\x00\x16\x00")
        at = file.index(b"\x02\x00\x10\x00UI") + 6
        meta = file[:at] + b"\x16\0" + DEFLATED.encode() + file[at + 2 + 20 : start]
        deflater = zlib.compressobj(wbits=-15)
        return meta + deflater.compress(file[start:]) + deflater.flush()
    if syntax in (ExplicitVRBigEndian, ImplicitVRLittleEndian, EXPLICIT):
        implicit = syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(
            stream, ds, force_encoding=True, little_endian=syntax != ExplicitVRBigEndian, implicit_vr=implicit
        )
        return stream.getvalue()
    raise LookupError(syntax)


def encapsulated(stream: bytes, syntax: str, **elements: Any) -> bytes:
    ds = image(**elements)
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def compressed(web: Web, syntax: str, **elements: Any) -> str:
    """Store an image in a compressed transfer syntax."""
    ds = image(**elements)
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    native = web.store(stream.getvalue())
    answer = web.get(native, f"{DICOM}; transfer-syntax={syntax}")
    ds = dataset_of(answer.content)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    web.client.delete(f"/api/instances/{native.rsplit('/', 1)[1]}")
    return web.store(stream.getvalue())


def wado(web: Web, path: str, **parameters: str) -> Any:
    query = {"requestType": "WADO", "objectUID": path.rsplit("/", 1)[1], "contentType": DICOM, **parameters}
    return web.client.get("/wado", params=query)


def check_default(web: Web, path: str, original: bytes, expected: str) -> None:
    """Check each way to ask for a file without a transfer syntax, and with `*`."""
    for accept in (None, "*/*", "multipart/related", f'multipart/related; type="{DICOM}"'):
        for each in (path, path.rsplit("/instances/", 1)[0], path.split("/series/")[0]):
            ((fields, content),) = parts_of(web.get(each, accept))
            assert fields["content-type"] == f"{DICOM}; transfer-syntax={expected}", (accept, each)
            assert dataset_of(content).file_meta.TransferSyntaxUID == expected
    assert dataset_of(web.get(path, DICOM).content).file_meta.TransferSyntaxUID == expected
    assert dataset_of(wado(web, path).content).file_meta.TransferSyntaxUID == expected
    for accept in (f'multipart/related; type="{DICOM}"; {ANY}', f"multipart/related; {ANY}", f"*/*; {ANY}"):
        ((_, content),) = parts_of(web.get(path, accept))
        assert content == original
    assert web.get(path, f"{DICOM}; {ANY}").content == original
    assert wado(web, path, transferSyntax="*").content == original


@pytest.mark.parametrize("syntax", [EXPLICIT, ImplicitVRLittleEndian, ExplicitVRBigEndian, DEFLATED])
@pytest.mark.parametrize("pixels", [True, False])
def test_files_that_are_not_compressed(web: Web, syntax: str, pixels: bool) -> None:
    original = saved(image(**({} if pixels else {"PixelData": None})), syntax)
    path = web.store(original)
    check_default(web, path, original, EXPLICIT)
    if syntax == EXPLICIT:
        assert web.get(path, DICOM).content == original, "nothing is converted"


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_compressed_files_and_frames(web: Web, syntax: str) -> None:
    path = compressed(web, syntax)
    original = web.client.get(f"/api/instances/{path.rsplit('/', 1)[1]}/file").content
    assert dataset_of(original).file_meta.TransferSyntaxUID == syntax
    check_default(web, path, original, EXPLICIT)
    assert np.array_equal(dataset_of(web.get(path, DICOM).content).pixel_array, PIXELS)
    for tail in ("/frames/1", "/frames", "/bulk/7FE00010"):
        ((fields, content),) = parts_of(web.get(path + tail))
        assert (fields["content-type"], content) == (f"{OCTETS}; transfer-syntax={EXPLICIT}", PIXELS.tobytes())
        ((fields, content),) = parts_of(web.get(path + tail, f'multipart/related; type="{OCTETS}"; {ANY}'))
        assert fields["content-type"].endswith(syntax)
        assert content in original
    etag = web.get(path + "/frames/1").headers["ETag"]
    web.get(path + "/frames/1", headers={"If-None-Match": etag}, status=304)
    web.get(path + "/frames/1", f"*/*; {ANY}", headers={"If-None-Match": etag})


@pytest.mark.parametrize(
    ("syntax", "stream", "frames"),
    [(JPEG, b"\xff\xd8\xff no codestream", 1), (MPEG4, b"\0\0\0\x18ftypmp42" + bytes(100), 25)],
)
def test_what_can_not_be_converted_comes_as_it_is_stored(web: Web, syntax: str, stream: bytes, frames: int) -> None:
    original = encapsulated(stream, syntax, NumberOfFrames=frames)
    path = web.store(original)
    check_default(web, path, original, syntax)
    web.get(path, f"{DICOM}; transfer-syntax={EXPLICIT}", status=406)
    if syntax == JPEG:
        for accept in (None, OCTETS, f'multipart/related; type="{OCTETS}"'):
            answer = web.get(path + "/frames/1", accept)
            ((fields, content),) = parts_of(answer) if accept != OCTETS else [({}, answer.content)]
            assert content.rstrip(b"\0") == stream
            assert fields.get("content-type", answer.headers["Content-Type"]) == f"image/jpeg; transfer-syntax={JPEG}"
        web.get(path + "/frames/1", f"{OCTETS}; transfer-syntax={EXPLICIT}", status=406)


def test_a_study_of_everything_is_whole(web: Web) -> None:
    study = generate_uid()
    same = {"StudyInstanceUID": study, "PatientID": study}
    web.store(saved(image(**same), EXPLICIT))
    web.store(saved(image(**same), ImplicitVRLittleEndian))
    web.store(encapsulated(b"\xff\xd8\xff no codestream", JPEG, **same))
    web.store(saved(image(**same, PixelData=None), ImplicitVRLittleEndian))
    found = sorted(
        fields["content-type"].partition("syntax=")[2] for fields, _ in parts_of(web.get(f"/studies/{study}"))
    )
    assert found == [EXPLICIT] * 3 + [JPEG]


def test_a_frame_that_is_broken_among_others_comes_as_it_is_stored(web: Web) -> None:
    import imagecodecs

    good = bytes(imagecodecs.jpegls_encode(PIXELS))
    for streams in ([good, b"\xff\xd8\xff no codestream", good], [b"\xff\xd8\xff no codestream", good, good]):
        ds = image(NumberOfFrames=3)
        ds.PixelData = encapsulate(streams)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = UID(JPEG_LS)
        file = io.BytesIO()
        ds.save_as(file, enforce_file_format=True)
        path = web.store(file.getvalue())
        for fields, content in parts_of(web.get(path + "/frames")):
            if fields["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}":
                assert content == PIXELS.tobytes()
            else:
                assert fields["content-type"] == f"image/jls; transfer-syntax={JPEG_LS}"
                assert content.rstrip(b"\0") in streams


def test_the_setting_gives_everything_as_it_is_stored(stored_web: Web) -> None:
    for syntax in (JPEG_LS, RLE):
        path = compressed(stored_web, syntax)
        original = stored_web.client.get(f"/api/instances/{path.rsplit('/', 1)[1]}/file").content
        check_default(stored_web, path, original, syntax)
        ((fields, _),) = parts_of(stored_web.get(path + "/frames/1"))
        assert fields["content-type"].endswith(syntax)
    for native in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        original = saved(image(), native)
        check_default(stored_web, stored_web.store(original), original, native)


@pytest.mark.parametrize("syntax", ["1.2.3", "nope", "1.2.840.10008.1.2.2"])
def test_a_transfer_syntax_that_is_not_written(web: Web, syntax: str) -> None:
    path = web.store(saved(image(), EXPLICIT))
    web.get(path, f"{DICOM}; transfer-syntax={syntax}", status=406)
    web.get(path + "/frames/1", f"{OCTETS}; transfer-syntax={syntax}", status=406)
    ((fields, _),) = parts_of(web.get(path.rsplit("/instances/", 1)[0], f"multipart/related; transfer-syntax={syntax}"))
    assert fields["content-type"] == f"{DICOM}; transfer-syntax={EXPLICIT}", "what can't be converted, as it is stored"


@pytest.mark.parametrize("syntax", [EXPLICIT, ImplicitVRLittleEndian, ExplicitVRBigEndian, DEFLATED, JPEG, MPEG4])
def test_the_stored_transfer_syntax_is_told(any_web: Web, syntax: str) -> None:
    """As Available Transfer Syntax UID, by which OHIF knows a video; by searches only where there is no other."""
    study = generate_uid()
    same = {"StudyInstanceUID": study, "PatientID": study, "SeriesInstanceUID": generate_uid()}
    file = encapsulated(b"\xff\xd8\xff x", syntax, **same) if syntax in (JPEG, MPEG4) else saved(image(**same), syntax)
    path = any_web.store(file)
    told = {"vr": "UI", "Value": [syntax]}
    series, study_path = path.rsplit("/instances/", 1)[0], path.split("/series/")[0]
    for each in (path, series, study_path):
        (found,) = any_web.get(each + "/metadata").json()
        assert found["00083002"] == told
        assert list(found) == sorted(found)
    xml = any_web.get(path + "/metadata", 'multipart/related; type="application/dicom+xml"').text
    assert f'keyword="AvailableTransferSyntaxUID"><Value number="1">{syntax}</Value>' in xml
    for field in ("00083002", "AvailableTransferSyntaxUID", "all"):
        for each in (f"{series}/instances", f"{study_path}/instances"):
            (found,) = any_web.get(each, params={"includefield": field}).json()
            assert found.get("00083002") == (told if syntax == MPEG4 else None)
    (found,) = any_web.get("/instances", params={"StudyInstanceUID": study, "includefield": "00083002"}).json()
    assert found.get("00083002") == (told if syntax == MPEG4 else None)
    assert "00083002" not in any_web.get(f"{series}/instances").json()[0]
    assert (
        "00083002" not in any_web.get("/studies", params={"StudyInstanceUID": study, "includefield": "all"}).json()[0]
    )
