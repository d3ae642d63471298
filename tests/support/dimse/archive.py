"""A query/retrieve SCP of pynetdicom's that fails as a test says."""

import contextlib
import io
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event

from tests.support.dimse.remotes import (
    PATIENT_FIND,
    PATIENT_MOVE,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    add_node,
)
from tests.support.server import Server

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_KEYWORDS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


class FailingArchive:
    """The node `failing`, which holds some files.

    Parameters
    ----------
    server : Server
        The server that knows it as a node.
    files : sequence of bytes
        What it holds.
    whole : str
        How a retrieval above the instance ends: `sent`, `A702` before the first instance, `abort` after two of them,
        `stall` there, `unnamed` with a warning that names no instance, though the bad ones did not go.
    bad : collection of str
        SOP Instance UIDs that it can't send.
    refuses : callable, optional
        Tells whether a query is refused.

    Attributes
    ----------
    requests : list of str
        Level and kind of the requests that came.
    go_on : threading.Event
        Ends a stall.
    """

    def __init__(
        self,
        server: Server,
        files: Sequence[bytes],
        *,
        whole: str = "sent",
        bad: Sequence[str] = (),
        refuses: Any = None,
    ) -> None:
        self.requests: list[str] = []
        self.go_on = threading.Event()
        self._server = server
        self._held = [dcmread(io.BytesIO(file)) for file in files]
        self._whole, self._bad, self._refuses = whole, set(bad), refuses

    @contextlib.contextmanager
    def running(self) -> Iterator["FailingArchive"]:
        """Serve for as long as the context lasts."""
        ae = AE("FAILING")
        for sop_class in (STUDY_FIND, STUDY_MOVE, STUDY_GET, PATIENT_FIND, PATIENT_MOVE):
            ae.add_supported_context(sop_class)
        ae.requested_contexts = [
            each for each in AllStoragePresentationContexts if each.abstract_syntax == _SECONDARY_CAPTURE
        ]
        ae.add_supported_context(_SECONDARY_CAPTURE, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_MOVE, self._move), (evt.EVT_C_GET, self._get), (evt.EVT_C_FIND, self._find)]
        running = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert running is not None
        try:
            add_node(self._server, "FAILING", running.server_address[1])
            yield self
        finally:
            self.go_on.set()
            running.shutdown()

    def _matching(self, identifier: Dataset) -> list[Dataset]:
        wanted = {keyword: str(identifier.get(keyword) or "").strip("*") for keyword in _KEYWORDS}
        dates = str(identifier.get("StudyDate") or "").partition("-")
        return [
            ds
            for ds in self._held
            if all(not value or str(ds.get(keyword)) == value for keyword, value in wanted.items())
            and (not dates[0] or dates[0] <= str(ds.get("StudyDate")) <= (dates[2] or dates[0]))
        ]

    def _find(self, event: Event) -> Iterator[Any]:
        identifier = event.identifier
        level = identifier.QueryRetrieveLevel
        self.requests.append(f"find {level}")
        if self._refuses is not None and self._refuses(identifier):
            yield 0xA900, None
            return
        place = _LEVELS.index(level)
        seen = set()
        for ds in self._matching(identifier):
            match = Dataset()
            match.QueryRetrieveLevel = level
            for keyword in _KEYWORDS[: place + 1]:
                setattr(match, keyword, ds.get(keyword))
            if (key := str(ds.get(_KEYWORDS[place]))) not in seen:
                seen.add(key)
                yield 0xFF00, match

    def _move(self, event: Event) -> Iterator[Any]:
        yield ("127.0.0.1", self._server.dimse_port)
        yield from self._send(event)

    def _get(self, event: Event) -> Iterator[Any]:
        yield from self._send(event)

    def _send(self, event: Event) -> Iterator[Any]:
        level = event.identifier.QueryRetrieveLevel
        self.requests.append(f"retrieve {level}")
        found = self._matching(event.identifier)
        bad = [ds for ds in found if ds.SOPInstanceUID in self._bad]
        if level == "IMAGE" and bad:
            yield 1
            yield 0xC001, None
            return
        if level != "IMAGE" and self._whole == "A702":
            yield len(found)
            yield 0xA702, None
            return
        good = [ds for ds in found if ds not in bad]
        yield len(good) if self._whole != "unnamed" else len(found)
        for number, ds in enumerate(good):
            if level != "IMAGE" and self._whole == "stall" and number == 2:
                self.go_on.wait(120)
            if level != "IMAGE" and self._whole == "abort" and number == 2:
                event.assoc.abort()
                return
            yield 0xFF00, ds
        if level != "IMAGE" and self._whole == "unnamed":
            yield 0xB000, Dataset()
