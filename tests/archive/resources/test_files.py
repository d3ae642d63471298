"""The file as it goes out: whole, in parts, and not at all where the client has it."""

import io
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pydicom
import pytest

from tests.support.archive_client import Archive
from tests.support.resource_files import make_file
from tests.support.server import Server


@pytest.fixture(scope="module", params=["stored", "edited"])
def served(request: pytest.FixtureRequest, archive: Archive) -> tuple[str, bytes]:
    """Path of a file, and its bytes."""
    result = archive.make()[0]
    if request.param == "edited":
        archive.put(f"/instances/{result['id']}", {"image_comments": "edited " * 50})
    path = f"/instances/{result['id']}/file"
    return path, archive.get(path).content


def test_headers_of_a_download(archive: Archive, served: tuple[str, bytes]) -> None:
    path, whole = served
    answer = archive.get(path)
    instance = path.split("/")[2]
    assert answer.headers["Content-Type"] == "application/dicom"
    assert answer.headers["Content-Length"] == str(len(whole))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{instance}.dcm"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert pydicom.dcmread(io.BytesIO(whole)).SOPInstanceUID == instance


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 131), (100, 700), (127, 10**9), (640, 641)])
def test_a_part(archive: Archive, served: tuple[str, bytes], first: int, last: int) -> None:
    path, whole = served
    answer = archive.client.get(f"/api{path}", headers={"Range": f"bytes={first}-{last}"})
    assert answer.status_code == 206
    assert answer.content == whole[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{min(last, len(whole) - 1)}/{len(whole)}"


def test_parts_make_the_whole(archive: Archive, served: tuple[str, bytes]) -> None:
    path, whole = served
    parts = [
        archive.client.get(f"/api{path}", headers={"Range": f"bytes={start}-{start + 199}"}).content
        for start in range(0, len(whole), 200)
    ]
    assert b"".join(parts) == whole
    assert archive.client.get(f"/api{path}", headers={"Range": "bytes=-10"}).content == whole[-10:]


def test_a_range_that_is_not_there_is_416(archive: Archive, served: tuple[str, bytes]) -> None:
    path, whole = served
    answer = archive.client.get(f"/api{path}", headers={"Range": f"bytes={len(whole)}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    assert answer.json()["status"] == 416


def test_a_validator_spares_the_transfer(archive: Archive, served: tuple[str, bytes]) -> None:
    path, whole = served
    etag = archive.get(path).headers["ETag"]
    assert archive.client.head(f"/api{path}").headers["ETag"] == etag
    assert archive.client.head(f"/api{path}").headers["Content-Length"] == str(len(whole))
    again = archive.client.get(f"/api{path}", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    part = {"Range": "bytes=0-9", "If-Range": etag}
    assert archive.client.get(f"/api{path}", headers=part).status_code == 206
    changed = archive.client.get(f"/api{path}", headers=part | {"If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole)


def test_an_edit_changes_the_validator(archive: Archive) -> None:
    result = archive.make()[0]
    path = f"/instances/{result['id']}/file"
    first = archive.get(path).headers["ETag"]
    archive.put(f"/studies/{result['study']}", {"study_description": "one"})
    second = archive.get(path).headers["ETag"]
    archive.put(f"/studies/{result['study']}", {"study_description": "two"})
    third = archive.get(path).headers["ETag"]
    assert len({first, second, third}) == 3
    assert archive.get(path, original="true").headers["ETag"] == first


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"original": "maybe"}, "original"),
        ({"original": ["true", "true"]}, "original"),
        ({"origin": "true"}, "origin"),
        ({"original": "true", "transfer_syntax": "1.2.840.10008.1.2"}, "original"),
    ],
)
def test_wrong_parameters(archive: Archive, served: tuple[str, bytes], params: dict, field: str) -> None:
    assert archive.get(served[0], status=422, **params).json()["field"] == field


@pytest.mark.parametrize("plus", ["%2B", "+"])
def test_the_format_of_tags(archive: Archive, plus: str) -> None:
    result = archive.make(PatientName="TAGS^T")[0]
    path = f"/api/instances/{result['id']}/tags"
    model = archive.client.get(f"{path}?format=dicom{plus}json")
    assert model.headers["Content-Type"] == "application/dicom+json"
    assert model.json()["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "TAGS^T"}]}
    assert archive.client.get(path, headers={"Accept": "application/dicom+json"}).content == model.content
    plain = archive.client.get(path, headers={"Accept": "*/*"})
    assert plain.headers["Content-Type"].startswith("application/json")
    assert plain.json()["Rows"] == 4
    wrong = archive.client.get(f"{path}?format=xml")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "format")


def test_a_client_that_goes_away_harms_nothing(archive: Archive) -> None:
    result = archive.store(make_file(PatientID="large", Rows=2048, Columns=2048, PixelData=bytes(8 << 20)))
    url = urlsplit(archive.server.url)
    request = f"GET /api/instances/{result['id']}/file HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    before = archive.server.log
    for _ in range(5):
        with socket.create_connection((url.hostname, url.port)) as connection:
            connection.sendall(request)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    time.sleep(0.1)
    assert len(archive.get(f"/instances/{result['id']}/file").content) > 8 << 20
    assert "Traceback" not in archive.server.log.removeprefix(before)


def test_a_stored_file_that_lost_its_end_is_told_from_a_whole_one(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        archive = Archive(server)
        result = archive.store(make_file(Rows=1024, Columns=1024, PixelData=bytes(2 << 20)))
        [blob] = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        blob.chmod(0o600)  # stored files are read-only
        os.truncate(blob, 1 << 20)
        answer = archive.get(f"/instances/{result['id']}/file", status=410)
        assert answer.json()["code"] == "damaged"
        blob.unlink()
        archive.get(f"/instances/{result['id']}/file", status=410)
        archive.get("/instances")
        assert server.stop() == 0
        assert "it has 1048576 bytes" in server.log
        assert "under way" not in server.log
