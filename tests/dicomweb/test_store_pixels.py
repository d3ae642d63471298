"""Image attributes that a sender of compressed pixels leaves out, derived from the codestream (PS3.18 10.5.2)."""

import io
from typing import Any

import httpx
import imagecodecs
import numpy as np
import orjson
import pydicom
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from neurdicom.pixels.decode.video import read_video_header
from tests.support.dicom.videos import VIDEOS
from tests.support.dicomweb.stow import METADATA, failed, part, related, store
from tests.support.dicomweb.web import Web, dataset_of
from tests.support.files import dicom_file

CHANCE = np.random.default_rng(5)
GREY = np.kron(CHANCE.integers(0, 255, (6, 5), dtype="u1"), np.ones((4, 4), "u1"))
DEEP = np.kron(CHANCE.integers(0, 4095, (6, 5), dtype="u2"), np.ones((4, 4), "u2"))
SIGNED = (DEEP.astype("i2") - 2048).astype("i2")
COLOUR = np.kron(CHANCE.integers(0, 255, (6, 5, 3), dtype="u1"), np.ones((4, 4, 1), "u1"))


def jpeg(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


#: Codestream, its media type; then samples, photometric interpretation, bits allocated and stored, sign.
STREAMS: dict[str, tuple[bytes, str, tuple[int, str, int, int, int]]] = {
    "jpeg grey": (jpeg(GREY), "image/jpeg", (1, "MONOCHROME2", 8, 8, 0)),
    "jpeg 4:4:4": (jpeg(COLOUR, subsampling=0), "image/jpeg", (3, "YBR_FULL", 8, 8, 0)),
    "jpeg 4:2:2": (jpeg(COLOUR, subsampling=1), "image/jpeg", (3, "YBR_FULL_422", 8, 8, 0)),
    "jpeg 4:2:0": (jpeg(COLOUR, subsampling=2), "image/jpeg", (3, "YBR_FULL_422", 8, 8, 0)),
    "jpeg progressive": (jpeg(GREY, progressive=True), "image/jpeg", (1, "MONOCHROME2", 8, 8, 0)),
    "jpeg rgb": (
        bytes(imagecodecs.jpeg8_encode(COLOUR, colorspace="RGB", outcolorspace="RGB")),
        "image/jpeg",
        (3, "RGB", 8, 8, 0),
    ),
    "jpeg lossless": (
        bytes(imagecodecs.ljpeg_encode(DEEP, bitspersample=12)),
        "image/jpeg",
        (1, "MONOCHROME2", 16, 12, 0),
    ),
    "jpeg-ls": (bytes(imagecodecs.jpegls_encode(GREY)), "image/jls", (1, "MONOCHROME2", 8, 8, 0)),
    "jpeg-ls colour": (bytes(imagecodecs.jpegls_encode(COLOUR)), "image/x-jls", (3, "RGB", 8, 8, 0)),
    "jpeg-ls deep": (bytes(imagecodecs.jpegls_encode(DEEP)), "image/jls", (1, "MONOCHROME2", 16, 16, 0)),
    "jpeg 2000": (
        bytes(imagecodecs.jpeg2k_encode(GREY, codecformat="j2k", reversible=True)),
        "image/jp2",
        (1, "MONOCHROME2", 8, 8, 0),
    ),
    "jpeg 2000 in a jp2": (
        bytes(imagecodecs.jpeg2k_encode(GREY, codecformat="jp2", reversible=True)),
        "image/jp2",
        (1, "MONOCHROME2", 8, 8, 0),
    ),
    "jpeg 2000 signed": (
        bytes(imagecodecs.jpeg2k_encode(SIGNED, codecformat="j2k", reversible=True)),
        "image/jp2",
        (1, "MONOCHROME2", 16, 16, 1),
    ),
    "jpeg 2000 colour": (
        bytes(imagecodecs.jpeg2k_encode(COLOUR, codecformat="j2k", reversible=True, mct=True)),
        "image/jp2",
        (3, "YBR_RCT", 8, 8, 0),
    ),
    "jpeg 2000 colour, lossy": (
        bytes(imagecodecs.jpeg2k_encode(COLOUR, 40, codecformat="j2k", reversible=False, mct=True)),
        "image/jpx",
        (3, "YBR_ICT", 8, 8, 0),
    ),
    "jpeg 2000 rgb": (
        bytes(imagecodecs.jpeg2k_encode(COLOUR, codecformat="j2k", reversible=True, mct=False)),
        "image/jp2",
        (3, "RGB", 8, 8, 0),
    ),
    "htj2k": (bytes(imagecodecs.htj2k_encode(DEEP, reversible=True)), "image/jphc", (1, "MONOCHROME2", 16, 16, 0)),
}
MACRO = {
    "00280002": "US",
    "00280004": "CS",
    "00280010": "US",
    "00280011": "US",
    "00280100": "US",
    "00280101": "US",
    "00280102": "US",
    "00280103": "US",
}


def dataset(sop_class: str = "1.2.840.10008.5.1.4.1.1.77.1.4", **more: Any) -> dict[str, Any]:
    return {
        "00080016": {"vr": "UI", "Value": [sop_class]},
        "00080018": {"vr": "UI", "Value": [str(generate_uid())]},
        "0020000D": {"vr": "UI", "Value": [str(generate_uid())]},
        "0020000E": {"vr": "UI", "Value": [str(generate_uid())]},
        "00100020": {"vr": "LO", "Value": ["DERIVED"]},
        "7FE00010": {"vr": "OB", "BulkDataURI": "b1"},
        **{key.removeprefix("T"): element for key, element in more.items()},
    }


def path_of(one: dict[str, Any]) -> str:
    study, series, instance = (one[key]["Value"][0] for key in ("0020000D", "0020000E", "00080018"))
    return f"/studies/{study}/series/{series}/instances/{instance}"


def send(web: Web, one: dict[str, Any], stream: bytes, media_type: str) -> httpx.Response:
    metadata = part(orjson.dumps(one), Content_Type="application/dicom+json")
    pixels = part(stream, Content_Type=media_type, Content_Location="b1")
    return store(web.server, related(metadata, pixels), content_type=METADATA)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("empty", [False, True])
def test_still_images(web: Web, name: str, empty: bool) -> None:
    stream, media_type, (samples, colour, allocated, bits, sign) = STREAMS[name]
    one = dataset() | ({key: {"vr": vr} for key, vr in MACRO.items()} if empty else {})
    answer = send(web, one, stream, media_type)
    assert answer.status_code == 200, answer.headers.get("Warning")
    found = web.get(path_of(one) + "/metadata").json()[0]
    values = {key: found[key]["Value"][0] for key in MACRO}
    assert list(values.values()) == [samples, colour, 24, 20, allocated, bits, bits - 1, sign]
    assert {key: found[key]["vr"] for key in MACRO} == MACRO
    assert found.get("00280006", {}).get("Value") == ([0] if samples == 3 else None)
    for tail in ("/rendered", "/thumbnail"):
        assert Image.open(io.BytesIO(web.get(path_of(one) + tail, "image/png").content)).size == (20, 24)
    ds = dataset_of(web.get(path_of(one), "application/dicom; transfer-syntax=*").content)
    assert stream in ds.PixelData
    native = dataset_of(web.get(path_of(one), "application/dicom").content)
    assert native.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    expected = {1: DEEP if bits > 8 else GREY, 3: COLOUR}[samples] if sign == 0 else SIGNED
    difference = abs(native.pixel_array.astype("i4") - expected)
    is_lossless = allocated == 16 or "ls" in name or (name.startswith("jpeg 2000") and "lossy" not in name)
    assert difference.max() == 0 if is_lossless else difference.mean() < 20


def test_what_the_metadata_say_stays(web: Web) -> None:
    one = dataset(
        T00280101={"vr": "US", "Value": [10]},
        T00280004={"vr": "CS", "Value": ["MONOCHROME1"]},
        T00280100={"vr": "US", "Value": [16]},
    )
    assert send(web, one, *STREAMS["jpeg-ls deep"][:2]).status_code == 200
    found = web.get(path_of(one) + "/metadata").json()[0]
    assert [found[key]["Value"][0] for key in MACRO] == [1, "MONOCHROME1", 24, 20, 16, 10, 9, 0]


@pytest.mark.parametrize(
    ("stream", "media_type"),
    [
        (b"\xff\xd8\xff\xd9", "image/jpeg"),
        (b"", "image/jpeg"),
        (STREAMS["jpeg grey"][0][:60], "image/jpeg"),
        (STREAMS["jpeg 2000"][0][:30], "image/jp2"),
        (b"\1\0\0\0\x40\0\0\0" + bytes(60), "image/dicom-rle"),
        (b"no video", "video/mp4"),
        (b"\0\0\1\xb3\1", "video/mpeg"),
        (b"\0\0\0\x08moov", "video/mp4"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "video/mp4"),
    ],
)
def test_a_codestream_that_does_not_tell_is_a_failure(web: Web, stream: bytes, media_type: str) -> None:
    one = dataset()
    answer = send(web, one, stream, media_type)
    assert (answer.status_code, list(failed(answer).values())) == (409, [0xC000]), answer.text
    web.get(path_of(one) + "/metadata", status=404)


@pytest.mark.parametrize("name", VIDEOS)
def test_videos(web: Web, name: str) -> None:
    video = VIDEOS[name]
    one = dataset("1.2.840.10008.5.1.4.1.1.77.1.1.1")
    answer = send(web, one, video.content, video.media_type)
    assert answer.status_code == 200, answer.headers.get("Warning")
    found = web.get(path_of(one) + "/metadata").json()[0]
    allocated = 8 if video.bits == 8 else 16
    expected = [3, "YBR_PARTIAL_420", video.rows, video.columns, allocated, video.bits, video.bits - 1, 0]
    assert [found[key]["Value"][0] for key in MACRO] == expected
    assert found.get("00280008", {}).get("Value") == (None if video.frames is None else [video.frames])
    assert web.get(path_of(one) + "/rendered", video.media_type).content.startswith(video.content)


@pytest.mark.parametrize("name", VIDEOS)
def test_no_cut_and_no_damage_of_a_video_s_header_raises(name: str) -> None:
    content = VIDEOS[name].content
    for cut in range(0, len(content), 7):
        part = content[:cut]
        read_video_header(lambda start, length, part=part: part[start : start + length], cut)  # type: ignore[misc]
    chance = np.random.default_rng(3)
    for _ in range(300):
        changed = bytearray(content)
        for place in chance.integers(0, len(content), 5):
            changed[place] = chance.integers(256)
        whole = bytes(changed)
        read_video_header(lambda start, length, whole=whole: whole[start : start + length], len(whole))  # type: ignore[misc]


def test_files_are_not_looked_into(web: Web) -> None:
    path = web.store(dicom_file(study=340, Rows=None, Columns=None, PixelData=None))
    assert "00280010" not in web.get(path + "/metadata").json()[0]
    assert pydicom.dcmread(io.BytesIO(web.get(path, "application/dicom").content)).get("Rows") is None
