"""DICOMweb nodes that can't send all of what they are asked for: one bad instance costs only itself."""

import io
from collections.abc import Callable

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.support.faulty import FaultyRequest, FaultyServer, multipart, store_answer
from tests.support.nodes import RELATED, NodesClient, series_of, study, uids_of


def _cut(request: FaultyRequest, files: list[bytes]) -> None:
    body = multipart(files)
    request.send_response(200)
    request.send_header("Content-Type", RELATED + "b")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[:200])
    request.cut()


#: Answers of a node that fails, to a series or to an instance of it, with what the reason then has.
FAULTS: dict[str, tuple[Callable[[FaultyRequest, list[bytes]], object], str]] = {
    "404": (lambda request, files: request.answer(404, b"nothing here", "text/plain"), "404"),
    "500": (lambda request, files: request.answer(500, b"a broken file", "text/plain"), "500"),
    "406": (lambda request, files: request.answer(406, b"", "text/plain"), "406"),
    "cut": (_cut, "faulty"),
    "no boundary": (lambda request, files: request.answer(200, multipart(files)[:-20], RELATED + "b"), "ends before"),
    "text": (lambda request, files: request.answer(200, b"<html>", "text/html"), "text/html"),
    "empty": (lambda request, files: request.answer(200, b"--b--\r\n", RELATED + "b"), "sent nothing"),
    "rubbish": (lambda request, files: request.answer(200, multipart([b"x" * 999]), RELATED + "b"), ""),
}


class FailingNode:
    """A node whose answer to a series, and to one instance of it, is a fault."""

    def __init__(self, uid: str, files: list[bytes], bad: str, whole: str, one: str) -> None:
        self.uid, self.files, self.bad, self.whole, self.one = uid, files, bad, whole, one
        self.ids = [str(pydicom.dcmread(io.BytesIO(file)).SOPInstanceUID) for file in files]

    def __call__(self, request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(self.uid, self.files))
        elif "/instances?" in request.path:
            request.answer_json([{"00080018": {"vr": "UI", "Value": [one]}} for one in self.ids])
        elif "/instances/" not in request.path:
            FAULTS[self.whole][0](request, self.files)
        elif request.path.endswith(self.bad):
            FAULTS[self.one][0](request, self.files[:1])
        else:
            file = self.files[self.ids.index(request.path.rpartition("/")[2])]
            request.answer(200, multipart([file]), RELATED + "b")


@pytest.mark.parametrize("whole", ["404", "500", "406", "cut", "no boundary", "text", "rubbish"])
def test_one_bad_instance_costs_only_itself(here: NodesClient, faulty: FaultyServer, whole: str) -> None:
    uid, files = study(7, 1)
    bad = pydicom.dcmread(io.BytesIO(files[3]))
    faulty.behaviour = FailingNode(uid, files, str(bad.SOPInstanceUID), whole, "404")
    job = here.run("faulty", "retrieve", level="STUDY", ids=[uid])
    if whole == "no boundary":  # all have come but the last one, which is whole by itself
        assert (job["state"], job["done"], job["failed"]) == ("done", 7, 0), job
        return
    assert (job["state"], job["done"], job["failed"]) == ("done", 6, 1), job
    (error,) = job["errors"]
    named = (error["study"], error["series"], error["instance"])
    assert named == (uid, bad.SeriesInstanceUID, bad.SOPInstanceUID)
    assert "404" in error["reason"]
    assert here.count(uid) == 6


@pytest.mark.parametrize("one", ["406", "text", "empty", "rubbish"])
def test_the_reason_is_the_instances_own(here: NodesClient, faulty: FaultyServer, one: str) -> None:
    uid, files = study(3, 1)
    bad = str(pydicom.dcmread(io.BytesIO(files[1])).SOPInstanceUID)
    faulty.behaviour = FailingNode(uid, files, bad, "404", one)
    job = here.run("faulty", "retrieve", level="STUDY", ids=[uid])
    assert (job["state"], job["done"], job["failed"]) == ("done", 2, 1), job
    (error,) = job["errors"]
    assert error["instance"] == bad
    assert FAULTS[one][1] in error["reason"]


def test_all_is_retrieved(here: NodesClient, faulty: FaultyServer) -> None:
    kept = [study(2, 1), study(1, 1)]

    def node(request: FaultyRequest) -> None:
        for uid, files in kept:
            if f"/studies/{uid}" in request.path and "/series?" in request.path:
                request.answer_json(series_of(uid, files))
                return
            if f"/studies/{uid}/" in request.path:
                request.answer(200, multipart(files), RELATED + "b")
                return
        request.answer_json([{"0020000D": {"vr": "UI", "Value": [uid]}} for uid, _ in kept])

    faulty.behaviour = node
    job = here.run("faulty", "retrieve", level="STUDY", query={})
    assert (job["state"], job["done"], job["failed"]) == ("done", 3, 0), job
    assert [here.count(uid) for uid, _ in kept] == [2, 1]


def test_wrong_and_unknown_ids_fail_beside_the_others(here: NodesClient, there: NodesClient) -> None:
    uid, files = study(2, 2)
    unknown = generate_uid()
    there.store(*files)
    job = here.run("there", "retrieve", level="STUDY", ids=["*", uid, unknown])
    assert (job["state"], job["done"], job["failed"]) == ("done", 4, 2), job
    assert {error["study"] for error in job["errors"]} == {"*", unknown}


def test_what_could_not_be_sent_is_named(here: NodesClient, faulty: FaultyServer) -> None:
    uid, files = study(2, 1)
    ids = here.store(*files)

    def picky(request: FaultyRequest) -> None:
        assert sorted(uids_of(request.read())) == sorted(ids)
        request.answer_json(store_answer(ids[:1], [(ids[1], 0x0122)]), 202)

    faulty.behaviour = picky
    (error,) = here.run("faulty", "send", studies=[uid])["errors"]
    series = str(pydicom.dcmread(io.BytesIO(files[0])).SeriesInstanceUID)
    assert (error["study"], error["series"], error["instance"]) == (uid, series, ids[1])
