"""Two servers that know each other, and Orthanc."""

from collections.abc import Iterator

import pytest

from tests.support.faulty import FaultyServer
from tests.support.nodes import NodesClient
from tests.support.orthanc import orthanc
from tests.support.server import Server


@pytest.fixture(scope="module")
def here(server: Server) -> NodesClient:
    """The server that the tests ask; what jobs do on each catalog, `tests/jobs` looks at."""
    return NodesClient(server.client)


@pytest.fixture(scope="session")
def there_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that is a node of the other."""
    with Server(tmp_path_factory.mktemp("there")) as running:
        yield running


@pytest.fixture
def there(there_server: Server, here: NodesClient) -> NodesClient:
    """A client of the node, which is known as `there`."""
    here.add_node("there", f"{there_server.url}/dicom-web/")
    return NodesClient(there_server.client)


@pytest.fixture(scope="session")
def orthanc_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Orthanc with its DICOMweb plugin."""
    with orthanc(tmp_path_factory.mktemp("orthanc"), DicomWeb={"Enable": True, "Root": "/dicom-web/"}) as running:
        yield f"{running.url}/dicom-web"


@pytest.fixture
def faulty(here: NodesClient) -> Iterator[FaultyServer]:
    """A node known as `faulty`."""
    with FaultyServer() as running:
        here.add_node("faulty", running.url, username="ann", password="correct-horse")
        yield running
