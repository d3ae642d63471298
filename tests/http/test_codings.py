"""Bodies in content codings (RFC 9110 8.4): gzip for files, at each route that takes them; 415 for all else."""

import gzip
import io
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.dicomweb.stow import RELATED, part, related, stored
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server
from tests.support.waiting import wait_for

STUDY = f"{ROOT}.350"
FORM = "multipart/form-data; boundary=BB"


def file_of(number: int = 1, **elements: Any) -> bytes:
    return dicom_file(number, study=350, **elements)


def form(content: bytes, name: str = "1.dcm") -> bytes:
    head = f'--BB\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return head + content + b"\r\n--BB--\r\n"


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("1.dcm", content)
    return stream.getvalue()


#: Each route that takes files: path, Content-Type, and the body for a file.
ROUTES: dict[str, tuple[str, str, Any]] = {
    "store": ("/dicom-web/studies", RELATED, lambda file: related(part(file))),
    "store of a study": (f"/dicom-web/studies/{STUDY}", RELATED, lambda file: related(part(file))),
    "store of one": ("/dicom-web/studies", "application/dicom", lambda file: file),
    "file": ("/api/instances", "application/dicom", lambda file: file),
    "zip": ("/api/instances", "application/zip", zipped),
    "form": ("/api/instances", FORM, form),
    "upload": ("/api/instances/upload", FORM, form),
}


@pytest.fixture
def own(server: Server) -> Any:
    yield server
    server.client.delete(f"/api/studies/{STUDY}")


def send(server: Server, route: str, body: Any, coding: str) -> httpx.Response:
    path, content_type, _ = ROUTES[route]
    return server.client.post(path, content=body, headers={"Content-Type": content_type, "Content-Encoding": coding})


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity"])
@pytest.mark.parametrize("route", ROUTES)
def test_files_are_taken_in_gzip(own: Server, route: str, coding: str) -> None:
    file = file_of()
    body = ROUTES[route][2](file)
    answer = send(own, route, body if coding == "identity" else gzip.compress(body), coding)
    assert answer.status_code in (200, 201), answer.text
    assert own.client.get(f"/api/instances/{STUDY}.1.1/file").content == file


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_in_pieces_and_in_several_members(own: Server, step: int) -> None:
    body = related(part(file_of()), part(file_of(2)))
    packed = gzip.compress(body[:300]) + gzip.compress(b"") + gzip.compress(body[300:])
    answer = send(own, "store", (packed[at : at + step] for at in range(0, len(packed), step)), "gzip")
    assert stored(answer) == [f"{STUDY}.1.1", f"{STUDY}.1.2"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "coding", ["br", "deflate", "gzip, gzip", "gzip,identity", "compress", "zstd", "nope", "*", "gzip;q=1"]
)
def test_other_codings_are_refused_with_those_that_are_taken(own: Server, route: str, coding: str) -> None:
    answer = send(own, route, gzip.compress(ROUTES[route][2](file_of())), coding)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_coding")
    assert answer.headers["Accept-Encoding"] == "gzip, identity"
    assert own.client.get(f"/api/instances/{STUDY}.1.1").status_code == 404


def test_json_is_taken_as_it_is_alone(own: Server) -> None:
    tried = 0
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path, methods in own.client.get("/api/openapi.json").json()["paths"].items():
        for method, described in methods.items():
            if "application/json" in described.get("requestBody", {}).get("content", {}):
                url = re.sub(r"\{\w+\}", "1", path)
                answer = own.client.request(method, url, content=gzip.compress(b"{}"), headers=headers)
                assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity"), (method, path)
                tried += 1
    assert tried > 20


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_broken_or_cut_off_is_refused(own: Server, route: str) -> None:
    packed = gzip.compress(ROUTES[route][2](file_of(PixelData=os.urandom(16))))
    wrong = packed[:-8] + bytes(8)
    for body in (b"no gzip", b"", packed[:-1], packed[:-9], packed[: len(packed) // 2], packed + b"more", wrong):
        answer = send(own, route, body, "gzip")
        assert answer.status_code == 400, (len(body), answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
    wait_for(lambda: not list((own.data / "blobs" / "spool").iterdir()))
    assert own.client.get("/api/health").status_code == 200


def test_a_body_that_grows_a_thousandfold_takes_little_memory(own: Server) -> None:
    size = 256 << 20
    head = file_of(Rows=1024, Columns=1024, NumberOfFrames=256, PixelData=b"")
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(head[: head.index(b"\xe0\x7f\x10\x00OB") + 8] + size.to_bytes(4, "little"))
    packed += b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()

    def peak() -> int:
        status = Path(f"/proc/{own.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    before = peak()
    answer = send(own, "file", packed, "gzip")
    assert answer.status_code == 201, answer.text
    assert peak() - before < 64 * 1024


def test_the_limit_of_uploads_holds_for_what_is_decoded(tmp_path: Path) -> None:
    with Server(tmp_path, "--max-upload", "100000") as limited:
        big = gzip.compress(ROUTES["store"][2](file_of(PixelData=bytes(1_000_000))))
        assert len(big) < 5000
        assert send(limited, "store", big, "gzip").status_code == 413
