"""STOW-RS of metadata and bulk data in parts of their own: the files that are made of them, and what is refused."""

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from neurdicom.dicom.codec.native_xml import from_xml, to_xml
from tests.support.dicomweb.stow import BOUNDARY, METADATA, RELATED, failed, others, part, related, store, stored
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server

STUDY = f"{ROOT}.300"
NESTED = b"<Item><DicomAttribute>"
J2K, JPEG_BASELINE, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"


def metadata(*datasets: Any) -> bytes:
    return part(orjson.dumps(datasets), Content_Type="application/dicom+json")


def bulk(content: bytes, location: str, content_type: str = "application/octet-stream") -> bytes:
    return part(content, Content_Type=content_type, Content_Location=location)


def model(**elements: Any) -> dict[str, Any]:
    """A dataset in the DICOM JSON model, without pixels; elements by tag, `T00100010`."""
    ds = pydicom.dcmread(io.BytesIO(dicom_file(1, study=300)))
    del ds.PixelData
    return ds.to_json_dict() | {tag.removeprefix("T"): element for tag, element in elements.items()}


def with_pixels(uri: str = "bulk/1", **elements: Any) -> dict[str, Any]:
    return model(T7FE00010={"vr": "OB", "BulkDataURI": uri}, **elements)


def got(server: Server, instance: str) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(server.client.get(f"/api/instances/{instance}/file").content))


@pytest.fixture
def own(server: Server) -> Any:
    yield server
    server.client.delete(f"/api/studies/{STUDY}")


