"""A server on each catalog, and a client of its DICOMweb base."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicomweb.web import StoredFile, Web
from tests.support.server import Server


@pytest.fixture(scope="session")
def dicomweb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on the embedded catalog that these tests fill."""
    with Server(tmp_path_factory.mktemp("dicomweb")) as running:
        yield running


@pytest.fixture
def web(dicomweb_server: Server) -> Web:
    """Its client; every test makes studies of its own."""
    return Web(dicomweb_server)


@pytest.fixture
def any_web(any_server: Server) -> Web:
    """A client of a server on each catalog."""
    return Web(any_server)


@pytest.fixture(scope="session")
def stored_files(dicomweb_server: Server, data_set: Path) -> list[StoredFile]:
    """The files of the data set that are well-formed, stored; what is broken has tests of its own."""
    web, found = Web(dicomweb_server), {}
    for file in sorted(data_set.rglob("*")):
        if not file.is_file() or "fuzz" in file.parts or file.stat().st_size > 8 * 1024 * 1024:
            continue
        content = file.read_bytes()
        if content[128:132] != b"DICM":
            continue
        answer = web.client.post("/api/instances", content=content, headers={"Content-Type": "application/dicom"})
        if answer.status_code in (200, 201):
            (result,) = answer.json()["results"]
            path = f"/studies/{result['study']}/series/{result['series']}/instances/{result['id']}"
            found[result["id"]] = StoredFile(file, path)
    return list(found.values())
