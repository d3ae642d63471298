"""WADO-RS frames: every transfer syntax, every form, and what is asked for wrongly."""

import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID, ExplicitVRBigEndian, JPEGLSLossless, RLELossless, generate_uid

from neurdicom.dicom.codec.transfer_syntaxes import FRAME_MEDIA_TYPES, NATIVE
from neurdicom.pixels.encode.codecs import ENCODERS
from tests.support.dicomweb.web import StoredFile, Web, dataset_of, parts_of
from tests.support.files import dicom_file

EXPLICIT = "1.2.840.10008.1.2.1"
OCTETS = "application/octet-stream"
STORED = f'multipart/related; type="{OCTETS}"; transfer-syntax=*'


def frame_count(ds: Dataset) -> int:
    return max(int(ds.get("NumberOfFrames") or 1), 1)


def native_frame(ds: Dataset, index: int) -> bytes:
    """A native frame of whole bytes, in little endian."""
    bits = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated
    if ds.PhotometricInterpretation == "YBR_FULL_422" and len(ds.PixelData) * 8 < bits * frame_count(ds):
        bits = bits * 2 // 3
    data = ds.PixelData
    if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian and ds["PixelData"].VR == "OW":
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
    return data[bits * index // 8 : (bits * (index + 1) + 7) // 8]


def test_stored_frames_of_the_data_set_are_those_that_pydicom_finds(web: Web, stored_files: list[StoredFile]) -> None:
    seen, wrong = set(), []
    for stored in stored_files:
        with warnings.catch_warnings(action="ignore"):
            ds = stored.read()
            syntax = str(ds.file_meta.get("TransferSyntaxUID", ""))
            if "PixelData" not in ds or not (syntax in NATIVE or syntax in FRAME_MEDIA_TYPES):
                continue
            if syntax in NATIVE and ds.get("BitsAllocated", 0) not in (8, 16, 32):
                continue
            count = frame_count(ds)
            for number in {1, count}:
                answer = web.client.get(f"/dicom-web{stored.path}/frames/{number}", headers={"Accept": STORED})
                if answer.status_code == 406:
                    continue  # frames that can't be told apart: the data set has such files
                ((fields, content),) = parts_of(answer)
                try:
                    expected = (
                        native_frame(ds, number - 1)
                        if syntax in NATIVE
                        else get_frame(ds.PixelData, number - 1, number_of_frames=count)
                    )
                except ValueError:
                    continue
                named = "transfer-syntax=" + (EXPLICIT if syntax in NATIVE else syntax)
                media_type = OCTETS if syntax in NATIVE else FRAME_MEDIA_TYPES[syntax]
                if content != expected or fields["content-type"] != f"{media_type}; {named}":
                    wrong.append((stored.file.name, number, fields, len(content), len(expected)))
                seen.add(syntax)
    assert not wrong
    assert len(seen) >= 13, seen


def test_decoded_frames_of_the_data_set_are_those_that_pydicom_decodes(
    web: Web, stored_files: list[StoredFile]
) -> None:
    """Grey, lossless ones: colour and lossy codecs have their own comparison in tests/pixels."""
    lossless = {"1.2.840.10008.1.2.5", *(f"1.2.840.10008.1.2.4.{n}" for n in (57, 70, 80, 90))}
    seen, wrong = set(), []
    for stored in stored_files:
        with warnings.catch_warnings(action="ignore"):
            ds = stored.read()
            syntax = str(ds.file_meta.get("TransferSyntaxUID", ""))
            if syntax not in lossless or ds.get("SamplesPerPixel") != 1 or ds.BitsAllocated == 1:
                continue
            accept = f'multipart/related; type="{OCTETS}"; transfer-syntax={EXPLICIT}'
            answer = web.client.get(f"/dicom-web{stored.path}/frames/1", headers={"Accept": accept})
            try:
                array = ds.pixel_array
            except Exception:
                continue
            ((fields, content),) = parts_of(answer)
            assert fields["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
            first = array[0] if frame_count(ds) > 1 else array
            if not np.array_equal(np.frombuffer(content, first.dtype).reshape(first.shape), first):
                wrong.append(stored.file.name)
            seen.add(syntax)
    assert not wrong
    assert len(seen) >= 4, seen


@pytest.fixture
def multi(web: Web) -> tuple[str, list[bytes]]:
    """A native multi-frame image, and its frames."""
    frames = [bytes([number] * 16) for number in range(5)]
    return web.make(NumberOfFrames=5, PixelData=b"".join(frames)), frames


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [("/frames/1", [1]), ("/frames/1,3,5", [1, 3, 5]), ("/frames/5,1,1", [5, 1, 1]), ("/frames", [1, 2, 3, 4, 5])],
)
def test_lists_of_frames(web: Web, multi: tuple[str, list[bytes]], wanted: str, numbers: list[int]) -> None:
    path, frames = multi
    assert [content for _, content in parts_of(web.get(path + wanted))] == [frames[number - 1] for number in numbers]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        *(("0", 404), ("6", 404), ("1,6", 404), ("a", 400), ("1,,2", 400), ("-1", 400), ("1%2C2x", 400), ("١", 400)),
        *((",".join(["1"] * 10_001), 400), ("9" * 12, 400), ("1-3", 400)),
    ],
)
def test_frames_that_are_not_there(web: Web, multi: tuple[str, list[bytes]], wanted: str, status: int) -> None:
    path, _ = multi
    answer = web.get(f"{path}/frames/{wanted}", status=status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_an_instance_of_another_series_is_not_there(web: Web, multi: tuple[str, list[bytes]]) -> None:
    path, other = multi[0], web.make()
    mixed = f"{other.rsplit('/', 2)[0]}/instances/{path.rsplit('/', 1)[1]}"
    for tail in ("", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulk/7FE00010"):
        web.get(mixed + tail, status=404)
    web.get(web.make(PixelData=None) + "/frames/1", status=404)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, (OCTETS, True)),
        ("*/*", (OCTETS, True)),
        ("*/*; transfer-syntax=*", ("image/jls", True)),
        ("multipart/related", (OCTETS, True)),
        ("multipart/related; transfer-syntax=*", ("image/jls", True)),
        ("multipart/related; type=image/jls, multipart/related; type=application/octet-stream", ("image/jls", True)),
        ("multipart/related; type=image/jls;q=0.1, */*", (OCTETS, True)),
        ('multipart/related; type="nope"', None),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', ("image/jls", True)),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", ("image/jls", True)),
        ("multipart/related; type=image/x-jls", ("image/jls", True)),
        ("multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.80", ("image/jls", True)),
        ('multipart/related; type="*/*"', (OCTETS, True)),
        ("image/jls", ("image/jls", False)),
        ("image/*", ("image/jls", False)),
        ("application/octet-stream; transfer-syntax=*", ("image/jls", False)),
        ("application/octet-stream", (OCTETS, False)),
        ('multipart/related; type="application/octet-stream"', (OCTETS, True)),
        (f"multipart/related; type=application/octet-stream; transfer-syntax={EXPLICIT}", (OCTETS, True)),
        ("multipart/related; type=image/dicom-rle", ("image/dicom-rle", True)),
        ("image/jp2", ("image/jp2", False)),
        ("image/jpeg", ("image/jpeg", False)),
        # What takes no work, or loses nothing, comes before what is merely named first.
        ("multipart/related; type=image/jpeg, multipart/related; type=image/jls", ("image/jls", True)),
        ("multipart/related; type=image/jpeg, multipart/related; type=application/octet-stream", (OCTETS, True)),
        ("multipart/related; type=image/jpeg; transfer-syntax=*", ("image/jpeg", True)),
        ("video/mp4", None),
        ("multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.81", None),
    ],
)
def test_what_a_compressed_frame_is_given_as(web: Web, accept: str | None, expected: tuple[str, bool] | None) -> None:
    values = np.arange(64 * 48, dtype="u2").reshape(48, 64)
    ds = pydicom.dcmread(BytesIO(dicom_file(study=70)))
    ds.Rows, ds.Columns = values.shape
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelData = values.tobytes()
    ds["PixelData"].VR = "OW"
    path = web.store(compressed(ds, JPEGLSLossless))
    if expected is None:
        web.get(path + "/frames/1", accept, status=406)
        return
    answer = web.get(path + "/frames/1", accept)
    if expected[1]:
        ((fields, content),) = parts_of(answer)
    else:
        fields, content = {"content-type": answer.headers["Content-Type"]}, answer.content
        assert answer.headers["Content-Length"] == str(len(content))
    assert fields["content-type"].split(";")[0] == expected[0]
    if expected[0] == OCTETS:
        assert content == values.tobytes()


