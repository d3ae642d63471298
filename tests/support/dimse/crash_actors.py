"""Actors of crash tests that use DIMSE: a sender by C-STORE, and retrievals from a node by C-MOVE and WADO-RS."""

import time
from http import HTTPStatus
from typing import Any

from neurdicom.testing.crash.actors import Actor, CrashSite, ServerRefused
from neurdicom.testing.crash.connection import ServerConnection, ServerLost
from neurdicom.testing.crash.ledger import SampleInstance
from neurdicom.testing.crash.recyclers import TwinOwner
from tests.support.dimse.instances import from_file
from tests.support.dimse.peer import EXPLICIT, SECONDARY_CAPTURE, Ended, RawPeer, Rejected

#: Seconds between two looks at a job.
POLL = 0.05
#: Seconds after which a job is left to itself: it waits for its next attempt.
JOB_SECONDS = 3.0
OUT_OF_RESOURCES = 0xA700


class DimseStorage:
    """Association of an actor for C-STORE, made anew when it breaks."""

    def __init__(self) -> None:
        self._peer: RawPeer | None = None

    def store(self, port: int, content: bytes) -> int:
        """Send an instance. Raises `ServerLost` where the association breaks, or there is none."""
        one = from_file(content)
        try:
            if self._peer is None:
                self._peer = RawPeer(port).associate((SECONDARY_CAPTURE, [EXPLICIT]))
            return int(self._peer.store(1, one.sop_class, one.uid, one.dataset).Status)
        except (Ended, Rejected, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            self.drop()
            raise ServerLost(f"C-STORE: {error!r}") from error

    def drop(self) -> None:
        """Break the association. Idempotent."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.socket.close()


class DimseWriter(Actor):
    """Sends instances by C-STORE; one whose association breaks is sent again."""

    as_dataset = True
    port = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._storage = DimseStorage()

    def act(self) -> None:
        """Send an instance until it is acknowledged."""
        [sample] = self.samples(1)
        while not self.is_stopping:
            sending = self.site.ledger.begin_store([sample])
            try:
                status = self._storage.store(self.port, sample.content)
            except ServerLost:
                time.sleep(POLL)
                continue
            if status == OUT_OF_RESOURCES and self.site.refusals:
                self.site.refused[status] += 1
                raise ServerRefused("A700H")
            if status != 0:
                self.site.report(f"{self.name}: C-STORE is answered with {status:04X}H")
            else:
                self.site.ledger.acknowledge(sending)
            if self.random.random() < 0.1:
                self._storage.drop()
            return
        raise ServerLost("no association until the end")

    def close(self) -> None:
        """Close its connections."""
        self._storage.drop()
        super().close()


class TwinSender(TwinOwner):
    """Sends UIDs by C-STORE that others send as well, of a patient of its own."""

    as_dataset = True
    port = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._storage = DimseStorage()

    def send(self, sample: SampleInstance) -> bool:
        """Send an instance by C-STORE."""
        status = self._storage.store(self.port, sample.content)
        if status == OUT_OF_RESOURCES and self.site.refusals:
            self.site.refused[status] += 1
            raise ServerRefused("A700H")
        if status != 0:
            self.site.report(f"{self.name}: C-STORE is answered with {status:04X}H")
        return status == 0

    def close(self) -> None:
        """Close its connections."""
        self._storage.drop()
        super().close()


class Retriever(Actor):
    """Has the server retrieve studies from a node, to which it sent them before."""

    as_dataset = True
    #: URL of the node, and its names as a DICOMWEB and a DIMSE node of the server.
    node_url = ""
    names = ("node-web", "node-dimse")
    _node: ServerConnection | None = None

    def act(self) -> None:
        """Store a few instances of a study at the node, and retrieve the study from there."""
        if self._node is None:
            self._node = ServerConnection(self.node_url)
        samples = [self._of_one_study(number) for number in range(self.random.randint(1, 4))]
        for sample in samples:
            answer = self._node.request("POST", "/api/instances", sample.content, "application/dicom")
            self.check(answer, [HTTPStatus.OK, HTTPStatus.CREATED])
        self._number += 1
        sending = self.site.ledger.begin_store(samples)
        study = {"level": "STUDY", "ids": [samples[0].study]}
        answer = self.http.request("POST", f"/api/dicom_nodes/{self.random.choice(self.names)}/retrieve", study)
        if self.check(answer, [HTTPStatus.ACCEPTED]).status != HTTPStatus.ACCEPTED:
            return
        job = answer.json()["id"]
        end = time.monotonic() + JOB_SECONDS
        while not self.is_stopping and time.monotonic() < end:
            state = self.check(self.http.get(f"/api/jobs/{job}"), [HTTPStatus.OK]).json()
            if state["ended"] is not None:
                break
            time.sleep(POLL)
        else:
            return
        if state["state"] == "done" and not state["failed"]:
            self.site.ledger.acknowledge(sending)

    def _of_one_study(self, number: int) -> SampleInstance:
        study = f"{self.site.root}.{self.place}.{self._number}"
        return self.file(f"{self.name}-{self._number // 4}", study, f"{study}.1", f"{study}.1.{number + 1}")

    def close(self) -> None:
        """Close its connections."""
        if self._node is not None:
            self._node.close()
        super().close()


def add_nodes(site: CrashSite, node_url: str, node_dimse_port: int) -> None:
    """Make the node known to the server, by both protocols."""
    http = ServerConnection(site.url)
    web = {"name": Retriever.names[0], "protocol": "DICOMWEB", "url": f"{node_url}/dicom-web"}
    dimse = {"name": Retriever.names[1], "protocol": "DIMSE", "ae_title": "NODE", "host": "127.0.0.1"}
    for node in (web, dimse | {"port": node_dimse_port}):
        answer = http.request("POST", "/api/dicom_nodes", node)
        assert answer.status == HTTPStatus.CREATED, answer.body
    http.close()
