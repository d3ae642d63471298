"""Datasets without preamble or File Meta Information, by every door; and what is none."""

import hashlib
import io
import itertools
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom import dcmread

from tests.support.dicom.files import BIG_ENDIAN, EXPLICIT, IMPLICIT, ElementWriter
from tests.support.server import Server

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("bare")) as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("strict"), "--part10", "strict", "--uids", "strict") as running:
        yield running


def dataset(syntax: str, root: str, *, before: bytes = b"", pixels: bool = True) -> bytes:
    """The dataset of a small image."""
    writer = ElementWriter(syntax)
    return (
        before
        + writer.element(0x00080016, "UI", SECONDARY_CAPTURE)
        + writer.element(0x00080018, "UI", f"{root}.3")
        + writer.element(0x00080060, "CS", "OT")
        + writer.element(0x00100010, "PN", "Bare^Set")
        + writer.element(0x00100020, "LO", root)
        + writer.element(0x0020000D, "UI", f"{root}.1")
        + writer.element(0x0020000E, "UI", f"{root}.2")
        + (writer.image() if pixels else b"")
    )


def new_root() -> str:
    return f"1.2.826.0.1.3680043.8.498.78.{next(_numbers)}"


def meta(syntax: str | None, *, group_length: int | None = None, uids: bool = True, root: str = "1.2.3") -> bytes:
    """File Meta Information with what is asked for."""
    writer = ElementWriter()
    body = writer.element(0x00020001, "OB", b"\0\1")
    if uids:
        body += writer.element(0x00020002, "UI", SECONDARY_CAPTURE) + writer.element(0x00020003, "UI", f"{root}.9")
    body += writer.element(0x00020010, "UI", syntax) if syntax is not None else b""
    length = len(body) if group_length is None else group_length
    return writer.element(0x00020000, "UL", struct.pack("<I", length)) + body


def forms(syntax: str) -> dict[str, tuple[bytes, str]]:
    """Files by what they lack, with their roots."""
    roots = [new_root() for _ in range(11)]
    sets = [dataset(syntax, root) for root in roots]
    preamble = bytes(128) + b"DICM"
    return {
        "all of it": (sets[0], roots[0]),
        "all of it, with a character set first": (
            dataset(syntax, roots[1], before=ElementWriter(syntax).element(0x00080005, "CS", "ISO_IR 100")),
            roots[1],
        ),
        "all of it, without pixels": (dataset(syntax, roots[2], pixels=False), roots[2]),
        "File Meta Information": (preamble + sets[3], roots[3]),
        "the preamble": (b"DICM" + meta(syntax) + sets[4], roots[4]),
        "preamble and prefix": (meta(syntax) + sets[5], roots[5]),
        "the preamble and File Meta Information": (b"DICM" + sets[6], roots[6]),
        "the transfer syntax": (preamble + meta(None) + sets[7], roots[7]),
        "a right group length": (preamble + meta(syntax, group_length=9999) + sets[8], roots[8]),
        "Media Storage UIDs": (preamble + meta(syntax, uids=False) + sets[9], roots[9]),
        "Media Storage UIDs of the dataset": (preamble + meta(syntax, root="1.2.99") + sets[10], roots[10]),
    }


def by_body(server: Server, data: bytes) -> Any:
    return server.client.post("/api/instances", content=data, headers={"Content-Type": "application/dicom"})


def by_form(server: Server, data: bytes) -> Any:
    return server.client.post("/api/instances", files={"file": ("IM0001", data)})


def by_zip(server: Server, data: bytes) -> Any:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("IM0001", data)
    return server.client.post("/api/instances", content=packed.getvalue())


def by_stow(server: Server, data: bytes) -> Any:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return server.client.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})


WAYS = {"body": by_body, "form": by_form, "ZIP": by_zip, "STOW": by_stow}


@pytest.mark.parametrize("lacking", forms(EXPLICIT))
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("way", WAYS)
def test_a_dataset_is_stored_as_a_whole_file(server: Server, way: str, syntax: str, lacking: str) -> None:
    data, root = forms(syntax)[lacking]
    answer = WAYS[way](server, data)
    assert answer.status_code in (200, 201), answer.text
    path = f"/api/instances/{root}.3"
    shown = server.client.get(path).json()
    assert shown["transfer_syntax_uid"] == syntax
    stored = server.client.get(f"{path}/file", params={"original": "true"})
    assert stored.headers["ETag"].strip('"') == hashlib.sha256(stored.content).hexdigest()
    assert stored.content.endswith(dataset(syntax, root, pixels="pixels" not in lacking)[-60:])
    ds = dcmread(io.BytesIO(stored.content))
    assert (ds.PatientID, ds.SOPInstanceUID) == (root, f"{root}.3")
    if lacking.startswith(("all", "File Meta", "the preamble and")):
        assert ds.file_meta.TransferSyntaxUID == syntax
        assert ds.file_meta.MediaStorageSOPInstanceUID == f"{root}.3"
    if "without pixels" not in lacking:
        assert server.client.get(f"{path}/image").status_code == 200
    again = by_body(server, data).json()
    assert again["results"][0]["status"] == "duplicate", again


