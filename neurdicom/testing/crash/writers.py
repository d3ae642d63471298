"""Actors that send instances over HTTP: a raw body, a form, a ZIP, STOW-RS."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from neurdicom.testing.crash.actors import Actor
from neurdicom.testing.crash.connection import ServerAnswer
from neurdicom.testing.crash.ledger import RecordedRequest, SampleInstance

_BOUNDARY = "a7f3b0-crash"
#: Media type of a request of STOW-RS.
STOW = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'

_STORED = ("stored", "duplicate", "replaced")

#: Referenced SOP Sequence and Referenced SOP Instance UID of a Store Instances Response (PS3.18 10.5.3).
REFERENCED = "00081199"
_REFERENCED_UID = "00081155"


class HttpWriter(Actor):
    """Base of actors that upload by the REST API."""

    def acknowledge_upload(self, sending: RecordedRequest, answer: ServerAnswer) -> None:
        """Record what an answer of the REST API says is stored."""
        good = self.statuses(HTTPStatus.OK, HTTPStatus.CREATED, partly=HTTPStatus.MULTI_STATUS)
        if self.check(answer, good).status in good:
            self.site.ledger.acknowledge(sending, stored_of(answer))


class RawWriter(HttpWriter):
    """Actor that sends one instance a request, now and then a new version of one that is there."""

    def act(self) -> None:
        """Send an instance."""
        [sample] = self.samples(1)
        if self.random.random() < 0.3:
            sample = self.again() or sample
        sending = self.site.ledger.begin_store([sample])
        answer = self.http.request("POST", "/api/instances", sample.content, "application/dicom")
        self.acknowledge_upload(sending, answer)


class Resender(HttpWriter):
    """Actor that sends instances of all actors again, which others replace or delete meanwhile."""

    def act(self) -> None:
        """Send an instance again."""
        chosen = self.site.ledger.choose(self.random)
        if chosen is None:
            return
        sample = replace(chosen, as_dataset=False)
        sending = self.site.ledger.begin_store([sample])
        answer = self.http.request("POST", "/api/instances", sample.content, "application/dicom")
        self.acknowledge_upload(sending, answer)


class FormWriter(HttpWriter):
    """Actor that sends several instances as a form."""

    def act(self) -> None:
        """Send a form."""
        samples = self.samples(self.random.randint(2, 6))
        sending = self.site.ledger.begin_store(samples)
        answer = self.http.request(
            "POST", "/api/instances", multipart(samples, "form"), f"multipart/form-data; boundary={_BOUNDARY}"
        )
        self.acknowledge_upload(sending, answer)


class ZipWriter(HttpWriter):
    """Actor that sends several instances as a ZIP."""

    def act(self) -> None:
        """Send a ZIP."""
        samples = self.samples(self.random.randint(2, 6))
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as file:
            for sample in samples:
                file.writestr(f"CD/{sample.instance}.dcm", sample.content)
        sending = self.site.ledger.begin_store(samples)
        answer = self.http.request("POST", "/api/instances", body.getvalue(), "application/zip")
        self.acknowledge_upload(sending, answer)


class StowWriter(Actor):
    """Actor that sends several instances by STOW-RS."""

    def act(self) -> None:
        """Send instances."""
        samples = self.samples(self.random.randint(2, 6))
        sending = self.site.ledger.begin_store(samples)
        answer = self.http.request("POST", "/dicom-web/studies", multipart(samples, "related"), STOW)
        good = self.statuses(HTTPStatus.OK, partly=HTTPStatus.ACCEPTED)
        if self.check(answer, good).status in good:
            references = answer.json()[REFERENCED]["Value"]
            self.site.ledger.acknowledge(sending, [each[_REFERENCED_UID]["Value"][0] for each in references])


def stored_of(answer: ServerAnswer) -> list[str]:
    """List the SOP Instance UIDs that an upload's answer names as stored."""
    results: list[dict[str, Any]] = answer.json()["results"]
    return [each["id"] for each in results if each["status"] in _STORED]


def multipart(samples: Sequence[SampleInstance], kind: str) -> bytes:
    """Write a multipart body.

    Parameters
    ----------
    samples : sequence of SampleInstance
        The instances, one a part.
    kind : {"form", "related"}
        Of multipart/form-data or of multipart/related.

    Returns
    -------
    bytes
    """
    body = b""
    for sample in samples:
        name = (
            f'Content-Disposition: form-data; name="file"; filename="{sample.instance}"\r\n' if kind == "form" else ""
        )
        head = f"--{_BOUNDARY}\r\n{name}Content-Type: application/dicom\r\n\r\n"
        body += head.encode() + sample.content + b"\r\n"
    return body + f"--{_BOUNDARY}--\r\n".encode()