def test_metadata_and_pixels_become_a_file(own: Server) -> None:
    name = {"vr": "PN", "Value": [{"Alphabetic": "Łukasz", "Ideographic": "山田"}]}
    dataset = with_pixels(
        T00100010=name,
        T00081140={"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
        T00081115={"vr": "SQ"},
        T00280030={"vr": "DS", "Value": [0.5, 0.1 + 0.2]},
        T00189073={"vr": "FD", "Value": [1.25]},
        T00189313={"vr": "FD", "Value": ["NaN"]},
        T00281101={"vr": "US", "Value": [1, 2, 3]},
        T00200062={"vr": "CS"},
        T00280009={"vr": "AT", "Value": ["00181063"]},
        T00091001={"vr": "OB", "InlineBinary": base64.b64encode(b"abc").decode()},
        T00090010={"vr": "LO", "Value": ["ACME"]},
        T00020010={"vr": "UI", "Value": ["1.2.840.10008.1.2.2"]},
        T00080000={"vr": "UL", "Value": [7]},
        T00080005={"vr": "CS", "Value": ["ISO_IR 100"]},
    )
    answer = store(own, related(metadata(dataset), bulk(bytes(range(16)), "bulk/1")), content_type=METADATA)
    assert (answer.status_code, stored(answer)) == (200, [f"{STUDY}.1.1"]), answer.text
    ds = got(own, f"{STUDY}.1.1")
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (str(ds.PatientName), ds.SpecificCharacterSet) == ("Łukasz=山田", "ISO_IR 192")
    assert [item.get("ReferencedSOPInstanceUID") for item in ds.ReferencedImageSequence] == ["1.2", None]
    assert ds.PixelSpacing == [0.5, 0.3]
    assert ds[0x00189073].value == 1.25 and ds[0x00189313].value != ds[0x00189313].value
    assert ds[0x00281101].value == [1, 2, 3]
    assert ds[0x00280009].value == 0x00181063
    assert ds[0x00091001].value == b"abc\0"
    assert ds.PixelData == bytes(range(16))
    image = own.client.get(f"/api/instances/{STUDY}.1.1/image")
    assert image.status_code == 200


def test_several_instances_share_a_body(own: Server) -> None:
    datasets = [
        with_pixels(f"https://example.org/bulk?n={number}", T00080018={"vr": "UI", "Value": [f"{STUDY}.1.{number}"]})
        for number in (1, 2, 3)
    ]
    parts = [bulk(bytes([number]) * 16, f"https://example.org/bulk?n={number}") for number in (3, 1, 2)]
    separate = [part(orjson.dumps(datasets[2]), Content_Type="application/dicom+json")]
    file = part(dicom_file(9, study=300))
    answer = store(own, related(metadata(*datasets[:2]), *separate, *parts, file), content_type=METADATA, study=STUDY)
    assert (answer.status_code, sorted(stored(answer))) == (200, [f"{STUDY}.1.{n}" for n in (1, 2, 3, 9)])
    for number in (1, 2, 3):
        assert got(own, f"{STUDY}.1.{number}").PixelData == bytes([number]) * 16


@pytest.mark.parametrize(
    ("name", "media_type", "syntax"),
    [
        ("JPEG2000.dcm", "image/jp2", "1.2.840.10008.1.2.4.91"),
        ("MR_small_jp2klossless.dcm", "image/jp2", J2K),
        ("JPGExtended.dcm", "image/jpeg", "1.2.840.10008.1.2.4.51"),
        ("JPEGLSNearLossless_08.dcm", "image/jls", "1.2.840.10008.1.2.4.81"),
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg", JPEG_BASELINE),
        ("MR_small_RLE.dcm", "image/dicom-rle", RLE),
        ("MR_small_jpeg_ls_lossless.dcm", "image/jls", "1.2.840.10008.1.2.4.80"),
        ("SC_rgb_rle_2frame.dcm", f"image/x-dicom-rle; transfer-syntax={RLE}", RLE),
    ],
)
def test_compressed_pixels_are_encapsulated(own: Server, name: str, media_type: str, syntax: str) -> None:
    source = pydicom.dcmread(str(get_testdata_file(name)))
    frames = list(generate_frames(source.PixelData, number_of_frames=int(source.get("NumberOfFrames") or 1)))
    dataset = {key: each for key, each in source.to_json_dict().items() if not key.startswith("7FE0")}
    dataset["7FE00010"] = {"vr": "OB", "BulkDataURI": "pixels"}
    dataset |= {tag: {"vr": "UI", "Value": [STUDY + end]} for tag, end in (("0020000D", ""), ("0020000E", ".1"))}
    body = related(metadata(dataset), *(bulk(frame, "pixels", media_type) for frame in frames))
    answer = store(own, body, content_type=METADATA)
    assert answer.status_code == 200, answer.headers.get("Warning")
    ds = got(own, source.SOPInstanceUID)
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert list(generate_frames(ds.PixelData, number_of_frames=len(frames))) == [
        frame + bytes(len(frame) % 2) for frame in frames
    ]
    image = own.client.get(f"/api/instances/{source.SOPInstanceUID}/image", params={"frame": len(frames)})
    assert image.status_code == 200, image.text


def test_deflated_frames_are_encapsulated(own: Server) -> None:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    frame = deflate.compress(bytes(range(16))) + deflate.flush()
    content_type = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.8.1"
    answer = store(own, related(metadata(with_pixels()), bulk(frame, "bulk/1", content_type)), content_type=METADATA)
    (instance,) = stored(answer)
    assert got(own, instance).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.8.1"
    assert own.client.get(f"/api/instances/{instance}/raw").content == bytes(range(16))


def test_bulk_data_may_lie_within_sequences(own: Server) -> None:
    waveform = {"54001010": {"vr": "OW", "BulkDataURI": "w"}, "003A0005": {"vr": "US", "Value": [2]}}
    dataset = model(T54000100={"vr": "SQ", "Value": [waveform, waveform]}, T00420011={"vr": "OB", "BulkDataURI": "pdf"})
    answer = store(own, related(bulk(b"%PDF-", "pdf"), metadata(dataset), bulk(b"1234", "w")), content_type=METADATA)
    assert answer.status_code == 200, answer.headers.get("Warning")
    ds = got(own, f"{STUDY}.1.1")
    assert [item.WaveformData for item in ds.WaveformSequence] == [b"1234", b"1234"]
    assert ds.EncapsulatedDocument == b"%PDF-\0"


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (with_pixels("missing"), 0xC000),
        (model(T0020000D={"vr": "UI"}), 0xA900),
        (model(T00100010={"vr": "PN", "Value": "text"}), 0xC000),
        (model(T00100010={"Value": ["A"]}), 0xC000),
        (model(T00100010="text"), 0xC000),
        (model(Tpatient={"vr": "LO"}), 0xC000),
        (model(T00081140={"vr": "SQ", "Value": {}}), 0xC000),
        (model(T00081140={"vr": "SQ", "Value": [5]}), 0xC000),
        (model(T00280010={"vr": "US", "Value": [-5]}), 0xC000),
        (model(T00280010={"vr": "US", "Value": [{}]}), 0xC000),
        (model(T00091001={"vr": "OB", "InlineBinary": "%"}), 0xC000),
        (model(T00091001={"vr": "OB", "Value": [1]}), 0xC000),
        (model(T00280009={"vr": "AT", "Value": ["x"]}), 0xC000),
        (with_pixels("jpeg", T00280008={"vr": "IS", "Value": [2]}), 0xC000),
        (with_pixels("jpeg", T00280008={"vr": "IS", "Value": ["two"]}), 0xC000),
        (with_pixels("text"), 0xC122),
        (with_pixels("tiff"), 0xC122),
        (with_pixels("big endian"), 0xC122),
        (with_pixels("deflated"), 0xC122),
        (with_pixels("unknown"), 0xC122),
    ],
)
def test_a_broken_dataset_is_refused_alone(own: Server, dataset: Any, reason: int) -> None:
    good = model(T00080018={"vr": "UI", "Value": [f"{STUDY}.1.5"]})
    parts = (
        bulk(b"\xff\xd8\xff\xd9", "jpeg", "image/jpeg"),
        bulk(b"x", "text", "text/plain"),
        bulk(b"x", "tiff", f"application/octet-stream; transfer-syntax={J2K}"),
        bulk(b"x", "big endian", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2"),
        bulk(b"x", "deflated", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.1.99"),
        bulk(b"x", "unknown", "image/jpeg; transfer-syntax=1.2.3"),
    )
    answer = store(own, related(metadata(dataset, good), *parts), content_type=METADATA)
    assert answer.status_code == 202, answer.text
    assert stored(answer) == [f"{STUDY}.1.5"]
    assert failed(answer) == {f"{STUDY}.1.1": reason}, answer.headers["Warning"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"5", 409),
        (b"[null]", 409),
        (b"[[]]", 409),
        (b"[" * 10_000, 400),
        (b'{"00080018": {"vr": "UI", "Value": ["\xff"]}}', 400),
    ],
)
def test_metadata_that_is_none(own: Server, text: bytes, status: int) -> None:
    answer = store(own, related(part(text, Content_Type="application/dicom+json")), content_type=METADATA)
    assert answer.status_code == status, answer.text
    if status == 409:
        assert others(answer) == [0xC000]


