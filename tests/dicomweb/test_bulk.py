"""WADO-RS bulk data: any element, only that element, or a part of it."""

import struct
import zlib
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, JPEGBaseline8Bit

from tests.support.dicomweb.web import Web, parts_of
from tests.support.files import dicom_file

OCTETS = "application/octet-stream"
LONG = bytes(range(256)) * 1000


def saved(ds: Dataset, **how: Any) -> bytes:
    stream = BytesIO()
    if how:
        pydicom.dcmwrite(stream, ds, force_encoding=True, **how)
    else:
        ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def image(study: int, **elements: Any) -> Dataset:
    return pydicom.dcmread(BytesIO(dicom_file(study=study, **elements)))


def uri_of(web: Web, path: str, *steps: Any) -> str:
    """The URI of an element's bulk data; `steps` are tags and numbers of items."""
    node: Any = web.get(path + "/metadata").json()[0]
    for step in steps[:-1]:
        node = node[step]["Value"] if isinstance(step, str) else node[step]
    uri: str = node[steps[-1]]["BulkDataURI"]
    return uri


@pytest.fixture
def nested(web: Web) -> tuple[str, str]:
    """An instance with a long private value two sequences deep, and the URI of that."""
    ds = image(80)
    inner, outer = Dataset(), Dataset()
    inner.private_block(0x0009, "TEST", create=True).add_new(0x10, "OB", LONG)
    outer.ReferencedImageSequence = [Dataset(), inner]
    ds.RequestAttributesSequence = [outer]
    path = web.store(saved(ds))
    return path, uri_of(web, path, "00400275", 0, "00081140", 1, "00091010")


def test_a_value_in_a_sequence(web: Web, nested: tuple[str, str]) -> None:
    path, uri = nested
    assert urlsplit(uri).path.endswith("/bulk/00400275/0/00081140/1/00091010")
    answer = web.get(uri)
    assert answer.content == LONG
    assert answer.headers["Content-Type"] == OCTETS
    assert web.get(uri, status=304, headers={"If-None-Match": answer.headers["ETag"]}).content == b""
    in_parts = web.get(uri, f'multipart/related; type="{OCTETS}"')
    web.get(uri, "multipart/related", status=304, headers={"If-None-Match": in_parts.headers["ETag"]})
    ((fields, content),) = parts_of(in_parts)
    assert (fields["content-type"], content) == (OCTETS, LONG)
    standard = f"{path}/bulkdata/00400275/0/00081140/1/00091010"
    assert web.get(standard).content == LONG
    web.get(uri, "image/png", status=406)


@pytest.mark.parametrize(
    ("header", "start", "stop"), [("bytes=0-9", 0, 10), ("bytes=1001-2000", 1001, 2001), ("bytes=-7", -7, None)]
)
def test_ranges(web: Web, nested: tuple[str, str], header: str, start: int, stop: int | None) -> None:
    _, uri = nested
    answer = web.get(uri, headers={"Range": header}, status=206)
    assert answer.content == LONG[start:stop]
    assert answer.headers["Content-Range"].endswith(f"/{len(LONG)}")
    ((fields, content),) = parts_of(web.get(uri, "multipart/related", headers={"Range": header}, status=206))
    assert (content, fields["content-range"]) == (LONG[start:stop], answer.headers["Content-Range"])


def test_a_range_beyond_the_end(web: Web, nested: tuple[str, str]) -> None:
    assert (
        web.get(nested[1], headers={"Range": "bytes=256000-"}, status=416).headers["Content-Range"] == "bytes */256000"
    )


