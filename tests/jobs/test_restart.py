"""A server that is killed in the middle of its jobs, and started again."""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurdicom.dicomweb.client.send import _INSTANCES as PER_REQUEST
from tests.support.faulty import FaultyRequest, FaultyServer, multipart, store_answer
from tests.support.nodes import RELATED, NodesClient, series_of, study, uids_of
from tests.support.server import Server


@pytest.fixture(params=["sqlite", "mongodb"])
def options(request: pytest.FixtureRequest) -> list[str]:
    """Options of a server on each catalog."""
    if request.param == "sqlite":
        return []
    uri = request.getfixturevalue("mongodb_uri").rstrip("/")
    return ["--mongodb-uri", f"{uri}/restart_{uuid.uuid4().hex[:12]}"]


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """The node."""
    with FaultyServer() as running:
        yield running


def test_killed_while_sending(options: list[str], faulty: FaultyServer, tmp_path: Path) -> None:
    received: Counter[str] = Counter()
    stuck, free = threading.Event(), threading.Event()

    def node(request: FaultyRequest) -> None:
        uids = uids_of(request.read())
        if received and not free.is_set():
            stuck.set()
            free.wait(60)
        received.update(uids)
        request.answer_json(store_answer(uids))

    faulty.behaviour = node
    uid, files = study(2 * PER_REQUEST + 20, 1)
    server = Server(tmp_path / "data", *options).start()
    try:
        here = NodesClient(server.client)
        ids = here.store(*files)
        here.add_node("faulty", faulty.url)
        job = here.submit("faulty", "send", studies=[uid])
        assert stuck.wait(30)
        waiting = [here.submit("faulty", "send", instances=ids[:1]) for _ in range(5)]
        before = here.when(job, lambda now: now["done"] == PER_REQUEST)
        assert (before["state"], before["total"]) == ("running", len(files))
        finished = set(received)
    finally:
        server.kill()
    received.clear()
    free.set()
    with Server(tmp_path / "data", *options) as server:
        here = NodesClient(server.client)
        done = here.ended(job)
        assert (done["state"], done["done"], done["failed"], done["total"]) == ("done", len(files), 0, len(files))
        for each in waiting:
            assert here.ended(each)["done"] == 1
        resent = Counter(received)
        resent.subtract({ids[0]: received[ids[0]]})
        assert not {one for one, times in resent.items() if times} & finished, "what was finished is not done again"
        assert set(received) | finished == set(ids)


def test_killed_while_retrieving(faulty: FaultyServer, tmp_path: Path) -> None:
    uid, files = study(4, 3)
    stuck, free = threading.Event(), threading.Event()
    first: list[str] = []

    def node(request: FaultyRequest) -> None:
        if "/series?" in request.path:
            request.answer_json(series_of(uid, files))
            return
        series = request.path.rpartition("/")[2]
        if first and not free.is_set():
            stuck.set()
            free.wait(60)
        first.append(series)
        request.answer(200, multipart([file for file in files if series.encode() in file]), RELATED + "b")

    faulty.behaviour = node
    server = Server(tmp_path / "data").start()
    try:
        here = NodesClient(server.client)
        here.add_node("faulty", faulty.url)
        job = here.submit("faulty", "retrieve", level="STUDY", ids=[uid])
        assert stuck.wait(30)
        assert here.when(job, lambda now: now["done"] == 4)["state"] == "running"
    finally:
        server.kill()
    free.set()
    with Server(tmp_path / "data") as server:
        here = NodesClient(server.client)
        done = here.ended(job)
        assert (done["state"], done["done"], done["failed"], done["total"]) == ("done", 12, 0, 12)
        assert here.count(uid) == 12
        assert first.count(first[0]) == 1, "a series that was finished is not asked for again"
        assert here.http.delete(f"/api/jobs/{job}").status_code == 204


def test_stopped_in_the_middle(faulty: FaultyServer, tmp_path: Path) -> None:
    began, free = threading.Event(), threading.Event()

    def node(request: FaultyRequest) -> None:
        uids = uids_of(request.read())
        began.set()
        free.wait(1.0)
        request.answer_json(store_answer(uids))

    faulty.behaviour = node
    uid, files = study(PER_REQUEST + 1, 1)
    server = Server(tmp_path / "data").start()
    try:
        here = NodesClient(server.client)
        here.store(*files)
        here.add_node("faulty", faulty.url)
        job = here.submit("faulty", "send", studies=[uid])
        assert began.wait(30)
    finally:
        assert server.stop() == 0
    free.set()
    with Server(tmp_path / "data") as server:
        here = NodesClient(server.client)
        assert here.ended(job)["done"] == len(files)
        assert len(faulty.requests) == 2, "the request under way was heard to its end"
