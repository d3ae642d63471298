"""Bulk data in its own media type: encapsulated documents and videos; and text, whatever its character set."""

import io
from typing import Any
from urllib.parse import urlsplit

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, generate_uid

from tests.support.dicom.files import EXPLICIT, IMPLICIT, ElementWriter
from tests.support.dicom.videos import VIDEOS
from tests.support.dicomweb.web import Web, parts_of
from tests.support.files import dicom_file

OCTETS = "application/octet-stream"
#: SOP class of encapsulated documents, their media type, and MIME Type of Encapsulated Document.
DOCUMENTS = {
    "pdf": ("1", "application/pdf", "application/pdf", b"%PDF-1.7 "),
    "cda": ("2", "text/xml", "text/XML", b"<?xml version='1.0'?><ClinicalDocument/>"),
    "stl": ("3", "model/stl", "model/stl", b"solid x"),
    "obj": ("4", "model/obj", "model/obj", b"v 0 0 0"),
    "mtl": ("5", "model/mtl", "model/mtl", b"newmtl x"),
}


def saved(ds: Dataset) -> bytes:
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def instance(**elements: Any) -> Dataset:
    own = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid()}
    return pydicom.dcmread(
        io.BytesIO(dicom_file(**{**own, "PatientID": own["StudyInstanceUID"], "PixelData": None, **elements}))
    )


