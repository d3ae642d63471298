"""Datasets made for the tests of DIMSE, and what a server has of them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread

from tests.support.files import dicom_file
from tests.support.server import Server


@dataclass(frozen=True)
class Instance:
    """The UIDs and the dataset of a C-STORE request, as it goes over the wire."""

    sop_class: str
    uid: str
    syntax: str
    dataset: bytes


def instance(number: int = 1, **elements: Any) -> Instance:
    """A small image; see `dicom_file`."""
    return from_file(dicom_file(number, **elements))


def from_file(content: bytes) -> Instance:
    """Split a file into its File Meta Information and its dataset."""
    length = int.from_bytes(content[140:144], "little")
    meta = dcmread(io.BytesIO(content), stop_before_pixels=True, force=True).file_meta
    return Instance(
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
        content[144 + length :],
    )


def stored(server: Server, uid: str) -> bytes | None:
    """The file of an instance as the server has it."""
    answer = server.client.get(f"/api/instances/{uid}/file")
    return answer.content if answer.status_code == 200 else None


def spool(server: Server) -> list[str]:
    """Names of the arrivals that are under way."""
    return [file.name for file in (server.data / "blobs" / "spool").iterdir()]


def dimse_processes(server: Server) -> list[int]:
    """Process ids of a server's DIMSE processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == server.process.pid and b"neurdicom.dimse" in command:
                found.append(int(entry.name))
    return found
