"""STOW-RS through the public door: clients, statuses, failure reasons, hostile bodies, broken connections."""

import http.client
import io
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from tests.support.dicomweb.stow import BOUNDARY, RELATED, failed, items, others, part, related, store, stored
from tests.support.files import ROOT, dicom_file, large_file_head
from tests.support.server import Server

MIB = 1024 * 1024
IMAGE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of this module may fill."""
    folder = tmp_path_factory.mktemp("store")
    with Server(folder, "--max-upload", str(400 * MIB), "--dicomweb-delete") as running:
        yield running


def uid(study: int, number: int = 1) -> str:
    return f"{ROOT}.{study}.1.{number}"


def known(server: Server, instance: str) -> bool:
    return server.client.get(f"/api/instances/{instance}").status_code == 200


def test_dicomweb_client_stores_and_deletes(any_server: Server) -> None:
    client = DICOMwebClient(f"{any_server.url}/dicom-web")
    files = [dicom_file(number, study=100) for number in (1, 2)]
    datasets = [pydicom.dcmread(io.BytesIO(file)) for file in files]
    answer = client.store_instances(datasets)
    study = f"{ROOT}.100"
    assert answer.RetrieveURL == f"{any_server.url}/dicom-web/studies/{study}"
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [uid(100, 1), uid(100, 2)]
    assert "FailedSOPSequence" not in answer
    for file, number in zip(files, (1, 2), strict=True):
        got = pydicom.dcmread(
            io.BytesIO(any_server.client.get(f"/api/instances/{uid(100, number)}/file?original=true").content)
        )
        assert got == pydicom.dcmread(io.BytesIO(file))
    again = client.store_instances(datasets, study_instance_uid=study)
    assert len(again.ReferencedSOPSequence) == 2, "what is there already is stored"
    # The shared servers do not allow it here.
    with pytest.raises(Exception, match="403"):
        client.delete_study(study)
    any_server.client.delete(f"/api/studies/{study}")


def test_the_answer_names_what_was_stored(own: Server) -> None:
    body = related(part(dicom_file(1, study=1)), part(dicom_file(1, study=2)))
    answer = store(own, body)
    assert answer.status_code == 200
    assert answer.json()["00081190"] == {"vr": "UR"}, "no one URL has them all"
    base = f"{own.url}/dicom-web/studies"
    assert items(answer, "00081199") == [
        {
            "00081150": IMAGE,
            "00081155": uid(study),
            "00081190": f"{base}/{ROOT}.{study}/series/{ROOT}.{study}.1/instances/{uid(study)}",
        }
        for study in (1, 2)
    ]
    for number in (1, 2):
        got = own.client.get(f"/api/instances/{uid(number)}/file")
        assert got.content == dicom_file(1, study=number)


@pytest.mark.parametrize("content_type", ["application/dicom", 'application/dicom; transfer-syntax="*"'])
def test_a_single_file_is_a_body_too(own: Server, content_type: str) -> None:
    answer = store(own, dicom_file(1, study=3), content_type=content_type)
    assert (answer.status_code, stored(answer)) == (200, [uid(3)])
    answer = store(own, b"no DICOM", content_type=content_type)
    assert (answer.status_code, others(answer)) == (409, [0xC000])


def test_instances_of_another_study_are_refused_and_the_others_kept(own: Server) -> None:
    body = related(part(dicom_file(1, study=4)), part(dicom_file(1, study=5)), part(dicom_file(2, study=4)))
    answer = store(own, body, study=f"{ROOT}.4")
    assert answer.status_code == 202
    assert stored(answer) == [uid(4, 1), uid(4, 2)]
    assert failed(answer) == {uid(5): 0xA901}
    assert f"is of study {ROOT}.5" in answer.headers["Warning"]
    assert not known(own, uid(5))
    assert answer.json()["00081190"]["Value"] == [f"{own.url}/dicom-web/studies/{ROOT}.4"]
    answer = store(own, related(part(dicom_file(1, study=5))), study=f"{ROOT}.4")
    assert (answer.status_code, failed(answer)) == (409, {uid(5): 0xA901})
    assert not known(own, uid(5))


def test_each_failure_has_its_reason(own: Server) -> None:
    good = dicom_file(1, study=6)
    body = related(
        part(b"no DICOM"),
        part(dicom_file(2, study=6)[:-8]),
        part(dicom_file(3, study=6, SeriesInstanceUID=None)),
        part(good, Content_Transfer_Encoding="base64"),
        part(good, Content_Type="text/plain", Content_Transfer_Encoding="binary"),
        part(b""),
    )
    answer = store(own, body)
    assert (answer.status_code, stored(answer)) == (202, [uid(6)])
    # Of those that can't be read, the File Meta Information tells which they are.
    assert failed(answer) == {uid(6, 2): 0xC000, uid(6, 3): 0xA900}
    assert others(answer) == [0xC000, 0xC000, 0xC000]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", RELATED, 400),
        (b"", "application/dicom", 400),
        (b"x" * 100, RELATED, 400),
        (b"x" * 100_000, RELATED, 400),
        (related(), RELATED, 400),
        (related(part(b"x"))[:-20], RELATED, 202),
        (related(part(dicom_file(1, study=7)))[:-9], RELATED, 202),
        (part(dicom_file(1, study=7))[:-200], RELATED, 400),
        (related(part(b"x")), "multipart/related; type=application/dicom", 400),
        (related(part(b"x")), "multipart/related; boundary=" + "x" * 300, 400),
        (related(part(b"x")), RELATED.replace("application/dicom", "text/plain"), 415),
        (related(part(b"x")), f"multipart/form-data; boundary={BOUNDARY}", 415),
        (b"x", "application/octet-stream", 415),
        (b"{}", "application/json", 415),
        (b"x", "", 415),
        (related(part(b"x", X_Long="y" * 100_000)), RELATED, 400),
        (related(part(b"x", **{f"X_{number}": "y" for number in range(100)})), RELATED, 400),
        (f"--{BOUNDARY}\r\nno colon\r\n\r\nx\r\n--{BOUNDARY}--".encode(), RELATED, 400),
    ],
)
def test_broken_bodies(own: Server, body: bytes, content_type: str, status: int) -> None:
    answer = store(own, body, content_type=content_type)
    if status == 202:
        assert answer.status_code in (202, 400, 409), answer.text
    else:
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
    own.wait_for_empty_spool()


def test_a_wrong_study_in_the_path_is_refused(own: Server) -> None:
    body = related(part(dicom_file(1, study=8)))
    assert store(own, body, study="no~uid").status_code == 400


def test_unusual_multiparts_are_understood(own: Server) -> None:
    file = dicom_file(1, study=9)
    bodies = {
        RELATED: b"This is the preamble.\r\n" + related(part(file)) + b"and an epilogue\r\nof lines",
        f"Multipart/Related;boundary={BOUNDARY}": b"\r\n\r\n" + related(part(file, Content_Type="")),
        f'multipart/related; boundary="{BOUNDARY}"; type=application/dicom; start="<1>"': related(
            part(file, Content_ID="<1>", Content_Length=str(len(file)), MIME_Version="1.0")
        ),
        'multipart/related; type=application/dicom; boundary="a b\'()+_,-./:=?"': related(part(file)).replace(
            BOUNDARY.encode(), b"a b'()+_,-./:=?"
        ),
    }
    for content_type, body in bodies.items():
        for step in (1, 7, len(body)):
            pieces = (body[start : start + step] for start in range(0, len(body), step))
            answer = store(own, pieces if step != 1 or len(body) < 2000 else body, content_type=content_type)
            assert (answer.status_code, stored(answer)) == (200, [uid(9)]), (content_type, answer.text)


def test_a_multipart_in_a_part_is_no_instance(own: Server) -> None:
    inner = related(part(dicom_file(1, study=10))).replace(BOUNDARY.encode(), b"inner")
    answer = store(own, related(part(inner, Content_Type="multipart/related; boundary=inner")))
    assert (answer.status_code, others(answer)) == (409, [0xC000])
    assert not known(own, uid(10))


def test_a_later_part_replaces_an_earlier_one(own: Server) -> None:
    versions = [dicom_file(1, study=11, PatientName=name) for name in "ABCDEFGH"]
    answer = store(own, related(*map(part, versions)))
    assert (answer.status_code, stored(answer)) == (200, [uid(11)] * 8)
    assert own.client.get(f"/api/instances/{uid(11)}/file").content == versions[-1]


def test_ten_thousand_tiny_parts(own: Server) -> None:
    answer = store(own, related(*[part(b"x")] * 9_999, part(dicom_file(1, study=12))))
    assert (answer.status_code, stored(answer)) == (202, [uid(12)])
    assert len(others(answer)) == 9_999
    assert len(answer.headers["Warning"]) < 2000


def test_a_large_instance_goes_through_in_constant_memory(own: Server) -> None:
    size = 300 * MIB
    head = large_file_head(size, number=77)

    def body() -> Iterator[bytes]:
        yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + head
        for _ in range(size // MIB):
            yield bytes(MIB)
        yield f"\r\n--{BOUNDARY}--".encode()

    def peak() -> int:
        status = Path(f"/proc/{own.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    store(own, related(part(dicom_file(1, study=13))))
    before = peak()
    answer = store(own, body())
    assert (answer.status_code, stored(answer)) == (200, [uid(1, 77)])
    assert peak() - before < 100 * 1024
    assert own.client.get(f"/api/instances/{uid(1, 77)}").json()["size"] == len(head) + size


def test_a_body_past_the_limit_is_413(tmp_path: Path) -> None:
    with Server(tmp_path, "--max-upload", str(MIB)) as server:
        answer = store(server, related(part(b"x" * 2 * MIB)))
        assert answer.status_code == 413
        # What came before the limit is stored, and told.
        answer = store(server, related(part(dicom_file()), part(large_file_head(2 * MIB, 2) + bytes(2 * MIB))))
        assert (answer.status_code, stored(answer), others(answer)) == (202, [uid(1)], [0xA700])


def test_a_client_that_breaks_off_leaves_nothing_half_visible(own: Server) -> None:
    whole, cut = part(dicom_file(1, study=14)), part(dicom_file(2, study=14))[:-100]
    host, port = own.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {RELATED}\r\n"
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + whole + cut)
        time.sleep(0.2)
    own.wait_for_empty_spool()
    # A whole part may be there, since it is whole; it was not acknowledged. The cut one is not.
    assert not known(own, uid(14, 2))
    if known(own, uid(14, 1)):
        assert own.client.get(f"/api/instances/{uid(14, 1)}/file").content == dicom_file(1, study=14)
    answer = store(own, related(whole, part(dicom_file(2, study=14))))
    assert (answer.status_code, stored(answer)) == (200, [uid(14, 1), uid(14, 2)])


def test_what_was_acknowledged_survives_kill(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    answers = [
        store(server, related(part(dicom_file(n, study=15)), part(dicom_file(n + 100, study=15)))) for n in range(1, 6)
    ]
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {RELATED}\r\n"
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + part(dicom_file(50, study=15))[:-100])
        time.sleep(0.1)
        server.kill()
    with Server(tmp_path) as again:
        for answer in answers:
            assert answer.status_code == 200
            for instance in stored(answer):
                assert known(again, instance)
        assert not known(again, uid(15, 50))
        assert again.client.get(f"/api/studies/{ROOT}.15").json()["images_count"] == 10


def test_parallel_senders_of_one_study(own: Server) -> None:
    bodies = [related(*(part(dicom_file(n, study=16, series=s)) for n in range(1, 11))) for s in (1, 2, 3, 4)] * 2
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda body: store(own, body), bodies))
    assert {answer.status_code for answer in answers} == {200}
    study = own.client.get(f"/api/studies/{ROOT}.16").json()
    assert (study["series_count"], study["images_count"]) == (4, 40)


def test_an_early_answer_is_read_while_the_body_is_sent(tmp_path: Path) -> None:
    with Server(tmp_path, auth=True) as server:
        answer = httpx.post(
            f"{server.url}/dicom-web/studies",
            content=(bytes(MIB) for _ in range(20)),
            headers={"Content-Type": RELATED},
        )
        assert answer.status_code == 401


def test_delete_where_it_is_allowed(own: Server) -> None:
    store(own, related(*(part(dicom_file(n, study=17, series=s)) for s in (1, 2) for n in (1, 2))))
    base = f"/dicom-web/studies/{ROOT}.17"
    for path, status in (
        (f"/dicom-web/studies/{ROOT}.1/series/{ROOT}.17.1", 404),
        (f"{base}/series/{ROOT}.17.2/instances/{uid(17)}", 404),
        (f"{base}/series/{ROOT}.17.1/instances/{uid(17)}", 204),
        (f"{base}/series/{ROOT}.17.1/instances/{uid(17)}", 404),
        (f"{base}/series/{ROOT}.17.1", 204),
        (base, 204),
        (base, 404),
    ):
        assert own.client.delete(path).status_code == status, path
    assert own.client.get(f"/api/studies/{ROOT}.17").status_code == 404


def test_delete_is_refused_by_default(server: Server) -> None:
    answer = server.client.delete("/dicom-web/studies/1.2.3")
    assert answer.status_code == 403
    assert "dicomweb_delete" in answer.json()["detail"]


def test_files_made_by_dcmtk(own: Server, tmp_path: Path) -> None:
    dcmdump, dcmconv = shutil.which("dcmdump"), shutil.which("dcmconv")
    if not (dcmdump and dcmconv):
        pytest.skip("DCMTK is not installed")
    source = tmp_path / "source.dcm"
    source.write_bytes(dicom_file(1, study=18))
    parts = []
    for number, option in enumerate(("+te", "+tb", "+ti", "+td"), 1):
        made = tmp_path / f"{number}.dcm"
        subprocess.run([dcmconv, option, str(source), str(made)], check=True)
        ds = pydicom.dcmread(made)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(uid(18, number))
        ds.save_as(made)
        parts.append(part(made.read_bytes()))
    answer = store(own, related(*parts), study=f"{ROOT}.18")
    assert (answer.status_code, stored(answer)) == (200, [uid(18, number) for number in (1, 2, 3, 4)])
    got = tmp_path / "got.dcm"
    for number in (1, 2, 3, 4):
        got.write_bytes(own.client.get(f"/api/instances/{uid(18, number)}/file").content)
        assert got.read_bytes() == (tmp_path / f"{number}.dcm").read_bytes()
        assert "Doe^Jane" in subprocess.run([dcmdump, str(got)], capture_output=True, text=True, check=True).stdout


def test_a_keep_alive_connection_goes_on_after_a_refusal(own: Server) -> None:
    host, port = own.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    for body, content_type, status in (
        (related(part(b"x")), "text/plain", 415),
        (related(part(dicom_file(1, study=19))), RELATED, 200),
    ):
        connection.request("POST", "/dicom-web/studies", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
