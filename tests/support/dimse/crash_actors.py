"""Actors of crash tests that use DIMSE: a sender by C-STORE, and retrievals from a node by C-MOVE and WADO-RS."""

import time
from http import HTTPStatus

from neurdicom.testing.crash.actors import Actor, CrashSite, ServerRefused
from neurdicom.testing.crash.connection import ServerConnection, ServerLost
from neurdicom.testing.crash.ledger import SampleInstance
from tests.support.dimse.instances import from_file
from tests.support.dimse.peer import EXPLICIT, SECONDARY_CAPTURE, Ended, RawPeer, Rejected

#: Seconds between two looks at a job.
POLL = 0.05
#: Seconds after which a job is left to itself: it waits for its next attempt.
JOB_SECONDS = 3.0
OUT_OF_RESOURCES = 0xA700


class DimseWriter(Actor):
    """Sends instances by C-STORE; one whose association breaks is sent again."""

    as_dataset = True
    port = 0
    _peer: RawPeer | None = None

    def act(self) -> None:
        """Send an instance until it is acknowledged."""
        [sample] = self.samples(1)
        one = from_file(sample.content)
        while not self.is_stopping:
            sending = self.site.ledger.begin_store([sample])
            try:
                peer = self._associate()
                status = peer.store(1, one.sop_class, one.uid, one.dataset).Status
            except (Ended, Rejected, OSError) as error:
                if isinstance(error, TimeoutError):
                    raise
                self._drop()
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
                self._drop()
            return
        raise ServerLost("no association until the end")

    def _associate(self) -> RawPeer:
        if self._peer is None:
            self._peer = RawPeer(self.port).associate((SECONDARY_CAPTURE, [EXPLICIT]))
        return self._peer

    def _drop(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.socket.close()

    def close(self) -> None:
        """Close its connections."""
        self._drop()
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
