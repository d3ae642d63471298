"""Answers to retrievals that break off, are odd, or are none."""

import gzip
import io
import threading
from collections.abc import Callable

import pydicom
import pytest

from tests.support.faulty import FaultyRequest, FaultyServer, multipart
from tests.support.nodes import RELATED, NodesClient, series_of, study


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (RELATED + "b", lambda files: multipart(files)),
        (RELATED + '"a b:c"', lambda files: multipart(files, boundary=b"a b:c")),
        ('multipart/related;boundary="x";TYPE=application/dicom', lambda files: multipart(files, boundary=b"x")),
        (RELATED + "b", lambda files: b"\r\n" + multipart(files)),
        (RELATED + "b", lambda files: b"A preamble.\r\n" + multipart(files) + b"an epilogue"),
        ("application/dicom", lambda files: files[0]),
    ],
    ids=range(6),
)
def test_forms_of_answers(
    here: NodesClient, faulty: FaultyServer, content_type: str, body: Callable[[list[bytes]], bytes]
) -> None:
    single = content_type == "application/dicom"
    uid, files = study(1 if single else 3, 1)

    def node(request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(uid, files))
        else:
            packed = gzip.compress(body(files))
            request.answer(200, packed, content_type, Content_Encoding="gzip")

    faulty.behaviour = node
    job = here.run("faulty", "retrieve", level="STUDY", ids=[uid])
    assert (job["state"], job["done"], job["total"]) == ("done", len(files), len(files)), job
    assert here.count(uid) == len(files)


def test_a_stream_that_breaks_is_gone_on_with(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(6, 1)
    ids = [str(pydicom.dcmread(io.BytesIO(file)).SOPInstanceUID) for file in files]

    def node(request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(uid, files))
        elif "/instances?" in request.path:
            request.answer_json([{"00080018": {"vr": "UI", "Value": [one]}} for one in ids])
        elif "/instances/" in request.path:
            request.answer(200, multipart([files[ids.index(request.path.rpartition("/")[2])]]), RELATED + "b")
        else:
            whole = multipart(files)
            request.send_response(200)
            request.send_header("Content-Type", RELATED + "b")
            request.send_header("Content-Length", str(len(whole)))
            request.end_headers()
            request.wfile.write(whole[: len(whole) // 2])
            request.cut()

    faulty.behaviour = node
    job = here.run("faulty", "retrieve", level="STUDY", ids=[uid])
    assert (job["state"], job["done"], job["failed"]) == ("done", 6, 0), job
    assert here.count(uid) == 6
    again = [path for path in faulty.requests if "/instances/" in path]
    assert 2 <= len(again) <= 4, "only what was missing came again"


def test_what_is_no_dicom_is_told_of(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(2, 1)

    def node(request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(uid, files))
        else:
            request.answer(200, multipart([files[0], b"rubbish", b"", files[1]]), RELATED + "b")

    faulty.behaviour = node
    job = here.run("faulty", "retrieve", level="STUDY", ids=[uid])
    assert (job["state"], job["done"], job["failed"], len(job["errors"])) == ("done", 2, 2, 2), job
    assert here.count(uid) == 2


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>"),
        ("", b""),
        ("multipart/related", b"--b"),
        (RELATED + "b", b"nothing like it" * 9999),
        (RELATED + "b", b""),
        (RELATED + "b", b"--b\r\nContent-Type: application/dicom\r\n\r\nrubbish"),
    ],
    ids=range(6),
)
def test_answers_that_are_none(here: NodesClient, faulty: FaultyServer, content_type: str, body: bytes) -> None:
    uid, files = study(1, 1)

    def node(request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(uid, files))
        else:
            request.answer(200, body, content_type)

    faulty.behaviour = node
    job = here.submit("faulty", "retrieve", level="STUDY", ids=[uid])
    now = here.when(job, lambda now: now["ended"] or now["retry_at"])
    assert now["done"] == 0
    here.http.delete(f"/api/jobs/{job}")
    here.ended(job) if not now["ended"] else None


def test_cancelling_in_the_middle_of_a_series(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(20, 1)
    go_on = threading.Event()

    def slow(request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(uid, files))
            return
        whole = multipart(files)
        request.send_response(200)
        request.send_header("Content-Type", RELATED + "b")
        request.send_header("Content-Length", str(len(whole)))
        request.end_headers()
        request.wfile.write(whole[: len(whole) // 2])
        request.wfile.flush()
        go_on.wait(30)
        request.wfile.write(whole[len(whole) // 2 :])

    faulty.behaviour = slow
    job = here.submit("faulty", "retrieve", level="STUDY", ids=[uid])
    here.when(job, lambda now: now["done"] > 0)
    assert here.http.delete(f"/api/jobs/{job}").status_code == 202
    go_on.set()
    ended = here.ended(job)
    assert ended["state"] == "cancelled"
    assert 0 < ended["done"] <= here.count(uid) < len(files)
