"""The check of a crash test finds what lies elsewhere than one actor has moved it, or was moved by half."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurdicom.testing.crash.actors import CrashSite
from neurdicom.testing.crash.check import CrashCheck
from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.ledger import Ledger
from neurdicom.testing.crash.places import UNKNOWN, Arrangement, KnownPlaces, Origin, RecordedMove
from tests.support.api import upload
from tests.support.archive_client import Archive
from tests.support.crashes import make_file
from tests.support.files import ROOT, dicom_file
from tests.support.moves import post
from tests.support.server import Server
from tests.support.trash import sha


def origin(patient: str, study: int, series: int = 1) -> Origin:
    return patient, f"{ROOT}.{study}", f"{ROOT}.{study}.{series}"


class PlacesSite:
    """A server with two studies of a patient, of which one has two series, and one of another with the same UIDs."""

    def __init__(self, server: Server) -> None:
        self.archive = Archive(server)
        self.known = KnownPlaces()
        self.now = Arrangement()
        for one in (origin("A", 1), origin("A", 1, 2), origin("A", 2), origin("B", 1)):
            patient, _, series = one
            study, number = (int(part) for part in series.split(".")[-2:])
            file = dicom_file(1, study=study, series=number, patient=patient)
            upload(server.client, file)
            self.now = self.now.with_file(one, f"{series}.1", sha(file))

    def merge(self) -> RecordedMove:
        """Give the studies of the first patient to the other, at the server."""
        studies = {one[:2]: "B" for one in self.now.at("A")}
        ids = {each["patient_id"]: each["id"] for each in self.archive.get("/patients").json()}
        post(self.archive, f"/patients/{ids['A']}/merge", {"into": ids["B"]})
        return RecordedMove(studies=studies, edit="merge")

    def check(self, *arrangements: Arrangement) -> CrashCheck:
        """Check the server, which may be arranged so."""
        self.known.note("mine", *arrangements)
        http = ServerConnection(self.archive.server.url)
        check = CrashCheck(
            http,
            CrashSite(self.archive.server.url, Ledger(), make_file, ROOT, places=self.known),
            self.archive.server.files,
        )
        check.run()
        http.close()
        return check


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PlacesSite]:
    with Server(tmp_path / "data") as server:
        yield PlacesSite(server)


def test_before_or_after(site: PlacesSite) -> None:
    move = site.merge()
    after = site.now.with_move(move)
    assert len(after.layout()) == 3, "two are one"
    for arrangements in ([after], [site.now, after]):
        check = site.check(*arrangements)
        assert check.faults == []
        assert check.places.there == {"mine": after}
    assert "what mine owns lies as" in "\n".join(site.check(site.now).faults)


def test_by_half(site: PlacesSite) -> None:
    whole = site.now.with_move(site.merge())
    post(site.archive, f"/studies/{ROOT}.2/move", {"patient": {"patient_id": "A"}})
    assert "what mine owns lies as" in "\n".join(site.check(site.now, whole).faults)


def test_a_split_whose_answer_was_lost(site: PlacesSite) -> None:
    [study] = [each["id"] for each in site.archive.get("/studies").json() if each["series_count"] == 2]
    made = post(site.archive, f"/studies/{study}/split", {"series": [f"{ROOT}.1.2"]})
    split = RecordedMove(series={origin("A", 1, 2): ("A", UNKNOWN)})
    check = site.check(site.now, site.now.with_move(split))
    assert check.faults == []
    assert check.places.there["mine"].place(origin("A", 1, 2)) == ("A", made["id"])


def test_undos(site: PlacesSite) -> None:
    after = site.now.with_move(site.merge())
    site.known.restart({"mine": after})
    check = site.check(after)
    assert check.faults == []
    assert check.places.there == {"mine": site.now}, "an earlier check has found it, and nothing has changed since"
    assert len(site.archive.get("/studies").json()) == 3


def test_an_undo_that_does_not_restore(site: PlacesSite) -> None:
    after = site.now.with_move(site.merge())
    site.known.restart({"mine": after})
    with sqlite3.connect(site.archive.server.files / "catalog.sqlite") as db:
        db.execute("DELETE FROM move")
    db.close()
    assert "after all undos; the files say" in "\n".join(site.check(after).faults)