def document(kind: str, content: bytes, length: int | None = -1) -> bytes:
    number, _, mime, _ = DOCUMENTS[kind]
    ds = instance(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.104.{number}", Modality="DOC")
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.MIMETypeOfEncapsulatedDocument = mime
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    if length is not None:
        ds.EncapsulatedDocumentLength = len(content) if length == -1 else length
    return saved(ds)


def uri_of(web: Web, path: str, tag: str) -> str:
    """Path of bulk data, from the metadata where they name it."""
    element = web.get(path + "/metadata").json()[0][tag]
    if "BulkDataURI" not in element:
        return f"{path}/bulk/{tag}"
    split = urlsplit(element["BulkDataURI"])
    return f"{split.path.removeprefix('/dicom-web')}?{split.query}"


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("size", [9, 100, 1025, 70_001])
def test_a_document_is_given_in_its_own_type_without_its_padding(web: Web, kind: str, size: int) -> None:
    _, media_type, _, begin = DOCUMENTS[kind]
    content = (begin + b"x" * size)[:size]
    path = web.store(document(kind, content))
    uri = uri_of(web, path, "00420011")
    for accept in (None, "*/*", OCTETS, f'multipart/related; type="{OCTETS}"'):
        answer = web.get(uri, accept)
        found = parts_of(answer)[0][1] if accept and accept.startswith("multi") else answer.content
        assert found == content, accept
        if accept == OCTETS:
            assert answer.headers["Content-Type"] == OCTETS
    for url in (uri, path + "/rendered"):
        for accept in (media_type, f"{media_type.split('/')[0]}/*" if media_type != "application/pdf" else media_type):
            answer = web.get(url, accept)
            assert (answer.headers["Content-Type"], answer.content) == (media_type, content)
            assert answer.headers["Content-Length"] == str(size)
        ((fields, part),) = parts_of(web.get(url, f'multipart/related; type="{media_type}"'))
        assert (fields["content-type"], part) == (media_type, content)
        asked = web.get(url, params={"accept": media_type}) if "?" not in url else None
        assert asked is None or asked.content == content
        last = web.get(url, media_type, headers={"Range": "bytes=-3"}, status=206)
        assert last.content == content[-3:]
        web.get(url, "image/png", status=406)
    assert web.get(path + "/rendered").content == content
    web.get(path + "/rendered", OCTETS, status=406)
    web.get(path + "/thumbnail", status=406)
    query = {"requestType": "WADO", "objectUID": path.rsplit("/", 1)[1]}
    for wanted in ({}, {"contentType": media_type}):
        answer = web.client.get("/wado", params={**query, **wanted})
        assert (answer.headers["Content-Type"], answer.content) == (media_type, content)


@pytest.mark.parametrize(("length", "expected"), [(None, 8), (0, 8), (7, 7), (8, 8), (3, 3), (9, 8), (2**32 - 1, 8)])
def test_the_length_that_the_file_says(web: Web, length: int | None, expected: int) -> None:
    path = web.store(document("pdf", b"%PDF-17\0", length))
    for accept in (OCTETS, "application/pdf"):
        assert web.get(path + "/bulk/00420011", accept).content == b"%PDF-17\0"[:expected]


def test_xml_from_a_sender_runs_nothing_in_a_browser(web: Web) -> None:
    path = web.store(document("cda", b"<html xmlns='http://www.w3.org/1999/xhtml'><script>1</script></html>"))
    for url in (path + "/rendered", path + "/bulk/00420011"):
        answer = web.get(url, "text/xml")
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["MP4_H264", "MPEG2"])
def test_a_video_is_given_in_its_own_type_and_as_octets(web: Web, name: str) -> None:
    video = VIDEOS[name]
    ds = instance(NumberOfFrames=3)
    content = video.content + b"\0" * (len(video.content) % 2)
    ds.PixelData = encapsulate([content])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    syntax = "1.2.840.10008.1.2.4.102" if video.media_type == "video/mp4" else "1.2.840.10008.1.2.4.100"
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    path = web.store(saved(ds))
    uri = uri_of(web, path, "7FE00010")
    for accept, media_type in (
        (None, video.media_type),
        ("*/*", video.media_type),
        (video.media_type, video.media_type),
        ("video/*", video.media_type),
        (OCTETS, OCTETS),
        (f"{OCTETS}; transfer-syntax=*", OCTETS),
        (f"{OCTETS}; transfer-syntax={syntax}", OCTETS),
    ):
        answer = web.get(uri, accept)
        assert (answer.headers["Content-Type"], answer.content) == (media_type, content)
    for media_type in (video.media_type, OCTETS):
        for more in ("", "; transfer-syntax=*"):
            ((fields, part),) = parts_of(web.get(uri, f'multipart/related; type="{media_type}"{more}'))
            assert (fields["content-type"], part) == (media_type, content)
    assert web.get(uri, OCTETS, headers={"Range": "bytes=4-7"}, status=206).content == content[4:8]
    web.get(uri, f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.1", status=406)
    web.get(uri, 'multipart/related; type="nope"', status=406)


#: Specific Character Set, the text, and its bytes where Python's codec is not that of the set.
TEXTS: dict[str, tuple[str, str, str]] = {
    "ISO_IR 100": ("latin_1", "é", ""),
    "ISO_IR 101": ("iso8859_2", "ł", ""),
    "ISO_IR 144": ("iso8859_5", "Л", ""),
    "ISO_IR 126": ("iso8859_7", "Ω", ""),
    "ISO_IR 166": ("iso8859_11", "ก", ""),
    "ISO_IR 203": ("iso8859_15", "€", ""),
    "ISO_IR 192": ("utf_8", "山é", ""),
    "GB18030": ("gb18030", "山é", ""),
    "GBK": ("gbk", "山", ""),
    "ISO_IR 13": ("shift_jis", "ﾔﾏ", ""),
    "\\ISO 2022 IR 87": ("iso2022_jp", "山田\r\n", ""),
    "\\ISO 2022 IR 149": ("euc_kr", "홍\r\n", "\x1b$)C"),
    "ISO 2022 IR 100\\ISO 2022 IR 144": ("latin_1", "é\n", ""),
    "": ("utf_8", "é", ""),
    "ISO_IR 6": ("latin_1", "é", ""),
}


@pytest.mark.parametrize(
    ("charset", "vr", "tag"),
    [
        *((charset, "UT", 0x0040A160) for charset in TEXTS),
        *(("ISO_IR 100", *other) for other in (("LT", 0x00104000), ("UC", 0x00189908))),
    ],
)
def test_long_text_is_in_utf_8(web: Web, charset: str, vr: str, tag: int) -> None:
    codec, text, before = TEXTS[charset]
    line = text if text.endswith("\n") else text * 20
    count = (1 << 20) * 6 // 5 // len(line) + 1
    raw = b"".join([(before.encode() + line.encode(codec))] * count) if before else (line * count).encode(codec)
    raw += b" " * (len(raw) % 2)
    w = ElementWriter(IMPLICIT if vr == "LT" else EXPLICIT)
    element = w.element(tag, vr, raw)
    file = w.file(w.dataset(middle=element if tag < 0x00200000 else b"", after=b"" if tag < 0x00200000 else element,
                            charset=charset or None))  # fmt: skip
    path = web.store(file)
    metadata = web.get(path + "/metadata").json()[0]
    found = metadata[f"{tag:08X}"]
    assert not charset or metadata["00080005"]["Value"] == ["ISO_IR 192"]
    assert "BulkDataURI" in found
    expected = (line * count).encode()
    expected += b" " * (raw[-1:] == b" ")
    answer = web.get(uri_of(web, path, f"{tag:08X}"))
    assert answer.content == expected
    assert answer.headers["Content-Length"] == str(len(expected))
    middle = len(expected) // 2
    part = web.get(uri_of(web, path, f"{tag:08X}"), headers={"Range": f"bytes={middle - 5}-{middle + 5}"}, status=206)
    assert part.content == expected[middle - 5 : middle + 6]
    web.get(uri_of(web, path, f"{tag:08X}"), headers={"If-None-Match": answer.headers["ETag"]}, status=304)


@pytest.mark.parametrize("big_endian", [False, True])
def test_text_in_a_sequence_has_the_character_set_of_its_item(web: Web, big_endian: bool) -> None:
    ds = instance()
    ds.SpecificCharacterSet = "ISO_IR 100"
    russian, inherited = Dataset(), Dataset()
    russian.SpecificCharacterSet = "ISO_IR 144"
    russian.TextValue, inherited.TextValue = "Л" * 1_200_000, "é" * 1_200_000
    outer = Dataset()
    outer.ContentSequence = [russian, inherited]
    ds.ContentSequence = [Dataset(), outer]
    stream = io.BytesIO()
    if big_endian:
        ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        pydicom.dcmwrite(stream, ds, little_endian=False, implicit_vr=False, force_encoding=True)
    else:
        ds.save_as(stream, enforce_file_format=True)
    path = web.store(stream.getvalue())
    for number, text in enumerate("Лé"):
        answer = web.get(f"{path}/bulk/0040A730/1/0040A730/{number}/0040A160")
        assert answer.content.decode() == text * 1_200_000
        named = web.get(path + "/metadata").json()[0]["0040A730"]["Value"][1]["0040A730"]["Value"][number]["0040A160"]
        assert web.get(named["BulkDataURI"]).content == answer.content