@pytest.mark.parametrize(
    "tail",
    [
        "00091010",
        "00400275/1/00081140/1/00091010",
        "00400275/0/00081140/0/00091010",
        "00400275/0/00081140",
        "00100010",
        "7FE00010?offset=0",
        "7FE00010?offset=132&length=4",
        "00400275/0/00081140/1/00091010?offset=0&length=256000",
        "00400275/-1/00081140/1/00091010",
        "00400275/9999999999/00081140/1/00091010",
        "../../../../../etc/passwd",
        "%2e%2e/%2e%2e/catalog.sqlite",
        "00400275/0/" * 100 + "00091010",
        "7FE0001G",
        "%00",
        "x" * 5000,
    ],
)
def test_nothing_else_can_be_read(web: Web, nested: tuple[str, str], tail: str) -> None:
    answer = web.client.get(f"/dicom-web{nested[0]}/bulk/{tail}")
    assert answer.status_code in (400, 404), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_replaced_instance_has_no_bulk_data_at_the_old_place(web: Web) -> None:
    first = web.store(saved(image(81)))
    uri = uri_of(web, first, "7FE00010")
    assert web.get(uri).content == bytes(range(16))
    assert web.store(saved(image(81, PatientName="A much longer name", PixelData=bytes(16)))) == first
    web.get(uri, status=404)
    assert web.get(uri_of(web, first, "7FE00010")).content == bytes(16)


def test_words_of_big_endian_files_are_swapped(web: Web) -> None:
    ds = image(82)
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    values = np.arange(4 * 4, dtype="u2") * 4000
    ds.add_new("PixelData", "OW", values.astype(">u2").tobytes())
    doubles = np.linspace(0, 1, 9000)
    ds.add_new(0x00091001, "OD", doubles.astype(">f8").tobytes())
    ds.add_new(0x00090010, "LO", "TEST")
    path = web.store(saved(ds, little_endian=False, implicit_vr=False))
    assert web.get(uri_of(web, path, "7FE00010")).content == values.tobytes()
    uri = uri_of(web, path, "00091001")
    assert web.get(uri).content == doubles.tobytes()
    for start, stop in ((0, 8), (3, 13), (7, 71_999)):
        part = web.get(uri, headers={"Range": f"bytes={start}-{stop - 1}"}, status=206)
        assert part.content == doubles.tobytes()[start:stop]


def test_values_of_a_deflated_dataset(web: Web) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, 300 * 1000, "u1").tobytes()
    file = dicom_file(study=83, Rows=300, Columns=1000, PixelData=pixels)
    start = file.index(b"\x08\x00\x16\x00")
    meta = file[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    grown = struct.pack("<H", 22)
    at = meta.index(b"\x02\x00\x10\x00UI") + 6
    meta = meta[:at] + grown + meta[at + 2 :]
    deflater = zlib.compressobj(wbits=-15)
    path = web.store(meta + deflater.compress(file[start:]) + deflater.flush())
    assert web.get(uri_of(web, path, "7FE00010")).content == pixels
    part = web.get(uri_of(web, path, "7FE00010"), headers={"Range": "bytes=200001-200100"}, status=206)
    assert part.content == pixels[200001:200101]
    ((_, content),) = parts_of(web.get(path + "/frames/1"))
    assert content == pixels


def test_encapsulated_pixels_come_as_frames_and_an_icon_as_its_codestream(web: Web) -> None:
    ds = image(84, NumberOfFrames=2)
    streams = [b"\xff\xd8\xff" + bytes([number] * 97) for number in (1, 2)]
    ds.PixelData = encapsulate(streams)
    ds["PixelData"].VR = "OB"
    icon = Dataset()
    icon.Rows = icon.Columns = 4
    icon.add_new("PixelData", "OB", encapsulate(streams[:1]))
    icon["PixelData"].is_undefined_length = True
    ds.IconImageSequence = [icon]
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    path = web.store(saved(ds))
    found = parts_of(web.get(uri_of(web, path, "7FE00010")))
    assert [content for _, content in found] == streams
    assert {fields["content-type"] for fields, _ in found} == {f"image/jpeg; transfer-syntax={JPEGBaseline8Bit}"}
    assert web.get(uri_of(web, path, "00880200", 0, "7FE00010")).content == streams[0]


def test_a_video_is_one_stream(web: Web) -> None:
    ds = image(85, NumberOfFrames=25)
    stream = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.102")
    path = web.store(saved(ds))
    for url in (path + "/rendered", uri_of(web, path, "7FE00010")):
        answer = web.get(url)
        assert (answer.headers["Content-Type"], answer.content) == ("video/mp4", stream)
        assert web.get(url, "video/*", headers={"Range": "bytes=4-7"}, status=206).content == b"ftyp"
    web.get(path + "/rendered", "image/jpeg", status=406)
    web.get(path + "/thumbnail", status=406)
    web.get(path + "/frames/1", status=406)