def compressed(ds: Dataset, syntax: Any) -> bytes:
    """Encode by our own transcoder, through the API of a worker's module."""
    import imagecodecs

    array = np.frombuffer(ds.PixelData, "u2").reshape(ds.Rows, ds.Columns)
    ds.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(array))])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = syntax
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_fragments_of_a_frame_are_joined(web: Web) -> None:
    ds = pydicom.dcmread(BytesIO(dicom_file(study=71, NumberOfFrames=2)))
    stream = b"\xff\xd8\xff\xf7" + bytes(range(96)), b"\xff\xd8\xff\xf7" + bytes(reversed(range(96)))
    ds.PixelData = encapsulate([*stream], fragments_per_frame=4)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    path = web.store(file.getvalue())
    assert [content for _, content in parts_of(web.get(path + "/frames"))] == [*stream]


def test_big_endian_and_single_bits_come_in_little_endian_from_a_first_bit_on(web: Web) -> None:
    values = np.arange(2 * 16, dtype="u2") * 999
    ds = pydicom.dcmread(BytesIO(dicom_file(study=72, NumberOfFrames=2)))
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.add_new("PixelData", "OW", values.astype(">u2").tobytes())
    file = BytesIO()
    pydicom.dcmwrite(file, ds, little_endian=False, implicit_vr=False, force_encoding=True)
    path = web.store(file.getvalue())
    ((fields, content),) = parts_of(web.get(path + "/frames/2"))
    assert content == values[16:].tobytes()
    assert fields["content-type"].endswith(EXPLICIT)
    bits = np.arange(3 * 15) % 3 == 0
    packed = np.packbits(bits, bitorder="little").tobytes()
    mask = web.make(Rows=3, Columns=5, NumberOfFrames=3, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed)
    for number in (1, 2, 3):
        ((_, content),) = parts_of(web.get(f"{mask}/frames/{number}"))
        found = np.unpackbits(np.frombuffer(content, "u1"), bitorder="little")[:15]
        assert np.array_equal(found, bits[15 * (number - 1) : 15 * number])


