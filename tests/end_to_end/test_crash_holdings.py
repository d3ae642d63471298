"""Faults that the check of a crash test finds in instances that one actor changes, and in the trash."""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurdicom.testing.crash.actors import CrashSite
from neurdicom.testing.crash.check import CrashCheck
from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.holdings import KnownHoldings
from neurdicom.testing.crash.ledger import Ledger, SampleInstance
from tests.support.api import upload
from tests.support.crashes import make_file
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server
from tests.support.trash import files_in, sha


def sample(patient: str, number: int, comment: str = "") -> SampleInstance:
    """An instance of the study that both patients have."""
    file = dicom_file(number, patient=patient, ImageComments=comment or None)
    return SampleInstance(patient, f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.{number}", file)


class HoldingsSite:
    """A server with instances of two patients of the same UIDs, an earlier version, and one in the trash."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.known = KnownHoldings()
        self.first, self.second = sample("First-1", 1, "new"), sample("Second-1", 1)
        old, self.gone = sample("First-1", 1, "old"), sample("First-1", 2)
        for one in (old, self.first, self.second, self.gone):
            upload(server.client, one.content)
        self.known.note(self.first, [self.first.digest], [old.digest])
        self.known.note(self.second, [self.second.digest])
        assert server.client.delete(f"/api/instances/{self.gone.instance}?reason=mine").status_code == 204
        self.known.note(self.gone, [None])
        self.known.note_trash("mine", {("First-1", self.gone.instance): self.gone.digest}, True)

    def faults(self) -> str:
        """What the check finds."""
        http = ServerConnection(self.server.url)
        check = CrashCheck(http, CrashSite(self.server.url, Ledger(), make_file, ROOT, self.known), self.server.files)
        check.run()
        http.close()
        return "\n".join(check.faults)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HoldingsSite]:
    with Server(tmp_path / "data") as server:
        yield HoldingsSite(server)


def test_all_is_well(site: HoldingsSite) -> None:
    assert site.faults() == ""


def test_what_is_lost_or_has_other_bytes(site: HoldingsSite) -> None:
    site.known.note(site.first, [site.second.digest], [sha(b"a version")])
    site.known.note(site.gone, [site.gone.digest])
    found = site.faults()
    assert f"{site.first} has the bytes" in found
    assert f"versions frozenset({{'{sha(b'a version')}'}}) of" in found
    assert f"{site.gone} was acknowledged, and is lost" in found


def test_what_is_of_another_patient(site: HoldingsSite) -> None:
    site.known.note(replace(site.second, patient_id="Third-1"), [site.second.digest])
    assert "patient_id='Third-1'" in site.faults()


def test_entries_of_the_trash(site: HoldingsSite) -> None:
    site.known.note_trash("mine", {("First-1", site.gone.instance): site.first.digest}, True)
    site.known.note_trash("another", {}, True)
    site.known.note_trash("uncertain", {("First-1", "1.2.3"): site.first.digest}, True, False)
    [path] = files_in(site.server, "trash")
    (site.server.files / "blobs" / "trash" / "left" / "00000000").mkdir(parents=True)
    shutil.copy(path, site.server.files / "blobs" / "trash" / "left" / "00000000")
    found = site.faults()
    assert "the entry 'mine' of the trash has" in found
    assert "the trash has None; of 'another'" in found
    assert "('First-1', '1.2.3') is neither there nor in the trash" in found
    assert "trash/left has files, and no entry of the trash has it" in found


def test_files_of_entries(site: HoldingsSite) -> None:
    files_in(site.server, "trash")[0].unlink()
    [version] = files_in(site.server, "versions")
    version.chmod(0o600)
    version.write_bytes(version.read_bytes()[:-1] + b"!")
    found = site.faults()
    assert "has (0, 0) files and bytes" in found
    assert "has other bytes: their SHA-256 is" in found
    assert "version " in found, "it is given out with other bytes"


def test_conflicts(site: HoldingsSite) -> None:
    with sqlite3.connect(site.server.files / "catalog.sqlite") as db:
        db.execute("DELETE FROM conflict")
    db.close()
    assert "the conflict of" in site.faults()
