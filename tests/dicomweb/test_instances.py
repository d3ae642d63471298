"""WADO-RS files: whole studies streamed in order, transcoded where that is asked for."""

import re
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.uid import generate_uid

from tests.support.dicomweb.web import Web, dataset_of, parts_of
from tests.support.files import dicom_file
from tests.support.server import Server

DICOM = "application/dicom"
EXPLICIT, IMPLICIT, JPEG_LS, J2K = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    *(f"1.2.840.10008.1.2.4.{number}" for number in (80, 90)),
)


def related(syntax: str | None = None) -> str:
    return f'multipart/related; type="{DICOM}"' + (f"; transfer-syntax={syntax}" if syntax else "")


@pytest.fixture
def series(any_web: Web) -> tuple[str, list[str]]:
    """The path of a series whose slices were stored out of order, and their ids in order."""
    shared = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "PatientID": uuid.uuid4().hex}
    ids = {}
    for place in (3, 1, 4, 0, 2):
        path = any_web.make(
            **shared,
            ImagePositionPatient=[0, 0, 2.5 * place],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelData=bytes([place] * 16),
        )
        ids[place] = path.rsplit("/", 1)[1]
    return path.rsplit("/instances/", 1)[0], [ids[place] for place in sorted(ids)]


def test_a_series_comes_in_slice_order(any_web: Web, series: tuple[str, list[str]]) -> None:
    path, ids = series
    for each in (path, path.split("/series/")[0]):
        for accept in (None, "*/*", related(), "multipart/related", related("*")):
            found = parts_of(any_web.get(each, accept))
            assert [dataset_of(content).SOPInstanceUID for _, content in found] == ids
            assert {fields["content-type"] for fields, _ in found} == {f"{DICOM}; transfer-syntax={EXPLICIT}"}
    for bad in ("image/jpeg", "application/dicom+json", DICOM):
        any_web.get(path, bad, status=406)


def test_one_instance_in_one_part_or_alone(any_web: Web, series: tuple[str, list[str]]) -> None:
    path, ids = series
    instance = f"{path}/instances/{ids[0]}"
    in_parts = any_web.get(instance)
    ((_, content),) = parts_of(in_parts)
    assert any_web.get(instance, headers={"If-None-Match": in_parts.headers["ETag"]}, status=304).content == b""
    alone = any_web.get(instance, DICOM)
    assert (alone.headers["Content-Type"], alone.content) == (DICOM, content)
    assert any_web.get(instance, DICOM, headers={"Range": "bytes=128-131"}, status=206).content == b"DICM"
    assert any_web.get(instance, DICOM, headers={"If-None-Match": alone.headers["ETag"]}, status=304).content == b""
    # A copy of the one is none of the other.
    for accept, other in ((DICOM, in_parts), ("*/*", alone)):
        any_web.get(instance, accept, headers={"If-None-Match": other.headers["ETag"]})
    head = any_web.client.head(f"/dicom-web{instance}")
    assert (head.content, head.headers["Content-Length"]) == (b"", in_parts.headers["Content-Length"])
    assert "Content-Length" not in any_web.client.head(f"/dicom-web{path}").headers


@pytest.mark.parametrize("syntax", [IMPLICIT, JPEG_LS, J2K])
def test_transcoding(any_web: Web, series: tuple[str, list[str]], syntax: str) -> None:
    path, ids = series
    found = parts_of(any_web.get(path, related(syntax)))
    assert [dataset_of(content).SOPInstanceUID for _, content in found] == ids
    for place, (fields, content) in enumerate(found):
        ds = dataset_of(content)
        assert ds.file_meta.TransferSyntaxUID == syntax
        assert fields["content-type"] == f"{DICOM}; transfer-syntax={syntax}"
        assert np.all(ds.pixel_array == place)
    alone = any_web.get(f"{path}/instances/{ids[0]}", f"{DICOM}; transfer-syntax={syntax}")
    assert dataset_of(alone.content).file_meta.TransferSyntaxUID == syntax


def test_what_can_not_be_converted_comes_as_it_is_stored(web: Web) -> None:
    study = generate_uid()
    web.make(StudyInstanceUID=study, SeriesNumber=1)
    report = web.make(StudyInstanceUID=study, SeriesNumber=2, PixelData=None)
    found = [fields["content-type"] for fields, _ in parts_of(web.get(f"/studies/{study}", related(J2K)))]
    assert found == [f"{DICOM}; transfer-syntax={J2K}", f"{DICOM}; transfer-syntax={EXPLICIT}"]
    web.get(report, f"{DICOM}; transfer-syntax={J2K}", status=406)
    both = f"{DICOM}; transfer-syntax={J2K}; q=0.9, {DICOM}; transfer-syntax=*; q=0.1"
    assert web.get(report, both).content[128:132] == b"DICM"
    web.get(report, f"{DICOM}; transfer-syntax=1.2.3", status=406)