def test_validators_and_heads(web: Web, multi: tuple[str, list[bytes]]) -> None:
    path, _ = multi
    answer = web.get(path + "/frames/2")
    etag = answer.headers["ETag"]
    again = web.get(path + "/frames/2", status=304, headers={"If-None-Match": etag})
    assert not again.content
    assert web.get(path + "/frames/2", OCTETS).headers["ETag"] != etag
    for accept in ("*/*", OCTETS):
        head = web.client.head(f"/dicom-web{path}/frames/2", headers={"Accept": accept})
        assert (head.status_code, head.content) == (200, b"")


def test_a_lossy_syntax_is_given_only_by_its_name(web: Web, multi: tuple[str, list[bytes]]) -> None:
    path, _ = multi
    baseline, lossless = (f"1.2.840.10008.1.2.4.{number}" for number in (50, 70))
    assert web.get(path + "/frames/1", "image/jpeg").headers["Content-Type"].endswith(lossless)
    named = web.get(path + "/frames/1", f"image/jpeg; transfer-syntax={baseline}")
    assert named.headers["Content-Type"].endswith(baseline)
    assert RLELossless in web.get(path + "/frames/1", "image/dicom-rle").headers["Content-Type"]


@pytest.mark.parametrize("table", [True, False])
def test_many_frames_are_found_again(web: Web, table: bool) -> None:
    streams = [b"\xff\xd8\xff\xf7" + number.to_bytes(2, "little") * 20 for number in range(200)]
    ds = pydicom.dcmread(BytesIO(dicom_file(study=73 + table, NumberOfFrames=200)))
    ds.PixelData = encapsulate(streams, has_bot=table)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    path = web.store(file.getvalue())
    for numbers in ([200], [1, 57, 199], [3]):
        found = parts_of(web.get(f"{path}/frames/{','.join(map(str, numbers))}"))
        assert [content for _, content in found] == [streams[number - 1] for number in numbers]
    assert [content for _, content in parts_of(web.get(path + "/frames"))] == streams


