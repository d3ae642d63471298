"""Faults of the server itself: peers and clients get a plain comment, and the log what is wrong."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.dimse.instances import instance
from tests.support.dimse.peer import EXPLICIT, SECONDARY_CAPTURE, RawPeer
from tests.support.dimse.remotes import find, series, upload
from tests.support.files import ROOT
from tests.support.server import Server
from tests.support.waiting import wait_for


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[Server]:
    """A server with one study."""
    with Server.with_dimse(tmp_path / "data", "--dimse-accept", "any") as running:
        upload(running, *series(1, study=1))
        yield running


def execute(server: Server, statement: str) -> None:
    with closing(sqlite3.connect(server.data / "catalog.sqlite")) as db, db:
        db.execute(statement)


def test_an_internal_error(damaged: Server) -> None:
    """A row that no code of the server writes, and so none expects."""
    execute(damaged, "UPDATE study SET attributes = 'damaged ['")
    _, status, _ = find(damaged, "STUDY", StudyInstanceUID="", PatientName="")
    assert (status.Status, status.ErrorComment) == (0xC000, "internal error; the server's log has it")
    answer = damaged.client.get(f"/api/studies/{ROOT}.1")
    assert answer.status_code == 500
    assert "damaged" not in answer.text and "JSON" not in answer.text
    wait_for(lambda: damaged.log.count("JSONDecodeError") >= 2, "both faults in the log")


def test_a_catalog_that_fails(damaged: Server) -> None:
    """SQLite's own text and the path of the file stay here."""
    for table in ("study", "instance"):
        execute(damaged, f"ALTER TABLE {table} RENAME TO moved_{table}")
    _, status, _ = find(damaged, "STUDY", StudyInstanceUID="", PatientName="")
    assert status.Status == 0xA700
    one = instance(2, study=1)
    with RawPeer(damaged.dimse_port).associate((SECONDARY_CAPTURE, [EXPLICIT])) as peer:
        stored = peer.store(1, one.sop_class, one.uid, one.dataset)
    assert stored.Status == 0xA700
    answer = damaged.client.get(f"/api/studies/{ROOT}.1")
    assert answer.status_code == 503
    for text in (status.ErrorComment, stored.ErrorComment, answer.text):
        assert "the catalog can't be" in text and "log says why" in text
        assert "no such" not in text and "sqlite" not in text and str(damaged.data) not in text
    wait_for(lambda: "no such table" in damaged.log, "the fault in the log")