#: What is none, by what it is.
NONE = {
    "nothing": b"",
    "one byte": b"\x08",
    "text": b"Findings: none.\n" * 50,
    "JSON": b'{"00080018": {}}' * 20,
    "XML": b"<?xml version='1.0'?><NativeDicomModel/>" * 10,
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(400),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(400),
    "PDF": b"%PDF-1.7\n" + bytes(400),
    "NIfTI": struct.pack("<i", 348) + bytes(400),
    "gzip": b"\x1f\x8b\x08\0" + bytes(400),
    "zeros": bytes(1000),
    "a beginning of eights": b"\x08\0" * 500,
    "a first element and garbage": ElementWriter().element(0x00080005, "CS", "ISO_IR 100") + b"\xab" * 500,
    "elements without a SOP class": ElementWriter().element(0x00080018, "UI", "1.2.3") + bytes(300),
    "elements without a SOP instance": ElementWriter().element(0x00080016, "UI", SECONDARY_CAPTURE) + bytes(300),
    "elements that descend": ElementWriter().element(0x00080018, "UI", "1.2.3")
    + ElementWriter().element(0x00080016, "UI", SECONDARY_CAPTURE)
    + bytes(300),
    "a command set": struct.pack("<HHII", 0, 0, 4, 56) + bytes(300),
}


@pytest.mark.parametrize("what", NONE)
@pytest.mark.parametrize("way", ["body", "form", "ZIP"])
def test_what_is_no_dataset_is_refused(server: Server, way: str, what: str) -> None:
    before = server.client.get("/api/instances").headers["X-Total-Count"]
    answer = WAYS[way](server, NONE[what])
    if way == "body" or answer.status_code != 200:
        assert answer.status_code in (400, 415), answer.text
    else:
        assert answer.json()["results"][0]["status"] == "rejected"
    assert server.client.get("/api/instances").headers["X-Total-Count"] == before


def test_compressed_pixels_need_their_transfer_syntax(server: Server) -> None:
    writer, root = ElementWriter(), new_root()
    data = dataset(EXPLICIT, root, pixels=False) + writer.element(0x7FE00010, "OB", b"", 0xFFFFFFFF)
    data += struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE0DD, 0)
    answer = by_body(server, data)
    assert answer.status_code == 415 and "compressed" in answer.text


def test_a_dataset_without_a_study_is_invalid(server: Server) -> None:
    writer = ElementWriter()
    data = writer.element(0x00080016, "UI", SECONDARY_CAPTURE) + writer.element(0x00080018, "UI", "1.2.3")
    assert by_body(server, data + bytes(200)).status_code == 422


# A file that lacks File Meta Information alone has the prefix, and so is one.
@pytest.mark.parametrize("lacking", [one for one in list(forms(EXPLICIT))[:7] if one != "File Meta Information"])
@pytest.mark.parametrize("way", WAYS)
def test_strictness_refuses_what_is_no_part_10_file(strict: Server, way: str, lacking: str) -> None:
    data, root = forms(EXPLICIT)[lacking]
    answer = WAYS[way](strict, data)
    assert answer.status_code in (200, 202, 400, 409, 415)
    assert strict.client.get(f"/api/instances/{root}.3").status_code == 404


@pytest.mark.parametrize(
    "uid",
    ["1.02.3", "1.2.3.", "LOCALIZER2.16.1", "1..2", "1." + "2" * 68],
    ids=["zero", "dot", "letters", "empty", "long"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_strictness_refuses_uids(strict: Server, place: int, uid: str) -> None:
    root = new_root()
    uids = [f"{root}.1", f"{root}.2", f"{root}.3"]
    good = bytes(128) + b"DICM" + meta(EXPLICIT) + dataset(EXPLICIT, root)
    writer = ElementWriter()
    tag = (0x0020000D, 0x0020000E, 0x00080018)[place]
    odd = good.replace(writer.element(tag, "UI", uids[place]), writer.element(tag, "UI", uid))
    assert odd != good
    answer = by_body(strict, odd)
    assert answer.status_code == 422 and "PS3.5 9.1" in answer.text, answer.text
    assert by_body(strict, good).status_code == 201
