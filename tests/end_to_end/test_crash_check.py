"""The check of crash tests finds what is wrong: each kind of damage, done to a server on purpose."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurdicom.testing.crash.actors import CrashSite
from neurdicom.testing.crash.check import CrashCheck
from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.ledger import Ledger, SampleInstance
from tests.support.api import install, upload
from tests.support.crashes import make_file
from tests.support.files import ROOT, dicom_file
from tests.support.packages import package
from tests.support.server import Server
from tests.support.waiting import wait_for

PLUGIN = """
class Plugin:
    def process(self, ds=None, **parameters): return ds.pixel_array * 2.0
"""


def sample(number: int) -> SampleInstance:
    """An instance."""
    content = dicom_file(number, patient="Writer-1")
    return SampleInstance("Writer-1", f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.{number}", content)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[Server, Ledger]]:
    """A server with three instances and a result, which its ledger knows."""
    ledger = Ledger()
    with Server(tmp_path / "data") as server:
        for number in range(3):
            sending = ledger.begin_store([sample(number)])
            upload(server.client, sample(number).content)
            ledger.acknowledge(sending)
        install(server.client, package(PLUGIN))
        path = f"/api/instances/{ROOT}.1.1.0/process/by_plugin/test.plugin"
        assert server.client.get(path).status_code == 200
        wait_for(lambda: server.client.get("/api/results").json(), "the result to be kept")
        yield server, ledger


def faults(server: Server, ledger: Ledger) -> str:
    """What the check finds."""
    http = ServerConnection(server.url)
    check = CrashCheck(http, CrashSite(server.url, ledger, make_file, ROOT), server.files)
    check.run()
    http.close()
    return "\n".join(check.faults)


def blobs(server: Server) -> list[Path]:
    """The files of instances."""
    return sorted((server.files / "blobs" / "objects").glob("*/*"))


def change_catalog(server: Server, statement: str) -> None:
    """Change the catalog's file behind the server's back."""
    with sqlite3.connect(server.files / "catalog.sqlite") as db:
        db.execute(statement)
    db.close()


def test_all_is_well(stored: tuple[Server, Ledger]) -> None:
    assert faults(*stored) == ""


def test_lost_and_deleted_instances(stored: tuple[Server, Ledger]) -> None:
    server, ledger = stored
    ledger.acknowledge(ledger.begin_store([sample(7)]))
    ledger.acknowledge(ledger.begin_delete("instance", sample(1).instance))
    upload(server.client, dicom_file(9))
    found = faults(server, ledger)
    assert f"{sample(7).instance} was acknowledged, and is lost" in found
    assert f"{sample(1).instance} was deleted, which was acknowledged, and is there" in found
    assert f"{sample(9).instance} is listed, and nobody sent it" in found


def test_other_bytes(stored: tuple[Server, Ledger]) -> None:
    server, ledger = stored
    upload(server.client, dicom_file(1, patient="Writer-1", ImageComments="another"))
    assert f"instance {sample(1).instance} has the bytes" in faults(server, ledger)


def test_files(stored: tuple[Server, Ledger]) -> None:
    server, ledger = stored
    folder = blobs(server)[0].parent
    (folder / f"000099-{'0' * 64}-{'0' * 16}").write_bytes(b"an orphan")
    (server.files / "blobs" / "spool" / "left").write_bytes(b"left")
    (server.files / "results" / "objects" / "orphan").write_bytes(b"an orphan")
    found = faults(server, ledger)
    assert "lies in blobs/, and no instance has it" in found
    assert "has other bytes: their SHA-256 is" in found
    assert "the file left is left in the spool" in found
    assert "2 files lie in results/, and the results have 1" in found


def test_a_missing_file(stored: tuple[Server, Ledger]) -> None:
    server, ledger = stored
    blobs(server)[1].unlink()
    assert sample(1).instance in faults(server, ledger)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE study SET images_count = 4", "images_count of"),
        ("UPDATE series SET images_count = 2", "images_count of"),
        ("UPDATE patient SET studies_count = 2", "studies_count of"),
        ("UPDATE study SET series_count = 2", "series_count of"),
        ("UPDATE total SET count = 4 WHERE level = 'instance'", "X-Total-Count"),
        ("UPDATE total SET count = 4 WHERE level = 'bytes'", "count and bytes of instances"),
    ],
)
def test_counts(stored: tuple[Server, Ledger], statement: str, fault: str) -> None:
    server, ledger = stored
    change_catalog(server, statement)
    assert fault in faults(server, ledger)
