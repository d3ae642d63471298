"""A server whose series are soon stable."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rules import RulesClient
from tests.support.server import Server


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with DIMSE, open to every AE."""
    options = ("--stable-seconds", "0.5", "--dimse-accept", "any")
    with Server.with_dimse(tmp_path_factory.mktemp("rules"), *options) as server:
        yield server


@pytest.fixture
def here(ruled: Server) -> Iterator[RulesClient]:
    """Its client, with the plugin of the tests; everything else is deleted afterwards."""
    client = RulesClient(ruled.client)
    client.install()
    yield client
    client.clear()


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """The file in which the plugin notes its calls."""
    path = tmp_path / "note"
    path.touch()
    return path