@pytest.mark.parametrize("syntax", [None, JPEGLSLossless])
def test_more_frames_than_there_are_take_no_memory(web: Web, syntax: Any) -> None:
    path = web.make(NumberOfFrames=2**31 - 1)
    if syntax:
        ds = pydicom.dcmread(BytesIO(dicom_file(study=75, NumberOfFrames=2**31 - 1)))
        ds.PixelData = encapsulate([b"\xff\xd8\xff\xf7" + bytes(8)] * 3)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = syntax
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        path = web.store(file.getvalue())
    web.get(path + "/frames", status=406)
    web.get(path + "/frames/2147483647", status=406)
    assert len(parts_of(web.get(path + "/frames/1"))) == 1
    web.get(path + "/thumbnail", "image/png", status=406)


def compressed_file(value: bytes, syntax: UID, **elements: Any) -> bytes:
    """A file of a study of its own with encapsulated Pixel Data."""
    own = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    ds = pydicom.dcmread(BytesIO(dicom_file(**{**own, "PatientID": own["StudyInstanceUID"], **elements})))
    ds.PixelData = value
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize("planar", [0, 1])
def test_decoded_frames_lie_as_the_metadata_say(web: Web, planar: int) -> None:
    """Planar Configuration counts for what is decoded: frames, the whole value, and converted files."""
    rgb = np.arange(2 * 6 * 8 * 3, dtype="u1").reshape(2, 6, 8, 3)
    frames = [ENCODERS[RLELossless].encode(frame, 8, True) for frame in rgb]
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": planar}
    file = compressed_file(encapsulate(frames), RLELossless, Rows=6, Columns=8, NumberOfFrames=2, **colour)
    path = web.store(file)
    (metadata,) = web.get(f"{path}/metadata").json()
    assert metadata["00280006"]["Value"] == [planar]
    lying = rgb.transpose(0, 3, 1, 2) if planar else rgb
    accept = f'multipart/related; type="{OCTETS}"; transfer-syntax={EXPLICIT}'
    assert [content for _, content in parts_of(web.get(f"{path}/frames", accept))] == [each.tobytes() for each in lying]
    whole = web.get(path, f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}')
    ds = dataset_of(parts_of(whole)[0][1])
    assert (ds.PlanarConfiguration, ds.PixelData) == (planar, lying.tobytes())


@pytest.mark.parametrize("table", [(0, 0, 0), (0, 0xFFFFFFF0, 4), (8, 0, 16)])
def test_an_offset_table_that_lies(web: Web, table: tuple[int, ...]) -> None:
    """Frames as stored, decoded, shown and converted are the same ones."""
    frames = [np.full((4, 4), 40 * number, "u1") for number in range(3)]
    streams = [ENCODERS[JPEGLSLossless].encode(frame, 8, True) for frame in frames]
    value = encapsulate(streams, has_bot=True)
    value = value[:8] + np.asarray(table, "<u4").tobytes() + value[20:]
    path = web.store(compressed_file(value, JPEGLSLossless, NumberOfFrames=3))
    for number, (frame, stream) in enumerate(zip(frames, streams, strict=True), 1):
        accept = f'multipart/related; type="{OCTETS}"; transfer-syntax='
        ((_, stored),) = parts_of(web.get(f"{path}/frames/{number}", f"{accept}*"))
        assert stored.rstrip(b"\0") == stream.rstrip(b"\0")
        ((_, decoded),) = parts_of(web.get(f"{path}/frames/{number}", f"{accept}{EXPLICIT}"))
        assert decoded == frame.tobytes()
    whole = web.get(path, f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}')
    assert dataset_of(parts_of(whole)[0][1]).PixelData == b"".join(frame.tobytes() for frame in frames)