def test_sequences_without_an_end_and_too_much_metadata_are_refused(own: Server) -> None:
    deep = b"{}"
    for _ in range(100):
        deep = b'{"00081140":{"vr":"SQ","Value":[' + deep + b"]}}"
    text = orjson.dumps(model())[:-1] + b"," + deep[1:]
    answer = store(own, related(part(text, Content_Type="application/dicom+json")), content_type=METADATA)
    assert (answer.status_code, list(failed(answer).values())) == (409, [0xC000])
    huge = part(b" " * (17 << 20), Content_Type="application/dicom+json")
    assert store(own, related(huge), content_type=METADATA).status_code == 413


def test_large_bulk_data_does_not_stay_in_memory(own: Server) -> None:
    size = 128 << 20
    dataset = with_pixels("big", T00280008={"vr": "IS", "Value": [size // 16]})

    def body() -> Any:
        yield metadata(dataset)
        head, _, end = bulk(b"|", "big").partition(b"|")
        yield head
        for _ in range(size >> 20):
            yield bytes(1 << 20)
        yield end + related()

    def peak() -> int:
        status = Path(f"/proc/{own.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    before = peak()
    answer = store(own, body(), content_type=METADATA)
    assert answer.status_code == 200, answer.text
    assert peak() - before < 100 * 1024
    assert not list((own.data / "blobs" / "spool").iterdir())


def test_the_type_of_the_parts_may_be_left_out(own: Server) -> None:
    body = related(metadata(with_pixels()), bulk(bytes(16), "bulk/1"), part(dicom_file(2, study=300)))
    answer = store(own, body, content_type=f"multipart/related; boundary={BOUNDARY}")
    assert (answer.status_code, sorted(stored(answer))) == (200, [f"{STUDY}.1.1", f"{STUDY}.1.2"])


def test_a_file_may_not_hide_in_a_body_of_files(own: Server) -> None:
    answer = store(own, related(metadata(model())), content_type=RELATED)
    assert (answer.status_code, others(answer)) == (409, [0xC000])


def xml_part(dataset: dict[str, Any]) -> bytes:
    return part(to_xml(dataset), Content_Type="application/dicom+xml; charset=utf-8")


def test_metadata_may_be_xml_and_so_may_the_answer(own: Server) -> None:
    datasets = [
        with_pixels(
            f"bulk/{number}",
            T00080018={"vr": "UI", "Value": [f"{STUDY}.1.{number}"]},
            T00100010={"vr": "PN", "Value": [{"Alphabetic": "Ł^A", "Ideographic": "山田^太郎", "Phonetic": "やまだ"}]},
            T00081140={"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
            T00280030={"vr": "DS", "Value": [0.5, 0.25]},
            T00081030={"vr": "LO", "Value": ["a < b & c"]},
            T00080008={"vr": "CS", "Value": ["ORIGINAL", "PRIMARY"]},
            T00281101={"vr": "US", "Value": [1, 2, 3]},
            T00091001={"vr": "OB", "InlineBinary": "AQI="},
            T00090010={"vr": "LO", "Value": ["ACME"]},
        )
        for number in (1, 2)
    ]
    body = related(*map(xml_part, datasets), *(bulk(bytes([n]) * 16, f"bulk/{n}") for n in (1, 2)))
    answer = store(own, body, content_type=METADATA.replace("json", "xml"), Accept="application/dicom+xml")
    assert answer.status_code == 200, answer.headers.get("Warning")
    assert answer.headers["Content-Type"] == "application/dicom+xml"
    response = from_xml(answer.content)
    assert [item["00081155"]["Value"] for item in response["00081199"]["Value"]] == [
        [f"{STUDY}.1.{number}"] for number in (1, 2)
    ]
    for number in (1, 2):
        ds = got(own, f"{STUDY}.1.{number}")
        assert str(ds.PatientName) == "Ł^A=山田^太郎=やまだ"
        assert [item.get("ReferencedSOPInstanceUID") for item in ds.ReferencedImageSequence] == ["1.2", None]
        assert (ds.PixelSpacing, ds.StudyDescription, list(ds.ImageType)) == (
            [0.5, 0.25],
            "a < b & c",
            ["ORIGINAL", "PRIMARY"],
        )
        assert (ds[0x00281101].value, ds[0x00091001].value) == ([1, 2, 3], b"\1\2")
        assert ds.PixelData == bytes([number]) * 16
    # An answer that the client did not ask for is still one: what it sent is stored.
    assert (
        store(own, body, content_type=METADATA, Accept="text/html").headers["Content-Type"] == "application/dicom+json"
    )


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<x/>",
        b"<NativeDicomModel>",
        b"\xff\xfe<\0",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><NativeDicomModel>&b;</NativeDicomModel>',
        b"<NativeDicomModel>"
        + b"<DicomAttribute><Item>" * 5000
        + b"</Item></DicomAttribute>" * 5000
        + b"</NativeDicomModel>",
    ],
)
def test_broken_xml_is_refused(own: Server, document: bytes) -> None:
    answer = store(own, related(part(document, Content_Type="application/dicom+xml")), content_type=METADATA)
    assert answer.status_code == 400, answer.text