def test_what_is_not_there(any_web: Web, series: tuple[str, list[str]]) -> None:
    path, ids = series
    study = path.split("/")[2]
    for missing in ("/studies/1.2.3", f"/studies/{study}/series/1.2.3", f"/studies/1.2.3/series/{path.split('/')[4]}"):
        any_web.get(missing, status=404)
    any_web.get(f"/studies/{study}/series/1.2.3/instances/{ids[0]}", status=404)
    any_web.get("/studies/%FF", status=400)


def test_deletion_meanwhile_leaves_the_rest(web: Web) -> None:
    study, series = generate_uid(), generate_uid()
    paths = [web.make(StudyInstanceUID=study, SeriesInstanceUID=series, Rows=1024, Columns=1024,
                      InstanceNumber=number, PixelData=bytes(1024 * 1024)) for number in range(1, 7)]  # fmt: skip
    with web.client.stream("GET", f"/dicom-web/studies/{study}") as answer:
        pieces = answer.iter_raw()
        content = next(pieces)
        last = paths[-1].rsplit("/", 1)[1]
        assert web.client.delete(f"/api/instances/{last}").status_code == 204
        content += b"".join(pieces)
    whole = httpx.Response(200, headers=answer.headers, content=content)
    assert [dataset_of(part).InstanceNumber for _, part in parts_of(whole)] in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])


def memory_of(server: Server) -> int:
    """MiB of memory that the server's process has of its own."""
    for line in Path(f"/proc/{server.process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no Anonymous in smaps_rollup")


@pytest.fixture(scope="module")
def large(dicomweb_server: Server) -> str:
    """The path of an instance with 300 frames of 1 MiB, each of them its number."""

    def body() -> Any:
        size = 300 * 1024 * 1024
        file = dicom_file(study=90, Rows=1024, Columns=1024, NumberOfFrames=300, PixelData=b"")
        yield file[: file.index(b"\xe0\x7f\x10\x00OB") + 8] + size.to_bytes(4, "little")
        for number in range(300):
            yield bytes([number % 256]) * (1024 * 1024)

    answer = dicomweb_server.client.post("/api/instances", content=body(), headers={"Content-Type": DICOM})
    assert answer.status_code == 201, answer.text
    (found,) = answer.json()["results"]
    return f"/studies/{found['study']}/series/{found['series']}/instances/{found['id']}"


@pytest.mark.parametrize("tail", ["", "/frames", "/bulk/7FE00010"])
def test_300_megabytes_pass_in_little_memory(web: Web, large: str, tail: str) -> None:
    before, most, done = memory_of(web.server), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], memory_of(web.server))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        size = 0
        with web.client.stream("GET", f"/dicom-web{large}{tail}") as answer:
            assert answer.status_code == 200
            for piece in answer.iter_raw(1 << 20):
                size += len(piece)
                if size < 50 << 20:
                    time.sleep(0.002)  # a client slower than the server
    finally:
        done.set()
        watching.join()
    assert size >= 300 << 20
    assert most[0] - before < 60


def test_one_frame_of_300(web: Web, large: str) -> None:
    ((_, content),) = parts_of(web.get(large + "/frames/257"))
    assert content == bytes([0]) * (1024 * 1024)
    ((_, content),) = parts_of(web.get(large + "/frames/300"))
    assert content == bytes([299 % 256]) * (1024 * 1024)


def test_clients_that_go_away_leave_nothing_open(web: Web, large: str) -> None:
    def descriptors() -> list[str]:
        folder = Path(f"/proc/{web.server.process.pid}/fd")
        links = (each.readlink() for each in folder.iterdir() if each.is_symlink())
        return sorted(str(link) for link in links if re.search(r"/objects/\d+/", str(link)))

    for tail in ("", "/frames", "/bulk/7FE00010", "/frames/1", "?accept=application/dicom"):
        for _ in range(3):
            with (
                httpx.Client(base_url=web.server.url) as client,
                client.stream("GET", f"/dicom-web{large}{tail}") as it,
            ):
                next(it.iter_raw(1000))
    deadline = time.monotonic() + 20
    while descriptors() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert descriptors() == []
    assert "Traceback" not in web.server.log
