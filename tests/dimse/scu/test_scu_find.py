"""C-FIND as SCU, asked for over REST: character sets, limits and failures of a query SCP of pynetdicom's."""

import threading
import time
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event

from tests.support.dimse.remotes import PATIENT_FIND, STUDY_FIND, add_node, ask
from tests.support.files import ROOT
from tests.support.server import Server


class ScriptedArchive:
    """A query SCP of pynetdicom's that gives what a test wants.

    Attributes
    ----------
    asked : list of Dataset
        Identifiers that came.
    cancelled : threading.Event
        Set when a C-CANCEL came.
    """

    def __init__(self, matches: list[Dataset], status: int | Dataset = 0x0000, delay: float = 0.0) -> None:
        self._matches, self._status, self._delay = matches, status, delay
        self.asked: list[Dataset] = []
        self.cancelled = threading.Event()
        self.ae = AE("ARCHIVE")
        self.ae.add_supported_context(STUDY_FIND)
        self.ae.add_supported_context(PATIENT_FIND)

    def _find(self, event: Event) -> Iterator[tuple[Any, Dataset | None]]:
        ds = event.identifier
        ds.decode()
        self.asked.append(ds)
        for match in self._matches:
            time.sleep(self._delay)
            if event.is_cancelled:
                self.cancelled.set()
                yield 0xFE00, None
                return
            yield 0xFF00, match
        yield self._status, None

    def __enter__(self) -> "ScriptedArchive":
        server = self.ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, self._find)])
        assert server is not None
        self._server = server
        self.port: int = server.server_address[1]
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()


def match_of(number: int, name: str = "Doe^Jane", charset: str | None = None) -> Dataset:
    """A study."""
    ds = Dataset()
    if charset:
        ds.SpecificCharacterSet = charset
    ds.QueryRetrieveLevel, ds.StudyInstanceUID, ds.PatientName = "STUDY", f"{ROOT}.{number}", name
    return ds


def test_character_sets_both_ways(dimse: Server) -> None:
    """Keys go in UTF-8 where ASCII does not hold them; answers come in whatever set they name."""
    matches = [
        match_of(1, "Müller^Jörg", "ISO_IR 100"),
        match_of(2, "Люкceмбypг", "ISO_IR 144"),
        match_of(3, "Yamada^Tarou=山田^太郎=やまだ^たろう", "\\ISO 2022 IR 87"),
        match_of(4, "Wang^XiaoDong=王^小东", "GB18030"),
        match_of(5, "Plain"),
    ]
    matches[2].SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    with ScriptedArchive(matches) as archive:
        add_node(dimse, "ARCHIVE", archive.port)
        found = ask(dimse, "archive", "find", {"level": "STUDY", "query": {"PatientName": "M*ü", "StudyDate": None}})
        ask(dimse, "archive", "find", {"level": "STUDY", "query": {"PatientName": "Plain"}})
    assert [match["PatientName"] for match in found] == [str(match.PatientName) for match in matches]
    assert str(archive.asked[0].PatientName) == "M*ü"
    assert archive.asked[0].SpecificCharacterSet == "ISO_IR 192"
    assert "StudyDate" in archive.asked[0]
    assert "SpecificCharacterSet" not in archive.asked[1]


def test_a_limit_cancels(dimse: Server) -> None:
    """Beyond the limit the peer is asked to stop."""
    with ScriptedArchive([match_of(number) for number in range(200)], delay=0.01) as archive:
        add_node(dimse, "ARCHIVE", archive.port)
        found = ask(dimse, "archive", "find", {"level": "STUDY", "query": {}, "limit": 5})
        assert len(found) == 5
        assert archive.cancelled.wait(10)


def test_find_fails(dimse: Server) -> None:
    """A failure's status and comment are told."""
    status = Dataset()
    status.Status, status.ErrorComment = 0xA700, "no room"
    with ScriptedArchive([], status) as archive:
        add_node(dimse, "ARCHIVE", archive.port)
        code, detail = ask(dimse, "archive", "find", {"level": "STUDY", "query": {}})
    assert code == 502
    assert "A700" in detail
    assert "no room" in detail
