"""Headers of parts, boundaries and line ends as senders write them (RFC 2046, PS3.18 8.6.1.2)."""

import httpx
import orjson
import pytest

from tests.support.dicomweb.stow import others, stored
from tests.support.dicomweb.web import Web
from tests.support.files import ROOT, dicom_file

UID = f"{ROOT}.320.1.1"
DICOM, JSON = "application/dicom", "application/dicom+json"
TYPE = b"Content-Type: application/dicom"


def send(web: Web, body: bytes, kind: str = DICOM, boundary: str = "BB", content_type: str = "") -> httpx.Response:
    content_type = content_type or f'multipart/related; type="{kind}"; boundary="{boundary}"'
    return web.client.post("/dicom-web/studies", content=body, headers={"Content-Type": content_type})


def body_of(head: bytes, content: bytes, end: bytes = b"\r\n", before: bytes = b"", after: bytes = b"") -> bytes:
    return before + b"--BB" + end + head + end * 2 + content + end + b"--BB--" + end + after


FORMS: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "folded": (TYPE + b";\r\n transfer-syntax=1.2.840.10008.1.2.1", {}),
    "folded by a tab": (b"Content-Type:\r\n\tapplication/dicom", {}),
    "other case": (b"CONTENT-TYPE: Application/DICOM", {}),
    "no space": (b"content-type:application/dicom", {}),
    "quoted parameters": (TYPE + b'; transfer-syntax="1.2.840.10008.1.2.1"; x="a;b, c"', {}),
    "a charset": (TYPE + b"; charset=utf-8", {}),
    "other headers before and after": (b"MIME-Version: 1.0\r\n" + TYPE + b"\r\nContent-ID: <1>\r\nX-Y: z", {}),
    "a right length": (TYPE + b"\r\nContent-Length: %d" % len(dicom_file(1, study=320)), {}),
    "a wrong length": (TYPE + b"\r\nContent-Length: 3", {}),
    "no type": (b"Content-Location: x", {}),
    "no headers": (b"", {}),
    "binary": (TYPE + b"\r\nContent-Transfer-Encoding: Binary", {}),
    "LF alone": (TYPE + b"\nX: y\n z", {"end": b"\n"}),
    "a preamble and an epilogue": (TYPE, {"before": b"x\r\n\r\n", "after": b"\r\nx\r\n--BB\r\n"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_files_are_taken(web: Web, form: str) -> None:
    head, options = FORMS[form]
    file = dicom_file(1, study=320)
    body = body_of(head, file, **options) if head else b"--BB\r\n\r\n" + file + b"\r\n--BB--"
    answer = send(web, body)
    assert (answer.status_code, stored(answer)) == (200, [UID]), answer.text
    assert web.client.get(f"/api/instances/{UID}/file").content == file


def test_blanks_after_boundaries(web: Web) -> None:
    file = dicom_file(1, study=320)
    body = b"--BB \t\r\n" + TYPE + b"\r\n\r\n" + file + b"\r\n--BB-- \r\n"
    assert stored(send(web, body)) == [UID]


@pytest.mark.parametrize("boundary", ["b" * 100, "a b'()+_,-./:=?", "--", "=_1;2"])
def test_boundaries(web: Web, boundary: str) -> None:
    body = body_of(TYPE, dicom_file(1, study=320)).replace(b"--BB", b"--" + boundary.encode())
    assert stored(send(web, body, boundary=boundary)) == [UID]


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"x-gzip"])
def test_encoded_parts_are_refused_alone(web: Web, encoding: bytes) -> None:
    part = b"--BB\r\n" + TYPE + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\neA==\r\n"
    answer = send(web, part + body_of(TYPE, dicom_file(1, study=320)))
    assert (answer.status_code, stored(answer), others(answer)) == (202, [UID], [0xC000])


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        (b"application/dicom+json", "Müller"),
        (b'application/dicom+json; charset="UTF-8"', "山田"),
        (b"application/json;charset=utf8", "山田"),
        (b"application/dicom+json; charset=iso-8859-1", "Müller"),
        (b"application/dicom+json; charset=UTF-16", "山田"),
    ],
)
def test_the_charset_of_metadata(web: Web, content_type: bytes, text: str) -> None:
    dataset = {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": [f"{ROOT}.321.1.1"]},
        "0020000D": {"vr": "UI", "Value": [f"{ROOT}.321"]},
        "0020000E": {"vr": "UI", "Value": [f"{ROOT}.321.1"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": text}]},
    }
    charset = content_type.partition(b"=")[2].decode().strip('"') or "utf-8"
    metadata = orjson.dumps(dataset).decode().encode(charset)
    answer = send(web, body_of(b"Content-Type: " + content_type, metadata), JSON)
    assert answer.status_code == 200, answer.text
    found = web.get(f"/studies/{ROOT}.321/series/{ROOT}.321.1/instances/{ROOT}.321.1.1/metadata").json()[0]
    assert found["00100010"]["Value"] == [{"Alphabetic": text}]


@pytest.mark.parametrize("charset", [b"nope", b"ascii", b"base64", b"rot13", b"idna", b"unicode_escape"])
def test_a_charset_that_is_none_or_not_the_text_s(web: Web, charset: bytes) -> None:
    text = '{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller"}]}}'.encode()
    answer = send(web, body_of(b"Content-Type: application/dicom+json; charset=" + charset, text), JSON)
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
